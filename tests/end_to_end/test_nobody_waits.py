"""Readers and writers beside a sync: who is seen waiting for us, and for how long."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest
from conftest import Database
from production import environ, orphans, prepare, report_here, until

from bench.busy import BASE, WANTED, reader, rows_sql, sessions, writer
from bench.traffic import traffic
from predeploy.contract.plan import Outcome

pytestmark = pytest.mark.dear

Folder = Callable[[Mapping[str, str]], Path]

ROWS = 20_000
LOCK_TIMEOUT_S = 0.5
SLACK_S = 0.4  # for the sampling, and a machine that is busy otherwise
BUSY = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "500ms"}


@pytest.fixture
def busy(database: Database, folder: Folder) -> Database:
    """Ten tables of 20,000 rows each, made by a run."""
    prepare(environ(database, folder({"schema.sql": BASE})))
    database.execute(rows_sql(ROWS))
    return database


def test_nobody_waits_longer_than_a_lock_timeout(busy: Database, folder: Folder) -> None:
    """Twenty indexes, twenty columns, ten foreign keys, five NOT NULLs beside twenty sessions."""
    settings = environ(busy, folder({"schema.sql": WANTED}), **BUSY)

    with traffic(busy.url, sessions(ROWS)) as seen:
        report = report_here(settings)

    assert report["exit_code"] == 0, report["message"]
    assert seen.errors == []
    assert min(seen.done.values()) > 10
    assert seen.samples > 20
    assert seen.longest_s < LOCK_TIMEOUT_S + SLACK_S, seen.worst
    assert report_here(settings)["outcome"] == Outcome.SETTLED.value
    assert orphans(busy) == []


def test_behind_an_idle_reader_the_others_go_on(busy: Database, folder: Folder) -> None:
    """The run tries for its budget, ends with 75 and names the session; then a rerun ends well."""
    settings = environ(busy, folder({"schema.sql": WANTED}), **BUSY)
    with busy.connect() as idle:
        idle.execute("begin; select count(*) from w3")
        with traffic(busy.url, {f"r{n}": reader(n, ROWS) for n in (2, 3, 4)}) as seen:
            report = report_here(settings | {"PREDEPLOY_DDL_BUDGET": "4s"})

        assert report["exit_code"] == 75
        assert f"pid {idle.info.backend_pid} " in report["message"]
    assert seen.errors == []
    assert min(seen.done.values()) > 20
    assert seen.longest_s < LOCK_TIMEOUT_S + SLACK_S, seen.worst
    assert orphans(busy) == []
    assert report_here(settings)["exit_code"] == 0


def test_behind_an_idle_writer_an_index_keeps_nobody_waiting(
    busy: Database, folder: Folder
) -> None:
    """CONCURRENTLY waits for it up to its own budget, names it, and the next run clears up."""
    index = f"{BASE}; create index w3_late on w3 (b)"
    settings = environ(busy, folder({"schema.sql": index}), **BUSY)
    third = {"r3": reader(3, ROWS), "w3": writer(3, ROWS)}
    with busy.connect() as idle:
        idle.execute("begin; update w3 set b = 'idle' where id = 20000")
        with traffic(busy.url, third) as seen:
            report = report_here(
                settings | {"PREDEPLOY_CONCURRENT_BUDGET": "3s", "PREDEPLOY_DDL_BUDGET": "4s"}
            )

        assert report["exit_code"] == 75
        assert f"pid {idle.info.backend_pid} " in report["message"]
    assert min(seen.done.values()) > 10
    assert seen.longest_s < LOCK_TIMEOUT_S + SLACK_S, seen.worst
    assert report_here(settings)["exit_code"] == 0
    assert orphans(busy) == []


def test_a_foreign_key_waits_for_its_two_tables_within_one_timeout(
    busy: Database, folder: Folder
) -> None:
    """Who stands behind it at the first table also stands there while it waits for the second."""
    key = f"{BASE}; alter table w3 add foreign key (c) references w4"
    patience = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "1s", "PREDEPLOY_DDL_BUDGET": "3s"}
    settings = environ(busy, folder({"schema.sql": key}), **patience)
    with busy.connect() as first, busy.connect() as second:
        first.execute("begin; update w3 set b = 'idle' where id = 20000")
        second.execute("begin; update w4 set b = 'idle' where id = 20000")
        leaving = threading.Thread(target=let_go_late, args=(busy, first, 0.8))
        leaving.start()
        with traffic(busy.url, {"r3": reader(3, ROWS), "w3": writer(3, ROWS)}) as seen:
            report = report_here(settings)
        leaving.join()

        assert report["exit_code"] == 75
    assert seen.longest_s < 1 + SLACK_S, seen.worst
    assert report_here(settings)["exit_code"] == 0


def test_a_column_waits_for_all_partitions_within_one_timeout(
    database: Database, folder: Folder
) -> None:
    """Readers of the whole table stand behind it while it waits for one partition after another."""
    parts = "".join(
        f"; create table p{n} partition of p for values from ({n}) to ({n + 1})" for n in range(3)
    )
    table = "create table p (id bigint{}) partition by range (id)" + parts
    settings = environ(database, folder({"schema.sql": table.format("")}), **BUSY)
    prepare(settings)
    database.execute("insert into p values (0), (1), (2)")
    folder({"schema.sql": table.format(", extra text")})
    with database.connect() as first, database.connect() as second, database.connect() as third:
        for n, holder in enumerate((first, second, third)):
            holder.execute(f"begin; select from p{n}".encode())
        leaving = [
            threading.Thread(target=let_go_late, args=(database, holder, seconds))
            for holder, seconds in ((first, 0.4), (second, 0.8), (third, 1.2))
        ]
        for thread in leaving:
            thread.start()
        with traffic(database.url, {"all": whole}) as seen:
            report = report_here(settings)
        for thread in leaving:
            thread.join()

    assert report["exit_code"] == 0, report["message"]
    assert seen.errors == []
    assert seen.longest_s < LOCK_TIMEOUT_S + SLACK_S, seen.worst


def whole(conn: psycopg.Connection) -> None:
    """Read the partitioned table from end to end."""
    conn.execute("select id from p").fetchall()


def let_go_late(database: Database, holder: psycopg.Connection, seconds: float) -> None:
    """End the holder's transaction so long after an ALTER TABLE has begun to wait."""
    queued = "select count(*) from pg_locks where not granted and mode ~ '(Row|Access)Exclusive'"
    until(lambda: database.value(queued), "an ALTER TABLE waits")
    time.sleep(seconds)
    holder.rollback()
