"""Readers and writers beside a sync: who is seen waiting for us, and for how long."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from conftest import Database
from production import environ, orphans, prepare, report_here

from job.plan import Outcome

Folder = Callable[[Mapping[str, str]], Path]
Action = Callable[[psycopg.Connection], None]

TABLES = range(10)
LOCK_TIMEOUT_S = 0.5
SLACK_S = 0.4  # for the sampling, and a machine that is busy otherwise
BUSY = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "500ms"}
COLUMNS = "id bigint primary key, a integer{}, b text, c bigint"
BASE = ";\n".join(f"create table w{n} ({COLUMNS.format('')})" for n in TABLES)
WANTED = ";\n".join(
    [
        *(
            f"create table w{n} ({COLUMNS.format(' not null' if n < 5 else '')}, "
            f"d integer not null default {n}, e timestamptz default now())"
            for n in TABLES
        ),
        *(f"create index w{n}_a on w{n} (a); create index w{n}_b on w{n} (b)" for n in TABLES),
        *(
            f"alter table w{n} add foreign key (c) references w{(n + 1) % len(TABLES)}"
            for n in TABLES
        ),
    ]
)
ROWS = ";\n".join(
    f"insert into w{n} select i, i, repeat('b', i % 50), i from generate_series(1, 20000) i"
    for n in TABLES
)
# Sessions of a test's own that wait for one of ours; also those that only stand in its queue.
WAITING = """
    select l.pid, extract(epoch from clock_timestamp() - l.waitstart)::float, a.query
    from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where not l.granted and a.datname = current_database()
      and a.application_name = 'the app' and l.waitstart is not null
      and exists (
        select from pg_stat_activity b where b.pid = any (pg_blocking_pids(l.pid))
          and starts_with(b.application_name, 'predeploy'))"""


@dataclass
class Traffic:
    """What the app's sessions did while the traffic went on, and how long one was seen waiting."""

    done: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    samples: int = 0
    longest_s: float = 0
    worst: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def repeat(self, database: Database, name: str, go: Action) -> None:
        """Do it again and again, in a session of its own, until the traffic is over."""
        self.done[name] = 0
        with psycopg.connect(database.url, application_name="the app", autocommit=True) as conn:
            while not self.over.wait(0.01):
                try:
                    go(conn)
                except psycopg.Error as error:
                    self.errors.append(f"{name}: {error}")
                self.done[name] += 1

    def sample(self, conn: psycopg.Connection) -> None:
        for pid, waited_s, query in conn.execute(WAITING).fetchall():
            if waited_s > self.longest_s:
                self.longest_s, self.worst = waited_s, f"pid {pid}: {query}"
        self.samples += 1


def reader(n: int) -> Action:
    def go(conn: psycopg.Connection) -> None:
        row = random.randint(1, 20000)  # noqa: S311
        conn.execute(f"select a, b, c from w{n} where id = %s", [row]).fetchall()

    return go


def writer(n: int) -> Action:
    def go(conn: psycopg.Connection) -> None:
        row = random.randint(1, 20000)  # noqa: S311
        with conn.transaction():
            conn.execute(f"update w{n} set b = b || 'x', c = id where id = %s", [row])
            conn.execute(f"insert into w{n} (id, a, c) select max(id) + 1, 1, 1 from w{n}")

    return go


@contextmanager
def traffic(database: Database, sessions: Mapping[str, Action]) -> Iterator[Traffic]:
    """Keep these sessions busy meanwhile, and look every few milliseconds who waits for us."""
    seen = Traffic()
    threads = [
        threading.Thread(target=seen.repeat, args=(database, name, go))
        for name, go in {**sessions, "sampler": seen.sample}.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        seen.over.set()
        for thread in threads:
            thread.join(60)


@pytest.fixture
def busy(database: Database, folder: Folder) -> Database:
    """Ten tables of 20,000 rows each, made by a run."""
    prepare(environ(database, folder({"schema.sql": BASE})))
    database.execute(f"{ROWS}; analyze")
    return database


def test_nobody_waits_longer_than_a_lock_timeout(busy: Database, folder: Folder) -> None:
    """Twenty indexes, twenty columns, ten foreign keys, five NOT NULLs beside twenty sessions."""
    settings = environ(busy, folder({"schema.sql": WANTED}), **BUSY)
    sessions = {f"r{n}": reader(n) for n in TABLES} | {f"w{n}": writer(n) for n in TABLES}

    with traffic(busy, sessions) as seen:
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
        with traffic(busy, {f"r{n}": reader(n) for n in (2, 3, 4)}) as seen:
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
    sessions = {"r3": reader(3), "w3": writer(3)}
    with busy.connect() as idle:
        idle.execute("begin; update w3 set b = 'idle' where id = 20000")
        with traffic(busy, sessions) as seen:
            report = report_here(
                settings | {"PREDEPLOY_CONCURRENT_BUDGET": "3s", "PREDEPLOY_DDL_BUDGET": "4s"}
            )

        assert report["exit_code"] == 75
        assert f"pid {idle.info.backend_pid} " in report["message"]
    assert min(seen.done.values()) > 10
    assert seen.longest_s < LOCK_TIMEOUT_S + SLACK_S, seen.worst
    assert report_here(settings)["exit_code"] == 0
    assert orphans(busy) == []
