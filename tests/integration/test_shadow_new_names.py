"""Where the schemas are not ours to rename, the desired state is read beside them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from job.database.shadow import Elsewhere, ShadowFacts, read_shadow
from job.endpoint import parse_endpoint
from job.errors import DatabaseRefusedError
from job.exit_codes import ExitCode
from job.plan import Failure
from job.schema.facts import Fact, parse_facts
from job.schema.kinds import facts_sql
from job.statements.desired import Desired
from tests.conftest import ROOT, SQL, Database, job_environ, run_job
from tests.integration.test_shadow import (
    COMMITS,
    RICH,
    STATE,
    desired,
    limits,
    question,
    shadow,
    unchecked,
    wait_until,
)

RICH_FILE = (ROOT / "tests/schemas/rich.sql").read_text()
LEFT = "select count(*) from pg_namespace where nspname like '\\_\\_predeploy%%'"


@pytest.fixture
def guest(database: Database) -> Iterator[str]:
    """A role that may create schemas, and use those of others, as in PostgreSQL 14's `public`."""
    role = f"guest_{database.name}"
    database.execute(
        f"create role {role} login; grant create on database {database.name} to {role};"
        f"grant usage, create on schema public to {role}"
    )
    yield role
    database.execute(f"drop owned by {role} cascade; drop role {role}")


@pytest.fixture
def guest_url(database: Database, guest: str) -> str:
    return database.url.replace("postgres@", f"{guest}@")


@pytest.fixture
def unchanged(database: Database, guest: str) -> Iterator[Database]:
    """A database with a table of the guest's, which after the test is what it was before."""
    database.execute(
        f"set role {guest}; create table keep (a int); insert into keep values (1), (2)"
    )
    before = database.rows(STATE)
    yield database
    assert database.rows(STATE) == before
    assert database.rows("select a from public.keep order by a") == [(1,), (2,)]
    database.execute("drop table keep")


def rows(url: str, *texts: str) -> list[tuple[str | None, ...]]:
    found = shadow(url, desired(*texts))
    assert isinstance(found, ShadowFacts), found
    return sorted(row for row in found.rows if row[0] != "schema")


def read(url: str, text: str) -> tuple[str, frozenset[Fact]]:
    with psycopg.connect(url, autocommit=True) as conn:

        def asked(schemas: tuple[str, ...]) -> str:
            return facts_sql(schemas, conn.info.server_version)

        found = read_shadow(conn, desired(text), asked, limits())
    assert isinstance(found, ShadowFacts), found
    return found.provider, parse_facts(found.rows)


def told(facts: frozenset[Fact], role: str) -> set[str]:
    """Tell facts without what depends on who reads: owners, and what `role` was granted.

    It owns the shadow of a schema, and an owner needs no grant.
    """
    return {
        f"{fact.label} {fact.definition}".replace(role, "postgres")
        for fact in facts
        if not fact.get("owned")
        and (fact.get("grantee"), fact.get("on")) != (role, "SCHEMA public")
    }


@pytest.mark.parametrize("text", [(SQL / "schema.sql").read_text(), RICH_FILE, RICH])
def test_the_facts_are_those_of_the_swap(
    database: Database, guest: str, guest_url: str, text: str
) -> None:
    """As superuser by the swap, as the guest by new names: the same facts, on an empty database."""
    by_swap = read(database.url, text)
    by_new_names = read(guest_url, text)

    assert (by_swap[0], by_new_names[0]) == ("swap", "new names")
    assert told(by_new_names[1], guest) == told(by_swap[1], guest)
    assert database.value(LEFT) == 0


@pytest.mark.parametrize("text", [(SQL / "schema.sql").read_text(), RICH_FILE])
def test_what_is_live_makes_no_difference(
    database: Database, guest: str, guest_url: str, text: str
) -> None:
    """The same objects, made by the superuser, are there already."""
    before = read(guest_url, text)
    database.execute(text)

    assert told(read(guest_url, text)[1], guest) == told(before[1], guest)


