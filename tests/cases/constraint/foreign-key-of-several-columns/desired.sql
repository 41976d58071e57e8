create table author (country text, no integer, name text, primary key (country, no));
create table note (
    id integer primary key, author integer, country text,
    foreign key (country, author) references author (country, no) match simple on delete restrict
);
