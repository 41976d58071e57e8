"""A ledger that somebody else has made, or can change, is not believed and not called."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from conftest import Database, run_job
from production import report_of

from predeploy.database.sentinel import sentinel

Folder = Callable[[Mapping[str, str]], Path]

FILES = {
    "migrations/1_a.sql": "create table users (id int primary key, email text);",
    "schema.sql": "create table users (id int primary key, email text);",
}
OURS = sentinel.functions("predeploy")
# What a squatter makes: code of his wherever a run would call or write something.
TRAP = """create function {name}({arguments}) returns {returned} language plpgsql as $$
    begin execute format('create role %I', 'caught_' || current_database()); return null; end $$;"""
CALLED = "".join(
    TRAP.format(name=name, arguments=arguments, returned=returned)
    for name, arguments, returned in (
        (OURS.signs, "altered name[]", "jsonb"),
        (OURS.suspects, "", "jsonb"),
        (OURS.guard, "", "bool"),
        (OURS.sequences, "guard int, reached name[], again boolean", "jsonb"),
    )
)
TABLES = """
    create table predeploy.meta (key text primary key, value text not null);
    insert into predeploy.meta values ('version', '1'), ('born', pg_current_xact_id()::text);
    create table predeploy.migration (file text, step_hash text, occurrence integer,
        position integer, is_final boolean, raw_hash text, is_done boolean, run_id text,
        applied_at timestamptz default clock_timestamp(), duration_ms double precision,
        losses jsonb, drifts jsonb, primary key (file, step_hash, occurrence));
    create table predeploy.run (id text primary key, version text,
        started_at timestamptz default clock_timestamp(), finished_at timestamptz, outcome text,
        exit_code integer, report jsonb);
    create table predeploy.declared (files text, about text, schemas text, facts text,
        stored_at timestamptz default clock_timestamp(), primary key (files, about));
    create table predeploy.state (name text primary key, key text, fingerprint text, system text,
        run_id text, stored_at timestamptz default clock_timestamp());
    grant all on schema predeploy to public; grant all on all tables in schema predeploy to public;
"""
SEEN = TRAP.format(name="predeploy.look", arguments="", returned="text")
SQUATS = {
    "a whole ledger": f"create schema predeploy; {TABLES} {CALLED}",
    "its tables alone": f"create schema predeploy; {TABLES}",
    "its schema alone": "create schema predeploy; grant all on schema predeploy to public",
    "a view in place of a table": f"create schema predeploy; {TABLES} {SEEN} {CALLED}"
    "drop table predeploy.state; create view predeploy.state as select 'settled' as name, "
    "predeploy.look() as key, '' as fingerprint, '' as system; "
    "grant select on predeploy.state to public",
}


@pytest.fixture
def mallory(database: Database) -> Iterator[str]:
    """A role that may make schemas in the database, and log in."""
    role = f"mallory_{database.name[-8:]}"
    database.execute(
        f"create role {role} login; grant create on database {database.name} to {role}"
    )
    yield role
    database.execute(f"drop owned by {role} cascade; drop role {role}")


def as_role(database: Database, role: str, statements: str) -> None:
    """Do something as the role."""
    with psycopg.connect(database.url, user=role, autocommit=True) as conn:
        conn.execute(statements.encode())


def run_as(
    database: Database, folder: Path, role: str, command: str = "run", *more: str
) -> CompletedProcess[str]:
    url = psycopg.conninfo.make_conninfo(database.url, user=role)
    environ = {"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder)}
    return run_job(command, *more, environ=environ)


def url_of_path(database: Database, folder: Path, path: str) -> dict[str, str]:
    """The settings of a job whose connection string says what the search_path is."""
    url = f"{database.url}?search_path={path}"
    return {"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder)}


def is_caught(database: Database) -> bool:
    """Whether code of the squatter's has run as the superuser."""
    role = f"caught_{database.name}"
    is_there = bool(database.rows("select from pg_roles where rolname = %s", role))
    database.execute(f"drop role if exists {role}")
    return is_there


def is_refused(done: CompletedProcess[str], owner: str) -> bool:
    report = report_of(done)
    return report["exit_code"] == 77 and f"belongs to {owner}" in report["message"]


@pytest.mark.parametrize("squat", SQUATS)
def test_a_squatted_ledger_ends_the_run(
    squat: str, database: Database, folder: Folder, mallory: str
) -> None:
    """With 77 and its owner's name: nothing of it is called, and no migration runs."""
    as_role(database, mallory, SQUATS[squat])

    done = run_as(database, folder(FILES), "postgres")

    assert is_refused(done, mallory), done.stdout
    assert not is_caught(database)
    assert database.value("select to_regclass('users')") is None


@pytest.mark.parametrize("command", ["plan", "status", "verify"])
@pytest.mark.parametrize("squat", ["a whole ledger", "a view in place of a table"])
def test_a_squatted_ledger_is_not_read(
    squat: str, command: str, database: Database, folder: Folder, mallory: str
) -> None:
    """By the other commands neither, for a role that may do more than read it."""
    as_role(database, mallory, SQUATS[squat])

    done = run_as(database, folder(FILES), "postgres", command)

    assert is_refused(done, mallory), done.stdout
    assert not is_caught(database)


