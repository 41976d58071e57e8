"""A destructive migration and a sync, on a table to which the app writes meanwhile.

The app updates twenty rows a second and reads as often as it can. The yardstick is psql with the
same statements, in one transaction or, for a sync, with indexes built CONCURRENTLY: how long it
takes, how long a reader waits, and how large the table is at the end, since a step that is tried
twice leaves its rows there twice.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import psycopg

from bench.harness import Benchmark, Database, Ground, Size, predeploy, psql
from bench.table import Table, milliseconds
from bench.traffic import traffic

_TABLE = """create table users (
    id integer primary key, first text, last text, seen timestamptz, n integer default 0{});
"""
_FILL = """insert into users (id, first, last, seen)
select i, 'f' || i, 'l' || i, now() from generate_series(1, {}) i"""
_INDEXES = "create index users_last on users (last);\ncreate index users_seen on users (seen);\n"
_LATE = "late text not null default 'x'"
_DELETE = "update users set n = 1;\ndelete from users where id % 1000 = 0;\n"
_REPLACE = """alter table users add column full_name text;
update users set full_name = first || ' ' || last;
alter table users drop column first;
"""
_HEADER = (
    "", "took, s", "ratio", "reads", "longest read, ms", "seen waiting, ms", "errors of the app",
    "the table in the end, MB",
)  # fmt: skip
_EVERY_S = 0.04  # in addition to the update's own time and the traffic's pause


@dataclass(frozen=True, slots=True)
class _Case:
    """A change: psql's statements, and the files that predeploy's folder has besides the first."""

    name: str
    plain: str
    files: Mapping[str, str]
    is_transaction: bool = True


_CASES = (
    _Case(
        "a declared delete beside a backfill",
        _DELETE,
        {"migrations/2_delete.sql": f"-- predeploy: allow delete users\n{_DELETE}"},
    ),
    _Case(
        "a column that another one replaces",
        _REPLACE,
        {"migrations/2_replace.sql": f"-- predeploy: allow drop-column users.first\n{_REPLACE}"},
    ),
    _Case(
        "a sync: a column and two indexes",
        f"alter table users add column {_LATE};\n"
        + _INDEXES.replace("create index", "create index concurrently"),
        {"schema.sql": _TABLE.format(f", {_LATE}") + _INDEXES},
        is_transaction=False,
    ),
)


def measure(ground: Ground, size: Size) -> Iterator[Table]:
    """Yield one table for each count of rows and each round."""
    first = {"migrations/1_users.sql": _TABLE.format("")}
    for rows in size.counts:
        with ground.database() as template:
            predeploy(template, ground.folder(first))
            template.execute(_FILL.format(rows))
            template.execute("vacuum analyze users")
            for number in range(1, size.rounds + 1):
                title = f"A table of {rows:,} rows, round {number} of {size.rounds}"
                found = [
                    row for case in _CASES for row in _beside(ground, template, case, first, rows)
                ]
                yield Table(title, _HEADER, tuple(found))


def _beside(
    ground: Ground, template: Database, case: _Case, first: Mapping[str, str], rows: int
) -> Iterator[tuple[str, ...]]:
    plain = ground.folder({"plain.sql": case.plain}) / "plain.sql"
    ours = ground.folder({**first, **case.files})
    options = ["--single-transaction"] if case.is_transaction else []
    ways: dict[str, Callable[[Database], float]] = {
        "psql": lambda database: psql(database, plain, options=options),
        "predeploy": lambda database: predeploy(database, ours),
    }
    base = 0.0
    for name, change in ways.items():
        with ground.database(template) as database:
            app = {"reader": _reader(rows), "writer": _writer(rows)}
            with traffic(database.url, app) as seen:
                seconds = change(database)
            size = "select pg_table_size('users')"
            with database.connect() as conn:
                ((taken,),) = conn.execute(size).fetchall()
        base = base or seconds
        yield (
            f"{case.name}: {name}",
            f"{seconds:.1f}",
            f"{seconds / base:.1f}",
            f"{len(seen.took_s['reader']):,}",
            milliseconds(max(waits)) if (waits := seen.took_s["reader"]) else "none came through",
            milliseconds(seen.longest_s),
            str(len(seen.errors)),
            f"{taken / 1024**2:.0f}",
        )


def _reader(rows: int) -> Callable[[psycopg.Connection], None]:
    def read(conn: psycopg.Connection) -> None:
        conn.execute("select last from users where id = %s", (_some(rows),)).fetchall()

    return read


def _writer(rows: int) -> Callable[[psycopg.Connection], None]:
    def write(conn: psycopg.Connection) -> None:
        conn.execute("update users set seen = now() where id = %s", (_some(rows),))
        time.sleep(_EVERY_S)

    return write


def _some(rows: int) -> int:
    return 1 + random.randrange(rows)  # noqa: S311 - no secret


BENCHMARK = Benchmark(
    "A delete and a sync while the app writes to the table",
    "rows",
    Size(rounds=1, counts=(1_000_000,)),
    Size(rounds=1, counts=(1_000,)),
    measure,
)
