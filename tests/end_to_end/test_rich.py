"""A schema file with one of everything: no false difference, wherever it is run and by whom."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Database
from production import catalog, codes_of, contents, environ, loaded, report_here
from two_sides import facts

from predeploy.embedded import wheel_binaries
from predeploy.inspection import plan

RICH = (Path(__file__).parent.parent / "schemas" / "rich.sql").read_text()
IN_PUBLIC = """
create extension citext schema public;
create extension pg_trgm schema public;
create extension btree_gist schema public;
create table public.place (
    name citext primary key,
    label text not null,
    at daterange,
    exclude using gist (label with =, at with &&),
    check (name <> label::citext)
);
create index place_label on public.place using gin (label gin_trgm_ops);
create view public.alike as select a.name from place a join place b on a.label % b.label;
create function public.nick(c citext default 'x') returns citext language sql return lower(c);
create domain public.handle as citext check (value ~ '^@'::citext);
comment on extension citext is 'another one';
"""
_ELSEWHERE = RICH.replace("app.citext", "public.citext")
SCHEMAS = {
    "rich": RICH,
    "rich, with extensions in public": _ELSEWHERE.replace(
        "create extension citext schema app;", IN_PUBLIC
    ),
}

Make = Callable[..., Database]


@dataclass(frozen=True)
class Site:
    """How a role makes databases of its own."""

    make: Callable[[], Database]
    owner: str


@pytest.fixture(params=["superuser", "owner"])
def site(request: pytest.FixtureRequest, make_database: Make, superuser_url: str) -> Iterator[Site]:
    """A superuser's databases, and those of somebody who owns them and is no superuser."""
    if request.param == "superuser":
        yield Site(make_database, "")
        return
    role = f"owner_{make_database().name}"
    made: list[Database] = []

    def make() -> Database:
        database = make_database()
        with psycopg.connect(superuser_url, autocommit=True) as conn:
            conn.execute(f"alter database {database.name} owner to {role}")
        made.append(database)
        return Database(database.name, database.url.replace("postgres@", f"{role}@"))

    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f"create role {role} login")
    yield Site(make, role)
    for database in made:
        database.execute(f"alter database {database.name} owner to postgres")
        database.execute(f"drop owned by {role} cascade")
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f"drop role {role}")


def dump(binaries: Path, database: Database) -> str:
    """What pg_dump writes of a database's schemas, without the ledger."""
    program = next(p for p in (binaries / "pg_dump", wheel_binaries() / "pg_dump") if p.exists())
    done = subprocess.run(
        [program, "-s", "-N", "predeploy", "-d", database.url],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def assert_no_difference(settings: Mapping[str, str], database: Database) -> None:
    """The database is as declared: nothing is planned, nothing is found, and a run settles."""
    before = held(database)

    report, _, data = plan(*loaded(settings))

    assert (int(report.exit_code), data["pending"]) == (0, [])
    assert said(report_here(settings)) == (0, "ok", [])
    assert report_here(settings)["outcome"] == "settled"
    assert held(database) == before


def held(database: Database) -> tuple[object, object]:
    """Catalog rows and rows, without what the ledger brings with it."""
    rows = [row for row in catalog(database) if row[0] not in ("namespace", "proc")]
    return rows, contents(database)


def said(report: Mapping[str, Any]) -> tuple[object, object, object]:
    """Exit code, outcome and what was found."""
    return report["exit_code"], report["outcome"], codes_of(report)


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_empty_database_gets_everything(
    site: Site, folder: Callable[..., Path], binaries: Path, name: str
) -> None:
    """One run makes it all; it then equals the file, its own dump, and what psql would make."""
    database, by_psql = site.make(), site.make()
    by_psql.execute(SCHEMAS[name])
    settings = environ(database, folder({"schema.sql": SCHEMAS[name]}))

    report = report_here(settings)

    assert said(report) == (0, "ok", [])
    assert facts(database) == facts(by_psql)
    assert report_here(settings)["outcome"] == "settled"
    theirs, ours = dump(binaries, by_psql), dump(binaries, database)
    assert_no_difference(environ(database, folder({"schema.sql": theirs})), database)
    assert_no_difference(environ(by_psql, folder({"schema.sql": ours})), by_psql)


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_psql_has_made_is_as_declared(
    site: Site, folder: Callable[..., Path], name: str
) -> None:
    """The file against what it has made itself."""
    database = site.make()
    database.execute(SCHEMAS[name])

    assert_no_difference(environ(database, folder({"schema.sql": SCHEMAS[name]})), database)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_dump_makes_an_empty_database_the_same(
    site: Site, folder: Callable[..., Path], binaries: Path, name: str
) -> None:
    """What pg_dump writes is a schema file like another, from nothing, too."""
    source, database = site.make(), site.make()
    source.execute(SCHEMAS[name])
    settings = environ(database, folder({"schema.sql": dump(binaries, source)}))

    report = report_here(settings)

    assert said(report) == (0, "ok", [])
    # A dump of the schema says of every materialized view that it holds no rows.
    database.execute("refresh materialized view app.totals")
    assert_no_difference(environ(database, folder({"schema.sql": SCHEMAS[name]})), database)
