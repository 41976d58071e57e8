create collation plain (locale = 'C');
create collation other (locale = 'POSIX');
create text search configuration simple_one (copy = simple);
create table note (id integer primary key, body text);
