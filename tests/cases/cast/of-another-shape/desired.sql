create type mood as enum ('sad', 'ok');
create function rank(mood) returns integer language sql immutable as 'select 1';
create function score(mood) returns bigint language sql immutable as 'select 2::bigint';
create cast (mood as integer) with inout;
create cast (mood as bigint) with function score(mood) as implicit;
