"""Notices when a step removes something, before it commits.

predeploy's functions in the ledger's schema read the transaction's own counters at its start and at
its end: rows deleted from users' tables, rows gone from the catalogs, tables in new files. Their
cost depends on what the step has touched, not on the number of tables. A sign is only a suspicion.
If the step's text does not show that it removes something, the guard raises (SQLSTATE PD001), the
step is rolled back, and it is run once more with a full look before and after. The names of the
functions contain a hash of their bodies, and no function is ever replaced, because old and new
images use the same ledger. `sequences` and `made` each define one more such function.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from functools import cache

import psycopg

from predeploy.contract.quoting import identifier, literal
from predeploy.contract.words import mentions
from predeploy.database.sentinel import made, sequences
from predeploy.database.server.allowed import where_allowed
from predeploy.database.server.path import OURS

SUSPICION = "PD001"

# Rows deleted from the catalogs, or updated there because a column or label was removed or an
# object renamed. Updates of pg_class do not count, because adding anything to a table updates its
# row; a renamed table shows in pg_type, because its row type has the same name. A large object is
# a row of a catalog, too: its users hold nothing but its OID.
_CATALOGS = """
        select c.oid, pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
             + case c.oid when 'pg_catalog.pg_class'::regclass then 0
               else pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) end
        from unnest(array['pg_catalog.pg_class'::regclass, 'pg_catalog.pg_attribute'::regclass,
                          'pg_catalog.pg_enum'::regclass, 'pg_catalog.pg_type'::regclass,
                          'pg_catalog.pg_largeobject_metadata'::regclass]::oid[]) c(oid)"""
# The tables of extensions. An extension's C code may release a table's lock at once, so the locks
# do not show which of these tables the step has touched.
_BROUGHT = """
        select d.objid from pg_catalog.pg_extension e
        join pg_catalog.pg_depend d
          on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid
        where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e'"""
