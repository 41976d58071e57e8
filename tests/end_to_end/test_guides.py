"""The guides of docs/from: every command that they show, on a project of that tool."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import ROOT, Database, job_environ
from foreign_folders import (
    atlas_files,
    dbmate_files,
    diesel_files,
    drizzle_files,
    flyway_files,
    goose_files,
    node_pg_files,
    pairs,
    prisma_files,
    sql_migrate_files,
    sqlx_files,
    supabase_files,
)
from production import whole_files
from real_tools import TOOLS
from tiers import sampled

PAGES = ROOT / "docs" / "from"
TEXTS = {
    "20240101000000_init": "create table users (id int primary key, email text);",
    "20240102000000_data": "insert into users values (1, 'a');",
}
FILES: Mapping[str, Callable[[Mapping[str, str]], dict[str, str]]] = {
    "prisma": prisma_files,
    "drizzle": drizzle_files,
    "supabase": supabase_files,
    "golang-migrate": pairs,
    "goose": goose_files,
    "flyway": flyway_files,
    "dbmate": dbmate_files,
    "sqlx": sqlx_files,
    "sql-migrate": sql_migrate_files,
    "node-pg-migrate": node_pg_files,
    "diesel": diesel_files,
    "atlas": atlas_files,
}


def blocks(name: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (PAGES / f"{name}.md").read_text(), re.DOTALL)


def shell(text: str, project: Path, database: Database) -> str:
    """Run a block as a person types it, in the project's folder."""
    program = project / "bin" / "predeploy"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m predeploy "$@"\n')
    program.chmod(0o755)
    environ = job_environ({"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": ""})
    environ["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", text], cwd=project, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_page_has_a_project() -> None:
    """ORM.md has tests of its own: test_real_commands."""
    assert {page.stem for page in PAGES.glob("*.md")} == {*FILES, "ORM"}


@pytest.mark.parametrize("name", FILES)
def test_the_commands_of_a_guide_run_as_they_are_shown(
    name: str, tmp_path: Path, database: Database
) -> None:
    """One after the other, the way in and the way back, after which the tool's history is whole."""
    first, *others = blocks(name)
    (folder,) = re.findall(r"PREDEPLOY_SQL_DIR=(\S+)", first)
    for path, text in FILES[name](TEXTS).items():
        target = tmp_path / path.replace("migrations", folder, 1)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    shell(first, tmp_path, database)
    assert len(whole_files(database)) == len(TEXTS)
    assert (tmp_path / folder / "predeploy.toml").exists()

    assert (name == "atlas") == (not others)
    for block in others:
        shell(f"export PREDEPLOY_SQL_DIR={folder}\n{block}", tmp_path, database)
    if name == "atlas":
        return
    # The tool's table tells of all that predeploy has applied.
    database.execute("drop schema predeploy cascade")
    again = shell(f"PREDEPLOY_SQL_DIR={folder} predeploy run", tmp_path, database)
    assert "2 files recorded, not run" in again


@pytest.mark.dear
@pytest.mark.parametrize(
    "name",
    [
        *sampled([name for name in TOOLS if name not in ("golang-migrate", "goose")], 1),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("golang-migrate", "goose")),
    ],
)
def test_the_tool_itself_goes_on_after_a_guide(
    name: str, tmp_path: Path, database: Database
) -> None:
    """It has begun; the guide goes on, and back; it takes no offence at what `init` has written."""
    tool, names = TOOLS[name], [*TEXTS]

    def lay_out(texts: Mapping[str, str]) -> None:
        for path, text in tool.files(texts).items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def apply() -> None:
        done = tool.apply(tmp_path, database.url)
        assert done.returncode == 0, done.stdout + done.stderr

    def history() -> list[tuple]:
        return database.rows(f"select t::text from {tool.table} t order by 1")

    lay_out({names[0]: TEXTS[names[0]]})
    apply()
    lay_out(TEXTS)
    first, back = blocks(name)
    (folder,) = re.findall(r"PREDEPLOY_SQL_DIR=(\S+)", first)
    shell(first.replace(folder, "migrations"), tmp_path, database)
    assert (tmp_path / "migrations" / "predeploy.toml").exists()
    assert database.rows("select * from users") == [(1, "a")]

    shell(f"export PREDEPLOY_SQL_DIR=migrations\n{back}", tmp_path, database)
    told = history()
    apply()
    assert history() == told
    lay_out({**TEXTS, "20240103000000_more": "create table more (id int primary key);"})
    apply()
    assert database.rows("select * from more") == []
