create table note (id integer primary key, a text, b text, tags text[], doc jsonb);
create unique index note_lower on note (lower(a), (b || 'x'));
create index note_some on note (b) include (a) where a is not null and b <> 'it''s';
create index note_prefix on note (a text_pattern_ops) with (fillfactor = 80);
create index note_tags on note using gin (tags);
create index note_doc on note using gin (doc jsonb_path_ops);
create index note_c on note (a collate "C");
