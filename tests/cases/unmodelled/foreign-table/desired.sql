create table note (id integer primary key, body text);
create foreign table log (line text) server files options (filename '/dev/null');
