create table note (id integer primary key, body text);
create publication changes for table note;
