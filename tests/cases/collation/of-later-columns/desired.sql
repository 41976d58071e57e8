create table note (id integer primary key);
create table new (id integer primary key);
create collation "Plain" (provider = libc, lc_collate = 'C', lc_ctype = 'POSIX');
create domain word as text collate "Plain";
alter table new add body text collate "Plain";
alter table note add body text collate "Plain";
create index on note (body);
comment on collation "Plain" is 'bytewise';
