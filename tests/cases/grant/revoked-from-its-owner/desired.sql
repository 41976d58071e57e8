create table page (id integer primary key);
create table book (id integer primary key, amount integer);
revoke update, truncate on page, book from current_user;
