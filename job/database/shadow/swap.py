"""The schema swap: a shadow in the live schema's place, inside a transaction that is rolled back.

`ALTER SCHEMA x RENAME TO __live_…_x; CREATE SCHEMA x`: every name in the files, literals and
function bodies included, then means the shadow. No relation of the live schema is locked.
https://www.postgresql.org/docs/current/sql-alterschema.html
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import pq

from job.database import wire
from job.database.shadow.block import (
    NOTHING_CHANGED,
    ORDER_CODES,
    Block,
    Ready,
    failure_in,
    in_rounds,
    straight,
)
from job.database.shadow.limits import Limits, ShadowFacts
from job.database.shadow.pins import pins_sql
from job.database.shadow.running import Loaded, run_block
from job.database.shadow.survey import Dressing, LiveSchema, Survey
from job.database.shadow.undeclared import undeclared
from job.database.transaction import settings_sql
from job.database.wire import Connection, Row, identifier, literal
from job.errors import InternalError
from job.exit_codes import ExitCode
from job.plan import Failure, Finding
from job.statements.desired import DEFAULT_SCHEMA, Desired, DesiredStatement, Turn
from job.statements.qualifiers import qualify

APPLICATION = "predeploy shadow"
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap: what is put into which schemas' place, and how the live ones are called meanwhile.

    `prefix` is random and stands nowhere in the files, so that it can be taken out of the facts.
    `dressings` are the live database's, wherever the swap is made.
    """

    desired: Desired
    survey: Survey
    prefix: str
    dressings: tuple[Dressing, ...]
    provider: str = "swap"

    @property
    def mark(self) -> str:
        """A word for quotes and messages, as random as the prefix."""
        return "predeploy" + self.prefix.rstrip("_")


def read_by_swap(
    conn: Connection, swap: Swap, question: str, limits: Limits
) -> ShadowFacts | Failure:
    """Load the files into a shadow, ask `question` there, and roll everything back.

    A failure says what the server complained of. Raises InternalError (70) when afterwards a live
    schema is not what it was. Nothing is left behind, whatever happens.
    """
    try:
        return _read(conn, swap, question, limits)
    finally:
        wire.roll_back(conn)
        _require_unchanged(conn, swap)


def _read(conn: Connection, swap: Swap, question: str, limits: Limits) -> ShadowFacts | Failure:
    in_order, last = _ready(swap)
    opened = _open(conn, swap, limits)
    if isinstance(opened, Failure):
        return opened
    loaded = _load(conn, in_order, swap.mark)
    if isinstance(loaded, Failure) and loaded.sqlstate in ORDER_CODES:
        wire.roll_back(conn)
        opened = _open(conn, swap, limits)
        if isinstance(opened, Failure):
            return opened
        loaded = _run(conn, in_rounds(in_order, swap.mark, swap.desired.names))
    if isinstance(loaded, Failure):
        return loaded
    if told := undeclared(conn, swap.prefix):
        return _uses_undeclared(swap, told)
    return _ask(conn, swap, last, question, loaded)


def _open(conn: Connection, swap: Swap, limits: Limits) -> Failure | None:
    """Begin the transaction and swap the schemas."""
    settings = settings_sql(
        {
            "application_name": APPLICATION,
            "lock_timeout": str(math.ceil(limits.lock_timeout_s * 1000)),
            "statement_timeout": str(math.ceil(limits.deadline.left_s * 1000) + 1),
            "client_min_messages": "warning",
            "check_function_bodies": "on",
        }
    )
    live = {schema.name: schema for schema in swap.survey.schemas}
    steps = [
        *("; ".join(_away(swap, schema)) for schema in live.values()),
        *(f"create schema {identifier(n)}" for n in swap.desired.schemas if n not in live),
    ]
    answer = wire.send(
        conn, f"begin isolation level read committed read write; {settings}; {'; '.join(steps)}"
    )
    _require_open(conn, answer.error)
    if answer.error is None:
        return None
    failure = failure_in(Block("", swap.mark, (), ()), answer.error, ())
    if failure.exit_code is not ExitCode.TEMPFAIL:
        with wire.translated(conn):
            raise answer.error
    return failure


def _away(swap: Swap, schema: LiveSchema) -> Iterator[str]:
    """Yield what puts an empty schema in the place of a live one, with its owner, ACL, comment."""
    name, mark = identifier(schema.name), swap.mark
    yield f"alter schema {name} rename to {identifier(swap.prefix + schema.name)}"
    yield f"""do ${mark}$ begin
        execute {literal(f"create schema {name} authorization {identifier(schema.owner)}")};
        exception when insufficient_privilege then execute {literal(f"create schema {name}")};
        end ${mark}$"""
    yield from dressing_sql(swap.desired, swap.dressings, schema.name)


