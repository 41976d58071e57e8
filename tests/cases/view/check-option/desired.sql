create table note (id integer primary key, a text);
create view few as select id, a from note where id > 0 with local check option;
