"""Two, ten and fifty copies at once, in every situation: all end with 0, and each step ran once.

Ten and fifty on an empty database, ten with pending files or an index, and an old and a new version
of two are tests of their own in `test_concurrency` and `test_ahead`, with more to see.
"""

import subprocess
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from pathlib import Path

import pytest
from conftest import Database
from production import environ, jobs, orphans, prepare, until, whole_files

pytestmark = pytest.mark.dear

Folder = Callable[[Mapping[str, str]], Path]

FIRST = "create table trace (id serial primary key, what text not null);"
GATE = 4711
AT_THE_GATE = f"""select count(*) from pg_locks l join pg_database d on d.oid = l.database
    where datname = current_database() and objid = {GATE} and not granted"""
JOBS = """select count(distinct client_port) from pg_stat_activity
    where datname = current_database() and starts_with(application_name, 'predeploy')"""
SLOW = {
    "migrations/03_slow.sql": f"""insert into trace (what)
        select '03' from pg_advisory_xact_lock({GATE})"""
}
INDEX = {"migrations/03_index.sql": "create index concurrently trace_what on trace (what);"}


def steps(*numbers: int) -> dict[str, str]:
    """Files that each leave their mark, and would leave another one if they ran again."""
    return {
        f"migrations/{n:02}_step.sql": f"insert into trace (what) values ('{n:02}');"
        for n in numbers
    }


BASE = {"migrations/01_trace.sql": FIRST, **steps(2)}
# What a situation begins with, and the folders of its copies, in turn.
SITUATIONS: dict[str, tuple[dict[str, str], tuple[dict[str, str], ...]]] = {
    "empty": ({}, ({**BASE, **steps(3, 4, 5)},)),
    "pending": (BASE, ({**BASE, **steps(3, 4, 5, 6)},)),
    "concurrently": (BASE, ({**BASE, **INDEX, **steps(4)},)),
    "killed": (BASE, ({**BASE, **SLOW, **steps(4)},)),
    "old and new": (BASE, ({**BASE, **steps(3)}, {**BASE, **steps(3, 4, 5)})),
}
MATRIX = [
    ("empty", 2),
    *(("pending", copies) for copies in (2, 50)),
    *(("concurrently", copies) for copies in (2, 50)),
    *(("killed", copies) for copies in (2, 10, 50)),
    *(("old and new", copies) for copies in (10, 50)),
]


def ended(
    situation: str, database: Database, environs: list[dict[str, str]]
) -> tuple[list[int], list[str]]:
    """Run all copies; return their exit codes and outputs.

    Where one is to be killed, it is, in the middle of a step while the others wait for its lock.
    """
    if situation != "killed":
        with jobs(*environs) as processes:
            return _finished(processes)
    with database.connect() as gate, jobs(environs[0]) as (first,):
        gate.execute("select pg_advisory_lock(%s)", (GATE,))
        until(lambda: database.value(AT_THE_GATE), "the first copy to be at it")
        with jobs(*environs[1:]) as others:
            until(lambda: int(str(database.value(JOBS))) >= 4, "another copy to be there", 60)
            first.kill()
            gate.close()
            codes, outputs = _finished(others)
        return [first.wait(), *codes], outputs


def _finished(processes: list[subprocess.Popen[str]]) -> tuple[list[int], list[str]]:
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    return [process.returncode for process in processes], outputs


@pytest.mark.parametrize(("situation", "copies"), MATRIX, ids=lambda v: str(v).replace(" ", "-"))
def test_each_step_runs_once_whatever_comes_together(
    situation: str, copies: int, database: Database, folder: Folder, tmp_path: Path
) -> None:
    """All end with 0 but who was killed; the schema is right, and no step has left two marks."""
    begins_with, folders = SITUATIONS[situation]
    if begins_with:
        prepare(environ(database, folder(begins_with)))
    roots = [folder(files).rename(tmp_path / str(n)) for n, files in enumerate(folders)]
    environs = [environ(database, root) for root in islice(cycle(roots), copies)]

    codes, outputs = ended(situation, database, environs)

    killed = 1 if situation == "killed" else 0
    assert codes == [-9] * killed + [0] * (copies - killed), outputs
    newest = folders[-1]
    names = sorted(path.removeprefix("migrations/") for path in newest)
    marks = [name[:2] for name in names if name not in {"01_trace.sql", "03_index.sql"}]
    assert whole_files(database) == names
    assert [what for (what,) in database.rows("select what from trace order by id")] == marks
    assert orphans(database) == []
    assert database.value("select to_regclass('trace_what') is not null") is (
        situation == "concurrently"
    )
