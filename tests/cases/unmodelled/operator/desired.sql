create table note (id integer primary key, body text);
create function same(integer, text) returns boolean language sql as 'select $1::text = $2';
create operator === (leftarg = integer, rightarg = text, function = same);
