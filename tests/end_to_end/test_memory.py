"""Large files are read, digested and sent in little memory: the shipped Job's limit is 256Mi."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, job_environ

Folder = Callable[[Mapping[str, str]], Path]

TABLE = "create table z (id int, t text);\n"


def plain(n: int) -> str:
    return f"({n}, 'zip {n}; it''s -- {n}; é')"


def computed(n: int) -> str:
    """Return a row with operators, casts and calls, which no parser may pass over unseen."""
    return f"(({n} + 1)::int, upper('a;' || {n})::varchar(20) || now())"


def many(count: int, row: Callable[[int], str] = plain) -> str:
    return TABLE + "".join(f"INSERT INTO z VALUES {row(n)};\n" for n in range(count))


def one(count: int, row: Callable[[int], str] = plain) -> str:
    return f"{TABLE}INSERT INTO z VALUES {','.join(map(row, range(count)))};\n"


# What is forked counts its parent's memory as its own, so a small process stands in between.
WATCHER = """
import resource, subprocess, sys
status = subprocess.call([sys.executable, "-m", "predeploy", "run"], stdout=subprocess.DEVNULL)
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def measured(environ: Mapping[str, str]) -> tuple[int, float]:
    """Run a cold job; return its exit code and the most memory that it had, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHER],
        env=job_environ(environ),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    status, peak_kb = done.stdout.split()
    return int(status), int(peak_kb) / 1000


@pytest.mark.parametrize(
    ("text", "rows", "most_mb"),
    [
        pytest.param(many(10_000), 10_000, 80, id="10,000 INSERTs"),
        pytest.param(one(30_000), 30_000, 80, id="one INSERT of 30,000 rows"),
        pytest.param(one(30_000, computed), 30_000, 85, id="one of 30,000 computed rows"),
        pytest.param(many(300_000), 300_000, 185, id="300,000 INSERTs", marks=pytest.mark.slow),
        pytest.param(
            many(300_000, computed), 300_000, 195, id="300,000 computed", marks=pytest.mark.slow
        ),
        pytest.param(one(400_000), 400_000, 190, id="one of 400,000 rows", marks=pytest.mark.slow),
        pytest.param(
            one(200_000, computed),
            200_000,
            150,
            id="one of 200,000 computed rows",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_large_file_takes_little_memory(
    text: str, rows: int, most_mb: float, database: Database, folder: Folder
) -> None:
    """Case C5: 750 MB for 300,000 INSERTs, which the Job's limit ended with 137, four times."""
    root = folder({"migrations/1_a.sql": text})

    exit_code, peak_mb = measured({"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)})

    assert exit_code == 0
    assert database.value("select count(*) from z") == rows
    assert peak_mb < most_mb
