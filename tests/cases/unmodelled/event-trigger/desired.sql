create table note (id integer primary key, body text);
create function stop() returns event_trigger language plpgsql as 'begin end';
create event trigger no_ddl on ddl_command_start execute function stop();
