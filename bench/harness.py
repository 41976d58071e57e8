"""The basis of the benchmarks: a server, databases, and processes that are timed."""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from bench.process import start
from bench.table import Part
from predeploy.embedded import Server, server, wheel_binaries

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "sql"
# With a disk that is waited for: otherwise a commit costs nothing, and psql commits every
# statement.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_KEPT = ("PATH", "HOME", "LANG")
_BARE = "import os, psycopg, structlog; psycopg.connect(os.environ['DATABASE_URL'])"


class BenchError(Exception):
    """What was to be timed has failed, so its time is meaningless."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: the number of rounds, and what else a benchmark counts (rows, tables).

    With `held_s`, sessions of the app keep transactions open for that many seconds; 0 means none.
    `peers` names the peers to compare with (empty: all), and `delays_ms` the round trip times in
    milliseconds.
    """

    rounds: int
    counts: tuple[int, ...] = ()
    held_s: float = 0
    peers: tuple[str, ...] = ()
    delays_ms: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Database:
    """A database that one benchmark has to itself."""

    name: str
    url: str

    def connect(self) -> psycopg.Connection:
        """Connect to it; every statement is a transaction."""
        return psycopg.connect(self.url, autocommit=True)

    def execute(self, text: str) -> None:
        """Run statements on a separate connection."""
        with self.connect() as conn:
            conn.execute(text.encode())


@dataclass(frozen=True, slots=True)
class Ground:
    """A running server, and a folder for files, for the duration of a benchmark."""

    server: Server
    scratch: Path

    @contextmanager
    def database(self, template: Database | None = None) -> Iterator[Database]:
        """Create a database, empty or cloned. It is removed with its server.

        It is not dropped before: after many files are deleted, ext4 is slow to create new ones for
        several seconds (`recently_deleted`), which would count for what is timed next.
        """
        name = f"bench_{uuid.uuid4().hex[:8]}"
        source = sql.Identifier(template.name if template else "template1")
        made = sql.Identifier(name)
        # Cloned by copying files, which writes no WAL for which a benchmark would then wait.
        create = sql.SQL("create database {} template {} strategy file_copy").format(made, source)
        with psycopg.connect(self.server.url(), autocommit=True) as conn:
            conn.execute(create)
        yield Database(name, self.server.url(name))

    def folder(self, files: Mapping[str, str]) -> Path:
        """Write an SQL folder from a mapping of paths to texts."""
        root = Path(tempfile.mkdtemp(dir=self.scratch))
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return root


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is measured, its usual amount, and the least amount, which takes seconds."""

    title: str
    counted: str
    usual: Size
    small: Size
    measure: Callable[[Ground, Size], Iterable[Part]]


@contextmanager
def ground() -> Iterator[Ground]:
    """Start a server for one benchmark, configured as in production; leave nothing behind."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o711)  # the server runs as another user
        with server(settings=_DURABLE, parent=Path(scratch)) as started:
            yield Ground(started, Path(scratch))


def in_turn(
    rounds: int, one_round: Callable[[], Iterable[tuple[str, float]]]
) -> dict[str, list[float]]:
    """Collect the seconds of each name. Each is timed once a round, so that load affects all."""
    samples: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, seconds in one_round():
            samples[name].append(seconds)
    return samples


def predeploy(database: Database, folder: Path, *, outcome: str = "ok", **settings: str) -> float:
    """Run the job as a process; return its seconds. Raises BenchError for another outcome."""
    environ = job_environ(database, folder, **settings)
    return timed(job_command(), environ, said=f'"outcome":"{outcome}"')


def job_command() -> list[str]:
    """Return the command that runs the job with this interpreter."""
    return [sys.executable, "-m", "predeploy", "run"]


def bare_command() -> list[str]:
    """Return the least that any Python job needs: the interpreter, the imports, a connection."""
    return [sys.executable, "-c", _BARE]


def job_environ(database: Database, folder: Path, **settings: str) -> dict[str, str]:
    """Return the job's settings, and the environment variables that any process needs."""
    ours = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder)}
    return {**kept(), "PYTHONPATH": str(ROOT), **ours, **settings}


def psql(database: Database, *files: Path, options: Sequence[str] = ()) -> float:
    """Run files unchanged in one psql session; return its seconds."""
    command = [str(wheel_binaries() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *options]
    named = [part for file in files for part in ("-f", str(file))]
    return timed([*command, "-d", database.url, *named], kept())


def timed(command: Sequence[str], environ: Mapping[str, str], *, said: str = "") -> float:
    """Run a process to its end; return its seconds.

    Raises BenchError if it fails, or if its output lacks `said`.
    """
    started = time.perf_counter()
    stdout = _finished(command, environ)
    seconds = time.perf_counter() - started
    if said not in stdout:
        raise BenchError(f"{said} is missing in: {stdout[-2000:]}")
    return seconds


def max_rss_mb(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Run a process to its end; return its peak memory in MB."""
    used = start(command, environ).wait()
    if used.code:
        raise _failed(command, used.code, used.said)
    return used.rss_mb


def _finished(command: Sequence[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, env=environ, cwd="/", check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise _failed(command, done.returncode, done.stdout + done.stderr)
    return done.stdout


def _failed(command: Sequence[str], code: int, said: str) -> BenchError:
    return BenchError(f"{Path(command[0]).name} ended with {code}: {said[-2000:]}")


def kept() -> dict[str, str]:
    """Return the environment variables that any process needs."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
