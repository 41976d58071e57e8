"""TheKeyn, as shipped: from nothing, again, and on a database that holds production's rows."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import psycopg
import pytest
from conftest import ADMIN, SQL, Database, run_job
from production import (
    ADMIN_BY_HASH,
    FIGURES,
    Rows,
    applied,
    codes_of,
    contents,
    environ,
    fill,
    ledger,
    odd_folder,
    prepare,
    report_here,
    report_of,
    until,
    whole_files,
)

from predeploy.embedded import Server, server

FILES = sorted(path.name for path in (SQL / "migrations").iterdir())
NEW_COLUMN = """
alter table public.users add column nickname text;
create index users_nickname_idx on public.users (nickname);
"""
NEW_TABLE = """
create table public.invoices (
    id serial primary key,
    user_id integer not null references public.users (id),
    amount numeric not null
);
create index invoices_user_id_idx on public.invoices (user_id);
"""


@pytest.fixture
def fresh(database: Database) -> Database:
    """An empty database that the shipped job has run on once, with an admin named."""
    prepare(environ(database, **ADMIN_BY_HASH))
    return database


@pytest.fixture
def production(database: Database) -> Database:
    """A database made by the migrations, with production's rows in it."""
    prepare(environ(database))
    fill(database)
    return database


@pytest.fixture
def quiet_server(own_server: Server | None, binaries: Path) -> Iterator[Server]:
    """A server on which nobody else works, and which logs connections and statements."""
    if own_server is None:
        pytest.skip("needs a server of its own")
    settings = {
        "autovacuum": "off",
        "log_connections": "on",
        "log_statement": "all",
        "log_line_prefix": "%a: ",
    }
    with server(binaries, settings=settings) as started:
        yield started


def tables(database: Database) -> set[str]:
    rows = database.rows("select tablename from pg_tables where schemaname = 'public'")
    return {name for (name,) in rows}


def test_an_empty_database_gets_all_42_tables(database: Database) -> None:
    """One run makes TheKeyn's 42 tables, 59 foreign keys and the columns that are documented."""
    done = run_job("run", environ=environ(database, **ADMIN))

    assert done.returncode == 0
    assert report_of(done)["outcome"] == "ok"
    assert len(tables(database)) == 42
    assert database.value("select count(*) from pg_constraint where contype = 'f'") >= 59
    assert database.rows(
        """select table_name::text, count(*) from information_schema.columns
        where table_name in ('user_background_preferences', 'background_interactions')
        group by 1 order by 1"""
    ) == [("background_interactions", 11), ("user_background_preferences", 16)]


def test_every_foreign_key_has_an_index(fresh: Database) -> None:
    """No foreign key of TheKeyn lacks an index that starts with its columns."""
    bare = fresh.rows(
        """select k.conrelid::regclass::text, k.conname from pg_constraint k
        where k.contype = 'f' and not exists (
            select from pg_index i
            where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
              and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] = k.conkey)"""
    )

    assert bare == []


def test_the_admin_can_log_in(database: Database) -> None:
    """There is exactly one user: the admin, verified, whose hash is of the password given."""
    run_job("run", environ=environ(database, **ADMIN), check=0)

    users = database.rows("select username, email, role, is_verified, password_hash from users")

    assert [user[:4] for user in users] == [
        (ADMIN["ADMIN_USERNAME"], ADMIN["ADMIN_EMAIL"], "admin", True)
    ]
    assert bcrypt.checkpw(ADMIN["ADMIN_PASSWORD"].encode(), users[0][4].encode())


def test_the_ledger_holds_every_file_whole(fresh: Database) -> None:
    """After a good run each of the 18 files is in the ledger, once and whole, in its order."""
    recorded = whole_files(fresh)

    assert recorded == FILES
    assert len(recorded) == 18


def test_a_second_run_costs_one_round_trip(quiet_server: Server) -> None:
    """A settled run opens one connection, sends one message and takes no transaction id."""
    with psycopg.connect(quiet_server.url(), autocommit=True) as observer:
        observer.execute("create database shop")
        shop = Database("shop", quiet_server.url("shop"))
        run_job("run", environ=environ(shop, **ADMIN), check=0)
        before = contents(shop), ledger(shop), _runs(shop)
        _wait_for_silence(observer)
        written, next_id = _written(observer), _next_transaction_id(observer)
        log_size = quiet_server.log.stat().st_size

        done = run_job("run", environ=environ(shop, **ADMIN))

        _wait_for_silence(observer)
        log = quiet_server.log.read_bytes()[log_size:].decode().splitlines()
        assert done.returncode == 0
        assert report_of(done)["outcome"] == "settled"
        assert (_written(observer), _next_transaction_id(observer)) == (written, next_id)
        assert len([line for line in log if "connection received" in line]) == 1
        assert len([line for line in log if re.match(r"predeploy.*LOG:  statement", line)]) == 1
        assert (contents(shop), ledger(shop), _runs(shop)) == before


