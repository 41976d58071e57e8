"""What pg_dump writes runs as a migration, on servers that are older than it, too."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job

Folder = Callable[[Mapping[str, str]], Path]

OPENING = """\
\\restrict abc
SET statement_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
"""


@pytest.mark.parametrize(
    "files",
    [
        {"1_a.sql": f"{OPENING}CREATE TABLE public.t (id int);\n\\unrestrict abc\n"},
        # a second step repeats the SETs of the first
        {"1_a.sql": f"{OPENING}create table t (id int);\n-- predeploy: autocommit\nvacuum t;\n"
         "alter table t add n int;"},
        {"1_a.sql": "create table t (id int);",
         "2_a.sql": f"{OPENING}insert into t values (1); create table if not exists t (id int);"},
        {"1_a.sql": "set local transaction_timeout to '0s'; create table t (id int);"},
    ],
    ids=["a dump", "two steps", "piecewise", "local"],
)  # fmt: skip
def test_a_dump_turns_off_a_timeout_that_an_old_server_does_not_have(
    files: dict[str, str], database: Database, folder: Folder
) -> None:
    """Exit 0 on 15 and 16, too (case C8: 80, 42704). pg_dump writes that since 17."""
    root = folder({f"migrations/{name}": text for name, text in files.items()})

    run_job(environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}, check=0)

    assert database.value("select to_regclass('t') is not null")


def test_a_timeout_that_an_old_server_cannot_keep_is_not_passed_over(
    database: Database, folder: Folder
) -> None:
    """Who asks for a limit means it: 80 before 17, with the server's words."""
    root = folder({"migrations/1_a.sql": "set transaction_timeout = '5s'; create table t (n int);"})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    is_old = database.value("select current_setting('server_version_num')::int < 170000")

    done = run_job(environ=environ, check=80 if is_old else 0)

    assert ("transaction_timeout" in done.stdout) == is_old
