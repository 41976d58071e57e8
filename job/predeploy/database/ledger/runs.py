"""The ledger's table `run`: one row for each run that had the lock and passed its first gate."""

from dataclasses import dataclass

from predeploy import __version__
from predeploy.contract.quoting import identifier, literal
from predeploy.database.ledger import ledger
from predeploy.database.sentinel import made, sentinel
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection


def begin(conn: Connection, schema: str, run_id: str, *, is_adopting: bool) -> bool:
    """Record that the run has begun; return whether the sentinel's functions exist.

    A ledger that was restored without its rows gets its version and origin again. Raises the errors
    of `ledger.require_usable`.
    """
    exists, state = wire.ask_all(
        conn,
        [f"select {sentinel.exists_sql(schema)}", ledger.state_sql(schema)],
        opening=[OWN_PATH],
        closing=[
            ledger.about_sql(schema, is_adopting=is_adopting), begin_sql(schema, run_id),
        ],
    )  # fmt: skip
    ledger.require_usable(schema, state)
    return exists == [("t",)]


def begin_sql(schema: str, run_id: str) -> str:
    """Return the INSERT of the run's row, unless the ledger is of a later major version.

    The row may exist already, if the connection was lost before the answer came.
    """
    return f"""insert into {identifier(schema)}.run (id, version)
        select {literal(run_id)}, {literal(__version__)} where not exists (
            select from {identifier(schema)}.meta
            where key = 'version'
              and case when value ~ '^[0-9]+$' then value::int > {ledger.VERSION} end)
        on conflict (id) do nothing"""


def finish_sql(schema: str, run_id: str, outcome: str, exit_code: int, report: str) -> str:
    """Return the UPDATE that ends the run's row; after a good run the made objects are in use."""
    forgotten = f"{made.forget_sql(schema)}; " if exit_code == 0 else ""
    return (
        f"{forgotten}update {identifier(schema)}.run set finished_at = clock_timestamp(), "
        f"outcome = {literal(outcome)}, exit_code = {exit_code}, report = {literal(report)}::jsonb "
        f"where id = {literal(run_id)}"
    )


@dataclass(frozen=True, slots=True)
class Run:
    """A run as recorded; times in ISO 8601. `outcome` is empty while it runs or if it died."""

    id: str
    version: str
    started_at: str
    finished_at: str
    outcome: str
    exit_code: int | None


def last(conn: Connection, schema: str, limit: int = 5) -> tuple[Run, ...]:
    """Return the latest runs, newest first."""
    moment = "to_char({} at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    rows = wire.ask(
        conn,
        f"""select id, version, {moment.format("started_at")}, {moment.format("finished_at")},
                   outcome, exit_code
            from {identifier(schema)}.run order by started_at desc limit {limit}""",
    )
    return tuple(typed(Run, rows))
