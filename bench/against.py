"""The shipped migrations, applied by each peer: to an empty database, and once more."""

from collections.abc import Iterator

from bench.harness import Benchmark, Ground, Size
from bench.peers.figures import shown
from bench.peers.race import entered, fresh, settled, shipped
from bench.peers.registry import MIGRATE, PREDEPLOY, named
from bench.table import Part


def measure(ground: Ground, size: Size) -> Iterator[Part]:
    """Compare runs with nothing to do, then runs on an empty database."""
    field = entered(ground, (PREDEPLOY, MIGRATE, *named(size.peers)), shipped())
    yield field.words()
    done = settled(ground, field.entrants, size)
    yield from shown("peers-settled", "42 tables, nothing to do", done)
    done = fresh(ground, field.entrants, size)
    yield from shown("peers-fresh", "42 tables in 18 files, an empty database", done)


BENCHMARK = Benchmark(
    "Beside peers: the shipped 42 tables",
    "",
    Size(rounds=3, delays_ms=(0, 1, 10, 50)),
    Size(rounds=1, delays_ms=(1,), peers=("psql",)),
    measure,
)
