create domain old as text not null;
create domain said as text constraint is_said not null;
create domain alike as text constraint is_there not null;
create table note (id integer, old old, said said);
insert into note values (1, 'a', 'b');
