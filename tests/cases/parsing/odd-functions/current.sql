create function a(x integer, out y integer, out z text) language sql as 'select x, ''it''''s''';
create function a(x text default 'it''s; $$ --', variadic y integer[] default '{}') returns void
    language plpgsql as $outer$ begin execute $inner$ select '; create table x ()' $inner$; end $outer$;
create function "Odd Name"("In" integer) returns setof record language sql rows 5 cost 7 leakproof
    as $$ select 1, 2 /* ; */ -- ;
$$;
create function b() returns table (id integer, "Of" text) language sql parallel safe
    begin atomic select 1, 'x;y'; select 2, 'z'; end;
create function c(integer, integer default 2) returns integer return $1 + $2;
create procedure d(in a integer, inout b integer) language plpgsql as 'begin b := a; end';
create function e() returns trigger language plpgsql as $$ begin return null; end; $$;
create function f(anyelement, anyarray) returns anyelement language sql strict window
    as 'select $1';
create table note (id integer primary key);
insert into note values (1);
