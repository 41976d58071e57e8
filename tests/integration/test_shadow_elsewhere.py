"""Where the schemas cannot be swapped, the desired state is read in another database."""

import re
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from predeploy.contract.errors import DatabaseRefusedError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure
from predeploy.database.shadow import Elsewhere, ShadowFacts, read_shadow
from predeploy.schema.kinds import READ_WITH
from predeploy.settings.endpoint import parse_endpoint
from tests.conftest import SQL, Database
from tests.integration.test_shadow import SCHEMAS, desired, limits, live, question

LEFT = "select count(*) from pg_database where datname like 'predeploy_shadow_%'"


@pytest.fixture
def guest_url(database: Database) -> Iterator[str]:
    """The URL of a role that may make databases and owns nothing here."""
    role = f"guest_{database.name}"
    database.execute(f"create role {role} login createdb")
    yield database.url.replace("postgres@", f"{role}@")
    database.execute(f"drop owned by {role}; drop role {role}")


def read(url: str, *texts: str, scratch: str = "") -> ShadowFacts | Failure:
    found = desired(*texts)
    other = parse_endpoint("PREDEPLOY_SHADOW_URL", scratch) if scratch else None
    elsewhere = Elsewhere(parse_endpoint("DATABASE_URL", url), other)
    with psycopg.connect(url, autocommit=True) as conn:
        return read_shadow(
            conn, found, question(*found.schemas), READ_WITH, limits(), elsewhere=elsewhere
        )


def test_thekeyn_in_a_temporary_database(database: Database, guest_url: str) -> None:
    """The rows are the ones that running the file gives; the database is gone afterwards."""
    text = (SQL / "schema.sql").read_text()

    found = read(guest_url, text)
    database.execute(text)

    assert isinstance(found, ShadowFacts), found
    assert found.provider == "temporary database"
    assert found.rows == live(database)
    assert [f.code for f in found.findings] == ["shadow-elsewhere"]
    assert database.value(LEFT) == 0


def test_extensions_are_made_there_again(database: Database, guest_url: str) -> None:
    """What the live database has installed can be used without CREATE EXTENSION."""
    database.execute("create extension citext")

    found = read(guest_url, "create table public.t (a public.citext, b citext)")

    assert isinstance(found, ShadowFacts), found
    assert found.rows == (
        ("column", "public.t.a", "public.citext"),
        ("column", "public.t.b", "public.citext"),
    )


def test_files_need_no_order_there_either(guest_url: str) -> None:
    """What is missing comes in a later round; a body that cannot be checked is said."""
    found = read(
        guest_url,
        "create view v as select f() from t;",
        "create table t (a int); create function f() returns int language sql as 'select nope()';",
    )

    assert isinstance(found, ShadowFacts), found
    assert ("column", "public.v.f", "integer") in found.rows
    assert [f.code for f in found.findings] == ["shadow-elsewhere", "body-not-checked"]


def test_errors_have_their_place_there(database: Database, guest_url: str) -> None:
    """A failure leaves no database behind either."""
    found = read(guest_url, "create table a ();\ncreate table t (a int,\n b nope)")

    assert isinstance(found, Failure)
    assert (found.line, found.column, found.exit_code) == (3, 4, ExitCode.BAD_SOURCES)
    assert database.value(LEFT) == 0


MANY = 200
"""Statements, which are more than go there in one transaction, and less than in one message."""


@pytest.mark.parametrize("place", [1, 100, MANY])
def test_an_error_among_many_has_its_place_there(
    database: Database, guest_url: str, place: int
) -> None:
    """Whatever stands before it, in its transaction and in its message."""
    lines = [f"create table t{n} (a int);" for n in range(1, MANY + 1)]
    lines[place - 1] = "create table t (a nope);"

    found = read(guest_url, "\n".join(lines))

    assert isinstance(found, Failure)
    assert (found.line, found.column) == (place, 19)
    assert database.value(LEFT) == 0


def test_what_lacks_something_among_many_comes_in_a_later_round(guest_url: str) -> None:
    """What was before it is there, and what comes behind is made."""
    lines = [f"create table t{n} (a int);" for n in range(1, MANY + 1)]
    lines[99] = f"create view v as select a from t{MANY};"

    found = read(guest_url, "\n".join(lines))

    assert isinstance(found, ShadowFacts), found
    assert len([row for row in found.rows if row[0] == "column"]) == MANY
    assert ("column", "public.v.a", "integer") in found.rows


def test_the_statement_to_be_mended_is_named_there(guest_url: str) -> None:
    """Not one that lacks something only because another one fails."""
    found = read(guest_url, "create view w as select 1 from v;\ncreate view v as select nope;")

    assert isinstance(found, Failure)
    assert (found.line, found.message) == (2, 'column "nope" does not exist')


def test_many_tables_need_no_large_lock_table(database: Database) -> None:
    """What would fill the lock table in one transaction is loaded in many."""
    capacity = int(
        str(
            database.value(
                "select current_setting('max_locks_per_transaction')::int *"
                " (current_setting('max_connections')::int"
                " + current_setting('max_prepared_transactions')::int)"
            )
        )
    )
    tables = capacity // 4 + 10
    text = "".join(f"create table t{n} (id int primary key);" for n in range(tables))

    found = read(database.url, text)

    assert isinstance(found, ShadowFacts), found
    assert found.provider == "temporary database"
    assert sum(row[0] == "column" for row in found.rows) == 2 * tables  # and of the keys


