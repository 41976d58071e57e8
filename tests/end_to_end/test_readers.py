"""Readers beside a migration that cannot have its locks: how long they wait, and who is named."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from conftest import Database
from production import environ, prepare, report_here, until

from bench.traffic import Action, traffic

pytestmark = pytest.mark.dear

Folder = Callable[[Mapping[str, str]], Path]

LOCK_TIMEOUT_S = 1.0
SLACK_S = 0.5  # a quarter for the watch, and as much for a machine that is busy otherwise
LIMITS = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "1s", "PREDEPLOY_DDL_BUDGET": "60s"}
TABLES = ("first", "second", "third", "fourth")
BEFORE = {
    "migrations/1_tables.sql": "".join(
        f"create table {t} (id bigint primary key); insert into {t} values (1);" for t in TABLES
    )
}
FOUR_ALTERS = "".join(f"alter table {t} add column late text;" for t in TABLES)
A_STEP_WAITS = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
COLUMNS = "select count(*) from pg_attribute where attname = 'late'"


@pytest.fixture
def four(database: Database, folder: Folder) -> Database:
    """Four tables with a row each, made by a run."""
    prepare(environ(database, folder(BEFORE)))
    return database


def then(text: str) -> dict[str, str]:
    """Return the folder with one more migration."""
    return {**BEFORE, "migrations/2_change.sql": text}


@contextmanager
def held(database: Database, seconds: Mapping[str, float]) -> Iterator[None]:
    """Read tables in transactions that end so long after a step has begun to wait."""
    with ExitStack() as stack:
        leaving = []
        for table, after in seconds.items():
            holder = stack.enter_context(database.connect())
            holder.execute(f"begin; select from {table}".encode())
            leaving.append(threading.Thread(target=leave, args=(database, holder, after)))
        for thread in leaving:
            thread.start()
        yield
        for thread in leaving:
            thread.join()


def leave(database: Database, holder: psycopg.Connection, seconds: float) -> None:
    """End the holder's transaction so long after a step has begun to wait."""
    until(lambda: database.value(A_STEP_WAITS), "a step waits")
    time.sleep(seconds)
    holder.rollback()


def reading(table: str) -> Action:
    """Return what reads a table."""
    return lambda conn: conn.execute(f"select from {table}".encode()).fetchall() and None


TRUNCATE_AND_COPY = """-- predeploy: allow truncate first
truncate first;
copy second (id) from stdin;
7
\\.
"""
ONE_BY_ONE = {"second": 0.7, "third": 1.4, "fourth": 2.1}
IN_OTHER_WAYS: dict[str, tuple[str, Mapping[str, float]]] = {
    "one message": (FOUR_ALTERS, ONE_BY_ONE),
    "in pieces": (f"{FOUR_ALTERS} create index if not exists i on first (id);", ONE_BY_ONE),
    "between two looks": (
        f"-- predeploy: allow delete fourth\n{FOUR_ALTERS} delete from fourth;",
        ONE_BY_ONE,
    ),
    "the first lock counts, too": (FOUR_ALTERS, {"first": 0.7, "second": 1.4, "third": 2.1}),
    "one statement, several tables": (
        f"lock table {', '.join(TABLES)}; {FOUR_ALTERS}",
        {"first": 0.7, "second": 1.4, "third": 2.1},
    ),
    "a COPY with its data": (TRUNCATE_AND_COPY + FOUR_ALTERS, ONE_BY_ONE),
}


@pytest.mark.parametrize("way", IN_OTHER_WAYS)
def test_a_reader_waits_no_longer_than_one_lock_timeout(
    way: str, four: Database, folder: Folder
) -> None:
    """However many locks a step waits for, who stands behind it waits for one timeout at a time."""
    text, holders = IN_OTHER_WAYS[way]
    settings = environ(four, folder(then(text)), **LIMITS)

    with held(four, holders), traffic(four.url, {"r": reading("first")}) as seen:
        report = report_here(settings)

    assert report["exit_code"] == 0, report
    assert seen.errors == []
    assert seen.longest_s < LOCK_TIMEOUT_S + SLACK_S, seen.worst
    assert seen.longest_s > LOCK_TIMEOUT_S / 2, "nobody stood behind the step"
