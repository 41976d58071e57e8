"""Large files beside psql with the same file: many INSERTs, and one of many rows."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.harness import (
    Benchmark,
    Ground,
    Size,
    in_turn,
    job_command,
    job_environ,
    max_rss_mb,
    predeploy,
    psql,
)
from bench.table import Table, compared

_TABLE = "create table z (id int, t text);\n"
_FILE = "migrations/0001_z.sql"


def measure(ground: Ground, size: Size) -> Iterator[Table]:
    """Print a table of times for each file, then the memory that each has taken."""
    memory = []
    for rows in size.counts:
        for name, text in _files(rows):
            title = f"{name}, {len(text) / 1e6:.1f} MB"
            folder = ground.folder({_FILE: text})
            yield compared(title, in_turn(size.rounds, partial(_one_round, ground, folder)))
            with ground.database() as database:
                peak = max_rss_mb(job_command(), job_environ(database, folder))
            memory.append((title, f"{peak:.0f}"))
    yield Table("Memory of the job", ("", "peak, MB"), tuple(memory))


def _one_round(ground: Ground, folder: Path) -> Iterator[tuple[str, float]]:
    with ground.database() as database:
        yield "psql, one transaction", psql(database, folder / _FILE, options=("-1",))
    with ground.database() as database:
        yield "predeploy run", predeploy(database, folder)


def _files(rows: int) -> Iterator[tuple[str, str]]:
    yield f"{rows:,} INSERTs", _TABLE + "".join(map(_insert, range(rows)))
    yield f"one INSERT of {rows:,} rows", _one(rows, _constants)
    yield f"one INSERT of {rows:,} computed rows", _one(rows, _computed)


def _insert(n: int) -> str:
    return f"INSERT INTO z VALUES {_constants(n)};\n"


def _one(rows: int, row: Callable[[int], str]) -> str:
    return f"{_TABLE}INSERT INTO z VALUES {','.join(map(row, range(rows)))};\n"


def _constants(n: int) -> str:
    return f"({n}, 'zip {n}; it''s -- {n}')"


def _computed(n: int) -> str:
    return f"(({n} + 1)::int, upper('a' || {n})::varchar(20) || now())"


BENCHMARK = Benchmark(
    "Large files",
    "rows",
    Size(rounds=3, counts=(300_000,)),
    Size(rounds=1, counts=(1_000,)),
    measure,
)
