"""A sync that is killed, or whose server is: a rerun ends well, and nothing is lost or left over.

`make kill N=50` kills more often, with FROM=100 at other moments.
"""

import os
import random
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from conftest import Database
from crashing import Crashing, crashing
from production import environ, jobs, orphans, prepare, run_here, until
from two_sides import facts

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Outcome
from predeploy.contract.report import headline
from predeploy.schema.facts import Fact

pytestmark = pytest.mark.dear

FIRST = int(os.environ.get("KILL_FROM", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("KILLS", "2")))
TABLES = range(4)
COLUMNS = {**{f"t{n}": "id, a, b, c" for n in TABLES}, "p": "id, at"}
BASE = (
    "".join(
        f"create table t{n} (id bigint primary key, a integer, b text, c integer);" for n in TABLES
    )
    + """
create table p (id bigint, at date) partition by range (at);
create table p_1 partition of p for values from ('2024-01-01') to ('2025-01-01');
create table p_2 partition of p for values from ('2025-01-01') to ('2026-01-01');
"""
)
ROWS = (
    "".join(
        f"insert into t{n} select i, i, repeat('b', i % 90), 1 + i % 20000 "
        "from generate_series(1, 20000) i;"
        for n in TABLES
    )
    + "insert into p select i, date '2024-01-01' + i % 700 from generate_series(1, 20000) i;"
)
WANTED = (
    "".join(
        f"""create table t{n} (
        id bigint primary key,
        a integer not null check (a > 0),
        b text not null,
        c integer references t{(n + 1) % len(TABLES)} (id),
        d integer not null default 7,
        unique (a, id)
    );
    create index t{n}_b on t{n} (b);
    create index t{n}_lower on t{n} (lower(b)) where a > 10;"""
        for n in reversed(TABLES)
    ).replace("references t0 (id)", "")
    + """
alter table t3 add foreign key (c) references t0 (id);
create table p (id bigint not null, at date not null, note text default 'n')
    partition by range (at);
create table p_1 partition of p for values from ('2024-01-01') to ('2025-01-01');
create table p_2 partition of p for values from ('2025-01-01') to ('2026-01-01');
create index p_id on p (id);
create table new (id integer primary key, t bigint references t1);
create materialized view many as select count(*) from t0;
create view few as select a.id from t0 a join t1 b on a.id = b.c where a.d = 7;
create function touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touch before update on t2 for each row execute function touch();
comment on table new is 'new';
"""
)
# Such a trigger would run in a swapped schema, so the file is read in a temporary database.
IN_THE_WAY = """
create function watch() returns event_trigger language plpgsql as 'begin end';
create event trigger watch on ddl_command_end execute function watch();
"""
OURS = """select count(*) from pg_stat_activity where datname = current_database()
    and starts_with(application_name, 'predeploy')"""


@dataclass
class World:
    """A server that can be crashed, and what a sync makes of its database `template`."""

    crashing: Crashing
    wanted: frozenset[Fact] = frozenset()
    duration_s: float = 0

    def clone(self, name: str) -> Database:
        server = self.crashing.server
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute(f"create database {name} template template strategy file_copy")
        return Database(name, server.url(name))


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sql")
    (root / "schema.sql").write_text(WANTED)
    return root


@pytest.fixture(scope="module")
def world(binaries: Path, sql: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    base = tmp_path_factory.mktemp("base")
    (base / "schema.sql").write_text(BASE)
    with crashing(binaries) as ours:
        world = World(ours)
        template = Database("template", ours.server.url("template"))
        with psycopg.connect(ours.server.url(), autocommit=True) as conn:
            conn.execute("create database template")
        prepare(environ(template, base))
        template.execute(ROWS)
        template.execute("vacuum analyze")
        control = world.clone("control")
        began = time.monotonic()
        prepare(environ(control, sql))
        world.duration_s = time.monotonic() - began
        world.wanted = facts(control)
        yield world


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_job_is_made_good(world: World, sql: Path, seed: int) -> None:
    """SIGKILL at any moment: the next run ends as one that was never disturbed."""
    database = world.clone(f"job_{seed}")
    before = held(database)
    chance = random.Random(seed)  # noqa: S311 - nobody guesses it
    if seed % 2:
        database.execute(IN_THE_WAY)
    with jobs(environ(database, sql)) as (job,):
        until(lambda: job.poll() is not None or database.value(OURS), "the job to connect")
        moment = chance.uniform(0, world.duration_s)
        time.sleep(moment)
        job.send_signal(signal.SIGKILL)
        job.wait()

    assert_made_good(database, sql, world, before, f"seed {seed}, killed after {moment:.3f} s")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_crashes_is_made_good(world: World, sql: Path, seed: int) -> None:
    """An immediate shutdown under a job, and recovery: the job or the next one ends well."""
    database = world.clone(f"server_{seed}")
    before = held(database)
    chance = random.Random(seed)  # noqa: S311 - nobody guesses it
    moment = chance.uniform(0, world.duration_s)
    with jobs({**environ(database, sql), "PREDEPLOY_CONNECT_BUDGET": "20s"}) as (job,):
        until(lambda: job.poll() is not None or database.value(OURS), "the job to connect")
        time.sleep(moment)
        world.crashing.crash()
        said, _ = job.communicate(timeout=60)

    story = f"seed {seed}, crashed after {moment:.3f} s; the job ended with {job.returncode}"
    assert job.returncode in {0, 69, 75, 81}, f"{story}\n{said}"
    assert_made_good(database, sql, world, before, story)


def assert_made_good(
    database: Database, sql: Path, world: World, before: dict[str, object], story: str
) -> None:
    """A run ends with 0 and a second is settled; all is there, with every row, and nothing else."""
    first = run_here(environ(database, sql))
    assert first.exit_code is ExitCode.OK, f"{story}\n{headline(first)}"
    assert run_here(environ(database, sql)).outcome is Outcome.SETTLED, story
    database.execute("drop event trigger if exists watch; drop function if exists watch()")
    assert facts(database) ^ world.wanted == frozenset(), story
    assert orphans(database) == [], story
    assert held(database, before) == before, story


def held(database: Database, known: Iterable[str] = COLUMNS) -> dict[str, object]:
    """Return a hash over every row of the tables, in the columns that they had."""
    return {
        table: database.value(
            f"""select md5(string_agg(t::text, ',' order by t::text))
            from (select {COLUMNS[table]} from {table}) t"""
        )
        for table in known
    }
