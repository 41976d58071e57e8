create type mood as enum ('ok');
create table author (id integer primary key, mood mood);
create table note (id integer primary key, author integer references author);
create view notes as select n.id, a.mood from note n join author a on a.id = n.author;
create view z_notes as select n.id, m.mood from notes n join notes m on m.id = n.id;
create function stamp() returns trigger language plpgsql as 'begin return new; end';
create trigger stamp before insert on note for each row execute function stamp();