@pytest.mark.parametrize(
    "taken",
    [
        "alter schema predeploy owner to {}",
        *(f"alter table predeploy.{t} owner to {{}}" for t in ("meta", "migration", "run")),
        "alter table predeploy.state owner to {}",
    ],
)
def test_a_settled_database_is_not_believed_either(
    taken: str, database: Database, folder: Folder, mallory: str
) -> None:
    """Where any part of the ledger has come into other hands, a run ends with 77."""
    assert run_as(database, folder(FILES), "postgres").returncode == 0
    database.execute(f"grant usage, create on schema predeploy to {mallory}")
    database.execute(taken.format(mallory))

    done = run_as(database, folder(FILES), "postgres")

    assert is_refused(done, mallory), done.stdout


@pytest.mark.parametrize("function", [f"{OURS.guard}()", f"{OURS.signs}(name[])"])
def test_a_function_in_other_hands_is_not_called(
    function: str, database: Database, folder: Folder, mallory: str
) -> None:
    """A settled run calls none; what has something to do ends with 77."""
    assert run_as(database, folder(FILES), "postgres").returncode == 0
    database.execute(f"grant usage, create on schema predeploy to {mallory}")
    database.execute(f"alter function {function} owner to {mallory}")
    more = FILES | {"migrations/2_b.sql": "create table b ();"}

    done = run_as(database, folder(more), "postgres")

    assert is_refused(done, mallory), done.stdout
    assert database.value("select to_regclass('b')") is None


def test_the_advice_helps(database: Database, folder: Folder, mallory: str) -> None:
    """Both ways out of the message: a grant of the owner's role, or a ledger made anew."""
    as_role(database, mallory, SQUATS["its schema alone"])
    told = report_of(run_as(database, folder(FILES), "postgres"))["message"]
    granted = f'grant "{mallory}" to "postgres"'
    assert granted in told
    assert 'drop schema "predeploy" cascade' in told

    database.execute(granted)
    assert run_as(database, folder(FILES), "postgres").returncode == 0

    database.execute(f'revoke "{mallory}" from "postgres"; drop schema "predeploy" cascade')
    more = {"predeploy.toml": 'baseline = "1"'}
    assert run_as(database, folder(FILES | more), "postgres").returncode == 0


def test_a_superuser_s_ledger_serves_a_role_that_may_use_it(
    database: Database, folder: Folder, mallory: str
) -> None:
    """A superuser can do anything already; the role only needs the grants."""
    assert run_as(database, folder(FILES), "postgres").returncode == 0
    database.execute(
        f"grant usage on schema predeploy to {mallory}; grant create on schema public to {mallory};"
        f"grant select, insert, update, delete on all tables in schema predeploy to {mallory}"
    )
    files = FILES | {"migrations/2_b.sql": "create table b ();"}
    files.pop("schema.sql")

    done = run_as(database, folder(files), mallory)

    assert done.returncode == 0, done.stdout


def test_who_made_the_owner_s_role_does_not_trust_it_for_that(
    database: Database, folder: Folder, mallory: str
) -> None:
    """Since PostgreSQL 16 the maker of a role is a member of it, without its rights."""
    made = f"app_{database.name[-8:]}"
    database.execute(f"alter role {mallory} createrole")
    as_role(database, mallory, f"create role {made} login")
    database.execute(f"grant create on database {database.name} to {made}")
    as_role(database, made, SQUATS["its schema alone"])

    done = run_as(database, folder(FILES), mallory)

    assert is_refused(done, made), done.stdout
    database.execute(f"drop owned by {made} cascade; drop role {made}")


@pytest.mark.parametrize("kind", ["table", "view"])
def test_a_reader_believes_what_runs_nothing(
    kind: str, database: Database, folder: Folder, mallory: str
) -> None:
    """It is no member of the role that deploys; where reading would call something, that is 77."""
    reader = f"reader_{database.name[-8:]}"
    database.execute(f"create role {reader} login; grant create on schema public to {mallory}")
    files = {"migrations/1_a.sql": FILES["migrations/1_a.sql"]}
    assert run_as(database, folder(files), mallory).returncode == 0
    database.execute(
        f"grant usage on schema predeploy to {reader};"
        f"grant select on all tables in schema predeploy to {reader}"
    )
    if kind == "view":
        as_role(
            database,
            mallory,
            "alter table predeploy.meta rename to kept;"
            "create view predeploy.meta as select * from predeploy.kept;"
            f"grant select on predeploy.meta to {reader}",
        )

    done = run_as(database, folder(files), reader, "verify")

    assert done.returncode == (0 if kind == "table" else 77), done.stdout
    assert is_refused(done, mallory) == (kind == "view")
    database.execute(f"drop owned by {reader} cascade; drop role {reader}")


@pytest.mark.parametrize("grantee", ["public", '"{mallory}"'])
def test_plan_warns_where_others_may_plant_something(
    grantee: str, database: Database, folder: Folder, mallory: str
) -> None:
    """Who may create in a schema of the search_path is named, with the statement against it."""
    role = grantee.format(mallory=mallory)
    safe = run_as(database, folder(FILES), "postgres", "plan", "--json")
    database.execute(f"grant create on schema public to {role}")

    warned = run_as(database, folder(FILES), "postgres", "plan", "--json")

    assert "open-schema" not in safe.stdout
    assert "open-schema" in warned.stdout
    named = url_of_path(database, folder(FILES), "information_schema")
    assert "open-schema" not in run_job("plan", "--json", environ=named).stdout
    remedy = f'revoke create on schema "public" from {role}'
    assert remedy in report_of(warned)["findings"][-1]["next"]
    database.execute(remedy)
    assert "open-schema" not in run_as(database, folder(FILES), "postgres", "plan", "--json").stdout
