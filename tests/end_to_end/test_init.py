"""`predeploy init`: what it finds, what it proposes, and that what it writes works."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Database, job_environ, run_job
from foreign_folders import goose_files, pairs, prisma_files

from predeploy.cli.platforms import PLATFORMS
from predeploy.cli.project import PROGRAMS, Program
from predeploy.settings.command import read_command

TEXTS = {
    "20240101000000_first": "create table users (id int primary key, email text);",
    "20240102000000_second": "create table old (id int); create table works (id int);",
    "20240103000000_third": "drop table old;",
}


def init(
    project: Path, *arguments: str, check: int = 0, environ: Mapping[str, str] | None = None
) -> str:
    """Run `predeploy init` in a project's folder; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "predeploy", "init", *arguments],
        env=job_environ({"PREDEPLOY_SQL_DIR": "", **(environ or {})}),
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == check, done.stdout + done.stderr
    return done.stdout


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root


def declared(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def in_(home: str, files: Mapping[str, str]) -> dict[str, str]:
    return {path.replace("migrations/", home, 1): text for path, text in files.items()}


PROJECTS = {
    "native": ("sql", {f"sql/migrations/{name}.sql": text for name, text in TEXTS.items()}, ""),
    "prisma": (
        "prisma/migrations", in_("prisma/migrations/", prisma_files(TEXTS)), "prisma",
    ),
    "golang-migrate": ("migrations", pairs(TEXTS), "golang-migrate"),
    "goose": ("db/migrations", in_("db/migrations/", goose_files(TEXTS)), "goose"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTS)
def test_what_it_writes_goes_green(name: str, tmp_path: Path, database: Database) -> None:
    """It names the format and the tables that the files make; a run with it is verified."""
    home, files, format_name = PROJECTS[name]
    lay_out(tmp_path, files)

    assert "nothing was written" in init(tmp_path)
    assert not (tmp_path / home / "predeploy.toml").exists()
    init(tmp_path, "--write")

    found = declared(tmp_path / home / "predeploy.toml")
    assert found.get("format", "") == format_name
    assert found["critical"] == {"users": [], "works": []}
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(tmp_path / home)}
    done = run_job("run", environ=environ, check=0)
    assert "2 critical tables" in run_job("verify", environ=environ, check=0).stdout
    assert "verified" in done.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_tool_whose_migrations_are_programs_is_a_command(
    program: Program, tmp_path: Path
) -> None:
    """What is written is understood, and its folders are not taken for SQL."""
    for sign in program.signs:
        lay_out(tmp_path, {f"{sign[0]}/x" if "migrat" in sign[0] else sign[0]: ""})
    lay_out(tmp_path, {"migrations/0001_first.py": "", "sql/README.md": ""})

    init(tmp_path, "--write")

    problems: list[str] = []
    found = declared(tmp_path / "sql" / "predeploy.toml")["migrate"]
    command = read_command(found, (), {}, problems)
    assert command is not None, problems
    assert command.argv == program.command


def test_the_database_is_looked_at_where_there_is_an_address(
    tmp_path: Path, database: Database
) -> None:
    """Its tables are proposed without those of tools; the history table tells sqlx from others."""
    database.execute(
        "create table works (id int); create table users (id int);"
        "create table alembic_version (version_num text);"
        "create table _sqlx_migrations (version bigint primary key, description text not null,"
        " installed_on timestamptz not null default now(), success boolean not null,"
        " checksum bytea not null, execution_time bigint not null);"
        "create schema auth; create table auth.sessions (id int)"
    )
    lay_out(tmp_path, {"migrations/20240101000000_first.sql": "create table works (id int);"})

    init(tmp_path, "--write", environ={"DATABASE_URL": database.url})

    found = declared(tmp_path / "migrations" / "predeploy.toml")
    assert found == {"format": "sqlx", "critical": {"users": [], "works": []}}
    assert database.value("select to_regnamespace('predeploy')::text") is None


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With its own exit code, and nothing is written."""
    environ = {
        "DATABASE_URL": "postgresql://nobody:secret-1@127.0.0.1:1/x",
        "PREDEPLOY_CONNECT_BUDGET": "1s",
    }

    said = init(tmp_path, "--write", check=69, environ=environ)

    assert "secret-1" not in said
    assert not (tmp_path / "sql").exists()


def test_what_is_there_is_never_changed(tmp_path: Path) -> None:
    """One file in the way, and none is written: half of a platform's files helps nobody."""
    lay_out(tmp_path, {"fly.toml": "mine", "sql/migrations/0001_a.sql": "create table a ();"})

    assert "fly.toml (is there already; compare)" in init(tmp_path, "--platform", "fly")
    said = init(tmp_path, "--platform", "fly", "--write", check=65)

    assert "fly.toml is there already and is not changed: nothing was written" in said
    assert (tmp_path / "fly.toml").read_text() == "mine"
    assert not (tmp_path / "sql/predeploy.toml").exists()


def test_an_empty_project_gets_a_start(tmp_path: Path) -> None:
    init(tmp_path, "--write")

    assert declared(tmp_path / "sql" / "predeploy.toml") == {}


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    lay_out(tmp_path, {"sql/migrations/first.sql": "create table a ();"})

    assert "first.sql" in init(tmp_path, check=65)
    assert "does not exist" in init(tmp_path, check=66, environ={"PREDEPLOY_SQL_DIR": "nowhere"})


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_files_of_a_platform_can_be_read(platform: str, tmp_path: Path) -> None:
    """Each is what its name says, and nothing of the template is left in it."""
    lay_out(tmp_path, {"db/migrations/0001_a.sql": "create table a (id int);"})

    said = init(tmp_path, "--platform", platform, "--write")

    for path in PLATFORMS[platform].files:
        text = (tmp_path / path).read_text()
        assert f"{path} (written)" in said
        assert "{image}" not in text + said
        assert "{{" not in text.replace("${{", "")
        match Path(path).suffix:
            case ".json":
                assert json.loads(text)
            case ".toml":
                assert tomllib.loads(text)
            case ".yaml" | ".yml":
                assert yaml.safe_load(text)
        if platform not in ("fly", "render", "railway", "kubernetes"):
            assert "db/migrations" in text
    if platform in ("fly", "render", "railway"):
        assert "COPY db/migrations /sql" in said


@pytest.fixture
def unwritable(tmp_path: Path) -> Callable[[], Path]:
    """A project in whose place of a folder there is a file."""
    return lambda: lay_out(tmp_path, {"alembic.ini": "", "sql": "a file"})


def test_what_cannot_be_written_is_told(unwritable: Callable[[], Path]) -> None:
    assert "cannot be written" in init(unwritable(), "--write", check=65)
