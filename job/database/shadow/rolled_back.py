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
from job.database.shadow.running import Loaded, run_block
from job.database.shadow.undeclared import Undeclared, told_in, undeclared_sql
from job.database.transaction import settings_sql
from job.database.wire import Connection, Row, literal
from job.errors import InternalError
from job.exit_codes import ExitCode
from job.plan import Failure, Finding
from job.statements.desired import Turn
from job.statements.need import by_need

APPLICATION = "predeploy shadow"
_BATCH = 500
_SAVEPOINT = "savepoint predeploy_last"
# Places in the last message: behind the savepoint and the pins, and behind the pins once more.
_LIVE = 2
_FACTS = 5


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
        _roll_back(conn, shadow.places)
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
    loaded = _load_anew(conn, shadow, limits, statements)
    if isinstance(loaded, Failure):
        return loaded
    return _ask(conn, shadow, question, loaded)


def _load_anew(
    conn: Connection, shadow: Shadow, limits: Limits, statements: tuple[Ready, ...]
) -> Loaded:
    """Make the shadow and load it: in order, and once more in rounds where something lacks."""
    opening = _opening(shadow, limits)
    loaded = _load(conn, statements, shadow.mark, opening)
    if not isinstance(loaded, Failure) or loaded.sqlstate not in ORDER_CODES:
        return loaded
    wire.roll_back(conn)
    places = shadow.places
    names = {(places.shadow.get(schema, schema), name) for schema, name in places.desired.names}
    return _run(conn, in_rounds(statements, shadow.mark, names), opening)


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
    conn: Connection, statements: Sequence[Ready], mark: str, opening: tuple[str, ...] = ()
) -> Loaded:
    """Load in order; the first message holds the opening, too."""
    for first in range(0, max(len(statements), 1), _BATCH):
        block = straight(statements[first : first + _BATCH], mark)
        outcome = _run(conn, block, opening if first == 0 else ())
        if isinstance(outcome, Failure):
            return outcome
    return ()


def _run(conn: Connection, block: Block, opening: tuple[str, ...] = ()) -> Loaded:
    outcome = run_block(conn, block, opening)
    _require_open(conn, isinstance(outcome, Failure))
    return outcome


def _ask(
    conn: Connection, shadow: Shadow, question: Question, findings: tuple[Finding, ...]
) -> ShadowFacts | Failure | Undeclared:
    """Run what comes last, ask the question, and give up at once the locks that this has taken.

    First of all ask what is used without being declared: that is the answer then.
    """
    places = shadow.places
    live = undeclared_sql(_live_names(places))
    last = places.ready(Turn.LAST)
    if last:
        told = told_in(wire.ask(conn, live))
        if told:
            return told
        wire.ask(conn, _SAVEPOINT)
        loaded = _load(conn, last, shadow.mark)
        if isinstance(loaded, Failure):
            return loaded
    asked = asked_sql(places.schemas[0], question(places.schemas))
    before = ("select", "select", "select") if last else (_SAVEPOINT, live)
    sent = (*before, asked, "rollback to savepoint predeploy_last")
    answer = wire.send(conn, ";\n".join(sent))
    _require_open(conn, answer.error)
    if not last and answer.failed_index > _LIVE and (told := told_in(answer.rows(_LIVE))):
        return told
    if answer.error is not None:
        with wire.translated(conn):
            raise answer.error
    rows = tuple(_named_back(row, places) for row in answer.rows(_FACTS))
    return ShadowFacts(rows, int(answer.rows(_FACTS - 1)[0][0] or 0), shadow.provider, findings)


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


def _require_open(conn: Connection, has_failed: object) -> None:
    """Insist that the transaction is open still; were it not, the shadow could have been kept."""
    expected = pq.TransactionStatus.INERROR if has_failed else pq.TransactionStatus.INTRANS
    if conn.pgconn.transaction_status != expected:
        raise InternalError("the shadow's transaction was ended from within")


def _roll_back(conn: Connection, places: Places) -> None:
    """Roll back; raise InternalError unless every schema is then what it was."""
    expected = {(str(s.oid), s.name) for s in places.survey.schemas}
    oids = ", ".join(["0", *(oid for oid, _ in expected)])
    rows = wire.ask(
        conn,
        f"""rollback; select oid, nspname from pg_catalog.pg_namespace where oid in ({oids})
            or left(nspname, {len(places.prefix)}) = {literal(places.prefix)}""",
    )
    if {(oid or "", name or "") for oid, name in rows} != expected:
        names = ", ".join(sorted(name or "" for _, name in rows)) or "none"
        raise InternalError(
            f"the managed schemas are not what they were before schema.sql was read; they are now: "
            f"{names}; put those that begin with {places.prefix} in order by hand"
        )
