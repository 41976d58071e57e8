create table note (id integer primary key, body text);
create type pair as (a integer);
create function to_pair(integer) returns pair language sql as 'select row($1)::public.pair';
create cast (integer as pair) with function to_pair(integer);
