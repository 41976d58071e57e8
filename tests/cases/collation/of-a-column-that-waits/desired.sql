create collation plain (locale = 'POSIX');
comment on collation plain is 'by bytes';
create table note (id integer primary key, body text, more text collate plain);
create table word (id integer primary key, word text collate plain);
create table other (id integer primary key);
