create function stamp() returns trigger language plpgsql as 'begin return new; end';
create table note (id integer primary key, body text);
create constraint trigger stamp after insert or update on note for each row
    execute function stamp();
