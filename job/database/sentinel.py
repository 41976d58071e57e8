"""Notices when a step takes something away, before it commits.

Two functions of ours in the ledger's schema look at the transaction's own counters, at its start
and at its end: rows deleted from users' tables, rows gone from the catalogs, tables in new files.
What they cost depends on what the step has touched, not on how many tables there are. A sign is
only a suspicion. It raises (SQLSTATE PD001), the step is rolled back, and run once more with a full
look before and after. The functions carry the hash of their bodies in their names and are never
replaced, since old and new images share them.
"""

import hashlib
import re
from collections.abc import Iterable

import psycopg

from job.database import fingerprint, wire
from job.database.wire import Connection, identifier, literal
from job.loss import Holdings, Table
from job.meddling import Marks

SUSPICION = "PD001"
_SAVEPOINT = "predeploy_count"
_NOT_OURS = "42501"
_FLUSHES = 150000

# What goes from the catalogs, or is changed there when it goes (a column, a label) or is renamed: a
# table's name is that of its row type, too, and pg_class changes with all that is added to it.
_CATALOGS = """
        select c.oid, pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
             + case c.relname when 'pg_class' then 0
               else pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) end
        from pg_catalog.pg_class c
        where c.oid in ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_attribute'::regclass,
                        'pg_catalog.pg_enum'::regclass, 'pg_catalog.pg_type'::regclass)"""
# The tables that extensions have brought. Their C code may let go of a table's lock at once.
_BROUGHT = """
        select d.objid from pg_catalog.pg_extension e
        join pg_catalog.pg_depend d
          on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid
        where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e'"""
