"""Several copies of a tool, started at once on an empty database like replicas of an app."""

from collections import Counter
from collections.abc import Iterator, Sequence

from bench.harness import Benchmark, Ground, Size
from bench.peers.race import Entrant, columns, complaint, entered, shipped, started, wanted
from bench.peers.registry import MIGRATE, PREDEPLOY, named
from bench.process import Usage
from bench.table import Part, Table

_HEADER = ("", "exit codes", "all is there", "once more", "last, s", "what the first to fail said")


def measure(ground: Ground, size: Size) -> Iterator[Part]:
    """Yield a table for each count of copies and each round."""
    migrations = shipped()
    whole = wanted(ground, migrations)
    field = entered(ground, (PREDEPLOY, MIGRATE, *named(size.peers)), migrations)
    yield field.words()
    for count in size.counts:
        for number in range(1, size.rounds + 1):
            rows = tuple(_row(ground, each, count, whole) for each in field.entrants)
            yield Table(f"{count} copies, round {number} of {size.rounds}", _HEADER, rows)


def _row(ground: Ground, entrant: Entrant, count: int, whole: int) -> tuple[str, ...]:
    contestant, port = entrant.contestant, ground.server.port
    with ground.database() as database:
        copies = [started(contestant, port, database) for _ in range(count)]
        ends = [copy.wait() for copy in copies]
        complete = columns(database) >= whole
        again = started(contestant, port, database).wait()
    said = next((complaint(contestant, end) for end in ends if end.code), "")
    return (
        contestant.peer.name,
        _codes(ends),
        "yes" if complete else "**no**",
        "ok" if not again.code else f"fails with {again.code}",
        f"{max(end.seconds for end in ends):.1f}",
        said.replace("|", "\\|"),
    )


def _codes(ends: Sequence[Usage]) -> str:
    counted = Counter(end.code for end in ends)
    return ", ".join(f"{times} x {code}" for code, times in sorted(counted.items()))


BENCHMARK = Benchmark(
    "Beside peers: ten copies at once",
    "copies",
    Size(rounds=1, counts=(10,)),
    Size(rounds=1, counts=(2,), peers=("psql",)),
    measure,
)
