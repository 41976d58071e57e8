create domain old as text constraint is_old not null;
create domain said as text not null;
create domain alike as text constraint is_there not null;
create domain fresh as text constraint is_fresh not null;
create table note (id integer, old old, said said);
comment on constraint is_old on domain old is 'old';
comment on constraint said_not_null on domain said is 'said';
comment on constraint is_there on domain alike is 'alike';
comment on constraint is_fresh on domain fresh is 'fresh';
