"""`predeploy init`: what it finds, what it proposes, and that what it writes works."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Database, job_environ, run_job
from foreign_folders import goose_files, pairs, prisma_files
from hypothesis import given
from hypothesis import strategies as st

from predeploy.cli.init import quoted
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
    "supabase": (
        "supabase/migrations", {f"supabase/migrations/{n}.sql": t for n, t in TEXTS.items()},
        "supabase",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTS)
def test_what_it_writes_goes_green(name: str, tmp_path: Path, database: Database) -> None:
    """It names the format and the tables that the files make; a run with it is verified."""
    home, files, format_name = PROJECTS[name]
    lay_out(tmp_path, files)

    said = init(tmp_path)
    assert f"found: {home} (format {name}, files: 3)" in said
    assert "nothing was written" in said
    assert not (tmp_path / home / "predeploy.toml").exists()
    said = init(tmp_path, "--write")
    assert f"next: {'' if home == 'sql' else f'PREDEPLOY_SQL_DIR={home} '}predeploy plan" in said

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
        lay_out(tmp_path, {sign[-1].replace("**", "App").replace("*", "a"): ""})
    lay_out(tmp_path, {"migrations/0001_first.py": "", "sql/README.md": ""})

    init(tmp_path, "--write")

    problems: list[str] = []
    found = declared(tmp_path / "sql" / "predeploy.toml")["migrate"]
    command = read_command(found, (), {}, problems)
    assert command is not None, problems
    assert command.argv == program.command


def test_the_page_of_commands_shows_the_same() -> None:
    page = (ROOT / "docs" / "from" / "ORM.md").read_text()
    shown = dict(re.findall(r"^\| ([\w ]+) \| `(\[[^`]+\])` \|", page, re.MULTILINE))

    assert {each.name: [*each.command] for each in PROGRAMS} == {
        name: json.loads(command) for name, command in shown.items() if name != "Prisma"
    }


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
        "create schema auth; create table auth.sessions (id int);"
        "create table events (at date) partition by range (at);"
        "create table events_2024 partition of events default;"
        "create table spatial (id int); alter extension plpgsql add table spatial"
    )
    lay_out(tmp_path, {"migrations/20240101000000_first.sql": "create table works (id int);"})

    init(tmp_path, "--write", environ={"DATABASE_URL": database.url})

    found = declared(tmp_path / "migrations" / "predeploy.toml")
    assert found == {"format": "sqlx", "critical": {"events": [], "users": [], "works": []}}
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


def test_a_declaration_that_is_there_stays_beside_a_platform(tmp_path: Path) -> None:
    """A project that has begun takes a platform's files later; its own words are left alone."""
    declaration = lay_out(
        tmp_path, {"sql/predeploy.toml": "# mine\n", "sql/migrations/0001_a.sql": "select 1;"}
    ) / "sql" / "predeploy.toml"  # fmt: skip

    init(tmp_path, "--write", check=65)
    said = init(tmp_path, "--write", "--platform", "compose")

    assert "sql/predeploy.toml (is there already and stays)" in said
    assert declaration.read_text() == "# mine\n"
    assert (tmp_path / "compose.predeploy.yaml").exists()


def test_only_what_can_be_declared_is_proposed(tmp_path: Path, database: Database) -> None:
    """No partition, which its maintenance drops; no name that `[critical]` reads as two."""
    text = (
        "create table events (at date) partition by range (at);"
        "create table events_2024 partition of events default;"
        "create table events_2025 (at date);"
        "alter table events attach partition events_2025"
        " for values from ('2025-01-01') to ('2026-01-01');"
        'create table "a.b" (id int); create table "User" (id int); create table "h\U0001f600" ();'
        "create schema app; create table app.things (id int);"
    )
    lay_out(tmp_path, {"sql/migrations/0001_first.sql": text})

    init(tmp_path, "--write")

    found = declared(tmp_path / "sql" / "predeploy.toml")["critical"]
    assert found == {"User": [], "app.things": [], "events": [], "h\U0001f600": []}
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(tmp_path / "sql")}
    run_job("run", environ=environ, check=0)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_written_as_toml(text: str) -> None:
    assert tomllib.loads(f"{quoted(text)} = {quoted(text)}") == {text: text}


def test_a_format_that_is_said_is_taken(tmp_path: Path, database: Database) -> None:
    """By predeploy.toml, as the refusal asks for it, or by the environment; the table says less."""
    files = {"migrations/1_a.up.sql": "-- +goose Up\ncreate table a (id int);"}
    lay_out(tmp_path, files)
    assert 'format = \\"goose\\"' in init(tmp_path, check=65)
    database.execute(
        "create table _sqlx_migrations (version bigint primary key, description text not null,"
        " installed_on timestamptz not null default now(), success boolean not null,"
        " checksum bytea not null, execution_time bigint not null)"
    )

    said = {"PREDEPLOY_FORMAT": "golang-migrate", "DATABASE_URL": database.url}
    assert 'format = "golang-migrate"' in init(tmp_path, environ=said)
    assert 'format = "native"' in init(tmp_path, environ={"PREDEPLOY_FORMAT": "native"})
    lay_out(tmp_path, {"migrations/predeploy.toml": 'format = "goose"\n'})
    assert "format goose, files: 1" in init(tmp_path)


