-- A row is an index that no query uses and every write pays for: its concurrent build failed.

select
    idx.indrelid::regclass as table_name,
    idx.indexrelid::regclass as index_name
from pg_catalog.pg_index as idx
inner join pg_catalog.pg_class as rel on idx.indexrelid = rel.oid
where
    rel.relnamespace = 'public'::regnamespace
    and not idx.indisvalid
    -- Another session may be building it right now.
    and not exists (
        select from pg_catalog.pg_stat_progress_create_index as build
        where
            build.datname = current_database()
            and build.index_relid = idx.indexrelid
    );
