"""BEGIN ISOLATION LEVEL … and SET TRANSACTION … in a migration mean what they mean for psql."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job

Folder = Callable[[Mapping[str, str]], Path]

TABLE = (
    "create table entry (id bigint generated always as identity primary key, "
    "level text not null, is_read_only text not null);"
)
ROWS = (
    "insert into entry (level, is_read_only) values "
    "(current_setting('transaction_isolation'), current_setting('transaction_read_only'));"
)
SAID = {
    "a SET": ("begin; set transaction isolation level repeatable read;", "repeatable read"),
    "a SET behind another": (
        "begin; set local lock_timeout = '5s'; set transaction isolation level serializable;",
        "serializable",
    ),
    "a BEGIN": ("begin isolation level repeatable read;", "repeatable read"),
    "a START": ("start transaction isolation level serializable, read write;", "serializable"),
    "READ WRITE": ("begin; set transaction read write;", ""),
    "no BEGIN": ("set transaction isolation level serializable;", "serializable"),
}
BEHIND = {
    "alone": "",
    "with a loss": "-- predeploy: allow drop-column entry.note\n"
    "alter table entry drop column note;",
    "with a name that is there": "alter table entry add column if not exists note text;",
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize(("begin", "level"), SAID.values(), ids=SAID)
def test_a_step_has_the_isolation_that_its_file_asks_for(
    begin: str, level: str, behind: str, database: Database, folder: Folder
) -> None:
    """Exit 0, once (cases corpora/set-transaction*, begin-isolation: 80 and 65 before)."""
    first = TABLE + "alter table entry add note text;"
    commit = "commit;" if begin.startswith(("begin", "start")) else ""
    root = folder(
        {"migrations/1_a.sql": first, "migrations/2_b.sql": f"{begin}\n{ROWS}\n{behind}\n{commit}"}
    )
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}

    run_job(environ=environ, check=0)
    again = run_job(environ=environ, check=0)

    ((number, found, is_read_only),) = database.rows("select id, level, is_read_only from entry")
    assert (number, found, is_read_only) == (1, level or found, "off")
    assert json.loads(again.stdout.splitlines()[-1])["outcome"] == "settled"


def test_a_step_that_reads_only_is_refused_with_the_way_out(
    database: Database, folder: Folder
) -> None:
    """By plan and run; and the COMMIT behind it is no mistake of its own."""
    root = folder({"migrations/1_a.sql": "begin read only;\nselect 1;\ncommit;"})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}

    for command in ("plan", "run"):
        done = run_job(command, environ=environ, check=65)
        assert "1_a.sql:1: BEGIN READ ONLY: a step writes" in done.stdout
        assert "take these words out" in done.stdout
        assert "COMMIT without a BEGIN" not in done.stdout
