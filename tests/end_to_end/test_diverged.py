"""A ledger with files that the folder lacks: a branch, a hole, another app, a newer version."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, run_job
from production import codes_of, report_of, whole_files

Folder = Callable[[Mapping[str, str]], Path]
Run = Callable[..., tuple[int, dict[str, Any]]]

A = {"migrations/20260101_a.sql": "create table a (id int);"}
FEATURE = {"migrations/20260301_feature.sql": "create table feature (id int);"}
LATER = {"migrations/20260401_later.sql": "create table later (id int);"}
WIDER = {"schema.sql": "create table a (id int, more text);"}


@pytest.fixture
def run(database: Database, folder: Folder) -> Run:
    """Runs a command on a folder; returns exit code and report."""

    def job(files: Mapping[str, str], *command: str, **variables: str) -> tuple[int, dict]:
        root = folder(files)
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root), **variables}
        done = run_job(*command, environ=environ)
        return done.returncode, report_of(done)

    return job


def columns(database: Database, table: str) -> list[str]:
    """Return a table's columns; none where it is not there."""
    found = database.rows(
        "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0"
        " and not attisdropped order by attnum",
        table,
    )
    return [name for (name,) in found]


def test_a_branch_that_was_given_up_turns_nothing_off(database: Database, run: Run) -> None:
    """The ledger keeps its file for ever; main is synced, and its failing check stops it (82)."""
    run({**A, **FEATURE})
    check = {"verify/v.sql": "select 'offending' as what"}

    code, report = run({**A, **LATER, **WIDER, **check})
    again, _ = run({**A, **LATER, **WIDER, **check})
    looked, _ = run({**A, **LATER, **WIDER, **check}, "verify")

    assert (code, again, looked) == (82, 82, 82)
    assert ("warn", "diverged") in codes_of(report)
    assert columns(database, "a") == ["id", "more"]


def test_a_branch_of_a_higher_version_does_not_turn_off_the_run_that_migrates(
    database: Database, run: Run
) -> None:
    """Main's new file is older than the branch's: the run that applies it syncs and gates (82)."""
    run({**A, **FEATURE})
    main = {**A, "migrations/20260201_late.sql": "create table late (id int);", **WIDER}
    check = {"verify/v.sql": "select 'offending' as what"}

    code, report = run({**main, **check})

    assert code == 82
    assert ("warn", "diverged") in codes_of(report)
    assert columns(database, "a") == ["id", "more"]


def test_a_branch_of_the_same_version_turns_nothing_off(database: Database, run: Run) -> None:
    """Version 2 of the branch and version 2 of main are two files; the seed runs, too."""
    users = {"migrations/1_users.sql": "create table users (id int, email text);"}
    run({**users, "migrations/2_feature.sql": "create table feature (id int);"})
    main = {
        **users,
        "migrations/2_other.sql": "create table other (id int);",
        "schema.sql": "create table users (id int, email text, phone text);"
        " create table orders (id int primary key);",
        "seed/other.sql": "select 1 from other; insert into other values (1);",
        "verify/other.sql": "select 'other is empty' as why where not exists (select from other)",
    }

    code, report = run(main)

    assert (code, report["outcome"]) == (0, "ok")
    assert codes_of(report) == [("warn", "diverged")]
    assert columns(database, "users") == ["id", "email", "phone"]
    assert columns(database, "orders") == ["id"]
    assert database.rows("select id from other") == [(1,)]


def test_a_likely_rename_stops_a_diverged_folder(database: Database, run: Run) -> None:
    """84: the branch may have renamed the column that schema.sql would add again, empty."""
    rename = "-- predeploy: allow rename a.id\nalter table a rename id to number;"
    run({**A, "migrations/20260301_feature.sql": rename})
    main = {**A, **LATER, "schema.sql": "create table a (id int);"}

    code, report = run(main)

    assert code == 84
    assert "column public.a.id is added, while column public.a.number" in report["message"]
    assert "20260301_feature.sql" in report["message"]
    assert columns(database, "a") == ["number"]


def test_migrations_that_were_given_up_for_schema_sql(database: Database, run: Run) -> None:
    """Without the folder all that was applied is history: schema.sql alone says what is to be."""
    run(A)

    code, report = run(WIDER)

    assert (code, report["outcome"]) == (0, "ok")
    assert columns(database, "a") == ["id", "more"]
    assert run(WIDER, "verify")[0] == 0


def test_another_app_s_ledger_is_not_this_one_s(database: Database, run: Run) -> None:
    """65 that asks for PREDEPLOY_LEDGER_SCHEMA; with it, the second app goes through."""
    run({"migrations/001_users.sql": "create table users (id int);"})
    second = {
        "migrations/001_orders.sql": "create table orders (id int);",
        "schema.sql": "create table orders (id int); create table items (id int);",
    }

    code, report = run(second)
    planned, _ = run(second, "plan")
    done, _ = run(second, PREDEPLOY_LEDGER_SCHEMA="second")

    assert (code, planned) == (65, 65)
    assert "PREDEPLOY_LEDGER_SCHEMA" in report["message"]
    assert whole_files(database) == ["001_users.sql"]
    assert done == 0
    assert columns(database, "items") == ["id"]


