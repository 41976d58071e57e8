"""Somebody else changes the same row of the catalog meanwhile: waited for, and tried again.

PostgreSQL reports that as 23505 on an index of its own, or as XX000. Here a rival session has done
its part and not committed; it commits when a job waits for it.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Database
from production import (
    applied,
    contents,
    environ,
    has_ledger,
    jobs,
    ledger,
    prepare,
    report_here,
    run_here,
    until,
    whole_files,
)

from predeploy.contract.exit_codes import ExitCode
from predeploy.database.sentinel.sentinel import create_sql

Folder = Callable[[Mapping[str, str]], Path]

NOTES = {"migrations/1_notes.sql": "create table notes (id int primary key);"}
WAITS = """select exists (select from pg_locks l join pg_stat_activity a using (pid)
    where not l.granted and a.datname = %s and starts_with(a.application_name, 'predeploy'))"""


def rivalled(database: Database, rival_does: str, settings: Mapping[str, str]) -> dict:
    """Run the job while a rival has done something, who commits when the job waits for that."""
    with database.connect() as rival, ThreadPoolExecutor(1) as pool:
        rival.execute("begin")
        rival.execute(rival_does)
        running = pool.submit(report_here, settings)
        with database.connect() as observer:
            until(
                lambda: observer.execute(WAITS, (database.name,)).fetchone() == (True,),
                "the job to wait for the rival",
            )
        rival.execute("commit")
        return running.result(60)


# our own ledger


def test_a_ledger_schema_that_somebody_makes_meanwhile_is_taken(
    database: Database, folder: Folder
) -> None:
    """23505 on pg_namespace_nspname_index: the run looks again, and makes its tables there."""
    report = rivalled(database, "create schema predeploy", environ(database, folder(NOTES)))

    assert report["exit_code"] == 0, report
    assert whole_files(database) == ["1_notes.sql"]


def test_a_whole_ledger_that_somebody_makes_meanwhile_is_taken(
    database: Database, folder: Folder, make_database: Callable[..., Database]
) -> None:
    """As a run of an image without our lock would make it: its tables serve us as well."""
    other = make_database()
    prepare(environ(other, folder({"verify/fine.sql": "select 1 where false"})))
    tables = [
        f"create table predeploy.{name} ({columns})"
        for name, columns in other.rows(
            """select c.relname, string_agg(format('%I %s%s', attname,
                format_type(atttypid, atttypmod), coalesce(' default '
                || pg_get_expr(adbin, adrelid), '')), ', ' order by attnum)
                || coalesce((select ', ' || pg_get_constraintdef(oid) from pg_constraint
                             where conrelid = c.oid and contype = 'p'), '')
            from pg_class c join pg_attribute a on attrelid = c.oid and attnum > 0
            left join pg_attrdef d on d.adrelid = c.oid and d.adnum = attnum
            where relnamespace = 'predeploy'::regnamespace and relkind = 'r'
            group by c.oid, c.relname"""
        )
    ]
    born = "insert into predeploy.meta values ('version', '1'), ('born', '1')"
    whole = "; ".join(["create schema predeploy", *tables, born, create_sql("predeploy")])

    report = rivalled(database, whole, environ(database, folder(NOTES)))

    assert report["exit_code"] == 0, report
    assert whole_files(database) == ["1_notes.sql"]
    assert {row["key"] for row in ledger(database)["meta"]} >= {"born", "version"}


def test_a_table_in_the_ledger_schema_that_somebody_makes_meanwhile_is_told(
    database: Database, folder: Folder
) -> None:
    """A table of that name that is no ledger of ours: 78, as if it had been there before."""
    database.execute("create schema predeploy")

    report = rivalled(
        database, "create table predeploy.migration (id int)", environ(database, folder(NOTES))
    )

    assert report["exit_code"] == 78, report
    assert "are not predeploy's ledger" in report["message"]
    assert contents(database) == {}


def test_a_ledger_shares_its_schema_with_nobody(database: Database, folder: Folder) -> None:
    """78: of what stands there nobody would notice the loss."""
    database.execute("create schema app; create table app.items as select 1 as id")
    settings = environ(database, folder({"migrations/1_away.sql": "delete from app.items;"}))

    report = report_here({**settings, "PREDEPLOY_LEDGER_SCHEMA": "app"})

    assert report["exit_code"] == 78, report
    assert "are not predeploy's ledger" in report["message"]
    assert contents(database) == {"app.items": [{"id": 1}]}


def test_the_sentinels_functions_that_somebody_makes_meanwhile_are_taken(
    database: Database, folder: Folder
) -> None:
    """23505 on pg_proc_proname_args_nsp_index, behind an older image: they are the same ones."""
    prepare(environ(database, folder({"verify/fine.sql": "select 1 where false"})))
    database.execute(
        """do $$ declare made text; begin
            for made in select oid::regprocedure from pg_proc
                        where pronamespace = 'predeploy'::regnamespace
            loop execute 'drop function ' || made; end loop; end $$"""
    )

    report = rivalled(database, create_sql("predeploy"), environ(database, folder(NOTES)))

    assert report["exit_code"] == 0, report
    assert whole_files(database) == ["1_notes.sql"]


def test_who_keeps_the_ledger_from_being_made_is_named(database: Database, folder: Folder) -> None:
    """A rival who never ends: 75 within the budget, with its pid."""
    settings = environ(database, folder(NOTES), PREDEPLOY_DDL_BUDGET="1s")
    with database.connect() as rival:
        rival.execute("begin; create schema predeploy")

        report = report_here({**settings, "PREDEPLOY_DDL_LOCK_TIMEOUT": "700ms"})

        assert report["exit_code"] == 75, report
        assert f"blocked by pid {rival.info.backend_pid} " in report["message"]
        rival.execute("rollback")
    assert not has_ledger(database)


def test_ten_copies_make_the_ledger_together_with_a_rival(
    database: Database, folder: Folder
) -> None:
    """An empty database, ten jobs, and a hand that makes the schema: all end with 0."""
    settings = environ(database, folder(NOTES))
    with database.connect() as rival:
        rival.execute("begin; create schema predeploy")
        with jobs(*[settings] * 10) as processes:
            until(lambda: database.rows(WAITS, database.name) == [(True,)], "a job to wait", 60)
            rival.execute("commit")
            outputs = [process.communicate(timeout=120)[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 10, outputs
    assert applied(database) == [("1_notes.sql", 1, True)]


# a file's step


BEFORE = """create table taken (id int primary key, n int); create schema theirs;
    create function double(int) returns int language sql as 'select 2 * $1';
    insert into taken values (0, 0);"""
# What rival and file do, alike unless said: the rival's, the file's.
SAME = {
    "a right on a table": "grant select on taken to pg_monitor",
    "a right on a schema": "grant usage on schema theirs to pg_monitor",
    "default privileges": "alter default privileges grant select on tables to pg_monitor",
    "a function's body": "create or replace function double(int) returns int language sql "
    "as 'select $1 + $1'",
    "a new function": "create or replace function triple(int) returns int language sql "
    "as 'select 3 * $1'",
    "a schema": "create schema if not exists shop",
    "a table": "create table things (id int primary key)",
    "a guarded table": "create table if not exists things (id int primary key)",
    "an index": "create index taken_n on taken (n)",
    "a type": "create type mood as enum ('good', 'bad')",
    "an extension": "create extension if not exists pg_trgm",
    "a setting of the database": "do $$ begin execute format("
    "'alter database %I set work_mem = ''5MB''', current_database()); end $$",
}


@pytest.mark.parametrize("what", SAME)
def test_a_step_that_was_raced_is_run_again(what: str, database: Database, folder: Folder) -> None:
    """The whole of it, from its beginning: what stands before the clash is there once."""
    files = {"migrations/1_before.sql": BEFORE}
    prepare(environ(database, folder(files)))
    step = f"insert into taken values (1, 1); update taken set n = n + 1; {SAME[what]};"

    report = rivalled(
        database, SAME[what], environ(database, folder({**files, "migrations/2_step.sql": step}))
    )

    assert report["exit_code"] == 0, report
    assert database.rows("select * from taken order by id") == [(0, 1), (1, 2)]
    assert whole_files(database) == ["1_before.sql", "2_step.sql"]


def test_the_log_says_why_it_is_tried_again(database: Database, folder: Folder) -> None:
    """Not a lock that is not obtained, but another session that changes the same."""
    files = {"migrations/1_before.sql": BEFORE, "migrations/2_step.sql": SAME["a right on a table"]}
    prepare(environ(database, folder({"migrations/1_before.sql": BEFORE})))
    with database.connect() as rival:
        rival.execute("begin")
        rival.execute(SAME["a right on a table"])
        with jobs(environ(database, folder(files))) as (job,):
            until(lambda: database.rows(WAITS, database.name) == [(True,)], "the job to wait")
            rival.execute("commit")
            said, _ = job.communicate(timeout=60)

    assert job.returncode == 0, said
    assert "another session has changed the same (tuple concurrently updated)" in said


def test_a_schema_that_is_granted_meanwhile_can_be_read_into(
    database: Database, folder: Folder
) -> None:
    """schema.sql is read in a swapped schema, whose catalog row the rival's GRANT writes anew."""
    files = {"schema.sql": "create table people (id int primary key);"}

    report = rivalled(
        database,
        "grant usage on schema public to pg_monitor",
        environ(database, folder(files)),
    )

    assert report["exit_code"] == 0, report
    assert contents(database) == {"public.people": []}


