"""Steps on a real server: the fence, the reset, the place of an error, and locks that pass."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Database

from job.database import founding, ledger
from job.database.connection import connect
from job.database.execute import execute
from job.database.place import Workplace
from job.database.wire import Connection, closing
from job.deadline import Deadline
from job.endpoint import parse_endpoint
from job.errors import ConnectionLostError
from job.exit_codes import ExitCode
from job.plan import Failure, Plan, StepResult
from job.settings import Settings
from job.sources import load_sources
from job.sources.steps import steps_of


@pytest.fixture
def place(database: Database) -> Iterator[Workplace]:
    """A workplace on an empty database, with its ledger."""
    settings = Settings(parse_endpoint("DATABASE_URL", database.url), Path("sql"))
    deadline = Deadline.after(60)
    with closing(_open(settings)) as work, closing(_open(settings)) as guard:
        place = Workplace(work, guard, settings, deadline, "this-run")
        founding.ensure(place, {})
        yield place


def _open(settings: Settings) -> Connection:
    return connect(settings.endpoint, Deadline.after(10))


def run(place: Workplace, plan: Plan) -> list[StepResult | Failure | None]:
    return list(execute(place, plan, ExitCode.FAILED))


@pytest.fixture
def plan_of(folder: Callable[[dict[str, str]], Path]) -> Callable[..., Plan]:
    """Plans the files of a folder as if nothing had been applied."""

    def plan(**files: str) -> Plan:
        sources = load_sources(folder({f"migrations/{n}.sql": t for n, t in files.items()}))
        return Plan(tuple(step for s in sources.migrations for step in steps_of(s).steps))

    return plan


def test_a_second_runner_is_stopped_by_the_ledger_row(
    place: Workplace, plan_of: Callable[..., Plan], database: Database
) -> None:
    """The fence: with the row there already, nothing of the step is run, and that is no failure."""
    database.execute("create table log (entry text)")
    plan = plan_of(**{"1_a": "insert into log values ('once')"})
    first = run(place, plan)

    second = run(place, plan)

    assert [type(outcome) for outcome in first] == [StepResult]
    assert second == [None]
    assert database.rows("select entry from log") == [("once",)]


def test_a_rival_who_is_still_at_it_is_waited_for(
    place: Workplace, plan_of: Callable[..., Plan], database: Database
) -> None:
    """While the other runner's row is not committed, ours waits; when it rolls back, we apply."""
    plan = plan_of(**{"1_a": "create table made ()"})
    (step,) = plan.steps
    assert step.entry
    waiting = "select from pg_stat_activity where wait_event = 'transactionid'"
    with database.connect() as rival, database.connect() as observer, ThreadPoolExecutor() as pool:
        rival.execute("begin")
        rival.execute(ledger.insert_sql("predeploy", step.entry, "rival"))

        ours = pool.submit(run, place, plan)
        end = time.monotonic() + 30
        while not observer.execute(waiting).fetchall() and time.monotonic() < end:
            time.sleep(0.01)
        rival.execute("rollback")

        assert [type(outcome) for outcome in ours.result(30)] == [StepResult]
    assert database.value("select run_id from predeploy.migration") == "this-run"


def test_a_lost_connection_leaves_nothing_of_the_step(
    place: Workplace, plan_of: Callable[..., Plan], database: Database
) -> None:
    """The step is rolled back by the server, and the error says to look at the ledger."""
    pid = place.work.info.backend_pid
    plan = plan_of(**{"1_a": f"create table made (); select pg_terminate_backend({pid})"})

    with pytest.raises(ConnectionLostError, match="what was committed is in the ledger"):
        run(place, plan)

    assert database.rows("select * from predeploy.migration") == []
    assert database.value("select to_regclass('made') is null")


def test_the_step_knows_whom_it_waits_for(
    place: Workplace, plan_of: Callable[..., Plan], database: Database
) -> None:
    """When a table's lock is not to be had within the budget, the failure names the session."""
    database.execute("create table busy ()")
    impatient = replace(place.settings, ddl_lock_timeout_s=0.6, ddl_budget_s=1.5)
    plan = plan_of(**{"1_a": "alter table busy add column a int"})
    with database.connect() as reader:
        reader.execute("begin; select from busy")

        (failure,) = run(replace(place, settings=impatient), plan)

        assert isinstance(failure, Failure)
        assert failure.exit_code is ExitCode.TEMPFAIL
        assert f"pid {reader.info.backend_pid}" in failure.message
    assert database.rows("select attname from pg_attribute where attname = 'a'") == []