def test_a_deploy_keeps_every_row(production: Database, shipped_copy: Path) -> None:
    """Two new migrations are applied to production, and every row is there with its content."""
    before = contents(production)
    (shipped_copy / "migrations" / "0019_nicknames.sql").write_text(NEW_COLUMN)
    (shipped_copy / "migrations" / "0020_invoices.sql").write_text(NEW_TABLE)
    settings = environ(production, shipped_copy, **ADMIN)

    done = run_job("run", environ=settings)

    after = contents(production)
    assert done.returncode == 0, done.stdout
    assert report_of(done)["outcome"] == "ok"
    assert {name: len(before[f"public.{name}"]) for name in FIGURES} == FIGURES
    assert after.pop("public.invoices") == []
    assert _without(after, "nickname") == before
    assert {row["nickname"] for row in after["public.users"]} == {None}
    assert whole_files(production) == [*FILES, "0019_nicknames.sql", "0020_invoices.sql"]


def test_a_deploy_leaves_the_database_settled(production: Database, shipped_copy: Path) -> None:
    """After new migrations the settled state is the new one: the next run has nothing to do."""
    (shipped_copy / "migrations" / "0019_nicknames.sql").write_text(NEW_COLUMN)
    settings = environ(production, shipped_copy, **ADMIN)
    prepare(settings)
    before = contents(production), ledger(production)

    done = run_job("run", environ=settings, check=0)

    assert report_of(done)["outcome"] == "settled"
    assert (contents(production), ledger(production)) == before


def test_a_clone_of_the_database_is_looked_at_anew(
    make_database: Callable[..., Database], template: str
) -> None:
    """A copy is not settled by its original's state; its first run verifies it and keeps all."""
    clone = make_database(template)
    before = contents(clone), _without(ledger(clone), "applied_at")["migration"]

    outcomes = [
        report_of(run_job("run", environ=environ(clone, **ADMIN), check=0))["outcome"]
        for _ in range(2)
    ]

    assert outcomes == ["ok", "settled"]
    assert (contents(clone), _without(ledger(clone), "applied_at")["migration"]) == before


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder as theirs was: nothing guarded, several tables to a file, versions twice."""
    (tmp_path / "odd" / "migrations").mkdir(parents=True)
    return tmp_path / "odd"


@pytest.mark.parametrize("origin", ["rescue", "adoption"])
def test_nothing_behind_a_duplicate_is_lost(origin: str, database: Database, odd: Path) -> None:
    """With `users` from the fallback, an unguarded folder makes all of the rest, in its order."""
    fallback = (SQL / "fallback" / "010_users.sql").read_text()
    settings = environ(database, odd)
    if origin == "rescue":
        (odd / "fallback").mkdir()
        (odd / "fallback" / "users.sql").write_text(fallback)
        (odd / "predeploy.toml").write_text('[critical]\nusers = ["id"]\n')
        broken = odd / "migrations" / "0000_a.sql"
        broken.write_text("create table broken (score real default 'none');")
        rescued = report_here(settings | {"PREDEPLOY_ON_FAILURE": "rescue"})
        assert (rescued["exit_code"], rescued["outcome"]) == (0, "degraded")
    else:
        database.execute(fallback)
    database.execute("insert into users (username, email, password_hash) values ('a', 'b', 'c')")
    before = contents(database)["public.users"]
    names = odd_folder(odd / "migrations")

    report = report_here(settings)
    again = report_here(settings)

    assert (report["exit_code"], again["outcome"]) == (0, "settled"), report
    assert ("warn", "duplicate") in codes_of(report)
    assert len(tables(database)) == 42
    assert database.value("select count(*) from pg_constraint where contype = 'f'") == 61
    assert contents(database)["public.users"] == before
    assert [file for file, position, _ in applied(database) if position == 1] == names


def test_a_clash_stops_only_its_own_file(database: Database, odd: Path) -> None:
    """84; what came before is applied, nothing of the file is there, and every row is as it was."""
    (odd / "migrations" / "0000_0.sql").write_text("")
    prepare(environ(database, odd))
    names = odd_folder(odd / "migrations")
    database.execute(
        "create table likes (id serial primary key, user_id text, work_id int not null,"
        "created_at timestamp not null default now());"
        "insert into likes (user_id, work_id) values ('me', 7), ('you', 8)"
    )
    before = contents(database)["public.likes"]

    report = report_here(environ(database, odd))

    assert report["exit_code"] == 84, report
    assert "column public.likes.user_id is there as text" in report["message"]
    assert whole_files(database) == ["0000_0.sql", names[0]]
    assert tables(database) == {"likes", "users", "session", "works", "certificates"}
    assert contents(database)["public.likes"] == before


def _without(rows: Rows, column: str) -> Rows:
    """Leave a column out of every row."""
    return {
        name: [{key: value for key, value in row.items() if key != column} for row in table]
        for name, table in rows.items()
    }


def _wait_for_silence(observer: psycopg.Connection) -> None:
    """Wait until no other client is connected, so that its statistics have been written."""
    others = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
    until(lambda: observer.execute(others).fetchone() == (1,), "the other clients to leave")


def _written(observer: psycopg.Connection) -> object:
    """Return how many rows anybody has ever written into the database, its catalogs included."""
    return observer.execute(
        """select tup_inserted, tup_updated, tup_deleted from pg_stat_database
        where datname = 'shop'"""
    ).fetchone()


def _next_transaction_id(observer: psycopg.Connection) -> object:
    return observer.execute("select pg_snapshot_xmax(pg_current_snapshot())").fetchone()


def _runs(database: Database) -> list[tuple]:
    return database.rows(
        "select id, started_at, finished_at, outcome, exit_code from predeploy.run"
    )
