create table note (id integer primary key);
create function same(integer, text) returns boolean language sql as 'select true';
create operator === (leftarg = integer, rightarg = text, function = same);
comment on operator === (integer, text) is 'alike';
comment on table note is 'still done';
