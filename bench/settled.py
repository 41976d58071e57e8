"""A run that finds nothing to do, compared with an interpreter that only imports and connects."""

import statistics
from collections.abc import Iterator

from bench.harness import (
    SHIPPED,
    Benchmark,
    Database,
    Ground,
    Size,
    bare_command,
    in_turn,
    job_command,
    job_environ,
    max_rss_mb,
    predeploy,
    timed,
)
from bench.table import Table, compared


def measure(ground: Ground, size: Size) -> Iterator[Table]:
    """Compare times, then memory, on the shipped 42 tables."""
    with ground.database() as database:
        predeploy(database, SHIPPED)
        predeploy(database, SHIPPED, outcome="settled")
        yield compared("Time of a settled run", in_turn(size.rounds, lambda: _times(database)))
        memory = in_turn(size.rounds, lambda: _memory(database))
        yield Table("Memory of a settled run", ("", "median of the peaks, MB"), _medians(memory))


def _commands() -> dict[str, list[str]]:
    return {
        "import psycopg, structlog; connect": bare_command(),
        "predeploy run, settled": job_command(),
    }


def _times(database: Database) -> Iterator[tuple[str, float]]:
    environ = job_environ(database, SHIPPED)
    return ((name, timed(command, environ)) for name, command in _commands().items())


def _memory(database: Database) -> Iterator[tuple[str, float]]:
    environ = job_environ(database, SHIPPED)
    return ((name, max_rss_mb(command, environ)) for name, command in _commands().items())


def _medians(samples: dict[str, list[float]]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, f"{statistics.median(mb):.1f}") for name, mb in samples.items())


BENCHMARK = Benchmark(
    "Nothing to do",
    "",
    Size(rounds=40),
    Size(rounds=2),
    measure,
)
