create table note (id integer primary key, body text);
create rule kept as on delete to note where old.id = 1 do instead nothing;
create rule logged as on insert to note do also notify note;
