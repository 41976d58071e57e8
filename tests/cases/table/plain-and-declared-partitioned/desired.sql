create table event (id integer, at date not null) partition by range (at);
