"""run, plan, verify and status judge the folder by one function: same outcome, same code."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import report_of

Folder = Callable[[Mapping[str, str]], Path]

A = {"migrations/1_a.sql": "create table a (id int);"}
AB = {**A, "migrations/2_b.sql": "create table b (id int);"}
LOOKING = (("plan", "--exit-code"), ("verify",), ("status", "--exit-code"))


def judged(database: Database, root: Path, *command: str) -> tuple[int, str, str]:
    """Return exit code, outcome and message of a command."""
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    done = run_job(*command, environ=environ)
    report = report_of(done)
    return done.returncode, report["outcome"], report["message"]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"migrations/1_a.sql": "create table a (id int, more int);"}, "has been edited since"),
        (
            {"migrations/1_a.sql": "begin; create table a (id int); commit; select 1;"},
            "were added after the file was applied as a whole",
        ),
        ({"migrations/1_other.sql": "create table a (id int);"}, "does what 1_a.sql did"),
        ({"migrations/1_x.sql": "create table x (id int);"}, "not one file of this folder"),
        ({**A, "migrations/2_b.sql": "select 'never ends"}, "cannot be read"),
    ],
    ids=["edited", "grown", "renamed", "unrelated", "unreadable"],
)
def test_what_stops_a_run_stops_whoever_looks(
    files: Mapping[str, str], why: str, database: Database, folder: Folder
) -> None:
    """65 from each, with the same sentence: a gate that run fails is no gate that verify passes."""
    judged(database, folder(A), "run")
    root = folder(files)

    found = [judged(database, root, *command) for command in (("run",), *LOOKING)]

    assert [code for code, _, _ in found] == [65] * 4
    assert all(why in message for _, _, message in found)
    assert len({message for _, _, message in found}) == 1


def test_waiting_does_not_make_an_edited_file_pass(database: Database, folder: Folder) -> None:
    """65 at once: no other run changes that."""
    judged(database, folder(A), "run")
    edited = folder({"migrations/1_a.sql": "create table a (id int, more int);"})

    assert judged(database, edited, "verify", "--wait", "60s")[0] == 65


def test_a_database_that_is_ahead_is_so_for_whoever_looks(
    database: Database, folder: Folder
) -> None:
    """0 and ahead from each; verify says that it compared tables and columns, and nothing else."""
    judged(database, folder(AB), "run")
    root = folder({**A, "schema.sql": "create table a (id int); create index on a (id);"})

    found = [judged(database, root, *command) for command in (("run",), *LOOKING)]

    assert [(code, outcome) for code, outcome, _ in found] == [(0, "ahead")] * 4
    compared = "the tables and columns of schema.sql are there, other differences only warn"
    assert found[2][2].startswith(f"ahead: {compared}; a newer version has been here: ")
    assert "2_b.sql" in found[2][2]


def test_verify_says_what_it_compared(database: Database, folder: Folder) -> None:
    """Where a folder declares nothing, a table that was dropped by hand is not called there."""
    judged(database, folder(A), "run")
    database.execute("drop table a")

    code, _, bare = judged(database, folder(A), "verify")
    _, _, pending = judged(database, folder(AB), "verify")
    full = {
        **A,
        "schema.sql": "create table a (id int);",
        "verify/v.sql": "select 1 where false",
        "predeploy.toml": "[critical]\na = []",
    }
    judged(database, folder(full), "run")
    _, _, all_of_it = judged(database, folder(full), "verify")

    said = "verified: the database holds what the app declared: "
    assert (code, bare) == (0, f"{said}1 migration, no table, column or check is declared")
    assert "migrations/2_b.sql has not been applied" in pending
    assert all_of_it == f"{said}1 migration, 1 critical table, schema.sql, 1 check"
