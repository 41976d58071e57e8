"""The ledger: what has been applied, by whom, and what the last good run saw. See docs/ledger.md.

The schema is ours alone. Its tables are made once, under the lock, and never altered by a
version that does not know them: `meta.version` tells.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

from job import __version__
from job.database import sentinel, trust, wire
from job.database.path import OUR_PATH
from job.database.wire import Connection, identifier, literal
from job.errors import InternalError, NotObtainedError
from job.plan import Drift, LedgerEntry, LedgerRow
from job.sources.squash import Squash, spans_of

VERSION = 1


_TABLES = trust.TABLES[1:]  # beside `meta`, by which a ledger is known
_REPLACES = "replaces "  # before the name of a file, as a key of `meta`
_ADOPTED = "adopted "  # before the name of an object, as a key of `meta`
_GAP = "gap "  # before the name of a file, as a key of `meta`


def exists_sql(schema: str) -> str:
    """Return an expression: whether the ledger is there."""
    return f"pg_catalog.to_regclass({literal(identifier(schema) + '.meta')}) is not null"


@dataclass(frozen=True, slots=True)
class Premises:
    """What a run finds: whether the ledger is there, or its schema at least, and anybody's tables.

    `inhabited` are the schemas that hold tables, those of extensions and of other ledgers apart.

    `stranger` is who owns a part of the ledger and is not trusted; empty for nobody. With
    `is_harmless` we may only read it, and that runs nothing of anybody's.
    """

    has_ledger: bool
    has_schema: bool
    inhabited: frozenset[str]
    stranger: str = ""
    is_harmless: bool = True


def premises(conn: Connection, schema: str) -> Premises:
    """Look what is there before anything is done."""
    return parse_premises(wire.ask(conn, premises_sql(schema)))


def parse_premises(rows: list[wire.Row]) -> Premises:
    """Turn what `premises_sql` returned into premises."""
    ((has_ledger, has_schema, inhabited, stranger, is_harmless),) = rows
    return Premises(
        has_ledger == "t",
        has_schema == "t",
        frozenset(json.loads(inhabited or "[]")),
        stranger or "",
        is_harmless == "t",
    )


def require_trusted(conn: Connection, schema: str, found: Premises) -> None:
    """Raise DatabaseRefusedError (77) where somebody whom we don't trust owns the ledger."""
    if found.stranger:
        raise trust.refused(schema, found.stranger, conn.info.user)


def require_readable(conn: Connection, schema: str, found: Premises) -> None:
    """Raise the same where we may do more than read it, or where reading would run a code of his.

    Who only reads is seldom a member of the role that deploys. What a squatter has written is
    believed then, but the deployer's own run has ended with 77 before.
    """
    if not found.is_harmless:
        require_trusted(conn, schema, found)


def premises_sql(schema: str) -> str:
    """Return the query of what is there. What stands beside our like of a ledger is nobody's."""
    called = [name.rpartition(".")[2] for name in astuple(sentinel.functions(schema))]
    return f"""select {exists_sql(schema)},
            pg_catalog.to_regnamespace({literal(identifier(schema))}) is not null,
            (select pg_catalog.json_agg(distinct n.nspname)::text
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema$)'
              and n.nspname <> {literal(schema)}
              -- Not by to_regclass, which asks for USAGE on schemas that are none of our business.
              and (
                select pg_catalog.count(*) from pg_catalog.pg_class l
                where l.relnamespace = n.oid
                  and l.relname in ('meta', 'migration', 'run', 'state')) < 4
              and not exists (
                select from pg_catalog.pg_depend d
                where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  and d.objid = c.oid and d.deptype = 'e')),
            {trust.stranger_sql(schema, called)}, {trust.harmless_sql(schema)}"""


def unknown_sql(schema: str) -> str:
    """Return a condition: whether the ledger that is there does not tell of all that was done."""
    meta = f"{identifier(schema)}.meta"
    return (
        f"(exists (select from {meta} where key = 'adopting') or not exists (select from {meta}))"
    )


