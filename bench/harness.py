"""What the benchmarks stand on: a server of their own, databases, and processes that are timed."""

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
# On a disk that is waited for: otherwise a commit costs nothing, and psql makes one a statement.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_KEPT = ("PATH", "HOME", "LANG")
_BARE = "import os, psycopg, structlog; psycopg.connect(os.environ['DATABASE_URL'])"


class BenchError(Exception):
    """What was to be timed has failed, so that its time says nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds of it, and what else a benchmark counts (rows, or tables).

    For `held_s` at a time, sessions of the app stay in a transaction; 0: none does. What is set
    beside peers is set beside these, or all, and their round trips take so many milliseconds.
    """

    rounds: int
    counts: tuple[int, ...] = ()
    held_s: float = 0
    peers: tuple[str, ...] = ()
    delays_ms: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a benchmark's own."""

    name: str
    url: str

    def connect(self) -> psycopg.Connection:
        """Connect to it; every statement is a transaction."""
        return psycopg.connect(self.url, autocommit=True)

    def execute(self, text: str) -> None:
        """Run statements on a connection of their own."""
        with self.connect() as conn:
            conn.execute(text.encode())


@dataclass(frozen=True, slots=True)
class Ground:
    """A running server, and a folder for files, for as long as a benchmark runs."""

    server: Server
    scratch: Path

    @contextmanager
    def database(self, template: Database | None = None) -> Iterator[Database]:
        """Make a database, empty or cloned. It goes with its server.

        Behind many files that were deleted, ext4 takes its time to make new ones, for seconds
        (`recently_deleted`): what is timed next would pay for that.
        """
        name = f"bench_{uuid.uuid4().hex[:8]}"
        source = sql.Identifier(template.name if template else "template1")
        made = sql.Identifier(name)
        # Cloned by copying files, which writes no WAL that a benchmark would then wait for.
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
    """What is measured, how much of it unless said, and the least of it, which takes seconds."""

    title: str
    counted: str
    usual: Size
    small: Size
    measure: Callable[[Ground, Size], Iterable[Part]]


@contextmanager
def ground() -> Iterator[Ground]:
    """Start a server for one benchmark, as users run theirs; leave nothing behind."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o711)  # the server is another user's
        with server(settings=_DURABLE, parent=Path(scratch)) as started:
            yield Ground(started, Path(scratch))


def in_turn(
    rounds: int, one_round: Callable[[], Iterable[tuple[str, float]]]
) -> dict[str, list[float]]:
    """Collect the seconds of each thing. Each is timed once a round, so a busy minute meets all."""
    samples: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, seconds in one_round():
            samples[name].append(seconds)
    return samples


def predeploy(database: Database, folder: Path, *, outcome: str = "ok", **settings: str) -> float:
    """Run the job as a process; return its seconds. Raises BenchError unless it ends like that."""
    environ = job_environ(database, folder, **settings)
    return timed(job_command(), environ, said=f'"outcome":"{outcome}"')


def job_command() -> list[str]:
    """Return the command that runs the job with this interpreter."""
    return [sys.executable, "-m", "predeploy", "run"]


def bare_command() -> list[str]:
    """Return what no job in Python can do without: this interpreter, our imports, a connection."""
    return [sys.executable, "-c", _BARE]


def job_environ(database: Database, folder: Path, **settings: str) -> dict[str, str]:
    """Return the job's settings, and of our environment what a process needs."""
    ours = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder)}
    return {**kept(), "PYTHONPATH": str(ROOT), **ours, **settings}


def psql(database: Database, *files: Path, options: Sequence[str] = ()) -> float:
    """Have one psql session run files, as they are; return its seconds."""
    command = [str(wheel_binaries() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *options]
    named = [part for file in files for part in ("-f", str(file))]
    return timed([*command, "-d", database.url, *named], kept())


def timed(command: Sequence[str], environ: Mapping[str, str], *, said: str = "") -> float:
    """Run a process to its end; return its seconds.

    Raises BenchError when it fails, or has not said what it must.
    """
    started = time.perf_counter()
    stdout = _finished(command, environ)
    seconds = time.perf_counter() - started
    if said not in stdout:
        raise BenchError(f"{said} is missing in: {stdout[-2000:]}")
    return seconds


def max_rss_mb(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Run a process to its end; return the most memory that it held."""
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
    """Return of our environment what any process needs."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
