"""Whose search_path counts: ours for our own queries, the file's own for the file's statements."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import report_of

Folder = Callable[[Mapping[str, str]], Path]

# What a role that may create in public used to plant: each is the best match for a query of ours
# as it was written, and stands before pg_catalog for none of the others.
TRAPS = {
    "||(text, xid)": ("text", "text, xid", "||"),
    "||(text, int2)": ("text", "text, int2", "||"),
    ">=(oid, int4)": ("bool", "oid, int4", ">="),
    "concat_ws(text, name, name)": ("text", "text, name, name", ""),
    "concat_ws(text, name, name, name)": ("text", "text, name, name, name", ""),
}
FILES = {
    "migrations/1_a.sql": "create table users (id int primary key, email text);",
    "migrations/2_b.sql": "create table if not exists works (id int primary key);",
    "schema.sql": "create table users (id int primary key, email text);"
    "create table works (id int primary key); create table later (id int);",
    "verify/a.sql": "select id from works",
}


@pytest.fixture
def mallory(database: Database) -> Iterator[str]:
    """A role that may create in public, as everybody may in what was upgraded from 14."""
    role = f"mallory_{database.name[-8:]}"
    database.execute(f"create role {role} login; grant create on schema public to public")
    yield role
    database.execute(f"drop owned by {role} cascade; drop role {role}")


def plant(database: Database, role: str, trap: str) -> None:
    """Make the overload as the role; who calls it makes the role a superuser, if he may."""
    returned, arguments, operator = TRAPS[trap]
    name = "planted" if operator else "concat_ws"
    left, _, right = arguments.partition(", ")
    made = f"create operator public.{operator} (leftarg = {left}, rightarg = {right},"
    database.execute(
        f"""set role {role};
        create function public.{name}({arguments}) returns {returned} language plpgsql as $$
        begin
            if current_user <> {role!r} then
                raise exception 'planted' using errcode = 'PL666';
            end if;
            return null;
        end $$;
        {f"{made} function = public.{name})" if operator else ""}"""
    )


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("command", ["run", "plan", "verify", "status"])
def test_an_overload_in_public_is_not_called(
    trap: str, command: str, database: Database, folder: Folder, mallory: str
) -> None:
    """A role that may create functions and operators there does not get our rights by it."""
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(FILES))}
    if command != "run":
        run_job("run", environ=environ, check=0)
    plant(database, mallory, trap)

    run_job(command, environ=environ, check=0)

    if command == "run":
        assert report_of(run_job(command, environ=environ))["outcome"] == "settled"
        more = FILES | {
            "migrations/3_c.sql": "-- predeploy: allow delete works\n"
            "insert into works values (1); delete from works;"
        }
        run_job(command, environ=environ | {"PREDEPLOY_SQL_DIR": str(folder(more))}, check=0)


@pytest.mark.parametrize("scope", ["", "local"])
@pytest.mark.parametrize("there", ["", "create schema app; create table app.b (id int)"])
def test_a_file_s_own_search_path_holds_to_its_end(
    scope: str, there: str, database: Database, folder: Folder
) -> None:
    """From statement to statement, whatever of ours runs between two: at once, and in pieces."""
    database.execute(there)
    files = {
        "migrations/1_a.sql": f"""
            create schema if not exists app;
            set {scope} search_path to app;
            create table a (id int);
            create table if not exists b (id int);
            create index if not exists b_id on b (id);
            create table c (id int);"""
    }
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}

    done = run_job("run", environ=environ)

    assert done.returncode == 0, done.stdout
    tables = "select tablename from pg_tables where schemaname = 'app' order by 1"
    assert database.rows(tables) == [("a",), ("b",), ("c",)]
    assert database.value("show search_path") == '"$user", public'


def test_what_a_file_runs_means_what_it_means_to_the_app(
    database: Database, folder: Folder
) -> None:
    """Steps, seeds and checks run under the role's or the database's search_path, not ours."""
    database.execute("create schema app")
    database.execute(f"alter database {database.name} set search_path to app, public")
    files = {
        "migrations/1_a.sql": "create table things (id int primary key);",
        "seed/a.sql": "insert into things values (1) on conflict do nothing;",
        "verify/a.sql": "select from things where id <> 1",
    }
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}

    run_job("run", environ=environ, check=0)

    assert database.rows("select id from app.things") == [(1,)]
    assert report_of(run_job("run", environ=environ))["outcome"] == "settled"
    files["migrations/2_b.sql"] = "create index concurrently things_id on things (id);"
    environ["PREDEPLOY_SQL_DIR"] = str(folder(files))
    run_job("run", environ=environ, check=0)
    assert database.value("select to_regclass('app.things_id') is not null")


def test_a_constraint_is_validated_under_the_app_s_path(database: Database, folder: Folder) -> None:
    """A function in a CHECK sees what it sees when the app writes a row."""
    function = (
        "create function fits(i int) returns boolean language plpgsql as "
        "'begin return i <= (select most from limits); end'"
    )
    files = {
        "migrations/1_a.sql": f"create table limits (most int); insert into limits values (9);"
        f"{function}; create table works (size int); insert into works values (3);",
        "schema.sql": f"create table limits (most int); {function};"
        "create table works (size int constraint fitting check (fits(size)));",
    }
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}

    run_job("run", environ=environ, check=0)

    assert database.rows("select convalidated from pg_constraint where conname = 'fitting'") == [
        (True,)
    ]
