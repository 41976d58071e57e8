"""The longest wait of any reader or writer while a release is applied to large tables.

Ten tables get 20 indexes, 10 foreign keys, 5 NOT NULLs and 20 columns, with a reader and a writer
on each: by predeploy, by a control that only waits as long, and by psql with the plain statements.
A reader's time is that of its query, a writer's that of its transaction. In HELD, two more sessions
keep transactions open for seconds: DDL has to wait for them, and others behind it.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.busy import BASE, PLAIN, WANTED, loiterers, rows_sql, sessions
from bench.harness import Benchmark, Database, Ground, Size, predeploy, psql
from bench.table import Table, milliseconds
from bench.traffic import Action, Traffic, traffic

_HEADER = (
    "", "took, s", "done", "p50, ms", "p99, ms", "longest, ms", "longest, ratio",
    "seen waiting, ms", "errors",
)  # fmt: skip
_WHO = {"r": "readers", "w": "writers"}
_HUNDREDTHS = 100
_LOITERERS = 2

Change = Callable[[Database], float]
Way = tuple[str, float, Traffic]


def measure(ground: Ground, size: Size) -> Iterator[Table]:
    """Yield one table for each count of rows and each round; ratios are to that round's control."""
    for rows in size.counts:
        app = sessions(rows) | (loiterers(_LOITERERS, size.held_s) if size.held_s else {})
        before = ground.folder({"schema.sql": BASE})
        with ground.database() as template:
            predeploy(template, before)
            template.execute(rows_sql(rows))
            for number in range(1, size.rounds + 1):
                ways = tuple(_one_round(ground, template, app))
                title = f"10 tables of {rows:,} rows{_also(size)}, round {number} of {size.rounds}"
                yield Table(title, _HEADER, tuple(_rows(ways)))


def _also(size: Size) -> str:
    return f", {_LOITERERS} transactions open for {size.held_s} s each" if size.held_s else ""


def _one_round(ground: Ground, template: Database, app: Mapping[str, Action]) -> Iterator[Way]:
    after = ground.folder({"schema.sql": WANTED})
    plain = ground.folder({"plain.sql": PLAIN}) / "plain.sql"

    def run(name: str, change: Change) -> Way:
        with ground.database(template) as database:
            with traffic(database.url, app) as seen:
                seconds = change(database)
            return name, seconds, seen

    ours = run("predeploy", lambda database: predeploy(database, after))
    yield run("nobody", lambda _: _nothing(ours[1]))
    yield ours
    yield run("psql, each statement alone", lambda database: psql(database, plain))
    yield run("psql, one transaction", lambda database: _at_once(database, plain))


def _nothing(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def _at_once(database: Database, file: Path) -> float:
    return psql(database, file, options=["--single-transaction"])


def _rows(ways: Sequence[Way]) -> Iterator[tuple[str, ...]]:
    control = ways[0][2]
    for (name, seconds, seen), initial in itertools.product(ways, _WHO):
        took = _took(seen, initial)
        percentiles = statistics.quantiles(took, n=_HUNDREDTHS, method="inclusive")
        errors = sum(error.startswith(initial) for error in seen.errors)
        yield (
            f"{name}: {_WHO[initial]}",
            f"{seconds:.1f}",
            f"{len(took):,}",
            milliseconds(percentiles[49]),
            milliseconds(percentiles[98]),
            milliseconds(max(took)),
            f"{max(took) / max(_took(control, initial)):.1f}",
            milliseconds(seen.longest_s),
            str(errors),
        )


def _took(seen: Traffic, initial: str) -> list[float]:
    return [s for name, each in seen.took_s.items() if name.startswith(initial) for s in each]


SHORT = Benchmark(
    "Who stands still while tables in use are changed",
    "rows in each table",
    Size(rounds=1, counts=(1_000_000,)),
    Size(rounds=1, counts=(1_000,)),
    measure,
)
HELD = Benchmark(
    "The same beside sessions that hold transactions open",
    "rows in each table",
    Size(rounds=1, counts=(100_000,), held_s=5),
    Size(rounds=1, counts=(1_000,), held_s=0.02),
    measure,
)
