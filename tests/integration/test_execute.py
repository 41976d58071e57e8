"""Steps on a real server: the fence, the reset, the place of an error, and locks that pass."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from conftest import Database

from predeploy.contract.errors import ConnectionLostError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Plan, StepResult
from predeploy.database.ledger import ledger
from predeploy.database.sentinel.holdings import read_again, read_holdings
from predeploy.database.server.wire import Connection, ask
from predeploy.database.session.run_context import RunContext

Run = Callable[[RunContext, Plan], list[StepResult | Failure | None]]


def test_a_second_runner_is_stopped_by_the_ledger_row(
    context: RunContext, plan_of: Callable[..., Plan], run: Run, database: Database
) -> None:
    """The fence: with the row there already, nothing of the step is run, and that is no failure."""
    database.execute("create table log (entry text)")
    plan = plan_of(**{"1_a": "insert into log values ('once')"})
    first = run(context, plan)

    second = run(context, plan)

    assert [type(outcome) for outcome in first] == [StepResult]
    assert second == [None]
    assert database.rows("select entry from log") == [("once",)]


def test_a_rival_who_is_still_at_it_is_waited_for(
    context: RunContext, plan_of: Callable[..., Plan], run: Run, database: Database
) -> None:
    """While the other runner's row is not committed, ours waits; when it rolls back, we apply."""
    plan = plan_of(**{"1_a": "create table made ()"})
    (step,) = plan.steps
    assert step.entry
    waiting = "select from pg_stat_activity where wait_event = 'transactionid'"
    with database.connect() as rival, database.connect() as observer, ThreadPoolExecutor() as pool:
        rival.execute("begin")
        rival.execute(ledger.insert_sql("predeploy", step.entry, "rival"))

        ours = pool.submit(run, context, plan)
        end = time.monotonic() + 30
        while not observer.execute(waiting).fetchall() and time.monotonic() < end:
            time.sleep(0.01)
        rival.execute("rollback")

        assert [type(outcome) for outcome in ours.result(30)] == [StepResult]
    assert database.value("select run_id from predeploy.migration") == "this-run"


def test_a_lost_connection_leaves_nothing_of_the_step(
    context: RunContext, plan_of: Callable[..., Plan], run: Run, database: Database
) -> None:
    """The step is rolled back by the server, and the error says to look at the ledger."""
    pid = context.work.info.backend_pid
    plan = plan_of(**{"1_a": f"create table made (); select pg_terminate_backend({pid})"})

    with pytest.raises(ConnectionLostError, match="what was committed is in the ledger"):
        run(context, plan)

    assert database.rows("select * from predeploy.migration") == []
    assert database.value("select to_regclass('made') is null")


def test_a_file_s_settings_do_not_bound_the_second_look(
    context: RunContext,
    plan_of: Callable[..., Plan],
    run: Run,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counting a large table may take longer than the file allows its own statements."""
    database.execute("create table items (id int); insert into items values (1)")
    plan = plan_of(**{"1_a": "set statement_timeout = '9min'; delete from items"})
    seen = []

    def asking(read: Callable[..., object]) -> Callable[..., object]:
        def look(conn: Connection, *asked: object, **scope: bool) -> object:
            ((timeout,),) = ask(conn, "show statement_timeout")
            seen.append(timeout)
            return read(conn, *asked, **scope)

        return look

    # What a look is bounded by shows only while it goes on: it is asked, and then done as ever.
    for read in (read_holdings, read_again):
        monkeypatch.setattr(f"predeploy.database.sentinel.holdings.{read.__name__}", asking(read))
    (outcome,) = run(context, plan)

    assert isinstance(outcome, Failure)
    assert outcome.message == (
        "would lose what its file does not declare: delete public.items (1 row)"
    )
    assert len(seen) == 2
    assert "9min" not in seen


def test_a_statement_that_reaches_no_other_server_has_its_place(
    context: RunContext, plan_of: Callable[..., Plan], run: Run, database: Database
) -> None:
    """As dblink and foreign tables say it; our own connection is as good as before."""
    text = "create table made ();\ndo $$ begin raise 'no route' using errcode = '08001'; end $$"
    plan = plan_of(**{"1_a": text})

    (outcome,) = run(context, plan)

    assert isinstance(outcome, Failure)
    assert (outcome.exit_code, outcome.line, outcome.sqlstate) == (ExitCode.TEMPFAIL, 2, "08001")
    assert ask(context.work, "select to_regclass('made') is null") == [("t",)]
    assert database.rows("select * from predeploy.migration") == []


def test_the_step_knows_whom_it_waits_for(
    context: RunContext, plan_of: Callable[..., Plan], run: Run, database: Database
) -> None:
    """When a table's lock is not obtained within the budget, the failure names the session."""
    database.execute("create table busy ()")
    impatient = replace(context.settings, ddl_lock_timeout_s=0.6, ddl_budget_s=1.5)
    plan = plan_of(**{"1_a": "alter table busy add column a int"})
    with database.connect() as reader:
        reader.execute("begin; select from busy")

        (failure,) = run(replace(context, settings=impatient), plan)

        assert isinstance(failure, Failure)
        assert failure.exit_code is ExitCode.TEMPFAIL
        assert f"pid {reader.info.backend_pid}" in failure.message
    assert database.rows("select attname from pg_attribute where attname = 'a'") == []
