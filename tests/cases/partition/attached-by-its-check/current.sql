create table event (id integer not null, at date not null, kind text, primary key (id, at)) partition by range (at);
create table event_2024 (id integer not null, at date not null, kind text, primary key (id, at),
    check (at >= '2024-01-01' and at < '2025-01-01'));
insert into event_2024 values (1, '2024-05-05', 'a');
create table event_2025 (id integer not null, at date not null, kind text);
create table part (id integer not null, place varchar(9) not null) partition by list (place);
create table part_ab (id integer not null, place varchar(9) not null, check (place in ('a', 'b')));
insert into part_ab values (1, 'a');
create table low (id bigint not null) partition by range (id);
create table low_1 (id bigint not null, check (id >= 0), check (id < 10 and id <> 5));
insert into low_1 values (1);
create table log (id integer not null, what text, unique (id)) partition by range (id);
create index log_what on log (what);
create table log_1 (id integer not null, what text, check (id >= 0 and id < 100));
insert into log_1 values (1, 'a');
