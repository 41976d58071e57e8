"""What the files declare is theirs alone: nothing of the live database is taken for it."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from conftest import ROOT, Database
from production import environ, prepare, run_here

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Outcome

Folder = Callable[..., Path]


def schema_rights(database: Database) -> object:
    return database.rows(
        """select n.nspname, pg_get_userbyid(a.grantee), a.privilege_type,
            obj_description(n.oid, 'pg_namespace')
        from pg_namespace n left join aclexplode(n.nspacl) a on a.grantee <> n.nspowner
            and a.grantee <> 0
        where n.nspname = 'app' order by 1, 2, 3"""
    )


def test_what_was_taken_away_from_a_schema_is_not_given_back(
    database: Database, folder: Folder
) -> None:
    """Rights on a schema, and its comment, are declared only by a file that says so."""
    database.execute("create schema app; grant usage on schema app to pg_monitor")
    database.execute("comment on schema app is 'old'")
    settings = environ(database, folder({"schema.sql": "create table app.note (id integer);"}))
    prepare(settings)
    database.execute("revoke usage on schema app from pg_monitor; comment on schema app is 'new'")

    report = run_here(settings)

    assert report.exit_code is ExitCode.OK
    assert schema_rights(database) == [("app", None, None, "new")]
    assert run_here(settings).outcome is Outcome.SETTLED


def test_what_a_file_says_of_a_schema_is_given_back(database: Database, folder: Folder) -> None:
    """What it says itself comes again."""
    text = """create schema app; create table app.note (id integer);
        grant usage on schema app to pg_monitor; comment on schema app is 'ours'"""
    settings = environ(database, folder({"schema.sql": text}))
    prepare(settings)
    database.execute("revoke usage on schema app from pg_monitor; comment on schema app is 'new'")

    prepare(settings)

    assert schema_rights(database) == [("app", "pg_monitor", "USAGE", "ours")]


RIGHTS = """select 'schema', nspname, nspacl::text from pg_namespace where nspname = 'app'
    union all select 'relation', relname, relacl::text from pg_class
        where relnamespace = 'app'::regnamespace and relkind in ('r', 'S')
    union all select 'routine', proname, proacl::text from pg_proc
        where pronamespace = 'app'::regnamespace
    union all select 'type', typname, typacl::text from pg_type
        where typnamespace = 'app'::regnamespace and typtype = 'e'
    order by 1, 2"""


@pytest.mark.parametrize("shadow", ["swap", "temporary database"])
def test_default_privileges_say_nothing_of_what_is_there(
    database: Database, folder: Folder, shadow: str
) -> None:
    """What a role gives or denies with all that it will create is not declared of old objects."""
    role = f"deployer_{database.name}"
    database.execute(
        f"create role {role} login; grant create on database {database.name} to {role};"
        f"create schema app; grant usage, create on schema app to {role}; set role {role};"
        "create table app.note (id integer); create sequence app.ticket;"
        "create type app.mood as enum ('sad');"
        "create function app.one() returns integer language sql as 'select 1';"
        "alter default privileges grant select on tables to pg_monitor with grant option;"
        "alter default privileges grant insert on tables to public;"
        "alter default privileges grant usage on sequences to pg_monitor;"
        "alter default privileges grant usage on schemas to pg_monitor;"
        "alter default privileges grant execute on functions to pg_monitor;"
        "alter default privileges revoke execute on functions from public;"
        "alter default privileges revoke usage on types from public"
    )
    way = f"alter schema app owner to {role}" if shadow == "swap" else f"alter role {role} createdb"
    database.execute(way)
    text = """create schema app; create table app.note (id integer); create sequence app.ticket;
        create type app.mood as enum ('sad');
        create function app.one() returns integer language sql as 'select 1';"""
    settings = environ(database, folder({"schema.sql": text}))
    settings["DATABASE_URL"] = database.url.replace("postgres@", f"{role}@")
    before = database.rows(RIGHTS)
    try:
        report = run_here(settings)

        assert (report.exit_code, report.outcome) == (ExitCode.OK, Outcome.OK)
        assert database.rows(RIGHTS) == before
        assert run_here(settings).outcome is Outcome.SETTLED
    finally:
        database.execute(f"drop owned by {role} cascade; drop role {role}")


@pytest.mark.parametrize(
    ("first", "expected"), [("function", ExitCode.OK), ("default", ExitCode.REFUSED)]
)
def test_what_is_to_be_made_may_be_closed_to_public(
    database: Database, folder: Folder, first: str, expected: ExitCode
) -> None:
    """As a declared default: new functions are closed, those that are there stay as they are."""
    old = "create function old() returns integer language sql as 'select 1';"
    closed = "alter default privileges revoke execute on functions from public;"
    text = f"{old} {closed}" if first == "function" else f"{closed} {old}"
    settings = environ(database, folder({"schema.sql": old}))
    assert run_here(settings).exit_code is ExitCode.OK
    settings = environ(database, folder({"schema.sql": text}))

    report = run_here(settings)

    database.execute("create function new() returns integer language sql as 'select 2'")
    may = "select proname, has_function_privilege('pg_monitor', oid, 'execute') from pg_proc"
    assert report.exit_code is expected
    assert database.rows(f"{may} where proname in ('new', 'old') order by 1") == [
        ("new", False),
        ("old", True),
    ]
    assert database.value("select count(*) from pg_default_acl") == 1


def test_an_extension_may_move_to_another_schema(database: Database, folder: Folder) -> None:
    """A column of its type is declared as ever, by the schema that the type is in now."""
    text = "create extension citext; create table note (body citext);"
    settings = environ(database, folder({"schema.sql": text}))
    prepare(settings)
    database.execute("create schema extensions; alter extension citext set schema extensions")

    assert run_here(settings).exit_code is ExitCode.OK


def test_a_grant_on_a_schema_declares_no_other(database: Database, folder: Folder) -> None:
    """What else was granted on it, and is taken away later, is not given back."""
    text = "create table app.note (id integer); grant usage on schema app to pg_monitor"
    database.execute("create schema app; grant usage on schema app to pg_read_all_data")
    settings = environ(database, folder({"schema.sql": text}))
    prepare(settings)
    assert [row[1] for row in schema_rights(database)] == ["pg_monitor", "pg_read_all_data"]
    database.execute("revoke usage on schema app from pg_read_all_data")

    prepare(settings)

    assert [row[1] for row in schema_rights(database)] == ["pg_monitor"]


ADVICE = re.compile(
    "in a migration: (?:give index (\\S+) another name, then )?(.*?)(?:; or accept|$)"
)
ADVISED = (
    "partition/constraint-names", "partition/index-names", "not-null-rows/commented",
    "not-null-rows/of-domains", "grant/owner-only-live", "grant/owner-only-in-the-shadow",
)  # fmt: skip


@pytest.mark.parametrize("case", ADVISED)
def test_what_is_advised_makes_it_as_declared(
    database: Database, folder: Folder, case: str
) -> None:
    """The statements of the findings, run as they stand, leave nothing to say."""
    with database.connect() as conn:
        if case.startswith("not-null") and conn.info.server_version < 180000:
            pytest.skip("a NOT NULL of a column has no name")
    place = ROOT / "tests" / "cases" / case
    prepare(environ(database, folder({"schema.sql": "-- nothing yet"})))
    settings = environ(database, folder({"schema.sql": (place / "desired.sql").read_text()}))
    database.execute((place / "current.sql").read_text())
    first = run_here(settings)
    advised = [match for f in first.findings if (match := ADVICE.search(f.remedy))]
    assert advised, first.findings

    for taken in {match[1] for match in advised} - {None}:
        schema, _, name = taken.split(".")
        database.execute(f"alter index {schema}.{name} rename to {name}_of_another")
    for statement in {match[2] for match in advised}:
        database.execute(statement)
    second = run_here(settings)

    assert (second.exit_code, second.findings) == (ExitCode.OK, ())
    assert run_here(settings).outcome is Outcome.SETTLED


@pytest.mark.parametrize("name", ["user", 'Deployer "one"', "deployer"])
def test_what_our_role_is_granted_is_so_on_the_tables_of_another(
    database: Database, folder: Folder, name: str
) -> None:
    """Whatever it is called; what the owner has is no business of a REVOKE from our role."""
    name = f"{name}_{database.name}" if name != "user" else name
    role, owner = psycopg.sql.Identifier(name), psycopg.sql.Identifier(f"owner_{database.name}")
    text = (
        "create table note (id integer);grant select on note to {0}; revoke delete on note from {0}"
    )
    settings = environ(
        database, folder({"schema.sql": psycopg.sql.SQL(text).format(role).as_string()})
    )
    settings["DATABASE_URL"] = database.url.replace("postgres@", f"{quote(name)}@")
    with database.connect() as conn:
        for told in (
            "create role {1}; create role {0} login in role {1}",
            "create table note (id integer); alter table note owner to {1}",
            "alter schema public owner to {0}",
            "grant create on database {2} to {0}",
        ):
            conn.execute(
                psycopg.sql.SQL(told).format(role, owner, psycopg.sql.Identifier(database.name))
            )
    acl = """select a.grantee::regrole::text = quote_ident(%s), a.privilege_type
        from pg_class c, aclexplode(relacl) a
        where c.relname = 'note' and a.grantee <> c.relowner"""
    try:
        report = run_here(settings)

        assert (report.exit_code, report.findings) == (ExitCode.OK, ())
        assert database.rows(acl, name) == [(True, "SELECT")]
        assert run_here(settings).outcome is Outcome.SETTLED
    finally:
        with database.connect() as conn:
            drop = "alter schema public owner to pg_database_owner; drop owned by {0}, {1} cascade"
            conn.execute(psycopg.sql.SQL(f"{drop}; drop role {{0}}, {{1}}").format(role, owner))


def test_a_grant_to_the_owner_leaves_no_trace_whoever_reads_the_file(
    database: Database, folder: Folder, make_database: Callable[..., Database]
) -> None:
    """The role of the shadow's database is another than the one that owns the table."""
    role = f"deployer_{database.name}"
    database.execute(
        f"create role {role} login; grant create on schema public to {role}; set role {role};"
        "create table note (id integer); revoke delete on note from current_user"
    )
    text = f"create table note (id integer); grant select, delete on note to {role}"
    settings = environ(
        database, folder({"schema.sql": text}), PREDEPLOY_SHADOW_URL=make_database().url
    )
    settings["DATABASE_URL"] = database.url.replace("postgres@", f"{role}@")
    database.execute(f"grant create on database {database.name} to {role}")
    acl = "select array_agg(privilege_type order by 1) from pg_class c, aclexplode(relacl)"
    try:
        report = run_here(settings)

        assert report.exit_code is ExitCode.OK, report.findings
        assert "DELETE" in database.value(f"{acl} where relname = 'note'")
        assert run_here(settings).outcome is Outcome.SETTLED
    finally:
        database.execute(f"drop owned by {role} cascade; drop role {role}")