def test_who_reads_so_is_told(guest_url: str) -> None:
    """Which way was taken, and why."""
    found = shadow(guest_url, desired("create table t (a int)"))

    assert isinstance(found, ShadowFacts)
    (finding,) = found.findings
    assert (finding.code, finding.is_note) == ("shadow-elsewhere", True)
    assert "schemas of other names, beside the live ones: schema public belongs to" in (
        finding.message
    )


@pytest.mark.parametrize(
    "text",
    [
        "create table t (a int default nextval('public.numbers'))",
        "create table t (a int default nextval('\"public\".numbers'::regclass))",
        "create view v as select 'public.numbers'::regclass as a",
        "create function f() returns bigint language sql as 'select 1 from public.numbers'",
        (
            "create function f() returns text language sql as"
            " 'select ''é'' || last_value from public.numbers'"
        ),
        (
            "create function f() returns bigint language sql set search_path = public as"
            " $$ select last_value from numbers $$"
        ),
        (
            "create function f() returns void language plpgsql set search_path to 'public' as"
            " $$ declare n public.numbers; m numbers; begin n := m; end $$"
        ),
        "create function f(public.numbers.last_value%type) returns int language sql return 1",
        "create view v as select public.last_value from public.numbers public",
        "create view v as select public.numbers.last_value from public.numbers",
        (
            "create table public (id int); comment on column public.id is 'public.x';"
            "alter sequence public.numbers owned by public.id;"
            "comment on column public.public.id is 'y'; comment on schema public is 'public.'"
        ),
        "grant usage on schema public to public, pg_monitor",
        "alter default privileges in schema public grant select on tables to pg_monitor",
    ],
)
def test_names_are_followed(unchanged: Database, guest_url: str, text: str) -> None:
    """In literals that are names, in bodies and in search paths: nothing of it means the live."""
    texts = ("create sequence public.numbers", text)

    assert rows(guest_url, *texts) == sorted(
        r for r in rows(unchanged.url, *texts) if r[0] != "schema"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("create view v as select 'public.keep'::regclass", "public.keep"),
        ("create view v as select E'public.\\x6beep'::regclass", "uses the table public.keep"),
        ("create table t (a int default nextval(E'public.\\x6eumbers'))", "public.numbers"),
        ('create function U&"publi\\0063".f() returns int language sql return 1', "is changed"),
        ("comment on function U&\"publi\\0063\".old_f() is 'x'", "is changed"),
    ],
)
def test_what_means_a_live_object_is_found(
    unchanged: Database, guest: str, guest_url: str, text: str, told: str
) -> None:
    """What could not be pointed at the shadow is refused; it is never silently another's."""
    unchanged.execute(
        f"set role {guest}; create sequence numbers;"
        "create function old_f() returns int language sql return 1"
    )
    found = shadow(guest_url, desired("create sequence numbers", text))

    assert isinstance(found, Failure), found
    assert found.exit_code is ExitCode.BAD_SOURCES
    assert told in found.message
    unchanged.execute("drop sequence numbers; drop function old_f()")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "text",
    [
        'create table U&"publi\\0063".t ()',
        'create table t (a int); alter table U&"publi\\0063".keep add b int',
    ],
)
def test_what_is_uncertain_is_refused_before(guest_url: str, text: str) -> None:
    """Nothing is sent that could lock a live relation; the ways out are told."""
    with pytest.raises(DatabaseRefusedError) as caught:
        shadow(guest_url, desired(text))

    assert caught.value.exit_code is ExitCode.DENIED
    assert "PREDEPLOY_SHADOW_URL" in str(caught.value)


@pytest.mark.parametrize("text", COMMITS)
@pytest.mark.parametrize("parts", ["whole", "split"])
def test_no_transaction_control_passes(
    unchanged: Database, guest_url: str, text: str, parts: str
) -> None:
    """Neither here does any disguise of COMMIT keep the shadow."""
    texts = text.split("; ") if parts == "split" else [text]
    try:
        found: object = shadow(guest_url, unchecked("create table first ()", *texts))
    except DatabaseRefusedError as refused:
        found = refused

    assert not isinstance(found, ShadowFacts)
    assert unchanged.value(LEFT) == 0


