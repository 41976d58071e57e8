create function same(integer, text) returns boolean language sql as 'select true';
create operator === (leftarg = integer, rightarg = text, function = same);
create operator family plain using btree;
create operator class bits for type bit using btree family plain as function 1 bitcmp(bit, bit);
