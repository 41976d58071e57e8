"""A shadow inside a transaction of the live database that is always rolled back.

How its schemas come to be is the provider's: see `swap` and `new_names`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import pq

from job.database import wire
from job.database.shadow.block import (
    NOTHING_CHANGED,
    ORDER_CODES,
    Block,
    Ready,
    in_rounds,
    straight,
)
from job.database.shadow.limits import Limits, Question, ShadowFacts
from job.database.shadow.pins import asked_sql
from job.database.shadow.places import Places
from job.database.shadow.running import Ran, run_block
from job.database.shadow.undeclared import Undeclared, told_in, undeclared_sql
from job.database.transaction import settings_sql
from job.database.wire import Connection, Row, literal
from job.errors import InternalError
from job.exit_codes import ExitCode
from job.plan import Failure
from job.statements.need import by_need
from job.statements.prepared import Turn

APPLICATION = "predeploy shadow"
_BATCH = 500
# Refused where no transaction is open: were it so, the shadow could have been kept.
_INTACT = ("savepoint predeploy_loaded", "release savepoint predeploy_loaded")
_NO_TRANSACTION = "25P01"
# Places behind a block: behind those and the pins; and of all that is sent, from the end.
_TOLD = len(_INTACT) + 1
_FACTS, _, _SCHEMAS = range(-3, 0)


@dataclass(frozen=True, slots=True)
class Shadow:
    """What is to stand: the statements that make its schemas, empty, and what they are called.

    `provider` says how it is made, and `remedy` what to do about a live object that is used.
    """

    places: Places
    opening: tuple[str, ...]
    provider: str
    remedy: str

    @property
    def mark(self) -> str:
        """A word for quotes and messages, as random as the prefix."""
        return "predeploy" + self.places.prefix.rstrip("_")


def read_rolled_back(
    conn: Connection, shadow: Shadow, question: Question, limits: Limits
) -> ShadowFacts | Failure:
    """Load the files into a shadow, ask `question` there, and roll everything back.

    A failure says what the server complained of. Raises InternalError (70) when afterwards a live
    schema is not what it was. Nothing is left behind, whatever happens.
    """
    try:
        outcome = _read(conn, shadow, question, limits)
    finally:
        if conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            rows = wire.ask(conn, ";".join(_end(shadow.places)))
            _require_unchanged(shadow.places, rows)
    if isinstance(outcome, Failure):
        told = shadow.places.told
        return replace(outcome, message=told(outcome.message), detail=told(outcome.detail))
    return outcome


def _read(
    conn: Connection, shadow: Shadow, question: Question, limits: Limits
) -> ShadowFacts | Failure:
    in_order = shadow.places.ready(Turn.IN_ORDER, Turn.WHERE_MISSING)
    outcome = _load_and_ask(conn, shadow, question, limits, in_order)
    if isinstance(outcome, Undeclared):
        # A name may mean the live object only because its own comes later.
        order = by_need([ready.statement.text for ready in in_order])
        wire.roll_back(conn)
        anew = tuple(in_order[place] for place in order)
        outcome = _load_and_ask(conn, shadow, question, limits, anew)
    if isinstance(outcome, Undeclared):
        return _uses_undeclared(shadow, outcome)
    return outcome


def _load_and_ask(
    conn: Connection,
    shadow: Shadow,
    question: Question,
    limits: Limits,
    statements: tuple[Ready, ...],
) -> ShadowFacts | Failure | Undeclared:
    """Load, ask, and roll back, in one message where nothing comes last.

    Before that, ask what is used without being declared: that is the answer then.
    """
    places = shadow.places
    undeclared = undeclared_sql(_live_names(places))
    asked = (asked_sql(question(places.schemas)), *_end(places))
    last = places.ready(Turn.LAST)
    loaded = _load_anew(conn, shadow, limits, statements, () if last else (undeclared, *asked))
    if isinstance(loaded, Failure):
        return loaded
    if not last:
        told = told_in(loaded.behind.rows(_TOLD)) if loaded.behind.failed_index > _TOLD else ()
        return told or _answered(conn, shadow, loaded)
    if told := told_in(wire.ask(conn, undeclared)):
        return told
    done = _load(conn, last, shadow.mark, behind=asked)
    if isinstance(done, Failure):
        return done
    return _answered(conn, shadow, replace(done, findings=loaded.findings))


def _answered(conn: Connection, shadow: Shadow, ran: Ran) -> ShadowFacts:
    """Return the answer to the question, which was sent behind the last block."""
    answer, places = ran.behind, shadow.places
    if answer.error is not None:
        with wire.translated(conn):
            raise answer.error
    _require_unchanged(places, answer.rows(_SCHEMAS))
    rows = tuple(_named_back(row, places) for row in answer.rows(_FACTS))
    return ShadowFacts(rows, shadow.provider, ran.findings)


def _load_anew(
    conn: Connection,
    shadow: Shadow,
    limits: Limits,
    statements: tuple[Ready, ...],
    behind: tuple[str, ...],
) -> Ran | Failure:
    """Make the shadow and load it: in order, and once more in rounds where something lacks."""
    opening = _opening(shadow, limits)
    loaded = _load(conn, statements, shadow.mark, opening, behind)
    if not isinstance(loaded, Failure) or loaded.sqlstate not in ORDER_CODES:
        return loaded
    wire.roll_back(conn)
    places = shadow.places
    names = {(places.shadow.get(schema, schema), name) for schema, name in places.desired.names}
    return _run(conn, in_rounds(statements, shadow.mark, names), opening, behind)


def _live_names(places: Places) -> tuple[str, ...]:
    return tuple(places.live.get(schema.name, schema.name) for schema in places.survey.schemas)


def _opening(shadow: Shadow, limits: Limits) -> tuple[str, ...]:
    """Return what begins the transaction and makes the schemas."""
    settings = settings_sql(
        {
            "application_name": APPLICATION,
            "lock_timeout": str(math.ceil(limits.lock_timeout_s * 1000)),
            "statement_timeout": str(math.ceil(limits.deadline.left_s * 1000) + 1),
            "client_min_messages": "warning",
            "check_function_bodies": "on",
        }
    )
    return ("begin isolation level read committed read write", settings, *shadow.opening)


def _load(
    conn: Connection,
    statements: Sequence[Ready],
    mark: str,
    opening: tuple[str, ...] = (),
    behind: tuple[str, ...] = (),
) -> Ran | Failure:
    """Load in order; the first message holds the opening, too, and the last what is behind."""
    starts = range(0, max(len(statements), 1), _BATCH)
    *blocks, last = (straight(statements[first : first + _BATCH], mark) for first in starts)
    for block in blocks:
        outcome = _run(conn, block, opening, ())
        if isinstance(outcome, Failure):
            return outcome
        opening = ()
    return _run(conn, last, opening, behind)


def _run(
    conn: Connection, block: Block, opening: tuple[str, ...], behind: tuple[str, ...]
) -> Ran | Failure:
    """Run a block; raise InternalError unless the transaction outlives it."""
    outcome = run_block(conn, block, opening, (*_INTACT, *behind))
    if isinstance(outcome, Failure) or outcome.behind.failed_index >= len(_INTACT):
        return outcome
    if (error := outcome.behind.error) is not None:
        if error.sqlstate == _NO_TRANSACTION:
            raise InternalError("the shadow's transaction was ended from within")
        with wire.translated(conn):
            raise error
    return outcome


def _uses_undeclared(shadow: Shadow, told: Undeclared) -> Failure:
    named = "; ".join(map(shadow.places.told, told))
    return Failure(
        exit_code=ExitCode.BAD_SOURCES,
        path=shadow.places.desired.statements[0].path,
        line=0,
        column=0,
        sqlstate="",
        message=f"it uses what the schema files do not declare: {named}",
        remedy=shadow.remedy,
        remains=NOTHING_CHANGED,
    )


def _named_back(row: Row, places: Places) -> Row:
    return tuple(None if value is None else places.told(value) for value in row)


def _end(places: Places) -> tuple[str, str]:
    """Return what rolls back, and the query of the schemas that are there then."""
    oids = ", ".join(["0", *(str(schema.oid) for schema in places.survey.schemas)])
    return (
        "rollback",
        f"""select oid, nspname from pg_catalog.pg_namespace where oid in ({oids})
            or left(nspname, {len(places.prefix)}) = {literal(places.prefix)}""",
    )


def _require_unchanged(places: Places, rows: Sequence[Row]) -> None:
    """Raise InternalError unless every schema is what it was."""
    expected = {(str(s.oid), s.name) for s in places.survey.schemas}
    if {(oid or "", name or "") for oid, name in rows} != expected:
        names = ", ".join(sorted(name or "" for _, name in rows)) or "none"
        raise InternalError(
            f"the managed schemas are not what they were before schema.sql was read; they are now: "
            f"{names}; put those that begin with {places.prefix} in order by hand"
        )
