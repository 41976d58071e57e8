create table author (id integer primary key, name text unique);
create table note (
    id integer primary key,
    author integer references author on delete cascade on update set null,
    name text references author (name) deferrable initially deferred,
    checked_by integer
);
alter table note add constraint checked foreign key (checked_by) references author not valid;
