"""Alembic, Django, Prisma and knex as `[migrate] command`, each for real, on its own database."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import ROOT, Database, job_environ, run_job, start_job
from real_tools import TOOLS
from tiers import sampled

from bench.peers.install import Install, installed, npm, pip

pytestmark = pytest.mark.dear

_ALEMBIC_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
address = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(address).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
_DJANGO_SETTINGS = """
import os
from urllib.parse import parse_qs, urlsplit
at = urlsplit(os.environ["DATABASE_URL"])
SECRET_KEY = "x"
INSTALLED_APPS = ["shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": at.path[1:], "USER": at.username,
    "PASSWORD": at.password or "", "HOST": at.hostname, "PORT": at.port,
    "OPTIONS": {key: values[0] for key, values in parse_qs(at.query).items()},
}}
"""
_MANAGE = """
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
_KNEXFILE = """module.exports = { client: "pg", connection: process.env.DATABASE_URL,
  migrations: { directory: __dirname + "/migrations" } };
"""
FIRST = {
    1: "create table works (id int primary key, title text); insert into works values (1, 'a')",
    2: "create table old (id int); insert into old values (1)",
    3: "create index works_title on works (title)",
}
COMMANDS = "select count(*) from pg_stat_activity where application_name like 'predeploy command%'"


def alembic_files(texts: Mapping[int, str]) -> dict[str, str]:
    """One revision a text."""
    files = {
        "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\n",
        "migrations/env.py": _ALEMBIC_ENV,
        "migrations/script.py.mako": "",
    }
    before = None
    for number, text in texts.items():
        files[f"migrations/versions/m{number}.py"] = (
            f"from alembic import op\nrevision = 'm{number}'\ndown_revision = {before!r}\n"
            f"def upgrade():\n    op.execute({text!r})\n"
        )
        before = f"m{number}"
    return files


def django_files(texts: Mapping[int, str]) -> dict[str, str]:
    """One RunSQL a text."""
    files = {"manage.py": _MANAGE, "settings.py": _DJANGO_SETTINGS}
    files |= {"shop/__init__.py": "", "shop/migrations/__init__.py": ""}
    before: list[tuple[str, str]] = []
    for number, text in texts.items():
        files[f"shop/migrations/m{number}.py"] = (
            "from django.db import migrations\nclass Migration(migrations.Migration):\n"
            f"    dependencies = {before!r}\n    operations = [migrations.RunSQL({text!r})]\n"
        )
        before = [("shop", f"m{number}")]
    return files


def knex_files(texts: Mapping[int, str]) -> dict[str, str]:
    """One raw statement a text."""
    return {"knexfile.js": _KNEXFILE} | {
        f"migrations/2024010{number}_m.js": (
            f"exports.up = (knex) => knex.raw({json.dumps(text)});\n"
            "exports.down = () => Promise.resolve();\n"
        )
        for number, text in texts.items()
    }