def unshared_sql(schema: str, files: Iterable[str]) -> str:
    """Return a condition: whether the ledger holds files, and not one of these."""
    migration = f"{identifier(schema)}.migration"
    names = ", ".join(map(literal, files))
    return f"""(exists (select from {migration})
        and not exists (select from {migration} where file = any(array[{names}]::text[])))"""


def is_blank(state: list[wire.Row]) -> bool:
    """Whether what `state_sql` returned is that of a ledger without a row of its own.

    A dump of the schema without the rows leaves one.
    """
    ((version, _),) = state
    return version is None


def state_sql(schema: str) -> str:
    """Return the query of the ledger's version, and of its tables that are not there."""
    names = ", ".join(f"({literal(name)})" for name in _TABLES)
    return f"""select max(value), (
            select string_agg(v.name, ', ') from (values {names}) v(name)
            where pg_catalog.to_regclass({literal(identifier(schema) + ".")} || v.name) is null)
        from {identifier(schema)}.meta where key = 'version'"""


def require_usable(schema: str, state: list[wire.Row]) -> None:
    """Judge what `state_sql` returned.

    Raises NotObtainedError (75) when a newer major version made the ledger, and InternalError (70)
    when somebody has taken a table of it away.
    """
    ((version, lacking),) = state
    if version and version.isdigit() and int(version) > VERSION:
        raise NotObtainedError(
            f"the ledger {schema} has version {version} and this image knows {VERSION}; "
            "upgrade the image"
        )
    if lacking:
        raise _not_whole(schema, lacking)


def require_strangers(schema: str, tables: Collection[str | None]) -> None:
    """Raise InternalError (70) when these tables are a ledger of ours without its `meta`."""
    if all(name in tables for name in _TABLES):
        raise _not_whole(schema, "meta")


def _not_whole(schema: str, lacking: str) -> InternalError:
    return InternalError(
        f"the ledger {schema} is not whole, somebody has taken away: {lacking}; bring it back "
        f"from a backup, or drop the schema {schema} to have the database adopted anew"
    )


def rows_sql(schema: str) -> str:
    """Return the query of all rows, in the order of application."""
    return f"""
        select file, step_hash, occurrence, position, is_final, raw_hash,
               to_char(applied_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), run_id,
               is_done
        from {identifier(schema)}.migration order by applied_at, file, position"""


def adoption_sql(schema: str) -> str:
    """Return the query of what is known of an adoption: `adopting` while it lasts, and `synced`.

    `synced` says that what differed from `schema.sql` before us has been accepted.
    """
    return f"select key from {identifier(schema)}.meta where key in ('adopting', 'synced')"


def end_adoption(conn: Connection, schema: str) -> None:
    """Note that every file of the folder is in the ledger: from now on it is a database of ours."""
    wire.ask(conn, f"delete from {identifier(schema)}.meta where key = 'adopting'")


def accept(conn: Connection, schema: str, drifts: Iterable[Drift]) -> None:
    """Note what was there before us in another shape than `schema.sql` declares: it may stay so."""
    meta = f"{identifier(schema)}.meta"
    rows = [(_ADOPTED + drift.object, drift.live) for drift in drifts]
    values = ", ".join(f"({literal(key)}, {literal(value)})" for key, value in rows)
    accepted = f"insert into {meta} values {values} on conflict do nothing; " if rows else ""
    wire.ask(conn, f"begin; {accepted}insert into {meta} values ('synced', 'true'); commit")


def adopted_sql(schema: str) -> str:
    """Return the query of the shapes that were accepted at adoption, by object."""
    return f"""select substr(key, {len(_ADOPTED) + 1}), value from {identifier(schema)}.meta
        where starts_with(key, {literal(_ADOPTED)})"""


def gaps_sql(schema: str) -> str:
    """Return the query of the pending files that count on numbers which a sequence has skipped."""
    return f"""select substr(key, {len(_GAP) + 1}), split_part(value, ' ', 1),
            substr(value, strpos(value, ' ') + 1)
        from {identifier(schema)}.meta where starts_with(key, {literal(_GAP)})"""


