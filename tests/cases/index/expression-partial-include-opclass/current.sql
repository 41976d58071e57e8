create table note (id integer primary key, a text, b text, tags text[], doc jsonb);
insert into note values (1, 'a', 'b', array['x'], '{}');