def prisma_files(texts: Mapping[int, str]) -> dict[str, str]:
    """One folder a text."""
    return dict(TOOLS["prisma"].beside) | {
        "migrations/migration_lock.toml": 'provider = "postgresql"\n',
        **{f"migrations/2024010{number}_m/migration.sql": text for number, text in texts.items()},
    }


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: in `argv`, `resume` and `environ`, `{home}` is where it is, `{app}` the app's folder.

    `resume` is the command that the tool needs after it was stopped or failed. `inputs` are the
    parts of the app that predeploy watches.
    """

    name: str
    install: Install
    files: Callable[[Mapping[int, str]], dict[str, str]]
    argv: tuple[str, ...]
    inputs: tuple[str, ...]
    resume: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def may_retry(self) -> bool:
        return self.name in ("alembic", "django")


ALL = (
    Tool(
        "alembic",
        pip("alembic==1.20.1", "psycopg[binary]==3.3.9"),
        alembic_files,
        ("{home}/bin/alembic", "-c", "{app}/alembic.ini", "upgrade", "head"),
        ("alembic.ini", "migrations"),
    ),
    Tool(
        "django",
        pip("django==5.2.19", "psycopg[binary]==3.3.9"),
        django_files,
        ("{home}/bin/python", "{app}/manage.py", "migrate", "--no-input"),
        ("**/migrations/*.py",),
    ),
    Tool(
        "knex",
        npm("knex@3.1.0", "pg@8.23.1"),
        knex_files,
        ("{home}/node_modules/.bin/knex", "--knexfile", "{app}/knexfile.js", "migrate:latest"),
        ("knexfile.js", "migrations"),
        ("{home}/node_modules/.bin/knex", "--knexfile", "{app}/knexfile.js", "migrate:unlock"),
    ),
    Tool(
        "prisma",
        TOOLS["prisma"].install,
        prisma_files,
        ("sh", "-c", "cd {app} && exec {home}/node_modules/.bin/prisma migrate deploy"),
        ("migrations", "schema.prisma"),
        environ=TOOLS["prisma"].environ,
    ),
)


class App:
    """An app with a tool's migrations, on a database of its own."""

    def __init__(self, tool: Tool, root: Path, database: Database) -> None:
        self.tool, self.root, self.database = tool, root, database
        self.home = installed(f"command {tool.name}", tool.install)
        self.texts: dict[int, str] = {}
        (root / "app").mkdir(parents=True)
        (root / "sql").mkdir()
        modules = root / "app" / "node_modules"
        if (self.home / "node_modules").exists():
            modules.symlink_to(self.home / "node_modules")

    def write(self, texts: Mapping[int, str], more: str = "") -> None:
        """Lay out these migrations, in addition to earlier ones, and predeploy.toml."""
        self.texts |= texts
        for path, text in self.tool.files(self.texts).items():
            target = self.root / "app" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        inputs = [str(self.root / "app" / path) for path in self.tool.inputs]
        (self.root / "sql/predeploy.toml").write_text(
            f"[migrate]\ncommand = {json.dumps(self.argv)}\n"
            f"inputs = {json.dumps(inputs)}\n{more}\n[critical]\nworks = ['title']\n"
        )

    @property
    def argv(self) -> tuple[str, ...]:
        """The command itself."""
        return self._filled(self.tool.argv)

    def environ(self, **more: str) -> dict[str, str]:
        own = {name: "".join(self._filled((text,))) for name, text in self.tool.environ.items()}
        return {
            **own,
            "DATABASE_URL": f"{self.database.url}?sslmode=disable",
            "PREDEPLOY_SQL_DIR": str(self.root / "sql"),
            "PYTHONWARNINGS": "ignore",
            **more,
        }

    def run(self, check: int, **more: str) -> dict[str, Any]:
        done = run_job("run", environ=self.environ(**more))
        self.said = done.stdout
        assert done.returncode == check, self.said[-6000:]
        report: dict[str, Any] = json.loads(self.said.splitlines()[-1])
        return report

    def resume(self, number: int) -> None:
        """Do what the tool asks for after it was stopped."""
        if self.tool.resume:
            environ = {**self.environ(), "PATH": os.environ["PATH"]}
            subprocess.run(self._filled(self.tool.resume), env=environ, check=True)
        elif self.tool.name == "prisma":
            # What `migrate resolve --rolled-back` does, which the engine in JavaScript lacks.
            self.database.execute(
                "update _prisma_migrations set rolled_back_at = now() "
                f"where migration_name = '2024010{number}_m'"
            )

    def _filled(self, words: tuple[str, ...]) -> tuple[str, ...]:
        values = {"home": str(self.home), "app": str(self.root / "app")}
        return tuple(word.format(**values) for word in words)


