"""Sync of many tables compared with psql and the same file, and later runs without changes."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.catalogue import schema
from bench.harness import Benchmark, Database, Ground, Size, in_turn, predeploy, psql
from bench.table import Table, compared
from predeploy.database.catalog.fingerprint import fingerprint_sql

_LEDGER = "predeploy"
_UNSETTLE = f"delete from {_LEDGER}.state where name = 'settled'"


def measure(ground: Ground, size: Size) -> Iterator[Table]:
    """Yield a table for each count of tables."""
    for tables in size.counts:
        folder = ground.folder({"schema.sql": schema(tables)})
        samples = in_turn(size.rounds, partial(_one_round, ground, folder))
        yield compared(f"{tables:,} tables", samples)


def _one_round(ground: Ground, folder: Path) -> Iterator[tuple[str, float]]:
    with ground.database() as database:
        yield "psql -f schema.sql, on an empty database", psql(database, folder / "schema.sql")
    with ground.database() as database:
        yield "predeploy run, on an empty database", predeploy(database, folder)
        yield "predeploy run, settled", predeploy(database, folder, outcome="settled")
        database.execute(_UNSETTLE)
        yield "predeploy run, unchanged but not settled", predeploy(database, folder)
        yield "the fingerprint alone", _fingerprint(database)
        wanted = folder / "schema.sql"
        before = wanted.read_text()
        wanted.write_text(f"{before}\ncreate table one_more (id bigint primary key);\n")
        yield "predeploy run, one table more in the file", predeploy(database, folder)
        wanted.write_text(before)


def _fingerprint(database: Database) -> float:
    with database.connect() as conn:
        query = f"select {fingerprint_sql(_LEDGER)}".encode()
        started = time.perf_counter()
        conn.execute(query).fetchall()
        return time.perf_counter() - started


BENCHMARK = Benchmark(
    "Many tables",
    "tables",
    Size(rounds=3, counts=(42, 1_000)),
    Size(rounds=1, counts=(7,)),
    measure,
)
