"""The ledger: what has been applied, by whom, and what the last good run saw. See docs/ledger.md.

The schema is ours alone. Its tables are made once, under the lock, and never altered by a
version that does not know them: `meta.version` tells.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from job import __version__
from job.database import sentinel, wire
from job.database.transaction import settings_sql
from job.database.wire import Connection, identifier, literal
from job.errors import DatabaseRefusedError, JobError, NotObtainedError
from job.exit_codes import ExitCode
from job.plan import Drift, LedgerEntry, LedgerRow

VERSION = 1
_ADOPTED = "adopted "  # before the name of an object, as a key of `meta`


def exists_sql(schema: str) -> str:
    """Return an expression: whether the ledger is there."""
    return f"pg_catalog.to_regclass({literal(identifier(schema) + '.meta')}) is not null"


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
    one, when it is over.
    """
    return (
        f"insert into {identifier(schema)}.migration "
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


def _is(entry: LedgerEntry) -> str:
    return (
        f"file = {literal(entry.file)} and step_hash = {literal(entry.step_hash)} "
        f"and occurrence = {entry.occurrence}"
    )


def ensure(conn: Connection, schema: str, run_id: str, about: Mapping[str, str]) -> None:
    """Make the ledger unless it is there, and begin this run in it. Under the lock.

    `about` is what a new ledger remembers of how it came about.

    Raises DatabaseRefusedError (77) without the privilege, NotObtainedError (75) when a newer
    major version made it, JobError (78) when the schema's tables are somebody else's.
    """
    if wire.ask(conn, f"select {exists_sql(schema)}") != [("t",)]:
        _create(conn, schema, {"created_by": f"predeploy {__version__}", **about})
    if wire.ask(conn, f"select {sentinel.exists_sql(schema)}") != [("t",)]:
        wire.ask(conn, sentinel.create_sql(schema))
    (version,) = wire.ask(
        conn, f"select value from {identifier(schema)}.meta where key = 'version'"
    ) or [(None,)]
    found = int(version[0]) if version[0] and version[0].isdigit() else 0
    if found > VERSION:
        raise NotObtainedError(
            f"the ledger {schema} has version {found} and this image knows {VERSION}; "
            "upgrade the image"
        )
    # It has been begun already, where the connection was lost before the answer came.
    wire.ask(
        conn,
        f"insert into {identifier(schema)}.run (id, version) "
        f"values ({literal(run_id)}, {literal(__version__)}) on conflict (id) do nothing",
    )


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


def _create(conn: Connection, schema: str, about: Mapping[str, str]) -> None:
    name = identifier(schema)
    # IF NOT EXISTS asks for the right to create schemas even where there is nothing to create.
    found = wire.ask(conn, f"select pg_catalog.to_regnamespace({literal(name)})::text")
    is_there = found != [(None,)]
    create_schema = "" if is_there else f"create schema {name};"
    remembered = "".join(f", ({literal(k)}, {literal(v)})" for k, v in about.items())
    born = "('born', pg_catalog.pg_current_xact_id()::text)"
    answer = wire.send(
        conn,
        f"""begin; {settings_sql({"lock_timeout": "10s"})};
        {create_schema}
        create table {name}.meta (key text primary key, value text not null);
        insert into {name}.meta values ('version', '{VERSION}'), {born}{remembered};
        create table {name}.migration (
            file text not null,
            step_hash text not null,
            occurrence integer not null,
            position integer not null,
            is_final boolean not null,
            raw_hash text not null,
            is_done boolean not null,
            run_id text not null,
            applied_at timestamptz not null default clock_timestamp(),
            duration_ms double precision,
            losses jsonb,
            drifts jsonb,
            primary key (file, step_hash, occurrence)
        );
        create table {name}.run (
            id text primary key,
            version text not null,
            started_at timestamptz not null default clock_timestamp(),
            finished_at timestamptz,
            outcome text,
            exit_code integer,
            report jsonb
        );
        create table {name}.declared (
            files text not null,
            about text not null,
            schemas text not null,
            facts text not null,
            stored_at timestamptz not null default clock_timestamp(),
            primary key (files, about)
        );
        create table {name}.state (
            name text primary key,
            key text not null,
            fingerprint text not null,
            system text not null,
            run_id text not null,
            stored_at timestamptz not null default clock_timestamp()
        );
        commit""",
    )
    if answer.error is None:
        return
    wire.roll_back(conn)
    if answer.error.sqlstate == "42501":
        what = f"tables in schema {schema}" if is_there else f"the schema {schema} for the ledger"
        where = f"schema {name}" if is_there else f"database {identifier(conn.info.dbname)}"
        raise DatabaseRefusedError(
            f"not allowed to create {what}; "
            f"grant {'usage, ' if is_there else ''}create on {where} "
            f"to {identifier(conn.info.user)}",
            exit_code=ExitCode.DENIED,
        )
    if answer.error.sqlstate == "42P07":
        raise JobError(
            f"schema {schema} holds tables that are not a ledger of ours; name another one in "
            "PREDEPLOY_LEDGER_SCHEMA",
            exit_code=ExitCode.CONFIG,
        )
    with wire.translated(conn):
        raise answer.error
