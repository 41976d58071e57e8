create function name_it() returns trigger language plpgsql as $$ begin new.name := 'nobody'; return new; end $$;
create table member (id integer generated always as identity primary key, name text not null) ;
create table silent (id integer, name text not null);
create table late (id integer, name text not null);
create trigger name_it before insert on member for each row execute function name_it();
create trigger name_it before insert or update on silent for each row execute function name_it();
create trigger name_it after insert on late for each row execute function name_it();
alter table silent disable trigger name_it;
insert into member default values;
