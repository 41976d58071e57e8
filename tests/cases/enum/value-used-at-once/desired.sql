create type status as enum ('draft', 'open', 'closed');
create table ticket (
    id integer primary key, status status default 'draft',
    before status not null default 'draft', check (status <> 'draft' or id > 0)
);
create index on ticket (id) where status = 'draft';
