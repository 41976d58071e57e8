create table note (id integer primary key, body text default 'empty', at date default current_date);
