create table author (id integer constraint pk_author primary key);
create domain code as text constraint not_empty check (value <> '');
create sequence new_no;
create table note (
    id integer primary key, stars integer constraint ck_stars check (stars > 0),
    code text constraint uq_code unique, word code, no integer default nextval('new_no'),
    author integer constraint fk_author references author, constraint one_each exclude using btree (stars with =),
    constraint took_it unique (stars, code)
);
alter sequence new_no owned by note.no;
create index ix_author on note (author);
comment on constraint uq_code on note is 'once';
comment on constraint pk_author on author is 'key';
comment on constraint not_empty on domain code is 'some';
comment on index ix_author is 'fast';
comment on index one_each is 'one';
comment on sequence new_no is 'numbers';
