create table note (id integer primary key, body text not null default 'a', extra text not null);
insert into note values (1, 'a', 'b');
