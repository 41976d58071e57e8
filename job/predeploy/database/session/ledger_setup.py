"""Creates the ledger if it does not exist: its schema, its tables, the sentinel's functions.

The run holds the lock, so no other run does the same. A person or another tool may: the second one
waits for the first and then checks again.
"""

import math

import structlog
import tenacity
from psycopg.errors import DuplicateTable, InsufficientPrivilege, LockNotAvailable

from predeploy.contract.errors import (
    DatabaseRefusedError,
    JobError,
    NotObtainedError,
    RacedError,
    ServerError,
)
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.quoting import identifier, literal
from predeploy.database.catalog import advice
from predeploy.database.ledger import initial_state, ledger, runs
from predeploy.database.ledger.initial_state import InitialState
from predeploy.database.sentinel import sentinel
from predeploy.database.server import wire
from predeploy.database.server.rows import Answer
from predeploy.database.server.transaction import settings_sql, step_application
from predeploy.database.session.lock_monitor import LockMonitor
from predeploy.database.session.run_context import RunContext

log = structlog.get_logger()

_FORBIDDEN = "of the database says so; ask its owner, and run again"
# A schema, table or function that another session created after the check.
_MADE_MEANWHILE = ("42P06", "42P07", "42723")


def ensure(context: RunContext, *, is_adopting: bool) -> None:
    """Create the ledger unless it exists, and begin this run in it. Needs the lock.

    `is_adopting` says that the database is older than the ledger.

    Raises DatabaseRefusedError (77) if a privilege is missing or an untrusted role owns a part of
    it, NotObtainedError (75) if a newer major version made it or another session blocks its
    creation, JobError (78) if the schema's tables are not a ledger, and JobError (80) if an event
    trigger forbids DDL.
    """
    budget = context.deadline.part(context.settings.ddl_budget_s)
    monitor = LockMonitor(context.guard, context.work_pid_sql, "the ledger")
    found = context.initial

    def wait_a_little(state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(multiplier=0.25, min=0.1, max=2)
        return min(jitter(state), budget.left_s)

    def make() -> None:
        nonlocal found
        try:
            _make(context, found, monitor, is_adopting=is_adopting)
        except ServerError:
            # Another session may have created it meanwhile: the next try starts from the new state.
            found = initial_state.find(context.work, context.settings.ledger_schema)
            raise

    patiently = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass_again),
        stop=lambda _: budget.left_s <= 0,
        wait=wait_a_little,
        before_sleep=lambda _: log.info("another session makes the ledger; looking again"),
        reraise=True,
    )
    try:
        patiently(make)
    except ServerError as error:
        if error.sqlstate != LockNotAvailable.sqlstate:
            raise
        raise NotObtainedError(
            f"the ledger cannot be created: {error}; {monitor.blockers}"
        ) from None


def _may_pass_again(error: BaseException) -> bool:
    if isinstance(error, RacedError):
        return True
    return isinstance(error, ServerError) and error.sqlstate == LockNotAvailable.sqlstate


def _make(
    context: RunContext, found: InitialState, monitor: LockMonitor, *, is_adopting: bool
) -> None:
    schema = context.settings.ledger_schema
    initial_state.require_trusted(context.work, schema, found)
    if not found.has_ledger:
        _make_all(context, found, monitor, is_adopting=is_adopting)
    elif not runs.begin(context.work, schema, context.run_id, is_adopting=is_adopting):
        answer = _send(context, sentinel.create_sql(schema), monitor)
        if answer.error is not None:
            _require_no_race(answer.error.sqlstate)
            with wire.translated(context.work):
                raise answer.error


def _has_ledger(context: RunContext) -> bool:
    return initial_state.find(context.work, context.settings.ledger_schema).has_ledger


