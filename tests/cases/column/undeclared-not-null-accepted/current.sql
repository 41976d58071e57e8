create table member (id integer generated always as identity primary key, name text not null);
insert into member (name) values ('Ann');
