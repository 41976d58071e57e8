"""Ten tables in use, what a release adds to them, and the actions of their readers and writers."""

import itertools
import random
import time

import psycopg

from bench.traffic import Action

TABLES = range(10)
_COLUMNS = "id bigint primary key, a integer{}, b text, c bigint"
_LATE = tuple(
    (f"d integer not null default {n}", "e timestamptz default now()") for n in TABLES
)  # the columns that a release adds to each table
_WITHOUT_NULLS = TABLES[:5]


def _indexes(n: int) -> list[str]:
    return [f"create index w{n}_{column} on w{n} ({column})" for column in "ab"]


def _foreign_key(n: int) -> str:
    return f"alter table w{n} add foreign key (c) references w{(n + 1) % len(TABLES)}"


def _declared(n: int) -> str:
    columns = _COLUMNS.format(" not null" if n in _WITHOUT_NULLS else "")
    return f"create table w{n} ({', '.join((columns, *_LATE[n]))})"


def _by_hand(n: int) -> list[str]:
    added = [f"alter table w{n} add column {column}" for column in _LATE[n]]
    tightened = [f"alter table w{n} alter a set not null"] if n in _WITHOUT_NULLS else []
    return [*added, *tightened, *_indexes(n), _foreign_key(n)]


def _script(statements: list[str]) -> str:
    return ";\n".join([*statements, ""])


BASE = _script([f"create table w{n} ({_COLUMNS.format('')})" for n in TABLES])
WANTED = _script(
    [
        *(_declared(n) for n in TABLES),
        *(text for n in TABLES for text in _indexes(n)),
        *(_foreign_key(n) for n in TABLES),
    ]
)
PLAIN = _script([text for n in TABLES for text in _by_hand(n)])
"""What somebody in a hurry would type to get from BASE to WANTED."""


def rows_sql(rows: int) -> str:
    """Return SQL that inserts this many rows into each table."""
    filled = f"i, i, repeat('b', i % 50), i from generate_series(1, {rows}) i"
    return _script([*(f"insert into w{n} select {filled}" for n in TABLES), "analyze"])


def sessions(rows: int) -> dict[str, Action]:
    """Return a reader and a writer for every table."""
    readers = {f"r{n}": reader(n, rows) for n in TABLES}
    return readers | {f"w{n}": writer(n, rows) for n in TABLES}


def loiterers(count: int, seconds: float) -> dict[str, Action]:
    """Return sessions that keep transactions open this long, on one table after another."""
    return {f"held{number}": loiterer(number, seconds) for number in range(count)}


def loiterer(number: int, seconds: float) -> Action:
    """Return an action that reads and writes a table, waits in its transaction, and rolls back."""
    tables = itertools.cycle(random.Random(number).sample(TABLES, len(TABLES)))  # noqa: S311 - order

    def go(conn: psycopg.Connection) -> None:
        n = next(tables)
        with conn.transaction(force_rollback=True):
            conn.execute(f"insert into w{n} (id, a, c) values ({-1 - number}, 1, 1)".encode())
            time.sleep(seconds)

    return go


def reader(n: int, rows: int) -> Action:
    """Return an action that reads one row of a table."""
    choice = random.Random(n)  # noqa: S311 - nothing secret is drawn
    query = f"select a, b, c from w{n} where id = %s".encode()

    def go(conn: psycopg.Connection) -> None:
        conn.execute(query, [choice.randint(1, rows)]).fetchall()

    return go


def writer(n: int, rows: int) -> Action:
    """Return an action that changes one row of a table and adds one, in one transaction."""
    choice = random.Random(n)  # noqa: S311 - nothing secret is drawn
    change = f"update w{n} set b = b || 'x', c = id where id = %s".encode()
    add = f"insert into w{n} (id, a, c) select max(id) + 1, 1, 1 from w{n}".encode()

    def go(conn: psycopg.Connection) -> None:
        with conn.transaction():
            conn.execute(change, [choice.randint(1, rows)])
            conn.execute(add)

    return go
