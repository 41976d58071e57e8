create type mood as enum ('ok', 'sad');
create sequence ticket_no;
create function touch(m mood) returns mood language sql as 'select m';
create table note (
    id bigint default nextval('ticket_no') primary key, mood mood default 'ok',
    other mood default touch('sad'::mood), check (touch(mood) <> 'sad'::mood)
);
create index note_touch on note (mood) where mood = 'ok'::mood;
create view notes as select n.id, m.mood from note n join note m on m.id = n.id and m.mood = 'ok';
insert into note values (1);
