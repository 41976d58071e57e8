create table note (id integer primary key, body text);
create view notes as select n.id, m.body from note n join note m on m.id = n.id;
create function stamp() returns trigger language plpgsql as 'begin return new; end';
create trigger stamp before update of body on note for each row
    when (old.body is distinct from new.body) execute function stamp('a', 'it''s');
create trigger counted after insert on note referencing new table as added for each statement
    execute function stamp();
create constraint trigger late after insert on note deferrable initially deferred for each row
    execute function stamp();
create trigger instead instead of insert on notes for each row execute function stamp();
create trigger off after delete on note for each row execute function stamp();
alter table note disable trigger off;
