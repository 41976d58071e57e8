"""Declared partitions that maintenance has dropped: made again, or left, as predeploy.toml says."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job

Folder = Callable[[Mapping[str, str]], Path]
Deploy = Callable[..., tuple[int, dict]]

TABLE = (
    "create table ev (id bigint, at date not null) partition by range (at);"
    "create table ev_default partition of ev default;"
)
JANUARY = (
    "create table ev_january partition of ev for values from ('2026-01-01') to ('2026-02-01')"
    " partition by list (id); create table ev_january_1 partition of ev_january for values in (1);"
    "create index ev_january_at on ev_january (at); comment on table ev_january is 'cold';"
    "comment on index ev_january_at is 'when';"
)
OTHER = (
    "create table log (id int) partition by list (id);"
    "create table log_1 partition of log for values in (1);"
)
LEAVE = {
    "all": '[sync]\npartitions = "leave"',
    "one": '[sync.partitions]\n"public.ev" = "leave"',
    "without schema": '[sync.partitions]\nev = "leave"',
    "unquoted": '[sync.partitions]\npublic.ev = "leave"',
}


@pytest.fixture
def deploy(database: Database, folder: Folder) -> Deploy:
    def run(files: Mapping[str, str], command: str = "run") -> tuple[int, dict]:
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
        done = run_job(command, environ=environ)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    return run


def found(report: dict, code: str) -> list[dict]:
    return [finding for finding in report.get("findings", []) if finding["code"] == code]


@pytest.mark.parametrize("said", LEAVE.values(), ids=LEAVE)
def test_a_retired_partition_of_a_table_that_is_left_is_told_and_not_made(
    said: str, deploy: Deploy, database: Database
) -> None:
    """Exit 0, a late row in the default partition or not (case C7: made again, and then 80)."""
    files = {"schema.sql": TABLE + JANUARY, "predeploy.toml": said}
    assert deploy(files)[0] == 0  # the first deploy makes all that is declared
    assert database.value("select count(*) from pg_inherits") == 4
    database.execute("drop table ev_january; insert into ev values (1, '2026-01-31')")

    exit_code, report = deploy(files)

    assert exit_code == 0, report
    assert database.value("select to_regclass('ev_january')") is None
    assert database.value("select count(*) from ev") == 1
    (told, _) = found(report, "partition-left")
    assert "table public.ev_january is declared and not there" in told["message"]
    assert deploy(files, "verify")[0] == 0


def test_other_tables_get_their_partitions_back(deploy: Deploy, database: Database) -> None:
    """What is left is said per table."""
    files = {"schema.sql": TABLE + JANUARY + OTHER, "predeploy.toml": LEAVE["one"]}
    assert deploy(files)[0] == 0
    database.execute("drop table log_1; drop table ev_january")

    assert deploy(files)[0] == 0

    assert database.value("select to_regclass('log_1') is not null")
    assert database.value("select to_regclass('ev_january')") is None


def test_who_has_said_nothing_is_told_how_to(database: Database, folder: Folder) -> None:
    """When it is made again; and where late rows are in its way, with 82 and the cause."""
    root = folder({"schema.sql": TABLE + JANUARY})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    hint = r'leave .* in predeploy.toml: \[sync.partitions\] \\"public.ev\\" = \\"leave\\"'
    run_job(environ=environ, check=0)
    database.execute("drop table ev_january")

    again = run_job(environ=environ, check=0)
    database.execute("drop table ev_january; insert into ev values (1, '2026-01-31')")
    violated = run_job(environ=environ, check=82)

    assert re.search(hint, again.stdout)
    assert re.search(hint, violated.stdout.splitlines()[-1])


def test_a_word_that_is_none_is_named(deploy: Deploy) -> None:
    """78, with the words that there are."""
    said = '[sync.partitions]\nev = "keep"'
    exit_code, report = deploy({"schema.sql": TABLE, "predeploy.toml": said})

    assert exit_code == 78
    assert "partitions of 'ev' is 'keep'; it must be one of make, leave" in json.dumps(report)
