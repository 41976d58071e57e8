"""A ledger that is not as this image made it: of a newer version, or with a part taken away."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job

FILES = {
    "migrations/1_a.sql": "create table a (id int primary key);",
    "schema.sql": "create table a (id int primary key);",
}
COMMANDS = ["run", "plan", "status", "verify"]
Folder = Callable[[Mapping[str, str]], Path]


def ended(command: str, database: Database, sql: Path, exit_code: int) -> str:
    """Run a command that ends with `exit_code`; return what its last line says."""
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(sql)}
    done = run_job(command, environ=environ, check=exit_code)
    return str(json.loads(done.stdout.splitlines()[-1])["message"])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_ledger_of_a_newer_version_wants_a_newer_image(
    command: str, database: Database, folder: Folder
) -> None:
    """Whatever a newer version has made of its tables, every command says to upgrade the image."""
    ended("run", database, folder(FILES), 0)
    database.execute(
        """update predeploy.meta set value = '2' where key = 'version';
        update predeploy.state set key = 'of another image';
        alter table predeploy.migration rename column step_hash to digest;
        drop table predeploy.declared"""
    )

    told = ended(command, database, folder(FILES), 75)

    assert "the ledger predeploy has version 2 and this image knows 1; upgrade the image" in told


@pytest.mark.parametrize("table", ["migration", "run", "declared", "state"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_table_that_the_ledger_lacks_is_named(
    command: str, table: str, database: Database, folder: Folder
) -> None:
    """It is no bug of ours, and nothing is done behind it."""
    ended("run", database, folder(FILES), 0)
    database.execute(f"drop table predeploy.{table}")
    more = FILES | {"migrations/2_b.sql": "create table b (id int);"}

    told = ended(command, database, folder(more), 70)

    assert f"the ledger predeploy is not whole, somebody has taken away: {table};" in told
    assert database.value("select to_regclass('b')") is None
