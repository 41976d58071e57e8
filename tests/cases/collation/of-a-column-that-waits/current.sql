create collation plain (locale = 'C');
create table note (id integer primary key, body text);
