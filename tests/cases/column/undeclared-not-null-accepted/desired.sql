create table member (id integer generated always as identity primary key, full_name text);