# A session's counters are flushed only now and then, between transactions, so they may still
# include its earlier transactions. Reading them for all tables would take a scan of pg_class, so a
# step may be suspected because of rows that the same session deleted just before, from a table that
# the step writes to. If track_counts is off, it is turned on for the transaction, if allowed.
_SIGNS_BODY = """
declare
    columns jsonb;
begin
    if current_setting('track_counts') = 'off' then
        begin
            perform set_config('track_counts', 'on', true);
        exception when insufficient_privilege then null;
        end;
    end if;
    if altered <> '{}' then
        columns := (
            with recursive heirs(oid) as (
                select oid from pg_catalog.pg_class where relname = any (altered)
                union
                select i.inhrelid
                from pg_catalog.pg_inherits i join heirs on i.inhparent = heirs.oid
            )
            select jsonb_object_agg(c.oid, c.relnatts)
            from pg_catalog.pg_class c where c.oid in (select oid from heirs));
    end if;
    return coalesce((
        select jsonb_object_agg(signs.oid, signs.gone) from (
            select c.oid, pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
            from (BROUGHT) c(oid)
            union all CATALOGS
        ) signs(oid, gone)
        where signs.gone > 0
    ), '{}') || jsonb_build_object(
        'since', pg_snapshot_xmax(pg_current_snapshot())::text,
        'newest', (select max(oid)::bigint from pg_catalog.pg_class),
        'columns', columns);
end
"""
# Deleting from a table, or emptying, rewriting or altering it, takes a lock that is held until the
# end of the transaction. So the session's own locks name the tables to examine, however many tables
# there are. A subtransaction that is rolled back releases its locks, but then its deletions are
# undone, too. If pg_class or pg_attribute is locked, all tables are examined, because the catalogs
# were written by hand: DDL holds no lock on these two, only on the table that it changes. If
# track_counts may have been off for a while, everything that is locked is suspected, and so are
# the catalogs.
# Updated rows of pg_attribute are no sign for a new table, whose columns are updated when they get
# a default. A table is new if its OID is larger than the largest at the step's start or, after an
# OID wraparound, if this transaction wrote the row of its row type: that of an old table can only
# have been updated, which the counter of pg_type shows. Nor are they a sign for new columns of an
# old table, whose numbers are larger than those that it had. If these were not recorded, because
# the text names no such table in ALTER TABLE, every changed column is suspected.
# A table may have been emptied or rewritten if this transaction wrote its row in pg_class and its
# file is not its first one. Subtransactions have later ids than the transaction, hence age().
# The counters cannot be trusted if a subtransaction was rolled back, because they still include
# what it wrote. Its id is then an aborted one from after the step's start, although other sessions
# may have such ids, too. And the subtransaction must have been written somewhere: in the step's
# text, in a function, or in a language that predeploy cannot read.
_SUSPECTS_BODY = """
declare
    before constant jsonb := coalesce(nullif(current_setting('predeploy.signs', true), ''), '{}');
    ours constant int := age(pg_current_xact_id()::xid);
    newest constant bigint := coalesce((before ->> 'newest')::bigint, 4294967295);
    is_blind constant boolean := current_setting('track_counts') = 'off'
        or coalesce((before ->> 'is_blind')::boolean, false)
        or exists (select from pg_catalog.pg_proc
                   where oid >= 16384 and pronamespace <> LEDGER::regnamespace
                     and (proconfig::text like '%track_counts%'
                          or current_setting('is_superuser') = 'on'
                             and prosrc like '%track_counts%'));
    since constant bigint := coalesce(before ->> 'since', pg_current_xact_id()::text)::bigint;
    until constant bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    is_doubtful boolean := is_blind;
    watched oid[] := array(
        select relation from pg_catalog.pg_locks
        where pid = pg_backend_pid() and locktype = 'relation'
          and mode not in ('AccessShareLock', 'RowShareLock'));
    suspects jsonb;
begin
    if 'pg_catalog.pg_class'::regclass = any (watched)
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
        union all
        select 'pg_catalog.pg_class'::regclass where is_blind
    ) s;
    if suspects is null then
        return null;
    end if;
    if not is_doubtful and (
        coalesce((before ->> 'is_nested')::boolean, true) or exists (
            select from pg_catalog.pg_proc f join pg_catalog.pg_language l on l.oid = f.prolang
            where f.oid >= 16384 and f.pronamespace <> LEDGER::regnamespace
              and case l.lanname when 'plpgsql' then
                      f.prosrc ~* '(?<!raise)[[:space:]]exception[[:space:]]'
                  else l.lanname not in ('internal', 'c', 'sql') end)
    ) then
        is_doubtful := until - since > 1000000 or exists (
            select from generate_series(since, until - 1) x(id)
            where pg_xact_status(x.id::text::xid8) = 'aborted');
    end if;
    return jsonb_build_object('tables', suspects, 'is_doubtful', is_doubtful);
end
"""
_GUARD_BODY = """
declare
    suspected constant jsonb := SUSPECTS();
begin
    if suspected is not null then
        raise exception using errcode = 'PD001', message = 'something may have been lost',
            detail = suspected::text;
    end if;
end
"""
# The tables that a text alters, also inside functions and blocks; one too many does no harm.
_PART_OF_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_ALTERED = re.compile(
    r"\balter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?"
    rf"(?:{_PART_OF_NAME}\s*\.\s*)*({_PART_OF_NAME})",
    re.IGNORECASE,
)
# The words that start a subtransaction, in PL/pgSQL or in SQL.
_NESTED = re.compile(r"(?<!raise\s)\b(?:exception|savepoint)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What may have lost something: the OIDs of tables and catalogs.

    `is_doubtful` says that the counters may be wrong, so that only counting rows can tell.
    """

    oids: frozenset[int] = frozenset()
    is_doubtful: bool = False

    def __or__(self, other: "Suspicion") -> "Suspicion":
        """Return the union of two suspicions."""
        return Suspicion(self.oids | other.oids, self.is_doubtful or other.is_doubtful)


UNSUSPECTED = Suspicion()


@dataclass(frozen=True, slots=True)
class Functions:
    """The qualified names of the functions of this version."""

    signs: str
    suspects: str
    guard: str
    sequences: str
    made: str


@cache
def functions(schema: str) -> Functions:
    """Return the names of the functions in a ledger's schema.

    All names contain the same hash, so that no function exists without the others.
    """
    bodies = _filled(OURS + _SIGNS_BODY + _SUSPECTS_BODY, schema) + _GUARD_BODY
    bodies += sequences.BODY + made.BODY
    digest = hashlib.sha256(bodies.encode()).hexdigest()[:12]
    names = (field.name for field in fields(Functions))
    return Functions(*(f"{identifier(schema)}.{name}_{digest}" for name in names))


def create_sql(schema: str) -> str:
    """Return the statements that create the functions, needed once per ledger and version."""
    ours = functions(schema)
    guard = _GUARD_BODY.replace("SUSPECTS", ours.suspects)
    return f"""
        create or replace function {ours.signs}(altered name[]) returns jsonb
            language plpgsql volatile set search_path = {OURS}
            as {literal(_filled(_SIGNS_BODY, schema))};
        create or replace function {ours.suspects}() returns jsonb
            language plpgsql volatile set search_path = {OURS}
            as {literal(_filled(_SUSPECTS_BODY, schema))};
        create or replace function {ours.guard}() returns void
            language plpgsql volatile set search_path = {OURS}
            as {literal(guard)};
        {sequences.create_sql(ours.sequences)};
        {made.create_sql(ours.made, schema)}"""


def exists_sql(schema: str) -> str:
    """Return an SQL expression: whether all functions of this version exist."""
    names = [name.rpartition(".")[2] for name in astuple(functions(schema))]
    return f"""(select pg_catalog.count(distinct p.proname) from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where n.nspname = {literal(schema)}
          and p.proname in ({", ".join(map(literal, names))})) = {len(names)}"""


def begin_sql(schema: str, texts: Iterable[str]) -> str:
    """Return the SELECT with which a step of these texts stores the counters at its start."""
    signs = functions(schema).signs
    tables: dict[str, None] = {}
    known = {"is_nested": False, "is_blind": False}
    for text in texts:
        tables.update(dict.fromkeys(_altered(text)))
        # A pattern that ignores case takes ten times as long over a large text.
        may_nest = mentions(text, "exception") or mentions(text, "savepoint")
        known["is_nested"] |= may_nest and _NESTED.search(text) is not None
        # The text may turn off the counters that the sentinel relies on, and on again.
        known["is_blind"] |= mentions(text, "track_counts")
    altered = ", ".join(map(literal, tables))
    found = f"{signs}(array[{altered}]::pg_catalog.name[]) || {literal(json.dumps(known))}"
    return f"select pg_catalog.set_config('predeploy.signs', ({found})::text, true)"


def _altered(text: str) -> Iterator[str]:
    """Yield the names, without schemas, of the tables that a text alters."""
    if mentions(text, "alter"):
        for match in _ALTERED.finditer(text):
            name = match[1]
            yield name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def is_guard_error(schema: str, error: psycopg.Error) -> bool:
    """Whether the guard raised the error: other functions may raise the same SQLSTATE."""
    guard = functions(schema).guard
    first, _, _ = (error.diag.context or "").partition("\n")
    return error.sqlstate == SUSPICION and guard.rpartition(".")[2] in first


def forget_sql() -> str:
    """Return the SELECT that makes the server flush the session's counters after the transaction.

    Without it, rows that one step was allowed to delete could make the next step suspected.
    """
    return f"select {where_allowed('pg_catalog.pg_stat_force_next_flush()')}"


def guard_sql(schema: str) -> str:
    """Return the SELECT that raises PD001 with the suspicion as detail, or does nothing.

    It runs under the search_path that the step has left behind, so it calls only the function, by
    its qualified name.
    """
    return f"select {functions(schema).guard}()"


def suspects_sql(schema: str) -> str:
    """Return the SELECT of the same suspicion, NULL if there is none; it never raises."""
    return f"select {functions(schema).suspects}()"


def parse_suspicion(told: str | None) -> Suspicion:
    """Parse the guard's detail or the value that `suspects_sql` returned."""
    if not told:
        return UNSUSPECTED
    said = json.loads(told)
    return Suspicion(frozenset(int(oid) for oid in said["tables"]), said["is_doubtful"])


def _filled(body: str, schema: str) -> str:
    for word, text in (
        ("CATALOGS", _CATALOGS), ("BROUGHT", _BROUGHT), ("LEDGER", literal(identifier(schema))),
    ):  # fmt: skip
        body = body.replace(word, text)
    return body
