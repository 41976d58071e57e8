create domain email as text collate "C" default 'none@example' not null check (value like '%@%')
    constraint short check (length(value) < 100);
create table person (id integer primary key);
create table contact (email email primary key, person integer references person);
