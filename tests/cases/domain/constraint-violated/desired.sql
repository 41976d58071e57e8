create domain email as text constraint has_at check (value like '%@%' and value <> 'VALUE');
create table person (id integer primary key, email email, "Other" email);
