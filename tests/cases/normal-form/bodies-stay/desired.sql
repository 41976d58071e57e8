create table item (id integer primary key, kind varchar(10));
create function told() returns text language sql
    as $$ select 'kind = ANY ((ARRAY[''a''::character varying])::text[])' $$;
comment on table item is '(ARRAY[''a''::character varying])::text[]';
