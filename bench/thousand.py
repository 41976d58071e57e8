"""A thousand small migrations, by the peers that are fast enough: all pending, and none."""

from collections.abc import Iterator

from bench.harness import Benchmark, Ground, Size
from bench.peers.figures import shown
from bench.peers.race import entered, fresh, settled
from bench.peers.registry import MIGRATE, named
from bench.peers.tool import Migration
from bench.table import Part

_TABLE = "create table item_{0:04} (id bigint primary key, name text not null);\n"


def measure(ground: Ground, size: Size) -> Iterator[Part]:
    """Compare runs with everything pending, then with nothing to do, for each count."""
    peers = tuple(peer for peer in named(size.peers) if peer.bulk)
    for count in size.counts:
        field = entered(ground, (MIGRATE, *peers), _migrations(count))
        yield field.words()
        done = fresh(ground, field.entrants, size)
        yield from shown("thousand-fresh", f"{count:,} migrations, an empty database", done)
        done = settled(ground, field.entrants, size)
        yield from shown("thousand-settled", f"{count:,} migrations, nothing to do", done)


def _migrations(count: int) -> tuple[Migration, ...]:
    return tuple(Migration(n, f"item_{n}", _TABLE.format(n)) for n in range(1, count + 1))


BENCHMARK = Benchmark(
    "Beside peers: a thousand migrations",
    "migrations",
    Size(rounds=3, counts=(1_000,), delays_ms=(0, 10)),
    Size(rounds=1, counts=(20,), delays_ms=(1,), peers=("psql",)),
    measure,
)
