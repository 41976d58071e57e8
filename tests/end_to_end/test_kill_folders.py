"""Random folders, harmed at random moments: the ledger is right then, and a rerun ends as unharmed.

The ledger never says that something was applied which is not there, and never lacks what is. A
folder holds steps in transactions and outside of them, some of which fail; the harm is SIGKILL,
SIGTERM, or connections that the server ends. `make kill N=150` takes more of them; the seeds begin
at KILL_FROM, or at the CHAOS_SEED that the report's header tells.
"""

import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Database
from production import contents, environ, jobs, orphans, prepare, run_here, until

from predeploy.contract.exit_codes import ExitCode

pytestmark = pytest.mark.dear

FIRST = int(os.environ.get("KILL_FROM", os.environ["CHAOS_SEED"]))
SEEDS = range(FIRST, FIRST + int(os.environ.get("KILLS", "4")))
TABLES = ("t0", "t1", "t2")
BASE = "create table trace (id serial primary key, what text not null);" + "".join(
    f"create table {name} (id int primary key, n int, s text);"
    f"create index old_{name} on {name} (s);"
    f"insert into {name} select g, g % 7, 'row ' || g from generate_series(1, 3000) g;"
    for name in TABLES
)
INSIDE = (
    "alter table {t} add column c_{u} int default 7",
    "update {t} set n = n + 1",
    "insert into {t} select max(id) + 1, 1, 'new' from {t}",
    "create table x_{u} as select * from {t}",
    "create index i_{u} on {t} (n)",
    "create index if not exists again_{t} on {t} (s)",
    "alter type mood_{u} add value 'c'",
    "do $$ begin update {t} set s = s || '!'; end $$",
    "select pg_sleep(0.05)",
)
OUTSIDE = (
    "create index concurrently ic_{u} on {t} (s)",
    "create unique index concurrently iu_{u} on {t} (id)",
    "drop index concurrently if exists old_{t}",
    "vacuum {t}",
)
FAILING = (
    "select 1 / 0",
    "insert into {t} (id) values (1)",
    "delete from {t} where id < 4",
    "drop table {t}",
)
FAILING_OUTSIDE = ("create unique index concurrently bad_{u} on {t} (n)",)
DECLARED = "create table wanted (id int primary key, n int not null, s text);"
OURS = """select count(*) from pg_stat_activity where datname = current_database()
    and pid <> pg_backend_pid() and starts_with(application_name, 'predeploy')"""
CUT = """select pg_terminate_backend(pid) from (
        select pid from pg_stat_activity where datname = current_database()
          and pid <> pg_backend_pid() and starts_with(application_name, 'predeploy')
        order by random() limit %s) ours"""


@dataclass(frozen=True)
class Segment:
    """One step as it stands in its file, and what shows that it was run."""

    file: str
    position: int
    name: str
    text: str
    is_inside: bool

    def is_there(self, seen: "Seen") -> bool | None:
        """Whether the database holds what the step makes; None where it makes nothing."""
        if self.is_inside:
            assert seen.trace.count(self.name) == (f"mark_{self.name}" in seen.relations)
            return f"mark_{self.name}" in seen.relations
        words = self.text.split()
        if "create" in words:
            return words[words.index("on") - 1] in seen.relations
        if "drop" in words:
            return words[-1] not in seen.relations
        return None


@dataclass(frozen=True)
class Seen:
    """What a database holds, as far as it tells of steps; `started` are those without an end."""

    trace: tuple[str, ...]
    relations: frozenset[str]
    done: frozenset[tuple[str, int]]
    started: frozenset[tuple[str, int]]


def segments_of(chance: random.Random) -> list[Segment]:
    """Make up a folder: up to four files of up to four steps, one folder in two with a bad one."""
    made = []
    shape = [chance.randint(1, 4) for _ in range(chance.randint(1, 4))]
    places = [(f, s) for f, steps in enumerate(shape, 1) for s in range(1, steps + 1)]
    bad = chance.choice(places) if chance.random() < 0.5 else None
    for file, position in places:
        name, table = f"{file}_{position}", chance.choice(TABLES)
        is_inside = chance.random() < 0.65
        kinds = INSIDE if is_inside else OUTSIDE
        count = chance.randint(1, 4) if is_inside else 1
        texts = [chance.choice(kinds) for _ in range(count)]
        if (file, position) == bad:
            failing = FAILING if is_inside else FAILING_OUTSIDE
            texts[-1] = chance.choice(failing)
        said = "; ".join(dict.fromkeys(texts)).replace("{t}", table).replace("{u}", name)
        if is_inside:
            made_first = f"create type mood_{name} as enum ('a')" if "mood_" in said else ""
            said = "; ".join(filter(None, (_marks(name), made_first, said)))
        made.append(Segment(f"{file}_x.sql", position, name, said, is_inside))
    return made


def _marks(name: str) -> str:
    return f"create table mark_{name} (); insert into trace (what) values ('{name}')"


