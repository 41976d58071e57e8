"""What counts as a database from before its ledger, and what a baseline may record there."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, run_job
from production import report_of, whole_files

Folder = Callable[[Mapping[str, str]], Path]
Run = Callable[..., tuple[int, dict[str, Any]]]

INIT = {"migrations/20240101000000_init.sql": "create table customers (id int, email text);"}
ROWS = {
    "migrations/20240102000000_rows.sql": "insert into customers values (1, 'a');"
    " update customers set id = id + 1;"
}
THREE = {"migrations/20240103000000_three.sql": "create table three (id int);"}
USERS = {
    "migrations/0001_a.sql": "create table users (id int primary key, email text);",
    "migrations/0002_b.sql": "create table orders (id int primary key);",
    "migrations/0003_c.sql": "update users set email = lower(email);",
}
SUPABASE = (
    "create schema auth; create table auth.users (id uuid primary key);"
    "create schema storage; create table storage.objects (id uuid primary key);"
)


@pytest.fixture
def run(database: Database, folder: Folder) -> Run:
    """Runs a command on a folder; returns exit code and report."""

    def job(
        files: Mapping[str, str], *command: str, declaration: str = "", **variables: str
    ) -> tuple[int, dict[str, Any]]:
        root = folder({**files, "predeploy.toml": declaration})
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root), **variables}
        done = run_job(*command, environ=environ)
        return done.returncode, report_of(done)

    return job


def tables(database: Database) -> list[str]:
    """Return the tables outside the ledger, as `schema.table`."""
    found = database.rows(
        "select schemaname || '.' || tablename from pg_tables"
        " where schemaname !~ '^(pg_|information_schema$|predeploy|ledger)' order by 1"
    )
    return [name for (name,) in found]


# the version


@pytest.mark.parametrize("baseline", ["20240102", "20250102000000"])
def test_a_baseline_is_the_version_of_a_file(baseline: str, database: Database, run: Run) -> None:
    """65 with the nearest files for one that is cut short, or mistyped; nothing run or recorded."""
    database.execute(
        "create table customers (id int, email text); insert into customers values (2, 'a')"
    )
    files = {**INIT, **ROWS, **THREE}

    code, report = run(files, declaration=f'baseline = "{baseline}"')
    planned, _ = run(files, "plan", declaration=f'baseline = "{baseline}"')
    adopted, _ = run(files, "adopt", "--baseline", baseline)

    assert (code, planned, adopted) == (65, 65, 65)
    assert f"baseline {baseline} matches no file in migrations/" in report["message"]
    assert "20240102000000_rows.sql" in report["message"]
    assert database.rows("table customers") == [(2, "a")]
    assert database.value("select to_regnamespace('predeploy') is null")


# what is recorded must be there


def test_what_a_baseline_records_must_be_there(database: Database, run: Run) -> None:
    """65 with what is missing, and nothing recorded; the line in the message accepts it."""
    database.execute("create table customers (id int)")
    files = {**INIT, **ROWS, **THREE}
    baseline = 'baseline = "20240103000000"'

    code, report = run(files, declaration=baseline)

    assert code == 65
    missing = 'missing = ["column:public.customers.email", "table:public.three"]'
    assert "not there: column:public.customers.email, table:public.three" in report["message"]
    assert missing in report["message"]
    assert database.value("select to_regnamespace('predeploy') is null")
    code, _ = run(files, declaration=f"{baseline}\n[accept]\n{missing}")
    assert code == 0
    assert len(whole_files(database)) == 3
    assert tables(database) == ["public.customers"]


def test_a_table_of_that_name_in_another_schema_is_another_table(
    database: Database, run: Run
) -> None:
    """65: `users` is what the search_path leads to, and no other app has made it there."""
    database.execute(
        "create schema auth; create table auth.users (id int primary key, email text);"
        "create table orders (id int primary key)"
    )

    code, report = run(USERS, declaration='baseline = "0002"')

    assert code == 65
    assert "work is not there: table:public.users" in report["message"]
    assert "orders" not in report["message"]
    assert tables(database) == ["auth.users", "public.orders"]


def test_a_column_is_looked_for_in_the_table_that_its_name_means(
    database: Database, run: Run
) -> None:
    """With a search_path of app, public: app.users hides the column of public.users."""
    database.execute(
        "create schema app; create table app.users (id int primary key);"
        "create table users (id int primary key, email text);"
        "create table orders (id int primary key)"
    )
    url = f"{database.url}?search_path=app,public"

    code, report = run(USERS, declaration='baseline = "0002"', DATABASE_URL=url)

    assert code == 65
    assert "work is not there: column:app.users.email;" in report["message"]


def test_what_was_dropped_or_renamed_since_is_not_asked_for(database: Database, run: Run) -> None:
    """The net result counts: made, less dropped or renamed, whatever the order of the files."""
    database.execute(
        "create schema app; create table app.people (id int primary key, mail text);"
        "create index people_mail on app.people (mail); create type mood as enum ('a')"
    )
    files = {
        "migrations/1_a.sql": "create schema app; create table app.users (id int primary key,"
        " email text, old int); create index users_old on app.users (old);"
        " create table gone (id int); create view v as select id from gone;",
        "migrations/2_b.sql": "alter table app.users rename to people;"
        " alter table app.people rename email to mail; alter table app.people drop old;"
        " create index people_mail on app.people (mail); create type feeling as enum ('a');",
        "migrations/3_c.sql": "drop table gone cascade; alter type feeling rename to mood;",
    }

    code, report = run(files, declaration='baseline = "3"')

    assert code == 0, report
    assert len(whole_files(database)) == 3


@pytest.mark.parametrize(
    ("made", "label"),
    [
        ("create view v as select 1 as x;", "view:public.v"),
        ("create materialized view m as select 1 as x;", "materialized view:public.m"),
        ("create sequence q;", "sequence:public.q"),
        ("create type e as enum ('a');", "type:public.e"),
        ("create domain d as int;", "type:public.d"),
        ("create function f() returns int language sql as 'select 1';", "function:public.f"),
        ("create index i on t (id);", "index:public.i"),
        ("alter table t add constraint c check (id > 0);", "constraint:public.t.c"),
        ("create policy p on t;", "policy:public.t.p"),
        ("create schema s;", "schema:s"),
        ("create schema s; create table s.u (id int);", "schema:s"),
    ],
)
def test_every_kind_is_asked_for(made: str, label: str, database: Database, run: Run) -> None:
    """65 where it is not there, and 0 where it is."""
    database.execute("create table t (id int)")
    files = {"migrations/1_t.sql": f"create table t (id int); {made}"}

    code, report = run(files, declaration='baseline = "1"')
    database.execute(made)
    there, _ = run(files, declaration='baseline = "1"')

    assert (code, there) == (65, 0)
    assert label in report["message"]


def test_what_a_block_makes_is_not_judged(database: Database, run: Run) -> None:
    """Only the server knows what a DO makes: it is recorded, and the log counts it."""
    database.execute("create table t (id int)")
    block = "create table t (id int); do $$ begin execute 'create table dynamic (id int)'; end $$;"

    code, report = run({"migrations/1_t.sql": block}, declaration='baseline = "1"')

    assert code == 0
    (note,) = [f for f in report["findings"] if f["code"] == "not-judged"]
    assert "what 1 statement(s)" in note["message"]


def test_a_list_of_what_is_missing_is_one(run: Run) -> None:
    """78 for anything but names with their kinds."""
    code, report = run(INIT, declaration='[accept]\nmissing = ["users"]')

    assert code == 78
    assert '[accept] missing must be a list such as ["table:public.old"]' in report["message"]


# whose tables count


def test_a_provider_s_tables_make_no_database_old(database: Database, run: Run) -> None:
    """A new Supabase project gets every file, whether or not production needed a baseline."""
    database.execute(SUPABASE)

    code, report = run(USERS, declaration='baseline = "0003"')

    assert code == 0, report
    assert tables(database) == ["auth.users", "public.orders", "public.users", "storage.objects"]
    assert run(USERS)[1]["outcome"] == "ok"


def test_references_and_triggers_make_no_schema_the_folder_s(database: Database, run: Run) -> None:
    """What hangs on auth.users is what every such project has; an UPDATE behind it runs."""
    database.execute(SUPABASE)
    profiles = {
        "migrations/0001_a.sql": "create table users (id uuid references auth.users (id));"
        " create function made() returns trigger language plpgsql as 'begin return new; end';"
        " create trigger made after insert on auth.users for each row execute function made();",
        "migrations/0002_b.sql": "update users set id = id;",
    }

    assert run(profiles)[0] == 0


def test_two_apps_with_ledgers_and_schemas_of_their_own(database: Database, run: Run) -> None:
    """The second app's first deploy finds a new database, whatever the first one's files made."""
    one = {"migrations/0001_a.sql": "create schema a; create table a.t (id int);"}
    other = {
        "migrations/0001_b.sql": "create schema b; create table b.t (id int, x text);"
        " insert into b.t values (1, 'A');",
        "migrations/0002_b.sql": "update b.t set x = lower(x);",
    }

    first, _ = run(one, PREDEPLOY_LEDGER_SCHEMA="ledger_a")
    second, report = run(other, PREDEPLOY_LEDGER_SCHEMA="ledger_b")

    assert (first, second) == (0, 0), report
    assert database.rows("select x from b.t") == [("a",)]


def test_tables_in_a_schema_of_the_folder_s_make_it_old(database: Database, run: Run) -> None:
    """65: with tables in the schema that the files make theirs, they may have been run before."""
    database.execute("create schema b; create table b.t (id int); insert into b.t values (1)")
    files = {
        "migrations/0001_b.sql": "create schema if not exists b;"
        " create table if not exists b.t (id int);",
        "migrations/0002_b.sql": "update b.t set id = id + 1;",
    }

    code, report = run(files)

    assert code == 65
    assert "tables but no ledger" in report["message"]
    assert database.rows("table b.t") == [(1,)]


def test_the_search_path_of_the_session_counts(database: Database, run: Run) -> None:
    """Unqualified names are made there, so tables there make the database old."""
    database.execute(
        "create schema app; create table app.users (id int, email text);"
        f"alter database {database.name} set search_path = app"
    )

    assert run(USERS)[0] == 65


def test_a_stray_table_and_a_baseline(database: Database, run: Run) -> None:
    """65: nothing of what the files make is there, so nothing may be recorded."""
    database.execute("create table playing_with_neon (id serial primary key)")

    code, report = run(USERS, declaration='baseline = "0003"')

    assert code == 65
    assert "table:public.users, table:public.orders" in report["message"]
    assert tables(database) == ["public.playing_with_neon"]


# a ledger without rows


@pytest.mark.parametrize("lost", ["truncated", "dumped"])
def test_a_ledger_without_a_row_is_none(
    lost: str, database: Database, run: Run, programs: Path
) -> None:
    """65 from run, plan and verify: the history would run over the rows again."""
    files = {
        "migrations/001.sql": "create table if not exists fees (n int, cents int);"
        " insert into fees values (1, 100), (2, 200);",
        "migrations/002.sql": "update fees set cents = cents * 100;",
    }
    run(files)
    if lost == "truncated":
        database.execute(
            "truncate predeploy.migration, predeploy.meta, predeploy.run, predeploy.state,"
            " predeploy.declared"
        )
    else:
        arguments = ("--exclude-table-data=predeploy.*", "--no-owner", database.url)
        dump = subprocess.run(
            [programs / "pg_dump", *arguments], capture_output=True, check=True, text=True
        ).stdout
        database.execute("drop table fees; drop schema predeploy cascade")
        subprocess.run(
            [programs / "psql", "-qX", database.url],
            input=dump, check=True, text=True, capture_output=True, env=dict(os.environ),
        )  # fmt: skip

    found = [run(files, command) for command in ("plan", "run", "verify")]

    assert [code for code, _ in found] == [65, 65, 65]
    assert "tables but no ledger that would tell" in found[1][1]["message"]
    assert database.rows("select cents from fees order by n") == [(10000,), (20000,)]
    code, report = run(files, declaration='baseline = "2"')
    assert code == 0, report
    assert len(whole_files(database)) == 2
    assert database.rows("select key from predeploy.meta order by 1") == [
        ("born",), ("created_by",), ("version",),
    ]  # fmt: skip
    assert run(files, declaration='baseline = "2"')[1]["outcome"] == "settled"


def test_a_blank_ledger_of_an_empty_database_is_a_new_one(database: Database, run: Run) -> None:
    """A dump of the schema alone, restored where no table is: every file runs."""
    run(INIT)
    database.execute("drop table customers; truncate predeploy.meta, predeploy.migration")

    assert run(INIT)[0] == 0
    assert tables(database) == ["public.customers"]


def test_a_replay_on_a_blank_ledger_is_watched(database: Database, run: Run) -> None:
    """65 for a block that touches rows from before: the ledger knows since when it watches."""
    block = "do $$ begin update t set id = 2; end $$;"
    files = {"migrations/1_t.sql": "create table if not exists t (id int);"}
    run(files)
    database.execute("insert into t values (1); truncate predeploy.meta, predeploy.migration")

    code, report = run({**files, "migrations/2_t.sql": block})

    assert code == 65
    assert "touched 1 row(s) of public.t" in report["message"]
    assert database.rows("table t") == [(1,)]
