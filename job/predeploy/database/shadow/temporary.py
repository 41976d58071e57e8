"""The temporary database: a shadow for live schemas that cannot be swapped.

It is created next to the live database from template0, loaded in transactions small enough for the
lock table, queried, and dropped. A database left by a killed run is recognized by its name and
dropped by the next run. https://www.postgresql.org/docs/current/manage-ag-templatedbs.html
"""

import math
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from predeploy.contract.errors import DatabaseRefusedError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Finding
from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.connection import connect_beside
from predeploy.database.server.transaction import session_sql
from predeploy.database.server.wire import Connection
from predeploy.database.shadow.block import NAME_CODES, ORDER_CODES, as_said, in_file_order
from predeploy.database.shadow.limits import APPLICATION, Request, ShadowFacts, body_not_checked
from predeploy.database.shadow.running import run_block, run_blocks
from predeploy.database.shadow.statements import as_run
from predeploy.database.shadow.survey import Survey
from predeploy.settings.endpoint import Endpoint
from predeploy.sql.schema_file.prepared import DesiredStatement

PROVIDER = "temporary database"
NAME_BEGINS = "predeploy_shadow_"
_ORPHAN_AFTER_S = 3600
_MESSAGE = 50  # batches in one message
# Of the lock table, which all sessions of the server share; a CREATE TABLE takes 15 to 18.
_SHARE_OF_LOCKS = 0.1
_LOCKS_OF_A_STATEMENT = 18
_BATCH = 500
_UNMANAGED = (
    "a temporary database holds only what the schema files declare; for keys to other schemas the "
    "role must own the managed ones, so that they can be swapped"
)


def read_in_temporary_database(
    conn: Connection, endpoint: Endpoint, seen: Survey, request: Request
) -> ShadowFacts | Failure:
    """Load the files into a new database, run the query there, and drop it.

    Raises DatabaseRefusedError if it cannot be connected to, with 76 if a pooler does not lead
    there. A run that is killed leaves the database behind for the next one to drop.
    """
    _sweep(conn)
    ((answered,),) = wire.ask(conn, "select pg_catalog.pg_backend_pid()")
    pid = int(answered or 0)
    name = _name(pid)
    wire.ask_plainly(conn, _create_sql(conn, name))
    try:
        parameters = {**dict(endpoint.parameters), "dbname": name}
        beside = replace(endpoint, parameters=tuple(sorted(parameters.items())))
        with wire.closing(_connect(beside, is_pooled=pid != conn.info.backend_pid)) as shadow:
            return _read(shadow, seen, request)
    finally:
        wire.roll_back(conn)
        wire.ask_plainly(conn, f"drop database if exists {identifier(name)} with (force)")
        # If a run is killed meanwhile, the server may still finish creating its database.
        _sweep(conn)


def _connect(beside: Endpoint, *, is_pooled: bool) -> Connection:
    """Connect to the temporary database; explain that a pooler serves only databases it knows.

    A pooler's own error depends on its authentication settings.
    """
    try:
        return connect_beside(beside)
    except DatabaseRefusedError:
        if not is_pooled:
            raise
    raise DatabaseRefusedError(
        f"{beside.variable} leads through a pooler, and from there no way to a temporary database; "
        f"let the role own the managed schemas, so that none is needed, or {wire.DIRECTLY}",
        exit_code=ExitCode.WRONG_ENDPOINT,
    )


def _name(pid: int) -> str:
    """Return a name with the time of creation and the pid of the backend that will drop it."""
    return f"{NAME_BEGINS}{int(time.time()):08x}_{pid:08x}_{secrets.token_hex(4)}"


def _sweep(conn: Connection) -> None:
    """Drop databases left by killed runs: owned by the role, unused, and their backend gone.

    Or older than an hour, since another backend may have the same pid by then.
    """
    begins = len(NAME_BEGINS)
    rows = wire.ask(
        conn,
        f"""select d.datname from pg_catalog.pg_database d
            where d.datname ~ '^{NAME_BEGINS}[0-9a-f]{{8}}_[0-9a-f]{{8}}_[0-9a-f]{{8}}$'
              and (('x' || substr(d.datname, {begins + 1}, 8))::bit(32)::bigint
                   < extract(epoch from now()) - {_ORPHAN_AFTER_S}
                or not exists (
                    select from pg_catalog.pg_stat_activity a
                    where a.pid = ('x' || substr(d.datname, {begins + 10}, 8))::bit(32)::int))
              and pg_catalog.pg_has_role(d.datdba, 'usage')
              and not exists (select from pg_catalog.pg_stat_activity a where a.datid = d.oid)""",
    )
    for (name,) in rows:
        wire.ask_plainly(conn, f"drop database if exists {identifier(name or '')}")


def _create_sql(conn: Connection, name: str) -> str:
    """Return the CREATE DATABASE; partition bounds are compared by the live collation."""
    ((encoding, collate, ctype),) = wire.ask(
        conn,
        """select pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype
           from pg_catalog.pg_database where datname = pg_catalog.current_database()""",
    )
    # Only template0 may be copied with an encoding and a locale other than its own.
    return (
        f"create database {identifier(name)} template template0 "
        f"encoding {literal(encoding or '')} lc_collate {literal(collate or '')} "
        f"lc_ctype {literal(ctype or '')}"
    )


