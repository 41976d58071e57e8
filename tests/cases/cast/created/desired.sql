create table note (id integer primary key);
create type mood as enum ('sad', 'ok');
create function rank(mood) returns integer language sql immutable as 'select 1';
create function score(mood) returns bigint language sql immutable as 'select 2::bigint';
create cast (mood as integer) with function rank(mood) as assignment;
create cast (mood as bigint) with function score as implicit;
create cast ("char" as mood) with inout;
comment on cast (mood as integer) is 'how glad';
