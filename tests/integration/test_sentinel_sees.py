"""What the sentinel's two functions look at, and what they cost."""

from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path

import psycopg
import pytest
from conftest import Database, run_job
from production import until

from predeploy.database.sentinel import sentinel

SCHEMA = "predeploy"
TABLES = (
    "do $$ begin for i in {} loop execute format('create table t%s (id int)', i); end loop; end $$"
)
LIVING = """
select proname::text, oid, xmin::text from pg_proc
where pronamespace = 'predeploy'::regnamespace
"""


@pytest.fixture
def conn(database: Database) -> Iterator[psycopg.Connection]:
    """A session in which the two functions are there, and two tables with rows."""
    with database.connect() as conn:
        conn.execute(f"create schema {SCHEMA}; {sentinel.create_sql(SCHEMA)}")
        conn.execute("create table items as select g as id from generate_series(1, 9) g")
        conn.execute("create table others (id int)")
        yield conn


def suspects(
    conn: psycopg.Connection, step: str, *, before: str = "", signs: str = ""
) -> list[str] | None:
    """Run a step between the functions; the tables that are suspected, None for silence."""
    with conn.transaction(force_rollback=True):
        conn.execute(before.encode())
        conn.execute(signs or sentinel.begin_sql(SCHEMA, [step]))
        conn.execute(step)
        try:
            with conn.transaction():
                conn.execute(sentinel.guard_sql(SCHEMA))
        except psycopg.Error as error:
            if not sentinel.is_guard_error(SCHEMA, error):
                raise
            oids = sorted(sentinel.parse_suspicion(error.diag.message_detail).oids)
            found = conn.execute("select unnest(%s::oid[])::regclass::text", [oids])
            return [name for (name,) in found.fetchall()]
        return None


def pages(conn: psycopg.Connection, step: str) -> int:
    """How many pages both functions read around a step, once their plans are made."""
    read = 0
    for _ in range(3):
        with conn.transaction(force_rollback=True):
            read = _pages(conn, sentinel.begin_sql(SCHEMA, [step]))
            conn.execute(step)
            read += _pages(conn, sentinel.guard_sql(SCHEMA))
    return read


def _pages(conn: psycopg.Connection, sql: str) -> int:
    row = conn.execute(f"explain (analyze, buffers, format json) {sql}").fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


@pytest.mark.parametrize(
    "step",
    [
        "insert into items values (10)",
        "create table mine (id serial primary key, n int default 3)",
        "alter table items add column n int default 3",
    ],
)
def test_a_step_does_not_pay_for_the_tables_that_it_leaves_alone(
    conn: psycopg.Connection, step: str
) -> None:
    """A thousand of them more, and the functions read about as many pages as before."""
    few = pages(conn, step)
    conn.execute(TABLES.format("1..1000"))
    conn.execute("vacuum analyze pg_catalog.pg_class, pg_catalog.pg_attribute")

    assert pages(conn, step) < 2 * few + 20


def test_a_table_in_a_file_given_by_hand_is_suspected(conn: psycopg.Connection) -> None:
    """Who writes to pg_class holds no lock on the table: then all of them are looked at."""
    conn.execute("vacuum full items")

    found = suspects(conn, "update pg_class set relfilenode = relfilenode where relname = 'items'")

    assert found == ["items"]


# The counters keep it, the lock is gone: the like of C code that lets go of a lock at once.
WITHOUT_LOCK = "savepoint s; delete from items where id = 1; delete from others; rollback to s;"


def test_what_an_extension_s_code_deletes_is_seen_without_a_lock(conn: psycopg.Connection) -> None:
    """Its tables are looked at in any case, and what was counted before the step is subtracted."""
    conn.execute("insert into others values (1); alter extension plpgsql add table items")

    assert suspects(conn, WITHOUT_LOCK) == ["items"]
    assert suspects(conn, "select 1", before=WITHOUT_LOCK) is None


def test_what_was_rolled_back_is_a_suspicion_only_of_who_writes_there(
    conn: psycopg.Connection,
) -> None:
    """Nothing is gone; the counter cannot tell, and is asked where the table is locked again."""
    assert suspects(conn, WITHOUT_LOCK) is None
    assert suspects(conn, WITHOUT_LOCK + "select * from items for update") is None
    assert suspects(conn, WITHOUT_LOCK + "insert into items values (1)") == ["items"]


def test_a_table_that_seems_old_by_its_number_is_new_by_its_row_type(
    conn: psycopg.Connection,
) -> None:
    """OIDs begin anew after four billion: then every new table's is below the largest."""
    signs = "select set_config('predeploy.signs', '{\"newest\": 4294967295}', true)"

    assert suspects(conn, "create table made (id serial, n int default 3)", signs=signs) is None
    assert suspects(conn, "alter table items rename id to number", signs=signs) == ["pg_attribute"]


def test_a_ledger_of_an_older_image_gains_new_functions_and_keeps_its_own(
    database: Database, folder: Callable[..., Path]
) -> None:
    """Both images run steps on it; neither replaces what the other goes by."""
    files = {"migrations/1_a.sql": "create table a (id int); insert into a values (1);"}
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
    run_job("run", environ=environ, check=0)
    for name in astuple(sentinel.functions(SCHEMA)):
        kind = name.rpartition(".")[2].partition("_")[0]
        database.execute(f"alter function {name} rename to {kind}_0123456789ab")
    older = database.rows(LIVING)
    refused = files | {"migrations/2_b.sql": "delete from a;"}

    code = run_job("run", environ=environ | {"PREDEPLOY_SQL_DIR": str(folder(refused))}).returncode

    living = database.rows(LIVING)
    assert code == 84
    assert set(older) < set(living)
    assert len(living) == 2 * len(older)
    assert database.value(f"select {sentinel.exists_sql(SCHEMA)}")


@pytest.mark.parametrize("command", ["run", "verify"])
def test_no_user_s_table_is_scanned_when_there_is_nothing_to_do(
    command: str, database: Database, folder: Callable[..., Path]
) -> None:
    """A settled run and verify read the catalogs alone, however large the tables are."""
    scans = "select sum(seq_scan + coalesce(idx_scan, 0)) from pg_stat_user_tables"
    scans += " where schemaname = 'public'"
    files = {"migrations/1_a.sql": "create table a (id int primary key); insert into a values (1);"}
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
    run_job("run", environ=environ, check=0)
    # The server's process ends, and tells its counters, a moment behind the run.
    written = "select sum(n_tup_ins) from pg_stat_user_tables where schemaname = 'public'"
    until(lambda: database.value(written) == 1, "the counters of the run")
    before = database.value(scans)

    run_job(command, environ=environ, check=0)

    assert database.value(scans) == before