def _send(context: RunContext, sql: str, monitor: LockMonitor) -> Answer:
    """Send statements as one transaction, with a step's application name and lock timeout."""
    settings = settings_sql(
        {
            "application_name": step_application(context.settings.ledger_schema),
            "lock_timeout": f"{math.ceil(context.settings.ddl_lock_timeout_s * 1000)}",
        }
    )
    answer = wire.send(context.work, f"begin; {settings}; {sql}; commit", on_tick=monitor.tick)
    wire.roll_back(context.work)
    return answer


def _require_no_race(sqlstate: str | None) -> None:
    if sqlstate in _MADE_MEANWHILE:
        why = f"another session created part of the ledger meanwhile ({sqlstate}); run again"
        raise RacedError(why, exit_code=ExitCode.TEMPFAIL, sqlstate=sqlstate)


def _make_all(
    context: RunContext, found: InitialState, monitor: LockMonitor, *, is_adopting: bool
) -> None:
    """Create schema, tables and functions, and begin the run, in one transaction and message."""
    work, schema = context.work, context.settings.ledger_schema
    name = identifier(schema)
    if found.has_schema and (tables := _tables(work, schema)) and not _has_ledger(context):
        ledger.require_strangers(schema, tables)
        raise _taken(schema)
    # IF NOT EXISTS requires the right to create schemas even if the schema exists.
    create_schema = "" if found.has_schema else f"create schema {name};"
    answer = _send(
        context,
        f"""{create_schema}
        create table {name}.meta (key text primary key, value text not null);
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
        {_without_row_security(schema)};
        {sentinel.create_sql(schema)};
        {ledger.about_sql(schema, is_adopting=is_adopting)};
        {runs.begin_sql(schema, context.run_id)}""",
        monitor,
    )
    if answer.error is None:
        return
    if trigger := advice.event_trigger_behind(work, answer.error.diag.context or ""):
        why = f"{answer.error.diag.message_primary} ({answer.error.sqlstate})"
        message = f"the ledger cannot be created: {why}; {trigger} {_FORBIDDEN}"
        raise JobError(message, exit_code=ExitCode.FAILED)
    if answer.error.sqlstate == InsufficientPrivilege.sqlstate:
        is_there = found.has_schema
        what = f"tables in schema {schema}" if is_there else f"the schema {schema} for the ledger"
        where = f"schema {name}" if is_there else f"database {identifier(work.info.dbname)}"
        raise DatabaseRefusedError(
            f"not allowed to create {what}; "
            f"grant {'usage, ' if is_there else ''}create on {where} "
            f"to {identifier(work.info.user)}",
            exit_code=ExitCode.DENIED,
        )
    if answer.error.sqlstate == DuplicateTable.sqlstate and not _has_ledger(context):
        raise _taken(schema)
    _require_no_race(answer.error.sqlstate)
    with wire.translated(work):
        raise answer.error


def _without_row_security(schema: str) -> str:
    """Return a statement that disables row-level security on the ledger's tables.

    An event trigger may enable it on each new table. Without a policy, only a superuser could then
    read or write them.
    """
    return f"""do $$ declare made oid; begin
        for made in select c.oid from pg_catalog.pg_class c
                    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = {literal(schema)} and c.relkind = 'r' and c.relrowsecurity
        loop
            execute pg_catalog.format(
                'alter table %s disable row level security, no force row level security',
                made::pg_catalog.regclass);
        end loop;
    end $$"""


def _tables(conn: wire.Connection, schema: str) -> set[str | None]:
    """Return the tables in the ledger's schema, whichever role created them."""
    rows = wire.ask(
        conn,
        f"""select c.relname from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname = {literal(schema)} and c.relkind in ('r', 'p')""",
    )
    return {name for (name,) in rows}


def _taken(schema: str) -> JobError:
    return JobError(
        f"schema {schema} holds tables that are not predeploy's ledger; choose another schema with "
        "PREDEPLOY_LEDGER_SCHEMA",
        exit_code=ExitCode.CONFIG,
    )