def test_an_index_of_the_schema_that_was_raced_is_no_violation(
    database: Database, folder: Folder
) -> None:
    """23505 on an index of PostgreSQL's says nothing about rows: looked at again, it is there."""
    base = "create table people (id int primary key, name text);"
    prepare(environ(database, folder({"schema.sql": base})))
    unique = "create unique index people_name on people (name);"

    report = rivalled(database, unique, environ(database, folder({"schema.sql": base + unique})))

    assert report["exit_code"] == 0, report


def test_a_users_duplicate_key_is_never_tried_again(database: Database, folder: Folder) -> None:
    """23505 on a table of the file's: 80 at once, although a second try would skip it."""
    files = {"migrations/1_before.sql": BEFORE}
    prepare(environ(database, folder(files)))
    step = "create table log (id int); insert into taken values (1, 1);"

    report = rivalled(
        database,
        "insert into taken values (1, 1)",
        environ(database, folder({**files, "migrations/2_step.sql": step})),
    )

    assert (report["exit_code"], report["failure"]["sqlstate"]) == (80, "23505")
    assert set(contents(database)) == {"public.taken"}


def test_a_race_without_an_end_is_75(database: Database, folder: Folder) -> None:
    """When the same comes back until the budget is used up, the code says to run again."""
    raced = "raise exception 'tuple concurrently updated' using errcode = 'XX000'"
    files = {"migrations/1_step.sql": f"do $$ begin {raced}; end $$"}

    report = report_here(environ(database, folder(files), PREDEPLOY_DDL_BUDGET="1s"))

    assert (report["exit_code"], report["failure"]["sqlstate"]) == (75, "XX000")
    assert "run again" in report["failure"]["next"]


def test_an_internal_error_is_no_race(database: Database, folder: Folder) -> None:
    """XX000 with other words is the server's own fault: 80 at once."""
    step = "do $$ begin raise exception 'cache lookup failed' using errcode = 'XX000'; end $$"

    report = run_here(environ(database, folder({"migrations/1_step.sql": step})))

    assert report.exit_code is ExitCode.FAILED
