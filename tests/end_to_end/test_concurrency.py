"""Many jobs at once, as real processes: each step is applied once, and nobody fails."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from conftest import ADMIN, SQL, Database, run_job
from production import (
    ADMIN_BY_HASH,
    applied,
    contents,
    environ,
    has_ledger,
    jobs,
    prepare,
    until,
    whole_files,
)

from predeploy.database.session.lock import lock_key
from predeploy.embedded import Server

Folder = Callable[[Mapping[str, str]], Path]

COPIES = 10
ASLEEP = """select count(*) from pg_stat_activity
    where datname = current_database() and wait_event = 'PgSleep'"""
HOLDERS = """select count(*) from pg_locks where locktype = 'advisory' and granted
    and database = (select oid from pg_database where datname = current_database())"""
LOG = "create table log (id serial primary key, what text not null);"


def held(database: Database, schema: str = "predeploy") -> psycopg.Connection:
    """Return a session of the test's own that holds the lock of a ledger."""
    conn = database.connect()
    conn.execute("select pg_advisory_lock(%s)", (lock_key(schema),))
    return conn


def connected(database: Database) -> int:
    """Count the connections of jobs to a database."""
    ((count,),) = database.rows(
        """select count(*) from pg_stat_activity
        where datname = current_database() and starts_with(application_name, 'predeploy')"""
    )
    return int(count)


def finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Wait for all; return what each of them said."""
    return [process.communicate(timeout=120)[0] for process in processes]


def all_at_once(
    database: Database, settings: Mapping[str, str], copies: int = COPIES
) -> tuple[list[int], list[str], int]:
    """Start the copies behind a held lock, and let them go when all of them wait for it.

    Returns exit codes and outputs, and the pid that held the lock.
    """
    with held(database) as holder, jobs(*[settings] * copies) as processes:
        until(lambda: connected(database) == 2 * copies, "all jobs to wait", 60)
        pid = holder.info.backend_pid
        holder.close()
        outputs = finish(processes)
    return [process.returncode for process in processes], outputs, pid


@pytest.mark.dear
def test_ten_jobs_make_one_database(database: Database) -> None:
    """Ten jobs on an empty database all end with 0: 42 tables, one admin, each step once."""
    codes, outputs, holder = all_at_once(database, environ(database, **ADMIN))

    assert codes == [0] * COPIES, outputs
    assert applied(database) == [
        (path.name, 1, True) for path in sorted((SQL / "migrations").iterdir())
    ]
    assert len(contents(database)) == 42
    assert [user["username"] for user in contents(database)["public.users"]] == [
        ADMIN["ADMIN_USERNAME"]
    ]
    assert any(f"held by pid {holder} " in output for output in outputs)


def test_pending_steps_run_once(database: Database, folder: Folder) -> None:
    """Ten jobs with the same pending files apply each of them exactly once, in order."""
    first = {"migrations/00_log.sql": LOG}
    names = [f"{number:02}_step.sql" for number in range(1, 21)]
    steps = {f"migrations/{name}": f"insert into log (what) values ('{name}');" for name in names}
    prepare(environ(database, folder(first)))

    codes, outputs, _ = all_at_once(database, environ(database, folder({**first, **steps})))

    assert codes == [0] * COPIES, outputs
    assert [what for (what,) in database.rows("select what from log order by id")] == names
    assert whole_files(database) == ["00_log.sql", *names]


def test_without_a_start_signal_all_is_well_too(database: Database, folder: Folder) -> None:
    """Jobs that start as they come, not behind a lock, apply and seed once as well."""
    files = {
        "migrations/1_users.sql": (SQL / "migrations" / "0001_accounts.sql").read_text(),
        "migrations/2_log.sql": f"{LOG} insert into log (what) values ('once');",
        "seed/admin.sql": (SQL / "seed" / "admin.sql").read_text(),
    }
    settings = environ(database, folder(files), **ADMIN_BY_HASH)

    with jobs(*[settings] * 5) as processes:
        outputs = finish(processes)

    assert [process.returncode for process in processes] == [0] * 5, outputs
    assert {name: len(rows) for name, rows in contents(database).items()} == {
        "public.log": 1,
        "public.session": 0,
        "public.users": 1,
    }


@pytest.mark.dear
def test_fifty_jobs_make_one_database(database: Database) -> None:
    """As a rollout of fifty replicas starts them: all end with 0, and each step ran once."""
    with jobs(*[environ(database, **ADMIN_BY_HASH)] * 50) as processes:
        outputs = finish(processes)

    assert [process.returncode for process in processes] == [0] * 50, outputs
    assert applied(database) == [
        (path.name, 1, True) for path in sorted((SQL / "migrations").iterdir())
    ]
    assert len(contents(database)["public.users"]) == 1


def test_ten_jobs_build_one_index_concurrently(
    database: Database, folder: Folder, own_server: Server | None
) -> None:
    """Waiters that poll do not deadlock with CREATE INDEX CONCURRENTLY, as blocked ones do.

    By hand with ROWS=1000000.
    """
    first = {"migrations/1_items.sql": "create table item (id bigint, kind integer);"}
    prepare(environ(database, folder(first)))
    rows = int(os.environ.get("ROWS", "20000"))
    database.execute(f"insert into item select n, n % 100 from generate_series(1, {rows}) n")
    second = {"migrations/2_index.sql": "create index concurrently item_kind on item (kind);"}

    codes, outputs, _ = all_at_once(database, environ(database, folder({**first, **second})))

    assert codes == [0] * COPIES, outputs
    assert database.rows("select indisvalid from pg_index where indrelid = 'item'::regclass") == [
        (True,)
    ]
    assert whole_files(database) == ["1_items.sql", "2_index.sql"]
    if own_server is not None:
        # The log is of all tests of this worker; others make deadlocks on purpose, elsewhere.
        log = own_server.log.read_text()
        assert not re.search(r"deadlock detected[^\n]*\n[^\n]*item", log)


def test_a_job_that_is_killed_while_it_holds_the_lock_holds_up_nobody(
    database: Database, folder: Folder
) -> None:
    """SIGKILL in the middle of a step: the server ends it, and the others go on with it."""
    gate = "select pg_advisory_xact_lock(4711)::text"
    files = {"migrations/1_slow.sql": f"{LOG} insert into log (what) {gate};"}
    settings = environ(database, folder(files))

    with database.connect() as keeper, jobs(settings) as (first,):
        keeper.execute("select pg_advisory_lock(4711)")
        until(lambda: _waits_at_the_gate(database), "a step to run")
        with jobs(*[settings] * 3) as others:
            until(lambda: connected(database) == 8, "all jobs to wait", 60)
            first.kill()
            keeper.close()
            outputs = finish(others)

    assert [process.returncode for process in others] == [0, 0, 0], outputs
    assert len(contents(database)["public.log"]) == 1
    assert whole_files(database) == ["1_slow.sql"]


@pytest.fixture
def orphaned(
    database: Database, folder: Folder, own_server: Server | None
) -> Iterator[tuple[dict[str, str], int]]:
    """A step whose job was killed, and whose backend is frozen before it can notice.

    The settings of the job, and the pid of the backend, which is let go at the end.
    """
    if own_server is None:
        pytest.skip("TEST_DATABASE_URL: no backends of our own")
    files = {"migrations/1_slow.sql": f"{LOG} insert into log (what) select pg_sleep(1)::text;"}
    settings = environ(database, folder(files))
    with jobs(settings) as (job,):
        until(lambda: database.value(ASLEEP), "a step to run")
        pid = int(str(database.value(ASLEEP.replace("count(*)", "pid"))))
        os.kill(pid, signal.SIGSTOP)
        job.kill()
    until(lambda: database.value(HOLDERS) == 0, "the lock to be free")
    yield settings, pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.dear
def test_a_step_that_outlives_its_job_is_waited_for(
    database: Database, orphaned: tuple[dict[str, str], int]
) -> None:
    """The lock is free and the step still at it: the next run waits, and then goes on."""
    settings, pid = orphaned

    with jobs(settings) as (job,):
        assert job.stdout is not None
        told = next(line for line in job.stdout if "waiting for the lock" in line)
        os.kill(pid, signal.SIGCONT)
        output, _ = job.communicate(timeout=60)

    assert f"held by pid {pid} (predeploy step predeploy, " in told
    assert job.returncode == 0, output
    assert len(contents(database)["public.log"]) == 1
    assert whole_files(database) == ["1_slow.sql"]


def test_a_step_that_outlives_its_job_is_named(
    database: Database, orphaned: tuple[dict[str, str], int]
) -> None:
    """Past the budget: 75 with its pid and its name, and nothing is begun beside it."""
    settings, pid = orphaned

    done = run_job("run", environ={**settings, "PREDEPLOY_LOCK_BUDGET": "500ms"})

    last = done.stdout.splitlines()[-1]
    assert done.returncode == 75, done.stdout
    assert f"held by pid {pid} (predeploy step predeploy, " in last
    assert " s, in migrations/1_slow.sql" in last
    assert f"pg_terminate_backend({pid})" in last
    assert contents(database) == {}


def test_a_failing_file_fails_for_all(database: Database, folder: Folder) -> None:
    """When the pending file is wrong every job says so with 80, and nothing of it remains."""
    files = {"migrations/1_log.sql": LOG, "migrations/2_bad.sql": "create table t (); select 1/0;"}

    codes, outputs, _ = all_at_once(database, environ(database, folder(files)), 4)

    assert codes == [80] * 4, outputs
    assert whole_files(database) == ["1_log.sql"]
    assert contents(database) == {"public.log": []}


def test_a_used_up_budget_names_the_holder(database: Database, folder: Folder) -> None:
    """A job that cannot get the lock within its budget ends with 75 and says who holds it."""
    settings = environ(database, folder({"migrations/1_log.sql": LOG}))

    with held(database) as holder:
        done = run_job("run", environ={**settings, "PREDEPLOY_LOCK_BUDGET": "500ms"})
        pid = holder.info.backend_pid

    assert done.returncode == 75
    assert f"held by pid {pid} " in done.stdout.splitlines()[-1]
    assert not has_ledger(database)
    assert contents(database) == {}


def test_two_ledgers_do_not_wait_for_each_other(
    database: Database, folder: Folder, tmp_path: Path
) -> None:
    """While a run on ledger a is in the middle of a step, one on ledger b runs to its end."""
    schemas = ("a", "b")
    settings = {s: environ(database, PREDEPLOY_LEDGER_SCHEMA=s) for s in schemas}
    for schema in schemas:
        root = folder({"verify/fine.sql": "select 1 where false"}).rename(tmp_path / schema)
        settings[schema]["PREDEPLOY_SQL_DIR"] = str(root)
        prepare(settings[schema])
        (root / "migrations").mkdir()
    (tmp_path / "a" / "migrations" / "1_a.sql").write_text(
        "create table of_a (id integer); select pg_advisory_xact_lock(4711);"
    )
    (tmp_path / "b" / "migrations" / "1_b.sql").write_text("create table of_b (id integer);")

    gate = database.connect()
    gate.execute("select pg_advisory_lock(4711)")
    with gate, jobs(settings["a"]) as (slow,):
        until(lambda: _waits_at_the_gate(database), "the step of ledger a to be under way")
        quick = run_job("run", environ=settings["b"])
        during = set(contents(database))
        gate.close()
        (output,) = finish([slow])

    assert quick.returncode == 0, quick.stdout
    assert "public.of_b" in during
    assert "public.of_a" not in during
    assert slow.returncode == 0, output
    assert (whole_files(database, "a"), whole_files(database, "b")) == (["1_a.sql"], ["1_b.sql"])


def test_the_key_of_the_lock_is_frozen() -> None:
    """Images of all versions agree on the key, so it never changes."""
    assert lock_key("predeploy") == 5807117780548457273
    assert lock_key("a") != lock_key("b")


def _waits_at_the_gate(database: Database) -> bool:
    return (
        database.value(
            """select exists (select from pg_locks
        where locktype = 'advisory' and objid = 4711 and not granted)"""
        )
        is True
    )
