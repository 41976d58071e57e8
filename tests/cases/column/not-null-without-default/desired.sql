create table note (id integer primary key, body text not null, other text);
create index note_body on note (body);
create view bodies as select n.body, m.other from note n join note m on m.id = n.id;
