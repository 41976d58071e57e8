create table visit (id integer, at date not null) partition by range (at);
create table visit_2024 partition of visit for values from ('2024-01-01') to ('2025-01-01');
insert into visit values (1, '2024-05-05');
