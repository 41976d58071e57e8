create table entry (id integer primary key, a text);
create view entries as
    select e.id, e.a, count(f.*) as many from entry e join entry f on f.id = e.id group by e.id;
create table note (id integer not null, a text);
