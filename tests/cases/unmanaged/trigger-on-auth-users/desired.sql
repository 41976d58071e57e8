create table note (id integer primary key, body text);
create function joined() returns trigger language plpgsql as 'begin return new; end';
create trigger joined after insert on auth.users for each row execute function joined();
