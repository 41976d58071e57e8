"""The ledger: what was applied, by which run, and the last good run. See docs/ledger.md.

The schema belongs to predeploy alone. Its tables are created once, under the lock, and never
altered by a version that does not know them, which `meta.version` tells.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from predeploy import __version__
from predeploy.contract.errors import InternalError, NotObtainedError
from predeploy.contract.quoting import identifier, literal
from predeploy.contract.step import LedgerEntry, LedgerRow
from predeploy.database.catalog import trust
from predeploy.database.ledger import notes
from predeploy.database.server import wire
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.wire import Connection

VERSION = 1
_TABLES = trust.TABLES[1:]  # without `meta`, which identifies a ledger


def unknown_sql(schema: str) -> str:
    """Return a condition: files may have been applied that the ledger does not record."""
    meta = f"{identifier(schema)}.meta"
    return (
        f"(exists (select from {meta} where key = 'adopting') or not exists (select from {meta}))"
    )


def unshared_sql(schema: str, files: Iterable[str]) -> str:
    """Return a condition: the ledger holds files, but none of these."""
    migration = f"{identifier(schema)}.migration"
    names = ", ".join(map(literal, files))
    return f"""(exists (select from {migration})
        and not exists (select from {migration} where file = any(array[{names}]::text[])))"""


def lacks_any_sql(schema: str, files: Iterable[str]) -> str:
    """Return a condition: the ledger does not hold the last step of each of these files."""
    names = tuple(dict.fromkeys(files))
    listed = ", ".join(map(literal, names))
    return f"""((select count(distinct file) from {identifier(schema)}.migration
        where is_final and file = any(array[{listed}]::text[])) < {len(names)})"""


def lacks_sql(schema: str, file: str) -> str:
    """Return a condition: the ledger does not hold the last step of this file."""
    migration = f"{identifier(schema)}.migration"
    return f"not exists (select from {migration} where file = {literal(file)} and is_final)"


def is_blank(state: list[Row]) -> bool:
    """Whether the result of `state_sql` shows a ledger without any rows.

    A schema-only dump and restore produces one.
    """
    ((version, _),) = state
    return version is None


def state_sql(schema: str) -> str:
    """Return the query of the ledger's version and its missing tables."""
    names = ", ".join(f"({literal(name)})" for name in _TABLES)
    return f"""select max(value), (
            select string_agg(v.name, ', ') from (values {names}) v(name)
            where pg_catalog.to_regclass({literal(identifier(schema) + ".")} || v.name) is null)
        from {identifier(schema)}.meta where key = 'version'"""


def require_usable(schema: str, state: list[Row]) -> None:
    """Check the result of `state_sql`.

    Raises NotObtainedError (75) if a newer major version made the ledger, and InternalError (70) if
    one of its tables is missing.
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
    """Raise InternalError (70) if these tables are a ledger without its `meta`."""
    if all(name in tables for name in _TABLES):
        raise _not_whole(schema, "meta")


def _not_whole(schema: str, lacking: str) -> InternalError:
    return InternalError(
        f"the ledger {schema} is not whole, missing: {lacking}; bring it back "
        f"from a backup, or drop the schema {schema} to have the database adopted anew"
    )


class _Row(NamedTuple):
    file: str
    step_hash: str
    occurrence: int
    position: int
    is_final: bool
    raw_hash: str
    applied_at: str
    run_id: str
    is_done: bool


def rows_sql(schema: str) -> str:
    """Return the query of all rows, in the order of application."""
    return f"""
        select file, step_hash, occurrence, position, is_final, raw_hash,
               to_char(applied_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), run_id,
               is_done
        from {identifier(schema)}.migration order by applied_at, file, position"""


def parse_rows(rows: list[tuple[str | None, ...]]) -> tuple[LedgerRow, ...]:
    """Convert the result of `rows_sql` into ledger rows."""
    return tuple(
        LedgerRow(LedgerEntry(*row[:6]), row.applied_at, row.run_id, row.is_done)
        for row in typed(_Row, rows)
    )


def insert_sql(schema: str, entry: LedgerEntry, run_id: str) -> str:
    """Return the INSERT that a step begins with: the fence that a second runner cannot pass.

    The row is marked as done later: in the same transaction or, for a step outside a transaction,
    after the step. The same statement records what the step's file replaces.
    """
    noted = f"with noted as ({notes.note_squash_sql(schema, entry)}) " if entry.replaces else ""
    # No ON CONFLICT: a second runner has to wait at the primary key, and then to fail.
    return (
        f"{noted}insert into {identifier(schema)}.migration "
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

    It records that the step is done, its duration, its losses, and the drifts that it found.
    """
    told = f"losses = {literal(json.dumps(losses))}::jsonb, " if losses else ""
    found = f"drifts = {literal(json.dumps(drifts))}::jsonb, " if drifts else ""
    return (
        f"update {identifier(schema)}.migration set is_done = true, {told}{found}"
        "duration_ms = extract(epoch from clock_timestamp() - applied_at) * 1000 "
        f"where {_is(entry)}"
    )


def forget_sql(schema: str, entry: LedgerEntry) -> str:
    """Return the DELETE for a step outside a transaction that failed and left nothing behind."""
    return f"delete from {identifier(schema)}.migration where {_is(entry)} and not is_done"


def remove_file_sql(schema: str, file: str) -> str:
    """Return the DELETE of all rows of a file."""
    return f"delete from {identifier(schema)}.migration where {_of(file)}"


def forget_file(conn: Connection, schema: str, file: str) -> None:
    """Delete all rows of a file and the settled state, so that the next run checks everything."""
    squash = notes.forget_squash_sql(schema, file)
    _correct(conn, schema, f"{remove_file_sql(schema, file)}; {squash}")


def finish_file(conn: Connection, schema: str, file: str) -> None:
    """Mark a file's unfinished steps as done; the next run checks everything again."""
    migration = f"{identifier(schema)}.migration"
    _correct(
        conn, schema, f"update {migration} set is_done = true where {_of(file)} and not is_done"
    )


def restart_file(conn: Connection, schema: str, file: str) -> None:
    """Delete the rows of a file's unfinished steps; the next run checks everything again."""
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
    """Return the INSERT of the ledger's version and origin, unless they exist.

    With `is_adopting` the database is older than the ledger, so the first run adopts it; not if the
    ledger holds migrations, because then the database has been adopted before.
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