# What counters hold is sent on now and then, and only between transactions: a session's earlier
# ones may still be in them. Of all tables that cannot be asked for without a scan, so a step may be
# suspected of rows that the same session has deleted just before, from a table that it writes.
_SIGNS_BODY = """
begin
    return coalesce((
        select jsonb_object_agg(signs.oid, signs.gone) from (
            select c.oid, pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
            from (BROUGHT) c(oid)
            union all CATALOGS
        ) signs(oid, gone)
        where signs.gone > 0
    ), '{}') || jsonb_build_object(
        'newest', (select max(oid)::bigint from pg_catalog.pg_class),
        'columns', case when altered <> '{}' then (
            with recursive heirs(oid) as (
                select oid from pg_catalog.pg_class where relname = any (altered)
                union
                select i.inhrelid
                from pg_catalog.pg_inherits i join heirs on i.inhparent = heirs.oid
            )
            select jsonb_object_agg(c.oid, c.relnatts)
            from pg_catalog.pg_class c where c.oid in (select oid from heirs)
        ) end);
end
"""
# Who deletes from a table, empties, rewrites or alters it holds a lock on it to the end of the
# transaction, so our own locks name the tables to look at, however many there are. A subtransaction
# that is rolled back lets go of its locks, and of what it has deleted. All tables are looked at
# where counting may have been off for a while, or where the catalogs were written by hand: DDL
# holds no lock on these two, and needs one on the table that it changes.
# The columns of a new table are updated, too, when they get a default. New are those with an OID
# beyond the largest at the step's start, or, after a wraparound, with a row type that is as new;
# an old one's is only updated, which the counter of pg_type tells. So are new columns of an old
# table, whose numbers are beyond those that it had. Where nobody has asked for these (the text
# names no such table in ALTER TABLE), all that have changed are suspect.
# A table whose catalog row this transaction has written and whose file is not its first may have
# been emptied or rewritten in it. Subtransactions have later ids than ours, hence age().
_GUARD_BODY = """
declare
    ours constant int := age(pg_current_xact_id()::xid);
    newest constant bigint := coalesce((before ->> 'newest')::bigint, 4294967295);
    is_blind constant boolean := current_setting('track_counts') = 'off'
        or coalesce((before ->> 'is_blind')::boolean, false)
        or exists (select from pg_catalog.pg_proc
                   where oid >= 16384 and proconfig::text like '%track_counts%');
    watched oid[] := array(
        select relation from pg_catalog.pg_locks
        where pid = pg_backend_pid() and locktype = 'relation'
          and mode not in ('AccessShareLock', 'RowShareLock'));
    suspects jsonb;
begin
    if is_blind or 'pg_catalog.pg_class'::regclass = any (watched)
       or 'pg_catalog.pg_attribute'::regclass = any (watched) then
        watched := array(select oid from pg_catalog.pg_class where oid >= 16384);
    else
        watched := watched || array(BROUGHT);
    end if;
    select jsonb_agg(s.oid::text) into suspects from (
        select c.oid
        from (
            select oid, xmin, relfilenode, relpersistence,
                   pg_catalog.pg_stat_get_xact_tuples_deleted(oid) as gone
            from pg_catalog.pg_class
            where oid = any (watched) and oid >= 16384 and relkind = 'r'
              and relnamespace <> LEDGER::regnamespace
        ) c
        where (gone > 0 and gone > coalesce((before ->> c.oid::text)::bigint, 0))
           or (c.relpersistence <> 't'
               and (is_blind or (c.relfilenode <> c.oid and age(c.xmin) <= ours)))
        union all
        select c.oid
        from (CATALOGS) c(oid, gone)
        where case when gone > 0 and gone > coalesce((before ->> c.oid::text)::bigint, 0) then
            c.oid <> 'pg_catalog.pg_attribute'::regclass or exists (
                select from pg_catalog.pg_attribute a
                join pg_catalog.pg_class t on t.oid = a.attrelid
                where a.attrelid = any (watched) and t.relkind in ('r', 'p', 'c')
                  and t.oid >= 16384 and t.oid::bigint <= newest
                  and age(a.xmin) <= ours and a.attnum between 1
                      and coalesce((before #>> array['columns', t.oid::text])::int, a.attnum)
                  and not exists (
                    select from pg_catalog.pg_type y
                    where y.oid = t.reltype and y.xmin = pg_current_xact_id()::xid))
            end
    ) s;
    if is_forced or suspects is not null then
        raise exception using errcode = 'PD001', message = 'something may have been lost',
            detail = coalesce(suspects, '[]')::text;
    end if;
end
"""
# The relations of the composite types that a table has values of: in a column, or somewhere inside
# its type, which may be an array, a domain, a range or another composite type.
_COMPOSITES = """
    with recursive held(type) as (
        select a.atttypid
        from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
        where c.relkind in ('r', 'p') and c.oid >= 16384 and a.attnum > 0 and not a.attisdropped
        union
        select part.type
        from held join pg_catalog.pg_type t on t.oid = held.type
        left join pg_catalog.pg_range r on t.oid in (r.rngtypid, r.rngmultitypid)
        cross join lateral (
            values (t.typelem), (t.typbasetype), (r.rngsubtype)
            union all
            select a.atttypid from pg_catalog.pg_attribute a
            where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        ) part(type)
        where part.type >= 16384
    )
    select t.typrelid from held join pg_catalog.pg_type t on t.oid = held.type"""
# The tables that a text alters, in whatever function or block of it; one too many does no harm.
_PART_OF_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_ALTERED = re.compile(
    r"\balter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?"
    rf"(?:{_PART_OF_NAME}\s*\.\s*)*({_PART_OF_NAME})",
    re.IGNORECASE,
)


def functions(schema: str) -> tuple[str, str]:
    """Return the qualified names of the two functions: the signs and the guard."""
    digest = _digest(schema)
    return f"{identifier(schema)}.signs_{digest}", f"{identifier(schema)}.guard_{digest}"


def create_sql(schema: str) -> str:
    """Return the statements that make the functions; once a ledger and version."""
    signs, guard = functions(schema)
    return f"""
        create function {signs}(altered name[]) returns jsonb
            language plpgsql volatile set search_path = pg_catalog
            as {literal(_filled(_SIGNS_BODY, schema))};
        create function {guard}(before jsonb, is_forced boolean) returns void
            language plpgsql volatile set search_path = pg_catalog
            as {literal(_filled(_GUARD_BODY, schema))}"""


def exists_sql(schema: str) -> str:
    """Return an expression: whether this version's functions are there."""
    _, guard = functions(schema)
    return f"pg_catalog.to_regprocedure({literal(guard + '(jsonb, boolean)')}) is not null"


