"""Steps that travel together are what they are alone: each whole or not at all, in their order."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from conftest import Database, run_job, start_job
from crashing import Crashing, crashing

from predeploy.contract.errors import ConnectionLostError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Plan, StepResult
from predeploy.database.ledger import ledger
from predeploy.database.server import wire
from predeploy.database.session.run_context import RunContext

Run = Callable[[RunContext, Plan], list[StepResult | Failure | None]]
APPLIED = "select file, run_id from predeploy.migration where is_done order by applied_at"
TABLES = """
    select lpad(substr(relname, 2), 3, '0') from pg_class
    where relname ~ '^t[0-9]+$' and relkind = 'r' order by 1"""
BEFORE = {"1_a": "create table a (n int unique)", "2_b": "insert into a values (1), (2)"}
BEHIND = {"4_d": "create table d ()", "5_e": "create table e ()"}


@pytest.fixture
def around(plan_of: Callable[..., Plan]) -> Callable[[str], Plan]:
    """Plans a file with two before it and two behind."""
    return lambda text: plan_of(**BEFORE, **{"3_c": text}, **BEHIND)


def applied(database: Database) -> list[str]:
    return [file for file, _ in database.rows(APPLIED)]


def is_there(database: Database, *tables: str) -> list[bool]:
    return [database.value("select to_regclass(%s) is not null", name) for name in tables]


def test_they_are_told_one_by_one(
    context: RunContext, around: Callable[[str], Plan], run: Run, database: Database
) -> None:
    """Each with its statements, its rows, and what PostgreSQL has skipped in it."""
    results = run(context, around("create schema if not exists public; update a set n = n + 10"))

    assert [(r.label, r.statements, r.rows) for r in results] == [
        ("migrations/1_a.sql", 1, 0),
        ("migrations/2_b.sql", 1, 2),
        ("migrations/3_c.sql", 2, 2),
        ("migrations/4_d.sql", 1, 0),
        ("migrations/5_e.sql", 1, 0),
    ]
    assert [r.notices for r in results] == [(), (), (results[2].notices), (), ()]
    assert "already exists" in results[2].notices[0]
    assert len(applied(database)) == 5


def test_each_is_a_transaction_of_its_own(
    context: RunContext, around: Callable[[str], Plan], run: Run, database: Database
) -> None:
    """And no setting of one is there in the next."""
    run(context, around("set statement_timeout = 77; create table c as select 1 as n"))

    ids = database.rows("select distinct xmin::text from predeploy.migration")
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("text", "sqlstate"),
    [
        ("create table c ();\ninsert into a values (2)", "23505"),
        ("create table c ();\nselect no_such_column from a", "42703"),
        ("create table c ();\ndo $$ begin raise 'no'; end $$", "P0001"),
    ],
)
def test_the_one_that_fails_stops_those_behind_it(
    text: str, sqlstate: str, context: RunContext, around: Callable[[str], Plan], run: Run
) -> None:
    """What went before is done, nothing of it is left, and nothing behind it was run."""
    *done, failure = run(context, around(text))

    assert [type(result) for result in done] == [StepResult, StepResult]
    assert isinstance(failure, Failure)
    assert (failure.path, failure.line, failure.sqlstate) == ("migrations/3_c.sql", 2, sqlstate)
    assert [row[0] for row in wire.ask(context.work, APPLIED)] == ["1_a.sql", "2_b.sql"]
    assert wire.ask(context.work, "select to_regclass('c'), to_regclass('d')") == [(None, None)]


def test_a_mended_one_goes_on(
    context: RunContext,
    around: Callable[[str], Plan],
    plan_of: Callable[..., Plan],
    run: Run,
    database: Database,
) -> None:
    """The rest is run by the next, and what was done is not done again."""
    run(context, around("select no_such_column from a"))

    run(context, plan_of(**{"3_c": "create table c ()"}, **BEHIND))

    assert applied(database) == ["1_a.sql", "2_b.sql", "3_c.sql", "4_d.sql", "5_e.sql"]


def test_a_loss_among_them_is_refused(
    context: RunContext, around: Callable[[str], Plan], run: Run, database: Database
) -> None:
    """84, though no text tells it: a DO block deletes."""
    *_, failure = run(context, around("do $$ begin delete from a where n = 1; end $$"))

    assert isinstance(failure, Failure)
    assert failure.exit_code is ExitCode.REFUSED
    assert "delete public.a (1 row)" in failure.message
    assert database.rows("select n from a order by n") == [(1,), (2,)]
    assert is_there(database, "d") == [False]


def test_what_is_there_already_is_skipped_and_those_behind_it_run(
    context: RunContext, around: Callable[[str], Plan], run: Run, database: Database
) -> None:
    """The one goes in pieces, by itself."""
    results = run(context, around("create table a (n int unique); create table c ()"))

    assert [type(result) for result in results] == [StepResult] * 5
    assert "table a is there" in results[2].duplicates[0]
    assert is_there(database, "c", "d", "e") == [True, True, True]


def test_one_that_another_runner_has_applied_stops_them(
    context: RunContext, around: Callable[[str], Plan], run: Run, database: Database
) -> None:
    """The fence: None says that the ledger has to be read anew."""
    plan = around("create table c ()")
    database.execute(ledger.insert_sql("predeploy", plan.steps[2].entry, "rival"))

    *done, overtaken = run(context, plan)

    assert [type(result) for result in done] == [StepResult, StepResult]
    assert overtaken is None
    assert is_there(database, "c", "d") == [False, False]


@pytest.mark.dear
def test_one_that_waits_for_a_lock_names_who_holds_it(
    context: RunContext, around: Callable[[str], Plan], run: Run, database: Database
) -> None:
    """75 at its budget; what went before is done."""
    database.execute("create table busy ()")
    impatient = replace(context.settings, ddl_lock_timeout_s=0.6, ddl_budget_s=1.5)
    with database.connect() as reader:
        reader.execute("begin; select from busy")

        *done, failure = run(
            replace(context, settings=impatient), around("alter table busy add column n int")
        )

        assert isinstance(failure, Failure)
        assert failure.exit_code is ExitCode.TEMPFAIL
        assert f"pid {reader.info.backend_pid}" in failure.message
    assert len(done) == 2
    assert is_there(database, "d") == [False]


def test_a_lost_connection_leaves_what_the_ledger_says(
    context: RunContext, around: Callable[[str], Plan], run: Run, database: Database
) -> None:
    """Killed in the middle of the third: two are there, with their rows in the ledger."""
    pid = context.work.info.backend_pid
    plan = around("create table c (); select pg_sleep(30)")
    killer = threading.Thread(target=_kill_asleep, args=(database, pid))
    killer.start()

    with pytest.raises(ConnectionLostError, match="run again"):
        run(context, plan)

    killer.join()
    assert applied(database) == ["1_a.sql", "2_b.sql"]
    assert is_there(database, "c", "d") == [False, False]


def _kill_asleep(database: Database, pid: int) -> None:
    with database.connect() as conn:
        _wait_for_sleep(conn)
        conn.execute("select pg_terminate_backend(%s)", [pid])


def _wait_for_sleep(conn: psycopg.Connection) -> None:
    asleep = "select from pg_stat_activity where wait_event = 'PgSleep'"
    end = time.monotonic() + 30
    while not conn.execute(asleep).fetchall():
        assert time.monotonic() < end, "no step has come to sleep"
        time.sleep(0.01)


def test_more_than_may_travel_at_once_all_arrive(
    context: RunContext, plan_of: Callable[..., Plan], run: Run, database: Database
) -> None:
    """In their order."""
    files = {f"{n:04}_f": f"create table t{n} as select {n} as n" for n in range(1, 451)}

    results = run(context, plan_of(**files))

    assert [r.label for r in results] == [f"migrations/{name}.sql" for name in files]
    assert len(applied(database)) == 450


@pytest.fixture
def crash_server(own_binaries: Path) -> Iterator[Crashing]:
    with crashing(own_binaries) as started:
        yield started


@pytest.mark.dear
def test_a_crash_takes_a_step_and_its_row_together(
    crash_server: Crashing, folder: Callable[..., Path]
) -> None:
    """Only the last commit waits for the disk: what was not written yet is run again."""
    files = {f"migrations/{n:03}_f.sql": f"create table t{n} (n int)" for n in range(1, 101)}
    slow = {"migrations/050_f.sql": "create table t50 (); select pg_sleep(1)"}
    url = crash_server.server.url()
    environ = {"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder({**files, **slow}))}
    job = start_job(environ=environ)
    with psycopg.connect(url, autocommit=True) as observer:
        _wait_for_sleep(observer)
    crash_server.stop()
    job.kill()
    job.communicate()
    crash_server.start()

    with psycopg.connect(url) as conn:
        rows = conn.execute("select file from predeploy.migration order by file").fetchall()
        tables = conn.execute(TABLES).fetchall()
    assert [file[:3] for (file,) in rows] == [number for (number,) in tables]
    assert len(rows) < 50
    run_job(environ=environ, check=0)
    with psycopg.connect(url) as conn:
        assert len(conn.execute(TABLES).fetchall()) == 100
