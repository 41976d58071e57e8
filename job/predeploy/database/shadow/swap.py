"""The schema swap: a shadow in place of the live schema, in a transaction that is rolled back.

`ALTER SCHEMA x RENAME TO __predeploy_…_x; CREATE SCHEMA x`: every name in the files, literals and
function bodies included, then refers to the shadow. No relation of the live schema is locked.
https://www.postgresql.org/docs/current/sql-alterschema.html
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from psycopg import pq

from predeploy.contract.errors import InternalError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure
from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.transaction import settings_sql
from predeploy.database.server.wire import Connection
from predeploy.database.shadow.block import (
    NOTHING_CHANGED,
    ORDER_CODES,
    Block,
    in_file_order,
    in_rounds,
)
from predeploy.database.shadow.limits import APPLICATION, Limits, Request, ShadowFacts
from predeploy.database.shadow.running import Ran, run_block
from predeploy.database.shadow.statements import as_run
from predeploy.database.shadow.survey import Survey
from predeploy.database.shadow.undeclared import Undeclared, told_in, undeclared_sql
from predeploy.sql.schema_file.need import by_need
from predeploy.sql.schema_file.prepared import DesiredStatement

PROVIDER = "swap"
_BATCH = 500
# These fail if no transaction is open: then the shadow could have been committed.
_INTACT: Mapping[Hashable, str] = {
    "open": "savepoint predeploy_loaded",
    "intact": "release savepoint predeploy_loaded",
}
_NO_TRANSACTION = "25P01"
_NOTHING: Mapping[Hashable, str] = MappingProxyType({})


def read_by_swap(conn: Connection, seen: Survey, request: Request) -> ShadowFacts | Failure:
    """Load the files into a shadow, run the query there, and roll everything back.

    A failure holds what the server complained of. Raises InternalError (70) if a live schema is not
    the same afterwards. Nothing is left behind in any case.
    """
    try:
        return _read(conn, seen, request)
    finally:
        if conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            rows = wire.ask(conn, ";".join(_end(seen, request.mark).values()))
            _require_unchanged(seen, request.mark, rows)


def _read(conn: Connection, seen: Survey, request: Request) -> ShadowFacts | Failure:
    renamed = {schema.name for schema in seen.schemas}
    statements = as_run(request.desired, seen, request.mark, renamed)
    in_order = tuple(s for s in statements if not s.locks_others)
    last = tuple(s for s in statements if s.locks_others)
    outcome = _load_and_ask(conn, seen, request, in_order, last)
    if isinstance(outcome, Undeclared):
        # A name may refer to a live object only because the file's own is created later.
        order = by_need([statement.text for statement in in_order])
        wire.roll_back(conn)
        anew = tuple(in_order[place] for place in order)
        outcome = _load_and_ask(conn, seen, request, anew, last)
    if isinstance(outcome, Undeclared):
        return _uses_undeclared(request, outcome)
    return outcome


def _load_and_ask(
    conn: Connection,
    seen: Survey,
    request: Request,
    statements: Sequence[DesiredStatement],
    last: Sequence[DesiredStatement],
) -> ShadowFacts | Failure | Undeclared:
    """Load, query, and roll back, in one message if there is nothing to load last.

    Before the query, check for undeclared live objects in use; if there are any, return those.
    """
    undeclared = undeclared_sql(request.mark + schema.name for schema in seen.schemas)
    asked = {"pins": request.pins, "facts": request.question, **_end(seen, request.mark)}
    at_once = {"undeclared's pins": request.pins, "undeclared": undeclared, **asked}
    loaded = _load_anew(conn, seen, request, statements, _NOTHING if last else at_once)
    if isinstance(loaded, Failure):
        return loaded
    if not last:
        is_told = loaded.behind.has("undeclared")
        told = told_in(loaded.behind.rows("undeclared")) if is_told else ()
        return told or _answered(conn, seen, request.mark, loaded)
    if told := told_in(wire.ask(conn, f"{request.pins};\n{undeclared}")):
        return told
    done = _load(conn, last, request.mark, behind=asked)
    if isinstance(done, Failure):
        return done
    return _answered(conn, seen, request.mark, replace(done, findings=loaded.findings))


def _answered(conn: Connection, seen: Survey, mark: str, ran: Ran) -> ShadowFacts:
    """Return the answer to the question, which was sent after the last block."""
    reply = ran.behind
    if reply.answer.error is not None:
        with wire.translated(conn):
            raise reply.answer.error
    _require_unchanged(seen, mark, reply.rows("schemas"))
    # Members of extensions are printed with the temporary names of the live schemas.
    rows = (tuple(v and v.replace(mark, "") for v in row) for row in reply.rows("facts"))
    return ShadowFacts(tuple(rows), PROVIDER, ran.findings)


def _load_anew(
    conn: Connection,
    seen: Survey,
    request: Request,
    statements: Sequence[DesiredStatement],
    behind: Mapping[Hashable, str],
) -> Ran | Failure:
    """Make the shadow and load it: in order, or in rounds if something is missing."""
    opening = _opening(seen, request)
    loaded = _load(conn, statements, request.mark, opening, behind)
    if not isinstance(loaded, Failure) or loaded.sqlstate not in ORDER_CODES:
        return loaded
    wire.roll_back(conn)
    block = in_rounds(statements, request.mark, request.desired.names)
    return _run(conn, block, opening, behind)


def _opening(seen: Survey, request: Request) -> tuple[str, ...]:
    """Return what begins the transaction and replaces the live schemas by empty ones."""
    aside = (
        f"alter schema {identifier(schema.name)} rename to {identifier(request.mark + schema.name)}"
        for schema in seen.schemas
    )
    fresh = (f"create schema {identifier(name)}" for name in request.desired.schemas)
    return (
        "begin isolation level read committed read write",
        _settings(request.limits),
        *seen.usual_rights,
        *aside,
        *fresh,
    )


def _settings(limits: Limits) -> str:
    return settings_sql(
        {
            "application_name": APPLICATION,
            "lock_timeout": str(math.ceil(limits.lock_timeout_s * 1000)),
            "statement_timeout": str(math.ceil(limits.deadline.left_s * 1000) + 1),
            "client_min_messages": "warning",
            "check_function_bodies": "on",
            "row_security": "on",  # a key to an empty table cannot miss hidden rows
        }
    )


def _load(
    conn: Connection,
    statements: Sequence[DesiredStatement],
    mark: str,
    opening: tuple[str, ...] = (),
    behind: Mapping[Hashable, str] = _NOTHING,
) -> Ran | Failure:
    """Load in order; the first message includes the opening, and the last one `behind`."""
    starts = range(0, max(len(statements), 1), _BATCH)
    *blocks, last = (in_file_order(statements[first : first + _BATCH], mark) for first in starts)
    for block in blocks:
        outcome = _run(conn, block, opening, _NOTHING)
        if isinstance(outcome, Failure):
            return outcome
        opening = ()
    return _run(conn, last, opening, behind)


def _run(
    conn: Connection, block: Block, opening: tuple[str, ...], behind: Mapping[Hashable, str]
) -> Ran | Failure:
    """Run a block; raise InternalError unless the transaction is still open afterwards."""
    outcome = run_block(conn, block, opening, {**_INTACT, **behind})
    if isinstance(outcome, Failure) or outcome.behind.has("intact"):
        return outcome
    if (error := outcome.behind.answer.error) is not None:
        if error.sqlstate == _NO_TRANSACTION:
            raise InternalError("the shadow's transaction was ended from within")
        with wire.translated(conn):
            raise error
    return outcome


def _uses_undeclared(request: Request, told: Undeclared) -> Failure:
    named = "; ".join(told).replace(request.mark, "")
    return Failure(
        exit_code=ExitCode.BAD_SOURCES,
        path=request.desired.statements[0].path,
        line=0,
        column=0,
        sqlstate="",
        message=f"it uses what the schema files do not declare: {named}",
        remedy="declare it there",
        remains=NOTHING_CHANGED,
    )


def _end(seen: Survey, mark: str) -> dict[Hashable, str]:
    """Return the rollback, and the query of the schemas that exist after it."""
    oids = ", ".join(["0", *(str(schema.oid) for schema in seen.schemas)])
    return {
        "end": "rollback",
        "path": OWN_PATH,
        "schemas": f"""select oid, nspname from pg_catalog.pg_namespace where oid in ({oids})
            or left(nspname, {len(mark)}) = {literal(mark)}""",
    }


def _require_unchanged(seen: Survey, mark: str, rows: Sequence[Row]) -> None:
    """Raise InternalError unless every schema has its former name."""
    found = typed(tuple[int, str], rows)
    if {*found} != {(schema.oid, schema.name) for schema in seen.schemas}:
        names = ", ".join(sorted(name for _, name in found)) or "none"
        raise InternalError(
            f"the managed schemas are not what they were before schema.sql was read; they are now: "
            f"{names}; rename those that begin with {mark} back by hand"
        )