def dressing_sql(desired: Desired, dressings: Iterable[Dressing], schema: str) -> Iterator[str]:
    """Yield the statements that give a shadow schema what the files say nothing about."""
    for dressing in dressings:
        own = desired.own_grants if dressing.is_grant else desired.own_comments
        if dressing.schema == schema and schema not in own:
            yield dressing.sql


def _ready(swap: Swap) -> tuple[tuple[Ready, ...], tuple[Ready, ...]]:
    """Return the statements as they are sent: in order, and the ones that come last."""
    survey, desired = swap.survey, swap.desired
    live = {schema.name for schema in survey.schemas}
    where = {s: swap.prefix + s if s in live else s for s in survey.extension_schemas}
    installed = {name for name, _ in survey.extensions}
    members = survey.members - desired.names

    def ready(statement: DesiredStatement) -> Ready:
        qualified = qualify(statement.text, members, swap.prefix)
        return Ready(statement, qualified, search_path(statement, where))

    run = [s for s in desired.statements if s.extension not in installed]
    return (
        tuple(ready(s) for s in run if s.turn is not Turn.LAST),
        tuple(ready(s) for s in run if s.turn is Turn.LAST),
    )


def search_path(statement: DesiredStatement, where: Mapping[str, str]) -> tuple[str, ...]:
    """Return a statement's search_path; `where` maps the schemas of extensions to their place.

    Extensions are found without a path of the file's own, or when it names their schema.
    """
    path = statement.search_path
    if path is None:
        return (DEFAULT_SCHEMA, *where.values())
    return (*path, *(where[s] for s in path if where.get(s, s) != s))


def _load(conn: Connection, statements: Sequence[Ready], mark: str) -> Loaded:
    for first in range(0, len(statements), _BATCH):
        outcome = _run(conn, straight(statements[first : first + _BATCH], mark))
        if isinstance(outcome, Failure):
            return outcome
    return ()


def _run(conn: Connection, block: Block) -> Loaded:
    outcome = run_block(conn, block)
    _require_open(conn, isinstance(outcome, Failure))
    return outcome


def _ask(
    conn: Connection,
    swap: Swap,
    last: tuple[Ready, ...],
    question: str,
    findings: tuple[Finding, ...],
) -> ShadowFacts | Failure:
    """Run what comes last, ask the question, and give up at once the locks that this has taken."""
    wire.ask(conn, "savepoint predeploy_last")
    loaded = _load(conn, last, swap.mark)
    if isinstance(loaded, Failure):
        return loaded
    answer = wire.send(
        conn,
        f"{pins_sql()};\n{origin_sql(swap.desired)};\n{question}\n"
        ";rollback to savepoint predeploy_last",
    )
    _require_open(conn, answer.error)
    if answer.error is not None:
        with wire.translated(conn):
            raise answer.error
    rows = tuple(_named_back(row, swap.prefix) for row in answer.rows(2))
    return ShadowFacts(rows, int(answer.rows(1)[0][0] or 0), swap.provider, findings)


def _uses_undeclared(swap: Swap, told: Sequence[str]) -> Failure:
    return Failure(
        exit_code=ExitCode.BAD_SOURCES,
        path=swap.desired.statements[0].path,
        line=0,
        column=0,
        sqlstate="",
        message=f"it uses what the schema files do not declare: {'; '.join(told)}",
        remedy="declare it there",
        remains=NOTHING_CHANGED,
    )


def origin_sql(desired: Desired) -> str:
    """Return the query of the first shadow schema's OID."""
    name = literal(desired.schemas[0])
    return f"select oid from pg_catalog.pg_namespace where nspname = {name}"


def _named_back(row: Row, prefix: str) -> Row:
    return tuple(None if value is None else value.replace(prefix, "") for value in row)


def _require_open(conn: Connection, has_failed: object) -> None:
    """Insist that the transaction is open still; were it not, the swap could have been kept."""
    expected = pq.TransactionStatus.INERROR if has_failed else pq.TransactionStatus.INTRANS
    if conn.pgconn.transaction_status != expected:
        raise InternalError("the shadow's transaction was ended from within")


def _require_unchanged(conn: Connection, swap: Swap) -> None:
    expected = {(str(s.oid), s.name) for s in swap.survey.schemas}
    if not expected:
        return
    oids = ", ".join(oid for oid, _ in expected)
    rows = wire.ask(conn, f"select oid, nspname from pg_catalog.pg_namespace where oid in ({oids})")
    if {(oid or "", name or "") for oid, name in rows} != expected:
        names = ", ".join(sorted(name or "" for _, name in rows)) or "none"
        raise InternalError(
            f"the managed schemas are not what they were before schema.sql was read; they are now: "
            f"{names}; rename those that begin with {swap.prefix} back by hand"
        )