def _read(shadow: Connection, seen: Survey, request: Request) -> ShadowFacts | Failure:
    wire.ask(
        shadow,
        session_sql(
            {
                "application_name": APPLICATION,
                "statement_timeout": str(math.ceil(request.limits.deadline.left_s * 1000) + 1),
                "client_min_messages": "warning",
                "check_function_bodies": "on",
                "synchronous_commit": "off",  # none of its data needs to survive a crash
            }
        ),
    )
    findings = tuple(_furnish(shadow, seen, request.desired.schemas))
    room = int(seen.lock_capacity * _SHARE_OF_LOCKS / _LOCKS_OF_A_STATEMENT)
    size = max(1, min(_BATCH, room))
    statements = as_run(request.desired, seen, request.mark)
    loaded = _load(shadow, [s for s in statements if not s.locks_others], request, size)
    if isinstance(loaded, Failure):
        return loaded
    last = _load(shadow, [s for s in statements if s.locks_others], request, size)
    if isinstance(last, Failure):
        return replace(last, remedy=_UNMANAGED)
    begin = "begin isolation level repeatable read read only"
    (facts,) = wire.ask_all(
        shadow,
        [request.question],
        opening=[begin, request.pins],
        closing=["rollback"],
    )
    return ShadowFacts(tuple(facts), PROVIDER, (*findings, *loaded))


def _furnish(shadow: Connection, seen: Survey, schemas: Sequence[str]) -> Iterator[Finding]:
    """Create the schemas and extensions; yield a finding for an extension that cannot be created.

    template0's `public` is dropped: its privileges and comment are not declared.
    """
    fresh = (f"create schema {identifier(schema)}" for schema in schemas)
    wire.ask(shadow, "; ".join(("drop schema public", *fresh)))
    for extension, schema in seen.extensions:
        if schema != "pg_catalog":
            wire.ask(shadow, f"create schema if not exists {identifier(schema)}")
        answer = wire.send(
            shadow,
            f"create extension if not exists {identifier(extension)} "
            f"schema {identifier(schema)} cascade",
        )
        if answer.error is not None:
            yield Finding(
                "no-extension",
                f"extension {extension} could not be made in the temporary database: "
                f"{answer.error.diag.message_primary}",
                "where schema.sql uses it, make the role owner of the managed schemas",
            )


def _load(
    shadow: Connection, statements: Sequence[DesiredStatement], request: Request, size: int
) -> tuple[Finding, ...] | Failure:
    """Load in order; in rounds from the first batch in which something is missing.

    Each batch is a transaction, so that none holds too many locks; one message holds many batches.
    """
    starts = range(0, len(statements), size)
    blocks = [in_file_order(statements[first : first + size], request.mark) for first in starts]
    for first in range(0, len(blocks), _MESSAGE):
        outcome = run_blocks(shadow, blocks[first : first + _MESSAGE])
        if outcome is None:
            continue
        failed, failure = outcome
        if failure.sqlstate not in ORDER_CODES:
            return failure
        return _load_in_rounds(shadow, statements[starts[first + failed] :], request)
    return ()


def _load_in_rounds(
    shadow: Connection, statements: Sequence[DesiredStatement], request: Request
) -> tuple[Finding, ...] | Failure:
    """Load one by one; retry those that lacked something as long as each round makes progress."""
    todo, findings = list(statements), []
    while todo:
        lacking: list[tuple[DesiredStatement, Failure]] = []
        for statement in todo:
            outcome = run_block(shadow, in_file_order([statement], request.mark))
            if isinstance(outcome, Failure):
                if outcome.sqlstate not in ORDER_CODES:
                    return outcome
                lacking.append((statement, outcome))
        if len(lacking) == len(todo):
            passed = _without_checking(shadow, lacking, request.mark)
            if passed is None:
                return _root([failure for _, failure in lacking], request)
            findings.append(body_not_checked(passed))
            lacking = [pair for pair in lacking if pair[0] is not passed]
        todo = [statement for statement, _ in lacking]
    return tuple(findings)


def _root(failures: Sequence[Failure], request: Request) -> Failure:
    """Return the first failure that is not about the files' names; others may result from it."""
    forms = as_said(request.desired.names)
    roots = (f for f in failures if not any(form in f.message for form in forms))
    return next(roots, failures[0])


def _without_checking(
    shadow: Connection, lacking: Sequence[tuple[DesiredStatement, Failure]], mark: str
) -> DesiredStatement | None:
    """Create the first function that can be created with its body unchecked."""
    wire.ask(shadow, "set check_function_bodies = off")
    functions = (
        statement
        for statement, failure in lacking
        if statement.node == "create_function_stmt" and failure.sqlstate in NAME_CODES
    )
    made = (
        s for s in functions if not isinstance(run_block(shadow, in_file_order([s], mark)), Failure)
    )
    passed = next(made, None)
    wire.ask(shadow, "set check_function_bodies = on")
    return passed