def test_other_folders_of_sql_are_named(tmp_path: Path) -> None:
    """The first is taken; one behind it that cannot be read is no reason to stop."""
    lay_out(
        tmp_path,
        {
            "db/migrations/0001_a.sql": "create table a (id int);",
            "migrations/0001_b.sql": "create table b (id int);",
            "database/migrations/0001_c.sql": "create table c (id int);",
            "database/migrations/0001_d.sql": "create table d (id int);",
        },
    )

    said = init(tmp_path)

    assert "found: db/migrations (format native, files: 1)" in said
    assert "not looked at: migrations; `PREDEPLOY_SQL_DIR=migrations predeploy init` does" in said
    assert "not looked at: database/migrations;" in said
    chosen = {"PREDEPLOY_SQL_DIR": str(tmp_path / "migrations")}
    assert "\nmigrations/predeploy.toml (would be)" in init(tmp_path, environ=chosen)


def test_a_folder_elsewhere_is_in_no_file_of_a_platform(tmp_path: Path) -> None:
    lay_out(tmp_path, {"sql/migrations/0001_a.sql": "select 1;", "app/README.md": ""})
    elsewhere = {"PREDEPLOY_SQL_DIR": "../sql"}

    said = init(tmp_path / "app", "--platform", "fly", check=65, environ=elsewhere)

    assert "../sql is not below the working directory" in said
    assert "../sql/predeploy.toml (would be)" in init(tmp_path / "app", environ=elsewhere)


def test_an_empty_project_gets_a_start(tmp_path: Path) -> None:
    assert "found: nothing that migrates" in init(tmp_path, "--write")

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
    is_known_to(platform, tmp_path)
    if platform in ("fly", "render", "railway"):
        assert "COPY db/migrations /sql" in said


# Schemas that check-jsonschema brings along.
SCHEMAS = {"github": "github-workflows", "gitlab": "gitlab-ci", "compose": "compose-spec"}


def is_known_to(platform: str, project: Path) -> None:
    """Assert that the platform knows each key of its files, where its schema is at hand."""
    files = [path for path in PLATFORMS[platform].files if (project / path).exists()]
    if schema := SCHEMAS.get(platform):
        program = Path(sys.executable).parent / "check-jsonschema"
        done = subprocess.run(
            [program, "--builtin-schema", f"vendor.{schema}", *files],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_command_runs_in_the_image_that_has_its_tool(platform: str, tmp_path: Path) -> None:
    """predeploy's own image has neither its interpreter nor its files."""
    lay_out(tmp_path, {"alembic.ini": "", "migrations/versions/a.py": ""})

    said = init(tmp_path, "--platform", platform, "--write")

    is_known_to(platform, tmp_path)
    assert not (tmp_path / "predeploy.Dockerfile").exists()
    texts = "".join(
        (tmp_path / path).read_text()
        for path in PLATFORMS[platform].files
        if (tmp_path / path).exists()
    )
    assert "ghcr.io/OWNER/predeploy" not in texts
    if platform == "github":
        assert "run: INSTALL_COMMAND" in texts
        assert "what installs Alembic" in said
    else:
        assert "/opt/predeploy/bin/predeploy" in texts
        assert "COPY --from=ghcr.io/OWNER/predeploy:" in said


@pytest.mark.parametrize("files", [{"alembic.ini": ""}, {}], ids=["command", "sql"])
def test_kubernetes_knows_the_job(files: Mapping[str, str], tmp_path: Path) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="no schemas: make tools")
    init(lay_out(tmp_path, files), "--platform", "kubernetes", "--write")

    job = yaml.safe_load((tmp_path / "predeploy-job.yaml").read_text())

    validator.validate(job, validator.latest_version(), strict=True)
    assert job["metadata"]["name"] != job["metadata"]["name"].lower(), (
        "no cluster takes it as it is"
    )


@pytest.mark.dear
def test_compose_reads_the_file_behind_the_apps_own(tmp_path: Path) -> None:
    """As its first line says, with the app waiting for it."""
    docker = shutil.which("docker") or pytest.skip("no docker")
    lay_out(
        tmp_path,
        {
            "compose.yaml": "services: {app: {image: app, depends_on: {predeploy: "
            "{condition: service_completed_successfully}}}}\n",
            "sql/migrations/0001_a.sql": "select 1;",
        },
    )
    init(tmp_path, "--platform", "compose", "--write")

    done = subprocess.run(
        [docker, "compose", "--file", "compose.yaml", "--file", "compose.predeploy.yaml", "config"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": "postgresql://db/app"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    service = yaml.safe_load(done.stdout)["services"]["predeploy"]
    (volume,) = service["volumes"]
    assert (volume["source"], volume["target"]) == (str(tmp_path / "sql"), "/sql")


@pytest.fixture
def unwritable(tmp_path: Path) -> Callable[[], Path]:
    """A project in whose place of a folder there is a file."""
    return lambda: lay_out(tmp_path, {"alembic.ini": "", "sql": "a file"})


def test_what_cannot_be_written_is_told(unwritable: Callable[[], Path]) -> None:
    assert "cannot be written" in init(unwritable(), "--write", check=65)
