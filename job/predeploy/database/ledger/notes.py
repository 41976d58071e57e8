"""Entries in the ledger's `meta`: what was adopted, squashed, lost, or skipped because of a gap."""

from collections.abc import Iterable

from predeploy.contract.plan import Drift
from predeploy.contract.quoting import identifier, literal
from predeploy.contract.step import MIRRORED, LedgerEntry
from predeploy.database.server import wire
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.wire import Connection
from predeploy.losses.loss import Loss, Verb
from predeploy.sources.squash import Squash, spans_of

# Prefixes of keys, followed by the name of an object or a file.
_ADOPTED = "adopted "
_GAP = "gap "
_REPLACES = "replaces "
_LOST = "lost "
_BEFORE_COMMAND = "before the command"


def adoption_sql(schema: str) -> str:
    """Return the query of an adoption's state: `adopting` while it lasts, and `synced`.

    `synced` records that earlier differences from `schema.sql` have been accepted.
    """
    return f"select key from {identifier(schema)}.meta where key in ('adopting', 'synced')"


def end_adoption(conn: Connection, schema: str) -> None:
    """Record that the ledger holds every file of the folder, which ends the adoption."""
    wire.ask(conn, f"delete from {identifier(schema)}.meta where key = 'adopting'")


def accept(conn: Connection, schema: str, drifts: Iterable[Drift]) -> None:
    """Accept drifts from `schema.sql` that existed before the ledger."""
    meta = f"{identifier(schema)}.meta"
    rows = [(_ADOPTED + key, shape) for key, shape in dict.fromkeys(d.line for d in drifts)]
    values = ", ".join(f"({literal(key)}, {literal(value)})" for key, value in rows)
    accepted = f"insert into {meta} values {values} on conflict do nothing; " if rows else ""
    wire.ask(conn, f"begin; {accepted}insert into {meta} values ('synced', 'true'); commit")


def adopted_sql(schema: str) -> str:
    """Return the query of the shapes that were accepted at adoption, by object."""
    return f"""select substr(key, {len(_ADOPTED) + 1}), value from {identifier(schema)}.meta
        where starts_with(key, {literal(_ADOPTED)})"""


def gaps_sql(schema: str) -> str:
    """Return the query of pending files that contain literal ids which a sequence has skipped."""
    return f"""select substr(key, {len(_GAP) + 1}), split_part(value, ' ', 1),
            substr(value, strpos(value, ' ') + 1)
        from {identifier(schema)}.meta where starts_with(key, {literal(_GAP)})"""


def parse_gaps(rows: list[Row]) -> dict[tuple[str, str], str]:
    """Convert the result of `gaps_sql` into gaps, keyed by file name and hash of its bytes."""
    found = typed(tuple[str, str, str], rows)
    return {(file, raw_hash): gap for file, raw_hash, gap in found}


def note_gap_sql(schema: str, entry: LedgerEntry, gap: str) -> str:
    """Return the INSERT that records such a file, so that no run applies it until it is edited."""
    return (
        f"insert into {identifier(schema)}.meta values "
        f"({literal(_GAP + entry.file)}, {literal(f'{entry.raw_hash} {gap}')}) "
        "on conflict (key) do update set value = excluded.value"
    )


def squashes_sql(schema: str) -> str:
    """Return the query of the squashes: each file, and the versions that it replaces."""
    return f"""select substr(key, {len(_REPLACES) + 1}), value from {identifier(schema)}.meta
        where starts_with(key, {literal(_REPLACES)}) order by key"""


def parse_squashes(rows: list[Row]) -> tuple[Squash, ...]:
    """Convert the result of `squashes_sql` into squashes."""
    read = (Squash(file, spans_of(spans)) for file, spans in typed(tuple[str, str], rows))
    return tuple(squash for squash in read if squash.spans)


def note_squash_sql(schema: str, entry: LedgerEntry) -> str:
    """Return the INSERT that records what the entry's file replaces, unless recorded already."""
    return (
        f"insert into {identifier(schema)}.meta values "
        f"({literal(_REPLACES + entry.file)}, {literal(entry.replaces)}) on conflict do nothing"
    )


def forget_squash_sql(schema: str, file: str) -> str:
    """Return the DELETE of the record of what a file replaces."""
    return f"delete from {identifier(schema)}.meta where key = {literal(_REPLACES + file)}"


def mirrored_sql(schema: str) -> str:
    """Return the query of the files that were written to their tool's own table, too."""
    return f"""select substr(key, {len(MIRRORED) + 1}) from {identifier(schema)}.meta
        where starts_with(key, {literal(MIRRORED)})"""


def lost_sql(schema: str) -> str:
    """Return the query of what the operator's command has taken away undeclared."""
    return f"""select substr(key, {len(_LOST) + 1}), value from {identifier(schema)}.meta
        where starts_with(key, {literal(_LOST)}) order by key"""


def parse_lost(rows: list[Row]) -> tuple[Loss, ...]:
    """Convert the result of `lost_sql` into losses."""
    found = typed(tuple[str, str], rows)
    pairs = ((*key.partition(" ")[::2], detail) for key, detail in found)
    return tuple(Loss(Verb(verb), target, detail=detail) for verb, target, detail in pairs)


def before_command_sql(schema: str) -> str:
    """Return the query of what there was to lose when a command began whose end is not noted."""
    return f"select value from {identifier(schema)}.meta where key = {literal(_BEFORE_COMMAND)}"


def note_before_command_sql(schema: str, holdings: str) -> str:
    """Return the INSERT that records what there is to lose, unless an earlier one still counts."""
    return (
        f"insert into {identifier(schema)}.meta values "
        f"({literal(_BEFORE_COMMAND)}, {literal(holdings)}) on conflict (key) do nothing"
    )


def end_command_sql(schema: str, lost: Iterable[Loss]) -> str:
    """Return the statements that record what a command has taken away undeclared; nothing else.

    The earlier records go: they have been declared, or the command would not have run.
    """
    meta = f"{identifier(schema)}.meta"
    rows = {f"{_LOST}{loss.verb.value} {loss.target}": loss.detail for loss in lost}
    values = ", ".join(f"({literal(key)}, {literal(value)})" for key, value in rows.items())
    forget = f"""delete from {meta}
        where key = {literal(_BEFORE_COMMAND)} or starts_with(key, {literal(_LOST)})"""
    return f"{forget}; insert into {meta} values {values}" if rows else forget