def parse_gaps(rows: list[wire.Row]) -> dict[tuple[str, str], str]:
    """Turn what `gaps_sql` returned into the gaps, by the files' names and their bytes' hashes."""
    return {(file or "", raw_hash or ""): gap or "" for file, raw_hash, gap in rows}


def note_gap_sql(schema: str, entry: LedgerEntry, gap: str) -> str:
    """Return the INSERT that notes such a file: until it is edited, nobody runs it."""
    return (
        f"insert into {identifier(schema)}.meta values "
        f"({literal(_GAP + entry.file)}, {literal(f'{entry.raw_hash} {gap}')}) "
        "on conflict (key) do update set value = excluded.value"
    )


def squashes_sql(schema: str) -> str:
    """Return the query of what recorded files take the place of: the file, and the versions."""
    return f"""select substr(key, {len(_REPLACES) + 1}), value from {identifier(schema)}.meta
        where starts_with(key, {literal(_REPLACES)}) order by key"""


def parse_squashes(rows: list[wire.Row]) -> tuple[Squash, ...]:
    """Turn what `squashes_sql` returned into squashes."""
    read = (Squash(file or "", spans_of(spans or "")) for file, spans in rows)
    return tuple(squash for squash in read if squash.spans)


def parse_rows(rows: list[tuple[str | None, ...]]) -> tuple[LedgerRow, ...]:
    """Turn what `rows_sql` returned into ledger rows."""
    return tuple(
        LedgerRow(
            LedgerEntry(
                file or "", step_hash or "", int(occurrence or 1), int(position or 1),
                is_final == "t", raw_hash or "",
            ),
            applied_at or "",
            run_id or "",
            is_done == "t",
        )
        for file, step_hash, occurrence, position, is_final, raw_hash, applied_at, run_id, is_done
        in rows
    )  # fmt: skip


def insert_sql(schema: str, entry: LedgerEntry, run_id: str) -> str:
    """Return the INSERT that a step begins with: the fence that a second runner cannot pass.

    The row is not done yet: it becomes so in the same transaction, or, where a step runs outside
    one, when it is over. What its file replaces is kept beside it.
    """
    key, replaces = literal(_REPLACES + entry.file), literal(entry.replaces)
    meta = f"{identifier(schema)}.meta"
    kept = f"with kept as (insert into {meta} values ({key}, {replaces}) on conflict do nothing) "
    return (
        f"{kept if entry.replaces else ''}insert into {identifier(schema)}.migration "
        "(file, step_hash, occurrence, position, is_final, raw_hash, is_done, run_id) values "
        f"({literal(entry.file)}, {literal(entry.step_hash)}, {entry.occurrence}, "
        f"{entry.position}, {entry.is_final}, {literal(entry.raw_hash)}, false, {literal(run_id)})"
    )


def done_sql(
    schema: str,
    entry: LedgerEntry,
    losses: Sequence[str] = (),
    drifts: Sequence[Mapping[str, object]] = (),
) -> str:
    """Return the UPDATE that a step ends with.

    It is done, how long it took, what it took away, and what it found in another shape.
    """
    told = f"losses = {literal(json.dumps(losses))}::jsonb, " if losses else ""
    found = f"drifts = {literal(json.dumps(drifts))}::jsonb, " if drifts else ""
    return (
        f"update {identifier(schema)}.migration set is_done = true, {told}{found}"
        "duration_ms = extract(epoch from clock_timestamp() - applied_at) * 1000 "
        f"where {_is(entry)}"
    )


def forget_sql(schema: str, entry: LedgerEntry) -> str:
    """Return the DELETE for a step outside a transaction that failed and left nothing."""
    return f"delete from {identifier(schema)}.migration where {_is(entry)} and not is_done"


def forget_file(conn: Connection, schema: str, file: str) -> None:
    """Delete all rows of a file; the next run looks at everything again."""
    name = identifier(schema)
    squash = f"delete from {name}.meta where key = {literal(_REPLACES + file)}"
    _correct(conn, schema, f"delete from {name}.migration where {_of(file)}; {squash}")


