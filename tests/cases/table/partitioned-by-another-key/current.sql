create table event (id integer, at date not null, kind text) partition by range (at);
create table event_all partition of event default;
insert into event values (1, '2024-02-03', 'a');
