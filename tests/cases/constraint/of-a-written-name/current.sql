create table author (id integer primary key);
create domain code as text check (value <> '');
create sequence old_no;
create table note (
    id integer primary key, stars integer check (stars > 0), code text unique, word code, no integer default nextval('old_no'),
    author integer references author, exclude using btree (stars with =), unique (stars, code)
);
alter sequence old_no owned by note.no;
create index on note (author);
create index took_it on note (no);
comment on constraint note_code_key on note is 'old';
insert into author values (1);
insert into note values (1, 1, 'a', 'b', 1, 1);
