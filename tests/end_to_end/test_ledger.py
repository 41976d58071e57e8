"""A ledger that is not as this image made it, and one that is hard to make or to write."""

import json
from collections.abc import Callable, Iterator, Mapping
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

    assert f"the ledger predeploy is not whole, missing: {table};" in told
    assert database.value("select to_regclass('b')") is None


def test_a_ledger_that_nothing_tells_as_ours_is_no_stranger_s(
    database: Database, folder: Folder
) -> None:
    """Who was told to name another schema would have lost what was applied when."""
    ended("run", database, folder(FILES), 0)
    database.execute("drop table predeploy.meta")
    more = FILES | {"migrations/2_b.sql": "create table b (id int);"}

    told = ended("run", database, folder(more), 70)

    assert "the ledger predeploy is not whole, missing: meta;" in told


def test_an_event_trigger_that_forbids_ddl_is_told(database: Database, folder: Folder) -> None:
    """What somebody has forbidden is no bug of ours: the run fails with their words."""
    database.execute(
        """create function no_ddl() returns event_trigger language plpgsql as
            $$ begin raise exception 'no DDL before Monday'; end $$;
        create event trigger no_ddl on ddl_command_start execute function no_ddl()"""
    )

    told = ended("run", database, folder(FILES), 80)

    assert 'no DDL before Monday (P0001); the event trigger "no_ddl"' in told


@pytest.fixture
def latin1(database: Database) -> Iterator[Database]:
    """An empty database that cannot hold all of Unicode."""
    name = f"{database.name}_latin1"
    options = "encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'"
    database.execute(f"create database {name} {options}")
    yield Database(name, database.url.replace(database.name, name))
    database.execute(f"drop database {name} with (force)")


def test_a_report_is_kept_in_a_database_of_another_encoding(
    latin1: Database, folder: Folder
) -> None:
    """What cannot be said there is written with question marks, and the run ends as it would."""
    files = {"migrations/1_a.sql": "select 'ü';", "migrations/2_b.sql": "select '10 €', 1 / 0;"}

    told = ended("run", latin1, folder(files), 80)

    assert "migrations/2_b.sql" in told
    rows = latin1.rows("select outcome, exit_code, report ->> 'message' from predeploy.run")
    assert [row[:2] for row in rows] == [("failed", 80)]
    assert "migrations/2_b.sql" in rows[0][2]
