"""Who is in a migration's way is named, by what people know them by; then the run ends with 75."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from conftest import Database
from production import environ, orphans, prepare, report_here, until

from predeploy.embedded import server

pytestmark = pytest.mark.dear

Folder = Callable[[Mapping[str, str]], Path]

LIMITS = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "500ms", "PREDEPLOY_DDL_BUDGET": "1500ms"}
BEFORE = {"migrations/1_log.sql": "create table log (id bigint); insert into log values (1);"}
ALTER = "alter table log add column late text;"
AFTER = {**BEFORE, "migrations/2_alter.sql": ALTER}


@pytest.fixture
def used(database: Database, folder: Folder) -> Database:
    """A database with a table in it, made by a run."""
    prepare(environ(database, folder(BEFORE)))
    return database


@contextmanager
def session(database: Database, name: str, *statements: str) -> Iterator[int]:
    """Do this in a session of that name, the last part in the background; yield its pid."""
    with psycopg.connect(database.url, application_name=name, autocommit=True) as conn:
        *first, last = statements
        for statement in first:
            conn.execute(statement.encode())
        busy = threading.Thread(target=_until_ended, args=(conn, last))
        busy.start()
        time.sleep(0.2)
        yield conn.info.backend_pid
        conn.cancel_safe()
        busy.join()


def _until_ended(conn: psycopg.Connection, statement: str) -> None:
    try:
        conn.execute(statement.encode())
    except psycopg.errors.QueryCanceled:
        return


BY_NAME = {
    "a long reader": (
        ("report", "select count(pg_sleep(60)) from log"),
        r"report, 127.0.0.1, active, in its transaction for \d+ s\)$",
    ),
    "an idle transaction": (
        ("console", "begin; update log set id = 2"),
        r"console, 127.0.0.1, idle in transaction, in its transaction for \d+ s\)$",
    ),
    "a dump": (
        (
            "pg_dump",
            "begin isolation level repeatable read, read only; lock table log in access share mode",
            "copy (select pg_sleep(60)) to '/dev/null'",
        ),
        r"pg_dump, 127.0.0.1, active, in its transaction for \d+ s\)$",
    ),
    "a session without a name": (
        ("", "begin; select from log"),
        r"unnamed, 127.0.0.1, idle in transaction, in its transaction for \d+ s\)$",
    ),
}


@pytest.mark.parametrize("who", BY_NAME)
def test_who_is_in_the_way_is_named(who: str, used: Database, folder: Folder) -> None:
    """Its pid, application, address, state and age; the budget ends with 75, nothing is left.

    Not its statement, which may hold a secret.
    """
    statements, told = BY_NAME[who]
    settings = environ(used, folder(AFTER), **LIMITS)

    with session(used, *statements) as pid:
        started = time.monotonic()
        report = report_here(settings)
        took_s = time.monotonic() - started

    failure = report["failure"]
    assert (report["exit_code"], failure["sqlstate"]) == (75, "55P03")
    assert re.search(rf"blocked by pid {pid} \({told}", failure["message"]), failure
    assert "pg_terminate_backend" in failure["next"]
    assert took_s < 1.5 + 1
    assert used.rows("select attname from pg_attribute where attname = 'late'") == []
    assert orphans(used) == []
    assert report_here(settings)["exit_code"] == 0


def test_a_step_that_waits_here_and_there_is_told_as_one_that_lacks_locks(
    used: Database, folder: Folder
) -> None:
    """A step that was cancelled for what it had waited in all ends as one that waited once."""
    used.execute("create table other (); create table third ()")
    alters = "".join(f"alter table {t} add column late text;" for t in ("other", "log", "third"))
    settings = environ(used, folder({**BEFORE, "migrations/2_alter.sql": alters}), **LIMITS)
    settings |= {"PREDEPLOY_DDL_LOCK_TIMEOUT": "2s", "PREDEPLOY_DDL_BUDGET": "1s"}
    with (
        session(used, "short", "begin; select from log; select pg_sleep(1.2); rollback"),
        session(used, "long", "begin; select from third") as pid,
    ):
        report = report_here(settings)

    failure = report["failure"]
    assert (report["exit_code"], failure["sqlstate"]) == (75, "55P03")
    assert "has waited 2 s for its locks in all" in failure["message"]
    assert f"blocked by pid {pid} (long, " in failure["message"]
    assert failure["line"] == 1


def test_a_vacuum_that_does_not_yield_is_named_as_what_it_is(
    own_binaries: Path, folder: Folder
) -> None:
    """Autovacuum against wraparound gives no way to anybody, and has no application name."""
    eager = {"autovacuum": "on", "autovacuum_freeze_max_age": "100000", "autovacuum_naptime": "1s"}
    with server(own_binaries, settings=eager) as started:
        database = Database("postgres", started.url())
        settings = environ(database, folder(BEFORE), **LIMITS)
        prepare(settings)
        slow = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
        rows = "insert into log select generate_series(1, 100000)"
        database.execute(f"alter table log set ({slow}); {rows}")
        a_transaction = "perform pg_current_xact_id(); commit"
        database.execute(f"do $$ begin for n in 1..100100 loop {a_transaction}; end loop; end $$")
        worker = """select pid from pg_stat_activity
            where backend_type = 'autovacuum worker' and query ~ 'public.log .to prevent'"""
        # It looks at one database after the other, and the machine may be busy.
        until(lambda: database.rows(worker), "autovacuum to come to the table", 120)
        pid = database.value(worker)
        folder(AFTER)

        report = report_here(settings)

        assert report["exit_code"] == 75, report
        message = report["failure"]["message"]
        assert report["exit_code"] == 75
        does = r"autovacuum: VACUUM .*public.log \(to prevent wraparound\)"
        assert re.search(rf"blocked by pid {pid} \({does}, local, active, ", message)


def test_a_prepared_transaction_is_named_as_one(own_binaries: Path, folder: Folder) -> None:
    """It has no session that anybody could look for."""
    with server(own_binaries, settings={"max_prepared_transactions": "5"}) as started:
        database = Database("postgres", started.url())
        settings = environ(database, folder(BEFORE), **LIMITS)
        prepare(settings)
        database.execute("begin; update log set id = 3; prepare transaction 'forgotten'")
        folder(AFTER)

        report = report_here(settings)

        database.execute("rollback prepared 'forgotten'")
        assert report["exit_code"] == 75
        assert "a prepared transaction, see pg_prepared_xacts" in report["failure"]["message"]
        assert report_here(settings)["exit_code"] == 0