def begin_sql(schema: str, text: str) -> str:
    """Return the SELECT with which a step of this text remembers the counters it starts from."""
    signs, _ = functions(schema)
    altered = ", ".join(literal(name) for name in _altered(text))
    found = f"{signs}(array[{altered}]::pg_catalog.name[])"
    if is_blinding(text):
        found += """ || '{"is_blind": true}'"""
    return f"select pg_catalog.set_config('predeploy.signs', ({found})::text, true)"


def _altered(text: str) -> tuple[str, ...]:
    """Return the names, without schemas, of the tables that a text alters; each once."""
    if "alter" not in text.lower():
        return ()
    names = (match[1] for match in _ALTERED.finditer(text))
    return tuple(
        dict.fromkeys(
            name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
            for name in names
        )
    )


def is_blinding(text: str) -> bool:
    """Whether a step may turn off the counters that the sentinel goes by, and on again."""
    return "track_counts" in text.lower()


def has_spoken(schema: str, error: psycopg.Error) -> bool:
    """Whether it is the guard that has raised: others may raise the same SQLSTATE."""
    _, guard = functions(schema)
    first, _, _ = (error.diag.context or "").partition("\n")
    return error.sqlstate == SUSPICION and guard.rpartition(".")[2] in first


def forget_sql(conn: Connection) -> tuple[str, ...]:
    """Return what sends on, at the end of a transaction, what the session's counters hold.

    So the rows that one step has rightly deleted make no suspect of the next. Before PostgreSQL 15
    they are sent on half a second later.
    """
    if conn.info.server_version < _FLUSHES:
        return ()
    return ("select pg_catalog.pg_stat_force_next_flush()",)


def guard_sql(schema: str, *, is_forced: bool) -> str:
    """Return the SELECT that raises PD001 with the suspects' OIDs as detail, or does nothing.

    Forced, it always raises: a step that declares losses gets the full look in any case.
    """
    _, guard = functions(schema)
    start = "coalesce(nullif(pg_catalog.current_setting('predeploy.signs', true), ''), '{}')"
    return f"select {guard}({start}::jsonb, {is_forced})"


def read_holdings(conn: Connection, schema: str, suspects: Iterable[int]) -> Holdings:
    """Look at what there is to lose, in the open transaction; count the suspects' rows.

    A partition is counted with all others of its root, so that a row that moves is not lost. What
    a materialized view holds is counted nowhere: it can be had again.
    """
    theirs = f"""n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}"""
    tables = wire.ask(
        conn,
        f"""select c.oid, concat_ws('.', n.nspname, c.relname), c.relfilenode,
                   case when c.relispartition then pg_catalog.pg_partition_root(c.oid)::oid
                   else 0 end,
                   pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid),
                   pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), c.relkind
            from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p', 'm') and {theirs}""",
    )
    columns = wire.ask(
        conn,
        f"""select c.oid, a.attnum, concat_ws('.', n.nspname, c.relname, a.attname), c.relkind
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            left join pg_catalog.pg_attribute a
              on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where (c.relkind in ('r', 'p') or c.relkind = 'c' and c.oid in ({_COMPOSITES}))
              and {theirs}""",
    )
    labels = wire.ask(
        conn,
        f"""select e.oid, concat_ws('.', n.nspname, t.typname, e.enumlabel)
            from pg_catalog.pg_enum e
            join pg_catalog.pg_type t on t.oid = e.enumtypid
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace where {theirs}""",
    )
    found = {int(oid or 0): int(root or 0) for oid, _, _, root, *_, kind in tables if kind != "m"}
    wanted = {found[oid] or oid for oid in suspects if oid in found}
    leaves = [int(oid or 0) for oid, *_, kind in tables if kind == "r"]
    rows = {oid: 0 for oid in leaves if (found[oid] or oid) in wanted}
    for oid in wanted:
        rows |= _count(conn, oid)
    return Holdings(
        {
            int(oid or 0): Table(
                name or "",
                int(node or 0),
                rows.get(int(oid or 0)),
                inserted=int(inserted or 0),
                deleted=int(deleted or 0),
                root=int(root or 0),
            )
            for oid, name, node, root, inserted, deleted, _ in tables
        },
        {(int(oid or 0), int(number)): name or "" for oid, number, name, _ in columns if number},
        {int(oid or 0): name or "" for oid, name in labels},
        frozenset(int(oid or 0) for oid, *_, kind in columns if kind == "c"),
    )


