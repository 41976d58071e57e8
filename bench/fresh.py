"""The shipped 42 tables on an empty database, compared with psql and the same files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.harness import (
    SHIPPED,
    Benchmark,
    Ground,
    Size,
    bare_command,
    in_turn,
    job_environ,
    predeploy,
    psql,
    timed,
)
from bench.table import Table, compared

_ADMIN = {"ADMIN_USERNAME": "admin", "ADMIN_EMAIL": "admin@example.com"}
_BY_HASH = {**_ADMIN, "ADMIN_PASSWORD_HASH": "$2b$12$" + "a" * 53}
_BY_PASSWORD = {**_ADMIN, "ADMIN_PASSWORD": "correct-horse-battery"}


def measure(ground: Ground, size: Size) -> Iterator[Table]:
    """Compare psql, migrations alone, and all layers, each on an empty database."""
    alone = ground.folder({})
    shutil.copytree(SHIPPED / "migrations", alone / "migrations")
    samples = in_turn(size.rounds, lambda: _one_round(ground, alone))
    yield compared("42 tables in 18 files, on an empty database", samples)


def _one_round(ground: Ground, alone: Path) -> Iterator[tuple[str, float]]:
    files = sorted((SHIPPED / "migrations").iterdir())
    with ground.database() as database:
        yield "psql, one session", psql(database, *files)
        bare = timed(bare_command(), job_environ(database, alone))
        yield "import psycopg, structlog; connect", bare
    ways = {
        "predeploy, migrations/ alone": (alone, {}),
        "predeploy, all layers, the admin by a hash": (SHIPPED, _BY_HASH),
        "predeploy, all layers, the admin by a password": (SHIPPED, _BY_PASSWORD),
    }
    for name, (folder, admin) in ways.items():
        with ground.database() as database:
            yield name, predeploy(database, folder, **admin)


BENCHMARK = Benchmark(
    "An empty database",
    "",
    Size(rounds=15),
    Size(rounds=1),
    measure,
)
