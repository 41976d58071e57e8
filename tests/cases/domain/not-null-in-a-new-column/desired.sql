create domain amount as integer not null;
create domain price as amount;
create domain stock as integer not null default 0;
create table item (id integer primary key, asked price, paid price default 1, stock stock);