def read_marks(conn: Connection, schema: str) -> Marks:
    """Look at what a replayed step must leave as it is: all that is older than the ledger.

    A table's own row in pg_class changes with every column and index that it gains. So of that only
    count what they leave alone, and the triggers, rules and policies that the table has.
    """
    born = f"(select value::xid from {identifier(schema)}.meta where key = 'born')"
    described = fingerprint.rows_sql(schema, conn.info.server_version)
    rows = wire.ask(
        conn,
        f"""select f.kind, f.id, f.xmin::text from ({described}) f(kind, id, xmin)
            where f.kind <> 'pg_class' and age(f.xmin) > age({born})
        union all
        select 'pg_class', c.oid::text, concat_ws(' ', c.relkind, c.relpersistence, c.relowner,
               c.relacl, c.reloptions, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
               c.relam, c.reltablespace, c.relispartition,
               (select count(*) from pg_catalog.pg_trigger g
                where g.tgrelid = c.oid and not g.tgisinternal),
               (select count(*) from pg_catalog.pg_rewrite r where r.ev_class = c.oid),
               (select count(*) from pg_catalog.pg_policy p where p.polrelid = c.oid))
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            join pg_catalog.pg_type t on t.oid = c.reltype
            where n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}
              and age(t.xmin) > age({born})""",
    )
    touched = wire.ask(
        conn,
        f"""select concat_ws('.', n.nspname, c.relname),
                   pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)
                   + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
                   + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            join pg_catalog.pg_type t on t.oid = c.reltype
            where c.relkind in ('r', 'm') and n.nspname !~ '^(pg_|information_schema$)'
              and n.nspname <> {literal(schema)} and age(t.xmin) > age({born})""",
    )
    return Marks(
        {(kind or "", identity or ""): mark or "" for kind, identity, mark in rows},
        {name or "": int(amount or 0) for name, amount in touched},
    )


def _count(conn: Connection, oid: int) -> dict[int, int]:
    """Count the rows of a table, or of all its partitions; what inherits has rows of its own."""
    ((name, only, is_veiled, left),) = wire.ask(
        conn,
        f"""select oid::pg_catalog.regclass::text, case relkind when 'p' then '' else 'only ' end,
               pg_catalog.row_security_active(oid),
               pg_catalog.pg_stat_get_xact_tuples_inserted(oid)
               - pg_catalog.pg_stat_get_xact_tuples_deleted(oid)
        from pg_catalog.pg_class where oid = {oid}""",
    )
    sql = f"select tableoid, count(*) from {only}{name} group by tableoid"
    if is_veiled == "t":
        return _unveiled(conn, name or "", sql) or {oid: int(left or 0)}
    return _numbers(wire.ask(conn, sql))


def _unveiled(conn: Connection, name: str, sql: str) -> dict[int, int] | None:
    """Count behind row-level security, which hides rows from a table's owner where it is forced.

    In a savepoint that is rolled back, lock and all. None where we don't own the table: then only
    what the transaction itself has put in and taken out is known.
    """
    answer = wire.send(
        conn,
        f"savepoint {_SAVEPOINT}; alter table {name} no force row level security; {sql}",
    )
    rows = answer.rows(-1) if answer.error is None else []
    wire.ask(conn, f"rollback to savepoint {_SAVEPOINT}; release savepoint {_SAVEPOINT}")
    if answer.error is None:
        return _numbers(rows) or {0: 0}
    if answer.error.sqlstate == _NOT_OURS:
        return None
    with wire.translated(conn):
        raise answer.error


def _numbers(rows: list[wire.Row]) -> dict[int, int]:
    return {int(table or 0): int(amount or 0) for table, amount in rows}


def _filled(body: str, schema: str) -> str:
    for word, text in (
        ("CATALOGS", _CATALOGS), ("BROUGHT", _BROUGHT), ("LEDGER", literal(identifier(schema))),
    ):  # fmt: skip
        body = body.replace(word, text)
    return body


def _digest(schema: str) -> str:
    """Return one hash for both, so that neither is there without the other."""
    bodies = _filled(_SIGNS_BODY + _GUARD_BODY, schema)
    return hashlib.sha256(bodies.encode()).hexdigest()[:12]
