"""Adding a column to a table that a long transaction reads; how long others cannot read it.

ALTER TABLE waits for the long transaction, and everyone else queues behind ALTER TABLE.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from bench.harness import Benchmark, Database, Ground, Size
from bench.peers.race import Entrant, entered, ran, started
from bench.peers.registry import MIGRATE, named
from bench.peers.tool import Migration
from bench.table import Part, Table, milliseconds
from bench.traffic import Action, traffic

# psql keeps no record, so it runs this again before the second file.
_MAKE = """create table if not exists orders (id bigint primary key, total bigint not null);
insert into orders select i, i from generate_series(1, 1000) i on conflict do nothing;
"""
_BEFORE = (Migration(1, "orders", _MAKE),)
_AFTER = (*_BEFORE, Migration(2, "note", "alter table orders add column note text;\n"))
_READERS = 4
_HEADER = (
    "", "exit code", "took, s", "reads", "longest read, ms", "reads of over 100 ms, s in all",
)  # fmt: skip
_LONG_S = 0.1
_LOOK_S = 0.01
# The transaction must still be open when a tool gets there, which can take seconds.
_WAITS = """
    select 1 from pg_locks where not granted and relation = 'orders'::regclass
      and database = (select oid from pg_database where datname = current_database())"""


def measure(ground: Ground, size: Size) -> Iterator[Part]:
    """Yield a table for each round."""
    field = entered(ground, (MIGRATE, *named(size.peers)), _BEFORE)
    yield field.words()
    for number in range(1, size.rounds + 1):
        title = f"A transaction open for {size.held_s} s, round {number} of {size.rounds}"
        rows = (_row(ground, entrant, size.held_s) for entrant in field.entrants)
        yield Table(title, _HEADER, tuple(rows))


def _row(ground: Ground, entrant: Entrant, held_s: float) -> tuple[str, ...]:
    before = entrant.contestant
    after = replace(before, folder=ground.folder(before.peer.layout(_AFTER)))
    with ground.database() as database:
        ran(before, ground.server.port, database)
        with _read(database, held_s), traffic(database.url, _readers()) as seen:
            used = started(after, ground.server.port, database).wait()
    took = [seconds for each in seen.took_s.values() for seconds in each]
    return (
        before.peer.name,
        str(used.code),
        f"{used.seconds:.1f}",
        f"{len(took):,}",
        milliseconds(max(took)),
        f"{sum(seconds for seconds in took if seconds > _LONG_S):.1f}",
    )


def _readers() -> dict[str, Action]:
    return {f"r{n}": _one for n in range(_READERS)}


def _one(conn: psycopg.Connection) -> None:
    conn.execute("select total from orders where id = 7").fetchall()


@contextmanager
def _read(database: Database, seconds: float) -> Iterator[None]:
    """Keep a transaction that reads the table open until `seconds` after one waits for it."""
    over = threading.Event()

    def stay(conn: psycopg.Connection) -> None:
        with database.connect() as watch:
            while not over.wait(_LOOK_S) and not watch.execute(_WAITS).fetchone():
                pass
        over.wait(seconds)
        conn.execute("rollback")

    with database.connect() as conn:
        conn.execute("begin; select total from orders where id = 7")
        reader = threading.Thread(target=stay, args=(conn,))
        reader.start()
        try:
            yield
        finally:
            over.set()
            reader.join()


BENCHMARK = Benchmark(
    "Beside peers: behind a long transaction",
    "",
    Size(rounds=1, held_s=10),
    Size(rounds=1, held_s=0.5, peers=("psql",)),
    measure,
)
