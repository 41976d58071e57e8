create table note (id integer primary key, body text);
insert into note values (1, 'a');
create rule kept as on delete to note do instead nothing;
