"""What runs have made on a database that held no row: a run that takes it away is not asked.

Each step of such a run notes in the ledger's `meta`, in its own transaction, which transaction ids
are its own. A relation or an enum that one of these has made is one of ours. A later run of the
same ledger may go by these notes as long as no run of it has ever exited 0, nothing was adopted,
and each row that is there was written by a step that is noted. A restored copy holds the notes
under other transaction ids than its rows have, so that none of them counts there.
"""

from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.path import OURS
from predeploy.database.server.wire import Connection

_KEY = "wrote "  # before the id of the transaction of a step
NOTED = f"starts_with(m.key, {literal(_KEY)})"
_FIRST = f"age(substr(m.key, {len(_KEY) + 1})::xid8::xid)"
_OUR_AGES = f"""
    select coalesce(range_agg(int4range(n.first - upper(i.ids) + 1, n.first - lower(i.ids) + 1)),
                    '{{}}') as ages
    from (select case when {NOTED} then {_FIRST} end as first, age(m.xmin) as own,
                 case when {NOTED} then m.value::int4multirange end as ids
          from LEDGER.meta m) n,
         unnest(n.ids) i(ids)
    where n.ids @> n.first - n.own"""

# How far a step's ids are from its first. The last is that of the block, mostly the next one. Those
# between are of other sessions, or of the step's subtransactions. The latter are in progress, as
# the step is; so are those of others that have a lock on their id. What passed more ids than can be
# gone through counts with its first only.
BODY = """
declare
    ours constant xid8 := pg_current_xact_id();
    noted constant text := 'wrote ' || ours::text;
    last int;
begin
    begin
        insert into LEDGER.meta values (noted, '{[0,2)}')
        returning age(ours::xid) - age(xmin) into last;
    exception when unique_violation then return;
    end;
    if last > 1 then
        update LEDGER.meta set value = (
            select range_agg(int4range(n, n, '[]'))::text
            from generate_series(0, case when last > 1000000 then 0 else last end) n
            where pg_xact_status((ours::text::bigint + n)::text::xid8) = 'in progress'
              and not exists (
                select from pg_catalog.pg_locks l
                where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock'
                  and l.pid is distinct from pg_backend_pid()
                  and age(l.transactionid) = age(ours::xid) - n))
        where key = noted;
    end if;
end
"""
# What is written once for each relation, by the transaction that makes it: the first column of the
# system's own, and for a composite type, which has none, what ties it to its row type. For an enum,
# what ties its array type to it.
_MADE_SQL = f"""
    with ours as materialized ({_OUR_AGES})
    select 'r', a.attrelid::text
    from pg_catalog.pg_class c join pg_catalog.pg_attribute a
      on a.attrelid = c.oid and a.attnum = -6, ours
    where c.oid >= 16384 and c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't'
      and ours.ages @> age(a.xmin)
    union all
    select 'r', c.oid::text
    from pg_catalog.pg_class c join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
      and d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid = c.reltype, ours
    where c.oid >= 16384 and c.relkind = 'c' and ours.ages @> age(d.xmin)
    union all
    select 't', e.oid::text
    from pg_catalog.pg_type e join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_type'::regclass and d.objid = e.typarray
      and d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid = e.oid, ours
    where e.oid >= 16384 and e.typtype = 'e' and ours.ages @> age(d.xmin)"""


def create_sql(function: str, schema: str) -> str:
    """Return the statement that makes the function that `note_sql` calls."""
    return f"""create or replace function {function}() returns void
        language plpgsql volatile set search_path = {OURS}
        as {literal(BODY.replace("LEDGER", identifier(schema)))}"""


def note_sql(function: str) -> str:
    """Return the SELECT with which a step notes its transaction ids. Before any RESET."""
    return f"select {function}()"


def forget_sql(schema: str) -> str:
    """Return the DELETE of all notes."""
    return f"delete from {identifier(schema)}.meta m where {NOTED}"


def our_ages_sql(schema: str) -> str:
    """Return the SELECT of the ages of the ids of all steps whose notes count: `ages`."""
    return _OUR_AGES.replace("LEDGER", identifier(schema))


def read(conn: Connection, schema: str) -> tuple[frozenset[int], frozenset[int]]:
    """Return the OIDs of the relations and enums of noted steps, in an open transaction of ours."""
    rows = wire.ask(conn, _MADE_SQL.replace("LEDGER", identifier(schema)))
    relations, types = (
        frozenset(int(oid or 0) for kind, oid in rows if kind == which) for which in "rt"
    )
    return relations, types
