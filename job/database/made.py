"""What runs have made on a database that held no row: whoever takes that away is not asked.

Each step of such a run notes in the ledger's `meta`, in its own transaction, which relations and
enums it has made, and which transaction ids are its own. A later run of the same ledger may go by
these notes as long as no run of it has ever exited 0, nothing was adopted, and each row that is
there was written by a step that is noted. A restored copy holds the notes under other transaction
ids than its rows have, so that none of them counts there.
"""

import json

from job.database import wire
from job.database.path import OURS
from job.database.wire import Connection, identifier, literal

_KEY = "made "  # before the id of the transaction of a step
NOTED = f"starts_with(m.key, {literal(_KEY)})"
OLDEST = f"age(substr(m.key, {len(_KEY) + 1})::xid8::xid)"
YOUNGEST = "age((m.value::jsonb ->> 'until')::xid)"
"""Of a row m of the ledger's `meta`: whether it is a note, and the ages of its step's first and
last transaction id. It counts where its own id is one of these."""
COUNTS = f"{NOTED} and age(m.xmin) between {YOUNGEST} and {OLDEST}"

# A relation that this transaction has made holds its lock, and its first column of the system's own
# is written once, by CREATE: by us, if that transaction is not over yet. A composite type has no
# such column. The transaction's last id is that of the block in which the note is inserted.
BODY = """
declare
    ours constant xid8 := pg_current_xact_id();
    signs constant jsonb := coalesce(nullif(current_setting('predeploy.signs', true), ''), '{}');
    newest constant bigint := coalesce((signs ->> 'newest')::bigint, 4294967295);
    enums constant text := coalesce(current_setting('predeploy.enums', true), '');
    relations oid[] := array(
        select c.oid
        from pg_catalog.pg_locks l join pg_catalog.pg_class c on c.oid = l.relation
        where l.pid = pg_backend_pid() and l.locktype = 'relation'
          and l.mode = 'AccessExclusiveLock'
          and c.oid >= 16384 and c.relkind in ('r', 'p', 'm', 'c') and c.relpersistence <> 't'
          and case when c.relkind = 'c' then c.oid::bigint > newest else exists (
              select from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and a.attnum = -6 and age(a.xmin) <= age(ours::xid)
                and pg_xact_status(
                    (ours::text::bigint + age(ours::xid) - age(a.xmin))::text::xid8
                ) = 'in progress')
          end);
    types oid[] := array(
        select distinct enumtypid from pg_catalog.pg_enum
        where enums like 'known%'
          and not enumtypid::text = any (string_to_array(enums, ' ')));
    newest_id text;
begin
    begin
        insert into LEDGER.meta values ('made ' || ours::text, '')
        returning xmin::text into newest_id;
    exception when unique_violation then return;
    end;
    update LEDGER.meta set value = jsonb_build_object(
            'until', newest_id, 'relations', to_jsonb(relations), 'types', to_jsonb(types))::text
    where key = 'made ' || ours::text;
end
"""


def create_sql(function: str, schema: str) -> str:
    """Return the statement that makes the function that `note_sql` calls."""
    return f"""create or replace function {function}() returns void
        language plpgsql volatile set search_path = {OURS}
        as {literal(BODY.replace("LEDGER", identifier(schema)))}"""


def begin_sql() -> str:
    """Return the SELECT with which a step remembers the enums that were there before it."""
    return """select pg_catalog.set_config('predeploy.enums', 'known ' || coalesce((
        select pg_catalog.string_agg(e.enumtypid::text, ' ')
        from (select distinct enumtypid from pg_catalog.pg_enum) e), ''), true)"""


def note_sql(function: str) -> str:
    """Return the SELECT with which a step notes what it has made. Before any RESET."""
    return f"select {function}()"


def forget_sql(schema: str) -> str:
    """Return the DELETE of all notes."""
    return f"delete from {identifier(schema)}.meta m where {NOTED}"


def read(conn: Connection, schema: str) -> tuple[frozenset[int], frozenset[int]]:
    """Return the OIDs of the noted relations and enums, in an open transaction of ours."""
    rows = wire.ask(
        conn,
        f"select m.value from {identifier(schema)}.meta m where {COUNTS}",
    )
    notes = [json.loads(value or "{}") for (value,) in rows]
    relations, types = (
        frozenset(int(oid) for note in notes for oid in note.get(kind, ()))
        for kind in ("relations", "types")
    )
    return relations, types