@pytest.fixture(params=sampled(ALL, 1), ids=lambda tool: tool.name)
def app(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> App:
    made = App(request.param, tmp_path, database)
    made.write(FIRST)
    return made


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def test_a_dump_of_what_it_makes_declares_the_schema(
    app: App, make_database: Callable[..., Database], programs: Path
) -> None:
    """The line of docs/from/ORM.md, run as it stands there, on a database that CI has migrated."""
    page = (ROOT / "docs" / "from" / "ORM.md").read_text()
    (line,) = re.findall(r"^pg_dump .*", page, re.MULTILINE)
    fresh = App(app.tool, app.root / "ci", make_database())
    fresh.write(FIRST)
    environ = {**fresh.environ(), "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(fresh.argv, env=environ, check=True)
    subprocess.run(["sh", "-c", line], cwd=fresh.root, env=environ, check=True)
    (fresh.root / "sql/schema.sql").rename(app.root / "sql/schema.sql")

    app.run(0)
    assert app.run(0)["outcome"] == "settled"
    app.database.execute("drop index works_title")

    app.run(0)
    assert (
        app.database.value("select count(*) from pg_indexes where indexname = 'works_title'") == 1
    )


@contextmanager
def reader(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect() as conn:
        conn.execute("begin; select * from works")
        yield conn


def test_it_runs_settles_and_goes_on(app: App) -> None:
    """Ten copies at once, of which one runs it; then a further migration; then a loss."""
    with ThreadPoolExecutor(10) as pool:
        codes = [*pool.map(lambda _: run_job("run", environ=app.environ()).returncode, range(10))]
    assert codes == [0] * 10
    assert app.database.rows("select * from works") == [(1, "a")]
    assert app.run(0)["outcome"] == "settled"

    app.write({4: "alter table works add column price numeric"})
    report = app.run(0)
    (changed,) = [f["message"] for f in report["findings"] if f["code"] == "changed"]
    assert "added column public.works.price" in changed
    assert app.run(0)["outcome"] == "settled"

    app.write({5: "drop table old"})
    assert "drop-table public.old" in app.run(84)["message"]
    app.run(84)
    app.write({6: "insert into works values (2, 'b')"}, 'allow = ["drop-table old"]')
    app.run(0)
    assert app.run(0)["outcome"] == "settled"
    assert app.database.value("select count(*) from works") == 2


def test_after_a_failure_it_goes_on(app: App) -> None:
    """Its message is in our log and in the report; the fixed migration runs."""
    app.run(0)
    app.write({4: "alter table works add column price no_such_type"})

    report = app.run(80)

    assert "no_such_type" in app.said
    assert "exited with 1" in report["message"]
    app.resume(4)
    app.write({4: "alter table works add column price numeric"})
    app.run(0)
    assert app.database.value("select count(price) from works") == 0


def test_after_sigterm_in_the_middle_it_goes_on(app: App) -> None:
    """It gets the signal, what it runs is cancelled, and nothing of it is left on the server."""
    app.run(0)
    app.write({4: "select pg_sleep(60)"})
    with start_job("run", environ=app.environ()) as job:
        until(lambda: app.database.value(f"{COMMANDS} and query like '%pg_sleep%'"))
        job.send_signal(signal.SIGTERM)
        out, _ = job.communicate(timeout=30)
    assert job.returncode == 143, out[-3000:]
    assert "on SIGTERM" in out.splitlines()[-1]
    until(lambda: app.database.value(COMMANDS) == 0, 5)

    app.resume(4)
    app.write({4: "alter table works add column price numeric"})
    app.run(0)


def test_behind_a_long_reader(app: App) -> None:
    """A known tool keeps nobody waiting longer than the lock timeout; others are only logged."""
    app.run(0)
    app.write({4: "alter table works add column price numeric"})
    waits: list[float] = []
    with reader(app.database) as holder:
        pid = holder.info.backend_pid
        with start_job("run", environ=app.environ(PREDEPLOY_DDL_LOCK_TIMEOUT="1s")) as job:
            until(lambda: app.database.value(f"{COMMANDS} and wait_event_type = 'Lock'"))
            end = time.monotonic() + 5
            while app.tool.may_retry and time.monotonic() < end:
                began = time.monotonic()
                app.database.value("select count(*) from works")
                waits.append(time.monotonic() - began)
                time.sleep(0.05)
            time.sleep(0.0 if app.tool.may_retry else 3.0)
            holder.execute("commit")
            out, _ = job.communicate(timeout=60)

    assert job.returncode == 0, out[-3000:]
    assert max(waits, default=0.0) < 2.5
    if app.tool.may_retry:
        assert "trying again" in out
    else:
        assert f"waits for a lock, blocked by pid {pid}" in out
    assert app.database.value("select count(price) from works") == 0


@pytest.mark.parametrize("tool", sampled(ALL[:3], 1), ids=lambda tool: tool.name)
def test_what_init_writes_runs_it(tool: Tool, tmp_path: Path, database: Database) -> None:
    """In the app's folder, its tool on the PATH: the first run migrates, the second settles."""
    app = App(tool, tmp_path, database)
    app.write(FIRST)
    path = f"{app.home}/bin:{os.environ['PATH']}"
    environ = job_environ(app.environ(PATH=path, PREDEPLOY_SQL_DIR=""))

    def predeploy(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "predeploy", *words],
            cwd=app.root / "app",
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    predeploy("init", "--write")
    predeploy("run")
    assert database.rows("select * from works") == [(1, "a")]
    assert '"outcome":"settled"' in predeploy("run")
    assert '"works" = []' in predeploy("init")