@pytest.mark.usefixtures("unchanged")
def test_errors_have_their_place(guest_url: str) -> None:
    """Behind names that were pointed elsewhere, and in the words of the file."""
    found = shadow(guest_url, desired("create table public.a (x public.keep,\n y public.nope)"))

    assert isinstance(found, Failure)
    assert found.message == 'type "public.keep" does not exist'
    assert (found.line, found.column) == (1, 26)


def test_extensions_stay_where_they_are(database: Database, guest_url: str) -> None:
    """Their members are found in a managed schema, qualified or not."""
    database.execute("create extension citext")
    text = """create extension if not exists citext;
        create table public.t (a public.citext, b citext check (b operator(public.=) 'x'));
        create index on public.t (public.citext_hash(b))"""

    assert rows(guest_url, text) == sorted(
        row for row in shadow_rows(database.url, text) if row[0] != "schema"
    )


def shadow_rows(url: str, text: str) -> tuple[tuple[str | None, ...], ...]:
    found = shadow(url, desired(text))
    assert isinstance(found, ShadowFacts), found
    return found.rows


def test_a_scratch_database_goes_first(
    guest_url: str, make_database: Callable[..., Database]
) -> None:
    """Who names one wants it used."""
    scratch = make_database()
    found = desired("create table t (a int)")
    other = parse_endpoint("PREDEPLOY_SHADOW_URL", scratch.url)
    elsewhere = Elsewhere(parse_endpoint("DATABASE_URL", guest_url), other)
    with psycopg.connect(guest_url, autocommit=True) as conn:
        answer = read_shadow(conn, found, question, limits(), elsewhere)

    assert isinstance(answer, ShadowFacts)
    assert answer.provider == "scratch database"


def test_new_names_go_before_a_temporary_database(
    database: Database, guest: str, guest_url: str
) -> None:
    """They cost less; what they cannot tell for certain is read in a database of its own."""
    database.execute(f"alter role {guest} createdb")

    def provider(found: Desired) -> str:
        elsewhere = Elsewhere(parse_endpoint("DATABASE_URL", guest_url))
        with psycopg.connect(guest_url, autocommit=True) as conn:
            answer = read_shadow(conn, found, question, limits(), elsewhere)
        assert isinstance(answer, ShadowFacts), answer
        return answer.provider

    assert provider(desired("create table t (a int)")) == "new names"
    if not database.value("select current_setting('server_version_num')::int < 150000"):
        assert provider(desired('create table U&"publi\\0063".t ()')) == "temporary database"


def test_a_client_that_is_killed_leaves_nothing(unchanged: Database, guest_url: str) -> None:
    """The server rolls the shadow back when nobody is there any more."""
    code = (
        "from tests.integration.test_shadow import shadow_patiently\n"
        f"shadow_patiently({guest_url!r}, 'select pg_sleep(60)::text')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=job_environ({}))
    asleep = (
        "select count(*) from pg_stat_activity where application_name = 'predeploy shadow'"
        f" and datname = '{unchanged.name}' and wait_event = 'PgSleep'"
    )
    wait_until(unchanged, asleep)
    process.kill()
    process.wait()

    wait_until(unchanged, f"select ({asleep}) = 0")


def test_the_job_of_such_a_role(
    database: Database, guest_url: str, folder: Callable[..., Path]
) -> None:
    """It makes an empty database what the file says, adds a column, and is settled."""
    text = (SQL / "schema.sql").read_text()
    settings = {"DATABASE_URL": guest_url, "PREDEPLOY_SQL_DIR": str(folder({"schema.sql": text}))}

    first = run_job(environ=settings, check=0)
    second = run_job(environ=settings, check=0)
    added = "alter table public.users add column nickname text;"
    folder({"schema.sql": f"{text}\n{added}"})
    run_job(environ=settings, check=0)
    last = run_job(environ=settings, check=0)

    assert '"shadow":"new names"' in first.stdout
    assert json.loads(second.stdout.splitlines()[-1])["outcome"] == "settled"
    assert json.loads(last.stdout.splitlines()[-1])["outcome"] == "settled"
    assert database.value("select count(nickname) from users") == 0
    assert database.value(LEFT) == 0
