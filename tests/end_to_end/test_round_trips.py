"""How often a run goes to the database and back: that is what a distant one costs."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from conftest import ADMIN, Database, run_job
from production import whole_files
from psycopg.conninfo import conninfo_to_dict

from bench.relay import Relay, relayed

FEW = {f"migrations/{n:03}_f.sql": f"create table t{n} (n int)" for n in range(1, 4)}
LIVE = "create table {0} (n int primary key, amount int); insert into {0} values (1, 1);"
DECLARED = "create table {0} (n int primary key, amount int{1});"
MANY = {f"migrations/{n:03}_f.sql": f"create table t{n} (n int)" for n in range(1, 151)}


@pytest.fixture
def relay(database: Database) -> Iterator[Relay]:
    """A relay that counts, before the server of the database."""
    with relayed(int(conninfo_to_dict(database.url)["port"])) as started:
        yield started


@pytest.fixture
def trips(database: Database, relay: Relay) -> Callable[..., tuple[int, int]]:
    """Runs the job; returns how many connections and round trips it took."""
    parts = conninfo_to_dict(database.url)
    url = f"postgresql://{parts['user']}@127.0.0.1:{relay.port}/{database.name}?sslmode=disable"

    def run(**environ: str) -> tuple[int, int]:
        relay.reset()
        run_job(environ={"DATABASE_URL": url, **environ}, check=0)
        return relay.connections, relay.round_trips

    return run


def test_a_settled_run_goes_once(trips: Callable[..., tuple[int, int]]) -> None:
    """One connection; beside its start there is one message and one answer."""
    trips(**ADMIN)

    assert trips(**ADMIN) == (1, 2)


def test_forty_two_tables_take_twelve(trips: Callable[..., tuple[int, int]]) -> None:
    """All layers on an empty database, verified."""
    connections, round_trips = trips(**ADMIN)

    assert connections == 2
    # Where a long message is answered before all of it has come, that counts as one more; and up
    # to PostgreSQL 15 the first look is rolled back by a message of its own.
    assert round_trips <= 12 + 3


def test_more_files_take_no_more(
    trips: Callable[..., tuple[int, int]],
    folder: Callable[[Mapping[str, str]], Path],
    database: Database,
) -> None:
    """What can go together does, so the way's length counts once and not per file."""
    _, few = trips(PREDEPLOY_SQL_DIR=str(folder(FEW)))
    database.execute("drop schema predeploy, public cascade; create schema public")
    _, many = trips(PREDEPLOY_SQL_DIR=str(folder(MANY)))

    # A long message may be answered before all of it has come, which counts as one more.
    assert many < few + 10


def mixed(count: int) -> dict[str, str]:
    """Files of every sort, each of which writes its number into `seen`."""
    files = {"001": "create table seen (n int); create type mood as enum ('m0');"}
    for number in range(2, count + 1):
        seen = f"insert into seen values ({number});"
        sorts = (
            f"create table t{number} (id serial primary key, a text); {seen}",
            f"{seen} alter table t{number - 1} add column b int not null default 1;",
            f"create index concurrently i{number} on t{number - 2} (a);",
            f"{seen} insert into t{number - 3} (a) select g::text from generate_series(1, 9) g;",
            f"alter type mood add value 'm{number}'; {seen}",
            f"create function f{number}() returns int language sql as 'select 1'; {seen}",
            f"begin; {seen} commit; create view v{number} as select a from t{number - 6};",
            f"copy t{number - 7} (a) from stdin;\nx\ny\n\\.\n{seen}",
            (
                f"-- predeploy: allow drop-column t{number - 8}.b\n"
                f"alter table t{number - 8} drop column b; {seen}"
            ),
            f"do $$ begin {seen} end $$; drop view v{number - 3};",
        )
        files[f"{number:03}"] = sorts[(number - 2) % len(sorts)]
    return {f"migrations/{number}_f.sql": text for number, text in files.items()}


@pytest.mark.dear
def test_five_hundred_files_of_every_sort(
    trips: Callable[..., tuple[int, int]],
    folder: Callable[[Mapping[str, str]], Path],
    database: Database,
) -> None:
    """In their order, all in the ledger, and then settled."""
    files = mixed(500)
    root = str(folder(files))

    trips(PREDEPLOY_SQL_DIR=root)

    assert whole_files(database) == [name.partition("/")[2] for name in files]
    seen = [n for (n,) in database.rows("select n from seen order by ctid")]
    assert seen == sorted(seen)
    assert len(seen) == 499 - 50
    assert database.value("select count(*) from pg_enum") == 1 + 50
    assert trips(PREDEPLOY_SQL_DIR=root) == (1, 2)


@pytest.mark.parametrize(
    "more", [", more text", ", check (amount > 0)", ", foreign key (amount) references a0"]
)
def test_what_is_added_to_more_tables_takes_no_more(
    more: str,
    trips: Callable[..., tuple[int, int]],
    folder: Callable[[Mapping[str, str]], Path],
    database: Database,
) -> None:
    """Each table's change is a transaction of its own, and none waits for the way of another's."""

    def add(letter: str, count: int) -> int:
        names = [f"{letter}{n}" for n in range(count)]
        database.execute("drop schema if exists predeploy, public cascade; create schema public")
        database.execute("".join(LIVE.format(name) for name in names))
        declared = "".join(DECLARED.format(name, more) for name in names)
        return trips(PREDEPLOY_SQL_DIR=str(folder({"schema.sql": declared})))[1]

    few, many = add("a", 3), add("a", 30)

    assert many < few + 10


def test_an_index_takes_four(
    trips: Callable[..., tuple[int, int]],
    folder: Callable[[Mapping[str, str]], Path],
    database: Database,
) -> None:
    """On a table with rows: a connection, its settings, a look for remains, and the build."""
    database.execute(LIVE.format("a"))
    declared = DECLARED.format("a", "")

    def add(count: int) -> tuple[int, int]:
        indexes = "".join(
            f"create index i{count}_{n} on a (amount) where n > {count + n};" for n in range(count)
        )
        return trips(PREDEPLOY_SQL_DIR=str(folder({"schema.sql": declared + indexes})))

    connections, few = add(1)
    more_connections, many = add(5)

    assert more_connections - connections == 4
    # Where the server says something while a message is on its way, that counts as one more.
    assert many - few <= 4 * 4 + 2