def finish_file(conn: Connection, schema: str, file: str) -> None:
    """Record the unfinished steps of a file as done; the next run looks at everything again."""
    migration = f"{identifier(schema)}.migration"
    _correct(
        conn, schema, f"update {migration} set is_done = true where {_of(file)} and not is_done"
    )


def restart_file(conn: Connection, schema: str, file: str) -> None:
    """Delete the rows of a file's unfinished steps; the next run looks at everything again."""
    migration = f"{identifier(schema)}.migration"
    _correct(conn, schema, f"delete from {migration} where {_of(file)} and not is_done")


def _correct(conn: Connection, schema: str, sql: str) -> None:
    wire.ask(conn, f"begin; {sql}; delete from {identifier(schema)}.state; commit")


def _of(file: str) -> str:
    return f"file = {literal(file)}"


def _is(entry: LedgerEntry) -> str:
    return (
        f"file = {literal(entry.file)} and step_hash = {literal(entry.step_hash)} "
        f"and occurrence = {entry.occurrence}"
    )


def about_sql(schema: str, *, is_adopting: bool) -> str:
    """Return the INSERT of what a ledger says of itself, unless it does.

    With `is_adopting` the database is older than the ledger, whose files then have to be judged;
    one that holds migrations has been through that.
    """
    made_by = literal(f"predeploy {__version__}")
    has_none = f"not exists (select from {identifier(schema)}.migration)"
    adopting = f"('adopting', 'true', {has_none}),"
    return f"""insert into {identifier(schema)}.meta
        select a.key, a.value from (values
            {adopting if is_adopting else ""}
            ('version', '{VERSION}', true), ('created_by', {made_by}, true),
            ('born', pg_catalog.pg_current_xact_id()::text, true)) a(key, value, applies)
        where a.applies and not exists (select from {identifier(schema)}.meta)"""


def begin_run(conn: Connection, schema: str, run_id: str, *, is_adopting: bool) -> bool:
    """Begin this run in the ledger; say whether the sentinel's functions are there, too.

    A ledger that was restored without its rows says of itself what a new one would.
    Raises what `require_usable` does.
    """
    begun = wire.send(
        conn,
        f"""{OUR_PATH};
        select {sentinel.exists_sql(schema)};
        {state_sql(schema)};
        {about_sql(schema, is_adopting=is_adopting)};
        {begin_sql(schema, run_id)}""",
    )
    if begun.error is not None:
        with wire.translated(conn):
            raise begun.error
    require_usable(schema, begun.rows(2))
    return begun.rows(1) == [("t",)]


def begin_sql(schema: str, run_id: str) -> str:
    """Return the INSERT of the run's row, unless the ledger is of a later major version.

    It is there already where the connection was lost before the answer came.
    """
    return f"""insert into {identifier(schema)}.run (id, version)
        select {literal(run_id)}, {literal(__version__)} where not exists (
            select from {identifier(schema)}.meta
            where key = 'version'
              and case when value ~ '^[0-9]+$' then value::int > {VERSION} end)
        on conflict (id) do nothing"""


def finish_sql(schema: str, run_id: str, outcome: str, exit_code: int, report: str) -> str:
    """Return the UPDATE that ends the run's row."""
    return (
        f"update {identifier(schema)}.run set finished_at = clock_timestamp(), "
        f"outcome = {literal(outcome)}, exit_code = {exit_code}, report = {literal(report)}::jsonb "
        f"where id = {literal(run_id)}"
    )


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the ledger knows it; times in ISO 8601, `outcome` empty while it runs or died."""

    id: str
    version: str
    started_at: str
    finished_at: str
    outcome: str
    exit_code: int | None


def last_runs(conn: Connection, schema: str, limit: int = 5) -> tuple[Run, ...]:
    """Return the latest runs, newest first."""
    moment = "to_char({} at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    rows = wire.ask(
        conn,
        f"""select id, version, {moment.format("started_at")}, {moment.format("finished_at")},
                   outcome, exit_code
            from {identifier(schema)}.run order by started_at desc limit {limit}""",
    )
    return tuple(
        Run(i or "", v or "", s or "", f or "", o or "", int(e) if e else None)
        for i, v, s, f, o, e in rows
    )
