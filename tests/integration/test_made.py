"""What steps note of their transactions, and what counts by these notes as made by them."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from conftest import Database

from predeploy.database.sentinel import made
from predeploy.database.server import wire

SCHEMA = "predeploy"
NOTE = made.note_sql(f"{SCHEMA}.made")
AGES = made.transaction_ages_sql(SCHEMA)
ALL_KINDS = """
    create table plain (id int); create table parted (id int) partition by list (id);
    create table part partition of parted default; create materialized view stored as select 1;
    create type pair as (a int, b int); create type mood as enum ('sad', 'ok');
    create temp table passing (id int)"""


@pytest.fixture
def conn(database: Database) -> Iterator[psycopg.Connection]:
    """A session that commits each statement, where the function is there, and a table of others."""
    with database.connect() as conn:
        conn.execute(
            f"create schema {SCHEMA};"
            f"create table {SCHEMA}.meta (key text primary key, value text);"
            f"insert into {SCHEMA}.meta values ('version', 'one');"
            f"{made.create_sql(NOTE.removeprefix('select ').removesuffix('()'), SCHEMA)}"
        )
        conn.execute("create table theirs as select 1 as id; create type colour as enum ('red')")
        yield conn


@contextmanager
def step(conn: psycopg.Connection) -> Iterator[None]:
    """A transaction that notes its ids at its end."""
    with conn.transaction():
        conn.execute("select pg_current_xact_id()")
        yield
        conn.execute(NOTE)


def names(conn: psycopg.Connection) -> tuple[set[str], set[str]]:
    """The names of the relations and of the enums that count as made by noted steps."""
    # The jobs' connections have rows of another type, which this one's are not asked for.
    rows = wire.ask(conn, made.made_sql(SCHEMA))  # type: ignore[arg-type]
    relations, types = made.parse_made(rows)
    told = conn.execute(
        "select array(select unnest(%s::oid[])::regclass::text),"
        " array(select unnest(%s::oid[])::regtype::text)",
        (list(relations), list(types)),
    ).fetchone()
    assert told is not None
    return set(told[0]), set(told[1])


def test_all_kinds_count_and_what_others_have_made_does_not(conn: psycopg.Connection) -> None:
    """Tables, partitions, materialized views, composite types and enums; nothing temporary."""
    with step(conn):
        conn.execute(ALL_KINDS)

    assert names(conn) == ({"plain", "parted", "part", "stored", "pair"}, {"mood"})


def test_what_is_changed_later_still_counts_and_what_is_changed_by_us_is_not_ours(
    conn: psycopg.Connection,
) -> None:
    """Only who has made a thing matters, no matter who renames, moves or alters it afterwards."""
    with step(conn):
        conn.execute(ALL_KINDS)
        conn.execute(
            "alter table theirs rename to renamed; alter table renamed add x int default 1"
        )
        conn.execute("alter type colour add value 'blue'; alter type colour rename to tint")
    conn.execute("create schema s; alter type pair rename to two; alter type two set schema s")
    conn.execute("alter type s.two add attribute c int; alter type s.two drop attribute a")
    conn.execute("alter type mood rename to mind; alter type mind rename value 'sad' to 'low'")
    conn.execute("alter type mind set schema s; drop table part; alter table plain rename to p")
    conn.execute("vacuum (freeze) pg_attribute, pg_depend")
    conn.execute("vacuum (full) pg_attribute, pg_depend")

    assert names(conn) == ({"p", "parted", "stored", "s.two"}, {"s.mind"})


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_what_others_make_between_the_ids_of_a_step_does_not_count(
    ends: str, conn: psycopg.Connection, database: Database
) -> None:
    """Ids of subtransactions are the step's; those between are not, over or still in progress."""
    with database.connect() as done, database.connect() as going:
        going.autocommit = False
        with step(conn):
            conn.execute("savepoint a; create table ours (id int); release savepoint a")
            done.execute("create table others as select 1 as id")
            going.execute("create table pending as select 1 as id")
            conn.execute("savepoint b; create table undone (id int); rollback to savepoint b")
            conn.execute("savepoint c; create table more as select 1 as id; release savepoint c")
        going.execute(ends.encode())

    assert names(conn)[0] == {"ours", "more"}
    rows = "select not ages @> age(t.xmin) from {} t, ({}) a"
    assert conn.execute(rows.format("more", AGES).encode()).fetchall() == [(False,)]
    assert conn.execute(rows.format("others", AGES).encode()).fetchall() == [(True,)]


def test_a_note_that_was_restored_does_not_count(conn: psycopg.Connection) -> None:
    """Its row has another id than it names, and so have the tables of the copy."""
    with step(conn):
        conn.execute("create table t (id int)")
    conn.execute(f"create table kept as select * from {SCHEMA}.meta; delete from {SCHEMA}.meta")
    conn.execute(f"insert into {SCHEMA}.meta select * from kept")

    assert names(conn) == (set(), set())


def test_without_a_note_nothing_counts(conn: psycopg.Connection) -> None:
    """Other rows of `meta` are no notes, whatever they hold."""
    assert names(conn) == (set(), set())