def test_a_late_merge_can_be_rolled_back(database: Database, run: Run) -> None:
    """A file of an old version that a later run applied makes the older image's database ahead."""
    first = {**A, **LATER}
    run(first)
    run({**first, **FEATURE})

    code, report = run({**first, **WIDER})

    assert (code, report["outcome"]) == (82, "failed")
    assert columns(database, "a") == ["id"]
    code, report = run(first)
    assert (code, report["outcome"]) == (0, "ahead")
    assert "20260301_feature.sql" in report["message"]
    assert "predeploy settle 20260301_feature.sql --forget" in report["message"]


def test_on_a_database_that_is_ahead_other_differences_warn(database: Database, run: Run) -> None:
    """An index, a default and a type that a newer version has changed stop no older app."""
    table = "create table a (id int, note text default 'x');"
    run({"migrations/1_a.sql": table, "migrations/2_b.sql": "alter table a alter id type bigint;"})
    old = {
        "migrations/1_a.sql": table,
        "schema.sql": "create table a (id int, note text default 'y');"
        " create index a_note on a (note);",
    }

    code, report = run(old)

    assert (code, report["outcome"]) == (0, "ahead")
    found = [f["message"] for f in report["findings"] if f["level"] == "warn"]
    assert (
        len([m for m in found if "index public.a_note" in m or "index public.a.a_note" in m]) == 1
    )
    assert len([m for m in found if "column public.a.id" in m]) == 1
    assert len([m for m in found if "column public.a.note" in m]) == 1
    assert database.value("select count(*) from pg_indexes where tablename = 'a'") == 0


@pytest.mark.parametrize(
    ("declared", "what"),
    [
        ("create table a (id int); create table b (id int);", "table public.b"),
        ("create table a (id int, more text);", "column public.a.more"),
        ("create table a (id int); create view v as select id from a;", "view public.v"),
    ],
)
def test_what_the_queries_of_an_older_app_need_is_a_gate(
    declared: str, what: str, database: Database, run: Run
) -> None:
    """82 with the name, and nothing is made."""
    run({**A, **FEATURE})

    code, report = run({**A, "schema.sql": declared})
    looked, _ = run({**A, "schema.sql": declared}, "verify")

    assert (code, looked) == (82, 82)
    assert f"{what} is not there" in report["message"]
    assert database.value("select count(*) from pg_class where relname in ('b', 'v')") == 0


def test_a_branch_that_was_given_up_is_forgotten(database: Database, run: Run) -> None:
    """settle takes it out of the ledger and leaves what it made; the next run is as any other."""
    run({**A, **FEATURE})
    main = {**A, **WIDER}
    assert run(main)[0] == 82

    code, report = run(main, "settle", "20260301_feature.sql", "--forget")
    done, after = run(main)

    assert (code, done) == (0, 0)
    assert report["message"] == (
        "settle: 1 step of 20260301_feature.sql forgotten; what they made stays in the database"
    )
    assert codes_of(after) == []
    assert columns(database, "a") == ["id", "more"]
    assert columns(database, "feature") == ["id"]
    assert whole_files(database) == ["20260101_a.sql"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("20260101_a.sql", "--forget"), "is in this folder"),
        (("nothing.sql", "--forget"), "the ledger holds no file nothing.sql"),
        (("20260101_a.sql", "--done"), "no step of 20260101_a.sql is unfinished"),
        (("migrations/20260101_a.sql", "--again"), "no step of 20260101_a.sql is unfinished"),
    ],
)
def test_settle_changes_nothing_that_is_known(
    arguments: tuple[str, ...], why: str, database: Database, run: Run
) -> None:
    """65: what is applied and in the folder would run a second time."""
    run(A)
    before = database.rows("select * from predeploy.migration")

    code, report = run(A, "settle", *arguments)

    assert code == 65
    assert why in report["message"]
    assert database.rows("select * from predeploy.migration") == before


def test_settle_needs_a_ledger(database: Database, run: Run) -> None:
    """65, and none is made."""
    code, _ = run(A, "settle", "1_a.sql", "--forget")

    assert code == 65
    assert database.value("select to_regnamespace('predeploy') is null")


def test_settle_needs_to_be_told_what(run: Run) -> None:
    """64 without one of its three options."""
    assert run(A, "settle", "1_a.sql")[0] == 64


@pytest.mark.parametrize(("saying", "rows"), [("--done", 1), ("--again", 2)])
def test_a_step_whose_end_nobody_knows_is_settled(
    saying: str, rows: int, database: Database, run: Run
) -> None:
    """81 names both commands; one records it as done, the other has the next run do it again."""
    files = {
        "migrations/1_a.sql": "create table a (id int);\n"
        "create procedure add() language sql as 'insert into a values (1)';",
        "migrations/2_call.sql": "-- predeploy: allow commit-inside\n"
        "-- predeploy: autocommit\ncall add();",
    }
    run(files)
    database.execute(
        "update predeploy.migration set is_done = false where file = '2_call.sql';"
        "delete from predeploy.state"
    )
    code, report = run(files)
    assert code == 81
    assert f"predeploy settle 2_call.sql {saying}" in report["message"]

    settled, _ = run(files, "settle", "2_call.sql", saying)
    done, _ = run(files)

    assert (settled, done) == (0, 0)
    assert database.value("select count(*) from a") == rows
