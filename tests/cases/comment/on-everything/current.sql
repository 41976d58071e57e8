create table note (id integer primary key, body text);
comment on column note.body is 'old words';
comment on table note is 'stays until it is declared';
insert into note values (1, 'a');
