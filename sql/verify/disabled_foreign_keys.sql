-- A row is a foreign key that nothing enforces: a data-only restore left its triggers off.

select distinct
    con.conrelid::regclass as table_name,
    con.conname as constraint_name
from pg_catalog.pg_constraint as con
inner join pg_catalog.pg_trigger as trg on con.oid = trg.tgconstraint
where
    con.connamespace = 'public'::regnamespace
    and con.contype = 'f'
    and trg.tgenabled in ('D', 'R');