def write(root: Path, segments: list[Segment], *, has_schema: bool) -> Path:
    """Write the folder; each step stands in its own BEGIN and COMMIT, if it is in one at all."""
    (root / "migrations").mkdir(parents=True)
    (root / "migrations" / "0_base.sql").write_text(BASE)
    for file in dict.fromkeys(segment.file for segment in segments):
        texts = [
            f"begin; {segment.text}; commit;\n" if segment.is_inside else f"{segment.text};\n"
            for segment in segments
            if segment.file == file
        ]
        (root / "migrations" / file).write_text("".join(texts))
    if has_schema:
        (root / "schema.sql").write_text(DECLARED)
    return root


def seen_in(database: Database) -> Seen:
    with database.connect() as conn:
        (trace,) = conn.execute("select array(select what from trace order by id)").fetchone() or ()
        (names,) = (
            conn.execute(
                """select array(select relname::text from pg_class c
                left join pg_index i on i.indexrelid = c.oid
                where relnamespace = 'public'::regnamespace and coalesce(indisvalid, true))"""
            ).fetchone()
            or ()
        )
        rows = conn.execute("select file, position, is_done from predeploy.migration").fetchall()
    return Seen(
        tuple(trace),
        frozenset(names),
        frozenset((file, position) for file, position, is_done in rows if is_done),
        frozenset((file, position) for file, position, is_done in rows if not is_done),
    )


def assert_the_ledger_is_right(database: Database, segments: list[Segment], story: str) -> None:
    """What is done is there, what is there is done; a step that was only started runs outside."""
    seen = seen_in(database)
    told: set[str] = set()
    for segment in segments:
        step, is_there = (segment.file, segment.position), segment.is_there(seen)
        what = f"{story}: {segment}"
        assert not (segment.is_inside and step in seen.started), what
        if segment.text in told:  # another step's drop proves nothing of this one's
            continue
        told.add(segment.text)
        if is_there is not None and step not in seen.started:
            assert is_there == (step in seen.done), what


def final(database: Database) -> dict[str, object]:
    """Return all that a run leaves: rows, columns, indexes, the ledger but for its times."""
    ledger = "select file, step_hash, occurrence, position, is_final, is_done, losses, drifts"
    return {
        "contents": {k: rows for k, rows in contents(database).items() if k != "public.trace"},
        "trace": seen_in(database).trace,
        "indexes": database.rows(
            """select indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid
            from pg_index where indrelid >= 16384 and indrelid not in (
                select oid from pg_class where relnamespace = 'predeploy'::regnamespace
                union select oid from pg_class where relkind = 't') order by 1"""
        ),
        "ledger": database.rows(f"{ledger} from predeploy.migration order by 1, 4, 2"),
        "left over": orphans(database),
    }


@contextmanager
def started(database: Database, root: Path) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """Start a job; yield it, and the moment at which it was seen in the database."""
    with database.connect() as observer, jobs(environ(database, root)) as (job,):
        until(
            lambda: job.poll() is not None or observer.execute(OURS).fetchone() != (0,),
            "the job to connect",
        )
        yield job, time.monotonic()


def harm(database: Database, root: Path, chance: random.Random, duration_s: float) -> str:
    """Run a job and do it harm at a random moment; return what was done, and what came of it."""
    how = chance.choice(("kill", "kill", "term", "cut one", "cut all"))
    with started(database, root) as (job, began):
        moment = chance.uniform(0, duration_s)
        time.sleep(max(0, began + moment - time.monotonic()))
        if how.startswith("cut"):
            database.rows(CUT, 1 if how == "cut one" else 10)
        else:
            job.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        said, _ = job.communicate(timeout=60)
    with database.connect() as observer:
        until(lambda: observer.execute(OURS).fetchone() == (0,), "the server to notice")
    story = f"{how} after {moment:.3f} of {duration_s:.3f} s: {job.returncode}"
    assert job.returncode != 1, f"{story}\n{said}"
    return story


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ledger_is_right_after_any_harm(
    seed: int, make_database: Callable[..., Database], tmp_path: Path
) -> None:
    """Twice harmed and then let alone, a folder ends as on a database that was never disturbed."""
    chance = random.Random(seed)  # noqa: S311 - nobody guesses it
    segments = segments_of(chance)
    base = write(tmp_path / uuid.uuid4().hex, [], has_schema=False)
    root = write(tmp_path / uuid.uuid4().hex, segments, has_schema=chance.random() < 0.4)
    calm, harmed = make_database(), make_database()
    for database in (calm, harmed):
        prepare(environ(database, base))
    with started(calm, root) as (job, began):
        said, _ = job.communicate(timeout=60)
        duration_s = time.monotonic() - began
    expected = ExitCode(job.returncode)
    assert expected in {ExitCode.OK, ExitCode.FAILED, ExitCode.PARTIAL, ExitCode.REFUSED}, said
    assert_the_ledger_is_right(calm, segments, f"seed {seed}, undisturbed")

    story = f"seed {seed}"
    for _ in range(2):
        story = f"{story}; {harm(harmed, root, chance, duration_s)}"
        assert_the_ledger_is_right(harmed, segments, story)

    report = run_here(environ(harmed, root))
    assert report.exit_code is expected, f"{story}\n{report}"
    assert_the_ledger_is_right(harmed, segments, story)
    assert final(harmed) == final(calm), story
