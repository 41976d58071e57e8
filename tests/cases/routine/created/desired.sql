create table note (id integer primary key, body text);
create function twice(n integer default 1) returns integer language sql immutable strict
    as 'select n * 2';
create function titles(prefix text, variadic more text[]) returns table (id integer, title text)
    language plpgsql stable security definer set search_path = public
    as $body$ begin return query select n.id, n.body from note n where n.body like prefix; end $body$;
create procedure touch(inout n integer) language plpgsql as $$ begin n := n + 1; end $$;
create function of_note(note) returns text language sql as 'select $1.body';
