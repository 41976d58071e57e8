create function same(integer, text) returns boolean language sql as 'select true';
create operator === (leftarg = integer, rightarg = text, function = same);
comment on operator === (integer, text) is 'alike';
create operator family plain using btree;
comment on operator family plain using btree is 'a family';
create operator class bits for type bit using btree family plain as function 1 bitcmp(bit, bit);
comment on operator class bits using btree is 'a class';
