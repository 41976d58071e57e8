create domain email as text constraint has_at check (value like '%@%');
create table person (id integer primary key, email email);
