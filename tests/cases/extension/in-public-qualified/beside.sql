create extension citext;
create extension pg_trgm;
