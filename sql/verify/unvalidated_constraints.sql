-- A row is a constraint that was added NOT VALID and never validated: rows may break it.

select
    conrelid::regclass as table_name,
    conname as constraint_name
from pg_catalog.pg_constraint
where
    connamespace = 'public'::regnamespace
    and not convalidated;
