create table note (id integer primary key, body text, stars integer);
create function best(lowest integer) returns bigint language sql stable
begin atomic
    select count(n.stars) from note n join note m on m.id = n.id where n.stars >= lowest;
end;
