"""Notices when a step takes something away, before it commits.

Functions of ours in the ledger's schema look at the transaction's own counters, at its start and at
its end: rows deleted from users' tables, rows gone from the catalogs, tables in new files. What
they cost depends on what the step has touched, not on how many tables there are. A sign is only a
suspicion. Where the step's text does not show that it takes something away, the guard raises
(SQLSTATE PD001), the step is rolled back, and run once more with a full look before and after. The
functions carry the hash of their bodies in their names and are never replaced, since old and new
images share them. `sequences` and `made` have one more of their kind each.
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

# What goes from the catalogs, or is changed there when it goes (a column, a label) or is renamed: a
# table's name is that of its row type, too, and pg_class changes with all that is added to it.
# Of a large object, too, all that its users have is an OID: it is a row of a catalog.
_CATALOGS = """
        select c.oid, pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
             + case c.oid when 'pg_catalog.pg_class'::regclass then 0
               else pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) end
        from unnest(array['pg_catalog.pg_class'::regclass, 'pg_catalog.pg_attribute'::regclass,
                          'pg_catalog.pg_enum'::regclass, 'pg_catalog.pg_type'::regclass,
                          'pg_catalog.pg_largeobject_metadata'::regclass]::oid[]) c(oid)"""
# The tables that extensions have brought. Their C code may let go of a table's lock at once.
_BROUGHT = """
        select d.objid from pg_catalog.pg_extension e
        join pg_catalog.pg_depend d
          on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid
        where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e'"""
# What counters hold is sent on now and then, and only between transactions: a session's earlier
# ones may still be in them. Of all tables that cannot be asked for without a scan, so a step may be
# suspected of rows that the same session has deleted just before, from a table that it writes.
# Counting that is off is turned on for the transaction where we may.
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
# Who deletes from a table, empties, rewrites or alters it holds a lock on it to the end of the
# transaction, so our own locks name the tables to look at, however many there are. A subtransaction
# that is rolled back lets go of its locks, and of what it has deleted. All tables are looked at
# where the catalogs were written by hand: DDL holds no lock on these two, and needs one on the
# table that it changes. Where counting may have been off for a while, all that is locked is
# suspect, and the catalogs are in any case.
# The columns of a new table are updated, too, when they get a default. New are those with an OID
# beyond the largest at the step's start, or, after a wraparound, with a row type that is as new;
# an old one's is only updated, which the counter of pg_type tells. So are new columns of an old
# table, whose numbers are beyond those that it had. Where nobody has asked for these (the text
# names no such table in ALTER TABLE), all that have changed are suspect.
# A table whose catalog row this transaction has written and whose file is not its first may have
# been emptied or rewritten in it. Subtransactions have later ids than ours, hence age().
# Counters cannot be trusted, either, where a subtransaction was rolled back: what it has written
# stays in them. It then has an aborted id from after the step's start, if not every such id is one
# of ours; and somebody must have written a subtransaction: in the step's text, in a function, or in
# a language that we cannot read.
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
# The tables that a text alters, in whatever function or block of it; one too many does no harm.
_PART_OF_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_ALTERED = re.compile(
    r"\balter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?"
    rf"(?:{_PART_OF_NAME}\s*\.\s*)*({_PART_OF_NAME})",
    re.IGNORECASE,
)
# What a subtransaction is made by, in plpgsql or beside it.
_NESTED = re.compile(r"(?<!raise\s)\b(?:exception|savepoint)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What may have lost something: OIDs of tables, and of catalogs.

    `is_doubtful`: the counters may be wrong, so only counting tells.
    """

    oids: frozenset[int] = frozenset()
    is_doubtful: bool = False

    def __or__(self, other: "Suspicion") -> "Suspicion":
        """Return what one of the two has seen."""
        return Suspicion(self.oids | other.oids, self.is_doubtful or other.is_doubtful)


UNSUSPECTED = Suspicion()


@dataclass(frozen=True, slots=True)
class Functions:
    """The qualified names of this version's functions."""

    signs: str
    suspects: str
    guard: str
    sequences: str
    made: str


@cache
def functions(schema: str) -> Functions:
    """Return the names in this ledger; one hash for all, so that none is there without the rest."""
    bodies = _filled(OURS + _SIGNS_BODY + _SUSPECTS_BODY, schema) + _GUARD_BODY
    bodies += sequences.BODY + made.BODY
    digest = hashlib.sha256(bodies.encode()).hexdigest()[:12]
    names = (field.name for field in fields(Functions))
    return Functions(*(f"{identifier(schema)}.{name}_{digest}" for name in names))


def create_sql(schema: str) -> str:
    """Return the statements that make the functions; once a ledger and version."""
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
    """Return an expression: whether this version's functions are there, all of them."""
    names = [name.rpartition(".")[2] for name in astuple(functions(schema))]
    return f"""(select pg_catalog.count(distinct p.proname) from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where n.nspname = {literal(schema)}
          and p.proname in ({", ".join(map(literal, names))})) = {len(names)}"""


def begin_sql(schema: str, texts: Iterable[str]) -> str:
    """Return the SELECT with which a step of these texts remembers the counters it starts from."""
    signs = functions(schema).signs
    tables: dict[str, None] = {}
    known = {"is_nested": False, "is_blind": False}
    for text in texts:
        tables.update(dict.fromkeys(_altered(text)))
        known["is_nested"] |= _NESTED.search(text) is not None
        # It may turn off the counters that the sentinel goes by, and on again.
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


def has_spoken(schema: str, error: psycopg.Error) -> bool:
    """Whether it is the guard that has raised: others may raise the same SQLSTATE."""
    guard = functions(schema).guard
    first, _, _ = (error.diag.context or "").partition("\n")
    return error.sqlstate == SUSPICION and guard.rpartition(".")[2] in first


def forget_sql() -> str:
    """Return what sends on, at the end of a transaction, what the session's counters hold.

    So the rows that one step has rightly deleted make no suspect of the next.
    """
    return f"select {where_allowed('pg_catalog.pg_stat_force_next_flush()')}"


def guard_sql(schema: str) -> str:
    """Return the SELECT that raises PD001 with the suspicion as detail, or does nothing.

    It runs under the search_path that the step has left, so nothing is called here but the
    function.
    """
    return f"select {functions(schema).guard}()"


def suspects_sql(schema: str) -> str:
    """Return the SELECT of the same suspicion, null for none, which never raises."""
    return f"select {functions(schema).suspects}()"


def parse_suspicion(told: str | None) -> Suspicion:
    """Turn what the guard or `suspects_sql` has said into what is suspected."""
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
