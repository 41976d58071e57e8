"""Adding one column to a schema.sql of many tables, compared with a plain ALTER TABLE."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from bench.catalogue import schema
from bench.harness import Benchmark, Database, Ground, Size, in_turn, predeploy, psql
from bench.peers.push import Pushing, pushing
from bench.peers.registry import PUSH
from bench.relay import relayed
from bench.table import Part, compared

_BEFORE = "    body text,\n"
_PUSHED = 42
"""Of more tables, drizzle-kit push is not asked."""


@dataclass(frozen=True, slots=True)
class _Growing:
    """A database and its schema.sql, whose first table gets another column in each round."""

    ground: Ground
    folder: Path
    name: str
    push: Pushing | None
    numbers: Iterator[int] = field(default_factory=count)

    def one_round(self, delay_ms: int) -> Iterator[tuple[str, float]]:
        with relayed(self.ground.server.port, delay_ms / 1000) as relay:
            url = f"postgresql://postgres@127.0.0.1:{relay.port}/{self.name}?sslmode=disable"
            near = Database(self.name, url)
            yield "psql, the ALTER TABLE", psql(near, self._typed(next(self.numbers)))
            self._declare(next(self.numbers))
            yield "predeploy run", predeploy(near, self.folder)
            yield "predeploy run, settled", predeploy(near, self.folder, outcome="settled")
            if self.push:
                yield PUSH.name, self.push.one_more(relay.port)

    def _typed(self, number: int) -> Path:
        text = f"alter table item_00000 add column typed_{number} text;\n"
        return self.ground.folder({"typed.sql": text}) / "typed.sql"

    def _declare(self, number: int) -> None:
        wanted = self.folder / "schema.sql"
        column = f"    declared_{number} text,\n"
        wanted.write_text(wanted.read_text().replace(_BEFORE, _BEFORE + column, 1))


def measure(ground: Ground, size: Size) -> Iterator[Part]:
    """Yield a table for each count of tables and each delay."""
    for tables in size.counts:
        folder = ground.folder({"schema.sql": schema(tables)})
        with ground.database() as database, ExitStack() as stack:
            pushed = tables <= _PUSHED and PUSH.name in (size.peers or (PUSH.name,))
            push = stack.enter_context(pushing(ground, folder / "schema.sql")) if pushed else None
            predeploy(database, folder)
            growing = _Growing(ground, folder, database.name, push)
            for delay in size.delays_ms:
                samples = in_turn(size.rounds, partial(growing.one_round, delay))
                yield compared(f"{tables:,} tables, {delay} ms", samples)


BENCHMARK = Benchmark(
    "A column more",
    "tables",
    Size(rounds=3, counts=(42, 1_000), delays_ms=(0, 10)),
    Size(rounds=1, counts=(7,), delays_ms=(1,), peers=("psql",)),
    measure,
)
