"""drizzle-kit push: the one peer here that is given a schema instead of migrations."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.harness import BenchError, Database, Ground, psql
from bench.peers.install import installed
from bench.peers.race import columns, ran
from bench.peers.registry import PULL, PUSH
from bench.peers.tool import Contestant

_BEFORE = "body: text(),"
# It pulls the bounds of a bigint as numbers that its own push cannot parse: 22003, and exit code 0.
_BOUNDS = re.compile(r"AsIdentity\(\{[^}]*\}\)")


@dataclass(frozen=True, slots=True)
class Pushing:
    """A database with tables, and the same schema in TypeScript."""

    contestant: Contestant
    database: Database
    numbers: Iterator[int] = field(default_factory=count)

    def one_more(self, port: int) -> float:
        """Declare another column and push; return its seconds. Raises BenchError if it is missing.

        The exit code is no proof of success.
        """
        schema = self.contestant.folder / "out" / "schema.ts"
        column = f"declared{next(self.numbers)}: text(),"
        schema.write_text(schema.read_text().replace(_BEFORE, _BEFORE + column, 1))
        before = columns(self.database)
        used = ran(self.contestant, port, self.database)
        if columns(self.database) != before + 1:
            raise BenchError(
                f"drizzle-kit push exits with 0 and adds no column: {used.said[-500:]}"
            )
        return used.seconds


@contextmanager
def pushing(ground: Ground, loaded: Path) -> Iterator[Pushing]:
    """Load an SQL file, and pull the result."""
    folder = ground.folder(PUSH.layout(()))
    home = installed("drizzle-kit migrate", PUSH.install)
    with ground.database() as database:
        psql(database, loaded)
        ran(Contestant(PULL, home, folder), ground.server.port, database)
        schema = folder / "out" / "schema.ts"
        schema.write_text(_BOUNDS.sub("AsIdentity()", schema.read_text()))
        yield Pushing(Contestant(PUSH, home, folder), database)
