"""What runs have made on a database without rows: removing it needs no declaration.

Each step of such a run notes its transaction ids in the ledger's `meta`, in its own transaction. A
relation or enum that one of these transactions created counts as made by predeploy. A later run
with the same ledger may rely on the notes as long as no run has ever exited 0, nothing was adopted,
and every existing row was written by a noted step. In a restored copy, the ids in the notes differ
from those of the rows, so none of the notes counts there.
"""

from collections.abc import Iterable

from predeploy.contract.quoting import identifier, literal
from predeploy.database.server.path import OURS
from predeploy.database.server.rows import Row

_KEY = "wrote "  # before the id of the transaction of a step
NOTED = f"starts_with(m.key, {literal(_KEY)})"
_FIRST = f"age(substr(m.key, {len(_KEY) + 1})::xid8::xid)"
_TRANSACTION_AGES = f"""
    select coalesce(range_agg(int4range(n.first - upper(i.ids) + 1, n.first - lower(i.ids) + 1)),
                    '{{}}') as ages
    from (select case when {NOTED} then {_FIRST} end as first, age(m.xmin) as own,
                 case when {NOTED} then m.value::int4multirange end as ids
          from LEDGER.meta m) n,
         unnest(n.ids) i(ids)
    where n.ids @> n.first - n.own"""

# Stores the step's ids as distances from its first one. The last id is that of the inner block,
# usually the next one. The ids in between belong to other sessions or to the step's
# subtransactions. The latter are in progress, as the step is; so may be those of other sessions,
# which hold a lock on their id. If too many ids have passed to examine them, only the first counts.
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
# Looks at catalog rows that are written only once, by the transaction that creates the object: for
# a relation, the row of a system column; for a composite type, which has no system columns, its
# dependency on its row type; for an enum, the dependency of its array type on it.
_MADE_SQL = f"""
    with ours as materialized ({_TRANSACTION_AGES})
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
    """Return the statement that creates the function that `note_sql` calls."""
    return f"""create or replace function {function}() returns void
        language plpgsql volatile set search_path = {OURS}
        as {literal(BODY.replace("LEDGER", identifier(schema)))}"""


def note_sql(function: str) -> str:
    """Return the SELECT with which a step notes its transaction ids; it must precede any RESET."""
    return f"select {function}()"


def forget_sql(schema: str) -> str:
    """Return the DELETE of all notes."""
    return f"delete from {identifier(schema)}.meta m where {NOTED}"


def transaction_ages_sql(schema: str) -> str:
    """Return the SELECT of `ages`: the ages of the transaction ids of all steps whose notes count.

    It returns one row with one column, an int4multirange.
    """
    return _TRANSACTION_AGES.replace("LEDGER", identifier(schema))


def made_sql(schema: str) -> str:
    """Return the query of the relations and enums that noted steps created, for `parse_made`.

    Must be run in the step's open transaction.
    """
    return _MADE_SQL.replace("LEDGER", identifier(schema))


def parse_made(rows: Iterable[Row]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the OIDs of the relations and of the enums in the rows of `made_sql`."""
    found = [(kind, int(oid or 0)) for kind, oid in rows]
    relations, enums = (frozenset(oid for kind, oid in found if kind == which) for which in "rt")
    return relations, enums
