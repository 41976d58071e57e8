"""While we migrate, no other tool does whose history is there; and the other way round."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import environ, jobs, prepare, report_of, until, whole_files

from predeploy.database.session.other_tools import TOOLS, History, Tool, keys_of

Folder = Callable[[Mapping[str, str]], Path]

HISTORIES = {tool.name: f"create table {tool.table} ({tool.column} text)" for tool in TOOLS}
NOTES = {"migrations/1_notes.sql": "create table notes (id int); insert into notes values (1);"}
MORE = {**NOTES, "migrations/2_more.sql": "create table more (id int);"}
SLOW = {**NOTES, "migrations/2_slow.sql": "create table slow (id int); select pg_sleep(60);"}
INDEX = {**NOTES, "migrations/2_index.sql": "create index concurrently notes_id on notes (id);"}
PRISMA = 72707369


@pytest.fixture
def ours(database: Database, folder: Folder) -> Database:
    """A database that we have migrated before."""
    prepare(environ(database, folder(NOTES)))
    return database


def keys(tool: Tool, database: str) -> tuple[int, ...]:
    return keys_of(tool, History(database, "public", tool.table))


def test_the_keys_are_those_of_the_tools() -> None:
    """Frozen: as the sources of the tools compute them for the database `app`."""
    assert {tool.name: keys(tool, "app") for tool in TOOLS} == {
        "Flyway": (77433833903597,),
        "golang-migrate": (1787120056, 1726534663),
        "Rails": (6939591962871035475,),
        "Prisma": (PRISMA,),
        "goose": (4097083626,),
        "sqlx": (3469795979745788610,),
        "Atlas": (2686470616,),
        "node-pg-migrate": (7241865325823964,),
        "graphile-migrate": (4727445306447283,),
        "tern": (9628173550095224,),
        "Sqitch": (75474063,),
    }


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_that_migrates_is_waited_for(ours: Database, folder: Folder, tool: Tool) -> None:
    """While a tool holds any of its locks, a run waits, and ends with 75 naming tool and holder."""
    ours.execute(HISTORIES[tool.name])
    settings = environ(ours, folder(MORE), PREDEPLOY_LOCK_BUDGET="300ms")

    for key in keys(tool, ours.name):
        with ours.connect() as other:
            other.execute("select pg_advisory_lock(%s)", (key,))
            done = run_job("run", environ=settings)
            pid = other.info.backend_pid

        assert done.returncode == 75, done.stdout
        assert f"{tool.name} (public.{tool.table}) holds its lock" in report_of(done)["message"]
        assert f"pid {pid} " in report_of(done)["message"]
    assert whole_files(ours) == ["1_notes.sql"]
    assert run_job("run", environ=settings).returncode == 0


def test_a_tool_whose_table_has_another_name_is_waited_for(
    database: Database, folder: Folder
) -> None:
    """The lock of golang-migrate and Flyway depends on the table's name."""
    (tool,) = (tool for tool in TOOLS if tool.name == "golang-migrate")
    database.execute("create table done (version bigint primary key, dirty boolean)")
    files = {"migrations/1_a.up.sql": "create table a ();"}
    settings = environ(database, folder(files), PREDEPLOY_LOCK_BUDGET="300ms")
    settings |= {"PREDEPLOY_HISTORY_TABLE": "done"}
    key, _ = keys_of(tool, History(database.name, "public", "done"))

    with database.connect() as other:
        other.execute("select pg_advisory_lock(%s)", (key,))
        done = run_job("run", environ=settings)

    assert done.returncode == 75
    assert "golang-migrate (public.done) holds its lock" in report_of(done)["message"]


def test_a_run_goes_on_when_the_tool_is_done(ours: Database, folder: Folder) -> None:
    """A tool that ends within the budget is waited for, and the log says for whom."""
    ours.execute(HISTORIES["Prisma"])
    with ours.connect() as other, jobs(environ(ours, folder(MORE))) as (process,):
        other.execute("select pg_advisory_lock(%s)", (PRISMA,))
        assert process.stdout is not None
        line = next(line for line in process.stdout if "waiting for another tool" in line)
        other.close()
        rest = process.communicate(timeout=30)[0]

    assert "Prisma" in line
    assert process.returncode == 0, rest
    assert whole_files(ours) == ["1_notes.sql", "2_more.sql"]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_no_tool_migrates_while_we_do(ours: Database, folder: Folder, tool: Tool) -> None:
    """In the middle of a run no lock of the tool can be taken, of either kind; after it all can."""
    ours.execute(HISTORIES[tool.name])
    wanted = keys(tool, ours.name)

    with jobs(environ(ours, folder(SLOW))) as (process,):
        until(lambda: _sleeps(ours), "the step to sleep", 10)
        during = [_is_free(ours, kind, key) for key in wanted for kind in ("", "xact_")]
        process.kill()
        process.wait()

    assert during == [False] * 2 * len(wanted)
    until(lambda: all(_is_free(ours, "", key) for key in wanted), "the locks to be free")


def test_a_tool_that_is_not_in_use_here_is_left_alone(ours: Database, folder: Folder) -> None:
    """Without a history table of its own, nobody's lock is taken or waited for."""
    ours.execute("create table schema_migrations (version text)")  # dbmate's: it takes none
    with ours.connect() as other:
        for tool in TOOLS:
            for key in keys(tool, ours.name):
                other.execute("select pg_advisory_lock(%s)", (key,))
        done = run_job("run", environ=environ(ours, folder(MORE)))

    assert done.returncode == 0, done.stdout


def test_an_index_is_built_concurrently_under_the_lock(ours: Database, folder: Folder) -> None:
    """The lock of the tool is held without a snapshot, so CONCURRENTLY does not wait for it."""
    ours.execute(HISTORIES["Prisma"])

    started = time.monotonic()
    done = run_job("run", environ=environ(ours, folder(INDEX)))

    assert done.returncode == 0, done.stdout
    assert time.monotonic() - started < 5
    assert ours.value("select indisvalid from pg_index where indexrelid = 'notes_id'::regclass")


def test_a_tool_that_waits_for_us_and_we_for_it_is_let_go(ours: Database, folder: Folder) -> None:
    """A tool blocked in the server keeps a snapshot that CONCURRENTLY waits for: it goes first."""
    ours.execute(HISTORIES["Prisma"])
    files = {
        **NOTES,
        "migrations/2_slow.sql": "select pg_sleep(1);",
        "migrations/3_index.sql": INDEX["migrations/2_index.sql"],
    }

    def wait_as_prisma_does() -> None:
        with ours.connect() as tool:
            tool.execute("set application_name = 'prisma'")
            tool.execute("select pg_advisory_lock(%s)", (PRISMA,))

    settings = environ(ours, folder(files), PREDEPLOY_CONCURRENT_BUDGET="20s")
    with ThreadPoolExecutor(1) as pool, jobs(settings) as (process,):
        until(lambda: _sleeps(ours), "the step to sleep", 10)
        tool = pool.submit(wait_as_prisma_does)
        output = process.communicate(timeout=60)[0]
        tool.result()

    assert process.returncode == 0, output
    assert "lets another tool migrate" in output
    assert ours.value("select indisvalid from pg_index where indexrelid = 'notes_id'::regclass")


def _sleeps(database: Database) -> bool:
    return bool(
        database.rows(
            """select from pg_stat_activity where datname = current_database()
            and wait_event = 'PgSleep'"""
        )
    )


def _is_free(database: Database, kind: str, key: int) -> object:
    return database.value(f"select pg_try_advisory_{kind}lock({key})")
