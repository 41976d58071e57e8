"""What has hurt people with other tools and has no better place; see docs/reliability.md."""

import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
from conftest import Database
from production import contents, environ, jobs, prepare, report_here, run_here, until, whole_files

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Outcome

Folder = Callable[[Mapping[str, str]], Path]

NOTES = {"migrations/1_notes.sql": "create table notes (id int); insert into notes values (1);"}
SLOW = {"migrations/2_slow.sql": "insert into notes select 2 from pg_sleep(30);"}
INDEX = {"migrations/2_index.sql": "create index concurrently notes_id on notes (id);"}
ASLEEP = """select count(*) from pg_stat_activity
    where datname = current_database() and wait_event = 'PgSleep'"""
BUILDS = "select count(*) from pg_stat_progress_create_index where datname = current_database()"


def test_a_backup_from_the_middle_of_a_run_brings_no_lock_with_it(
    database: Database, make_database: Callable[..., Database], folder: Folder, programs: Path
) -> None:
    """A lock that is a row comes back with a backup. Ours is none, and no step is half in it."""
    settings = environ(database, folder({**NOTES, **SLOW}))
    with jobs(settings):
        until(lambda: database.value(ASLEEP), "a step to run")
        dump = subprocess.run(
            [programs / "pg_dump", database.url], capture_output=True, text=True, check=True
        ).stdout
    # The wheel's pg_dump asks an older server, too, for what came with 17.
    dump = dump.replace("SET transaction_timeout = 0;\n", "")
    restored = make_database()
    subprocess.run(
        [programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", restored.url],
        input=dump, text=True, check=True, capture_output=True,
    )  # fmt: skip
    assert whole_files(restored) == ["1_notes.sql"]

    folder({**NOTES, "migrations/2_slow.sql": "insert into notes values (2);"})
    report = report_here(environ(restored, Path(settings["PREDEPLOY_SQL_DIR"])))

    assert report["exit_code"] == 0, report
    assert contents(restored) == {"public.notes": [{"id": 1}, {"id": 2}]}


def test_a_short_lock_timeout_does_not_fail_a_concurrent_build(
    database: Database, folder: Folder
) -> None:
    """Neither ours nor the role's ends a build that waits, which would leave it INVALID."""
    prepare(environ(database, folder(NOTES)))
    database.execute(f'alter database "{database.name}" set lock_timeout = 200')
    settings = environ(database, folder({**NOTES, **INDEX}), PREDEPLOY_DDL_LOCK_TIMEOUT="200ms")
    with psycopg.connect(database.url) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute("insert into notes values (2)")
        running = pool.submit(run_here, settings)
        until(lambda: database.value(BUILDS), "the build to wait")
        time.sleep(1)
        writer.commit()
        report = running.result(30)

    assert (report.exit_code, report.outcome) == (ExitCode.OK, Outcome.OK)
    assert database.rows(
        """select indexrelid::regclass::text, indisvalid from pg_index
        where indrelid = 'notes'::regclass"""
    ) == [("notes_id", True)]


def test_a_concurrent_build_never_waits_for_the_lock_of_its_own_job(
    database: Database, folder: Folder
) -> None:
    """It waits for the end of every transaction that it meets with a snapshot.

    The one that holds our lock ends when the build is done: they would wait for each other for ever
    if that were the one that looks who is in the way.
    """
    prepare(environ(database, folder(NOTES)))
    settings = environ(database, folder({**NOTES, **INDEX}))
    looks = """select pid in (select pid from pg_locks where locktype = 'advisory')
        from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
        and application_name like 'predeploy/%' and query like '%pg_blocking_pids%'"""
    with psycopg.connect(database.url) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute("insert into notes values (2)")
        running = pool.submit(run_here, settings)
        until(lambda: database.rows(looks), "us to look who is in the way")
        lookers_hold_it = database.rows(looks)
        writer.commit()
        report = running.result(30)

    assert lookers_hold_it == [(False,)]
    assert (report.exit_code, report.outcome) == (ExitCode.OK, Outcome.OK)