def test_what_a_killed_run_left_is_dropped(database: Database, guest_url: str) -> None:
    """Only databases of that name which nobody uses: old ones, and those whose maker is gone."""
    with psycopg.connect(guest_url, autocommit=True) as conn:
        now, pid = int(time.time()), conn.info.backend_pid
        conn.execute(f"create database predeploy_shadow_00000001_{pid:08x}_0a0b0c0d")
        conn.execute(f"create database predeploy_shadow_{now:08x}_7fffffff_0a0b0c0d")
        conn.execute(f"create database predeploy_shadow_{now:08x}_{pid:08x}_0a0b0c0d")

        read(guest_url, "create table t ()")

        assert database.value(LEFT) == 1
        conn.execute(f"drop database predeploy_shadow_{now:08x}_{pid:08x}_0a0b0c0d")


def test_a_scratch_database_is_left_as_it_was(
    database: Database, guest_url: str, superuser_url: str
) -> None:
    """The files are rolled back there; it may hold whatever it likes."""
    with psycopg.connect(guest_url, autocommit=True) as conn:
        name = f"scratch_{database.name}"
        conn.execute(f'create database "{name}"')
    url = guest_url.replace(database.name + "/", "").rsplit("/", 1)[0] + f"/{name}"
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("create table public.other ()")

        found = read(guest_url, "create table t (a int)", scratch=url)

        assert isinstance(found, ShadowFacts), found
        assert found.provider == "scratch database"
        assert found.rows == (("column", "public.t.a", "integer"),)
        with psycopg.connect(url) as conn:
            assert conn.execute("select to_regclass('public.t') is null").fetchone() == (True,)
    finally:
        with psycopg.connect(superuser_url, autocommit=True) as conn:
            conn.execute(f'drop database "{name}" with (force)')


# nothing is declared of a schema but what the files say


def test_a_schema_there_has_only_what_the_file_says(guest_url: str) -> None:
    """What a new database's own `public` grants, and its comment, are not declared."""
    found = desired("create table t (); create table app.t (); grant usage on schema app to public")
    with psycopg.connect(guest_url, autocommit=True) as conn:
        elsewhere = Elsewhere(parse_endpoint("DATABASE_URL", guest_url))
        answer = read_shadow(conn, found, SCHEMAS, READ_WITH, limits(), elsewhere=elsewhere)

    assert isinstance(answer, ShadowFacts), answer
    assert answer.rows == (("app", None, "unknown (OID=0) USAGE"), ("public", None, None))


# ways out


@pytest.fixture
def poor(database: Database) -> Iterator[str]:
    """A role that may make tables in `public`, and neither owns it nor may make databases."""
    role = f"poor_{database.name}"
    database.execute(f"create role {role} login; grant usage, create on schema public to {role}")
    yield role
    database.execute(f"drop owned by {role}; drop role {role}")


@pytest.fixture
def poor_url(database: Database, poor: str) -> str:
    return database.url.replace("postgres@", f"{poor}@")


TABLE = "create table t (a int)"


def refused(url: str, scratch: str = "") -> str:
    with pytest.raises(DatabaseRefusedError) as caught:
        read(url, TABLE, scratch=scratch)
    assert caught.value.exit_code is ExitCode.DENIED
    return str(caught.value)


def test_without_any_way_the_ways_out_are_named(
    database: Database, poor: str, poor_url: str
) -> None:
    """77, with all three: to own the schemas, to make databases, or a scratch database."""
    major = int(str(database.value("show server_version_num"))) // 10000

    told = refused(poor_url)

    assert f'alter schema "public" owner to "{poor}"' in told
    assert f'grant create on database "{database.name}" to "{poor}"' in told
    assert f'alter role "{poor}" createdb' in told
    assert f"PREDEPLOY_SHADOW_URL to an empty database of PostgreSQL {major}" in told


@pytest.mark.parametrize(
    ("pattern", "provider"),
    [
        (
            r'(alter schema "public" owner to "\w+").*(grant create on database "\w+" to "\w+")',
            "swap",
        ),
        (r'(alter role "\w+" createdb)', "temporary database"),
    ],
)
def test_each_way_out_works_as_it_is_printed(
    database: Database, poor_url: str, pattern: str, provider: str
) -> None:
    """The statements of the message, run by the administrator as they stand there, are enough."""
    statements = re.search(pattern, refused(poor_url))
    assert statements
    database.execute("; ".join(statements.groups()))

    found = read(poor_url, TABLE)
    database.execute("alter schema public owner to pg_database_owner")

    assert isinstance(found, ShadowFacts), found
    assert found.provider == provider


def test_an_empty_database_of_its_own_is_a_way_out(
    poor: str, poor_url: str, make_database: Callable[..., Database]
) -> None:
    """Whose role owns it; where another one does, that is 77, too."""
    scratch = make_database()
    url = scratch.url.replace("postgres@", f"{poor}@")
    assert f"name another database than {poor}@" in refused(poor_url, url)
    scratch.execute(f"alter database {scratch.name} owner to {poor}")

    found = read(poor_url, TABLE, scratch=url)
    scratch.execute(f"alter database {scratch.name} owner to postgres")

    assert isinstance(found, ShadowFacts), found
    assert (found.provider, found.rows) == (
        "scratch database", (("column", "public.t.a", "integer"),)
    )  # fmt: skip
