create type mood as enum ('ok');
create function stamp() returns trigger language plpgsql as 'begin return new; end';
