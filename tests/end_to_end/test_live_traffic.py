"""A step that takes something away from a table that the app works with meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Database
from production import environ, prepare, report_here, until

from predeploy.losses import values

Folder = Callable[[Mapping[str, str]], Path]
Start = Callable[..., "Future[dict[str, Any]]"]
Migrate = Callable[..., dict[str, Any]]

ROWS = 20_000
SETUP = f"""
create table users (id int primary key, first text, last text, seen timestamptz, n int default 0);
insert into users select g, 'f' || g, 'l' || g, now() from generate_series(1, {ROWS}) g;
create table events (at int, v int) partition by range (at);
create table events_low partition of events for values from (0) to (100);
create table events_high partition of events for values from (100) to (200);
insert into events select g, g from generate_series(0, 199) g;
create table other (id int);
create table drawn (id serial, t text);
create function forget(upto int) returns void language plpgsql as $$
begin
    delete from users where id <= upto;
    raise exception 'on second thoughts';
exception when raise_exception then null;
end $$;
"""
# A step that counters alone do not judge: it deletes, and has undone another delete before that.
IN_DOUBT = "select forget(5); delete from users where id = 7;"
WAITS = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
SLEEPS = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"


@pytest.fixture
def migrate(database: Database, folder: Folder) -> Migrate:
    """Applies SETUP before the test; then one more file, of which it returns the report."""
    prepare(environ(database, folder({"migrations/1_setup.sql": SETUP})))

    def run(text: str, **more: str) -> dict[str, Any]:
        files = {"migrations/1_setup.sql": SETUP, "migrations/2_step.sql": text}
        return report_here(environ(database, folder(files), **more))

    return run


@pytest.fixture
def start(migrate: Migrate) -> Iterator[Start]:
    """Does the same meanwhile."""
    with ThreadPoolExecutor() as pool:
        yield lambda text, **more: pool.submit(migrate, text, **more)


def findings(report: dict[str, Any], code: str) -> list[str]:
    return [f["message"] for f in report.get("findings", []) if f["code"] == code]


def written(database: Database) -> int:
    """How many rows of `users` have been updated so far, in tries that were rolled back, too."""
    database.execute("select pg_stat_force_next_flush()")
    return database.value("select n_tup_upd from pg_stat_user_tables where relname = 'users'")


DECLARED = {
    "a backfill, and a column that it replaces": (
        ("-- predeploy: allow drop-column users.first\n"
        "alter table users add column full_name text;"
        " update users set full_name = first || ' ' || last; alter table users drop column first;"),
        "drop-column public.users.first", ROWS,
    ),
    "a delete beside a backfill": (
        ("-- predeploy: allow delete users\n"
        "update users set n = 1; delete from users where id % 1000 = 0;"),
        f"delete public.users ({ROWS // 1000} rows)", ROWS,
    ),
    "rows of which each had been updated meanwhile": (
        "-- predeploy: allow delete users\ndelete from users;",
        f"delete public.users ({ROWS} rows)", 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DECLARED)
def test_a_row_that_the_app_has_just_updated_is_no_obstacle(
    case: str, start: Start, database: Database
) -> None:
    """The step waits for the row as psql does, goes on with what it is by then, and runs once."""
    text, told, updates = DECLARED[case]
    before = written(database)
    with database.connect() as app:
        app.execute("begin; update users set seen = now()")
        running = start(text)
        until(lambda: database.value(WAITS) or running.done(), "the step to wait for the row")
        app.execute("commit")

    report = running.result()

    assert report["exit_code"] == 0, report
    assert findings(report, "taken-away") == [f"migrations/2_step.sql: {told}"]
    assert written(database) - before == ROWS + updates


def test_a_declared_delete_is_not_counted(migrate: Migrate, database: Database) -> None:
    """However large the table is, it is not read beside what the step reads itself, lock or not.

    One row is: whether there is any decides if the run asks.
    """
    read = "select coalesce(sum(seq_tup_read), 0) from pg_stat_user_tables where relname = 'users'"
    database.execute("select pg_stat_force_next_flush()")
    before = database.value(read)

    report = migrate(
        "-- predeploy: allow delete users\n"
        "alter table users add column late int; delete from users where id = 3;"
    )

    assert report["exit_code"] == 0, report
    assert findings(report, "taken-away") == ["migrations/2_step.sql: delete public.users (1 row)"]
    database.execute("select pg_stat_force_next_flush()")
    assert database.value(read) - before < 5, "rows; whether there are any may be asked"


UNDECLARED = {
    "a merge": (
        "merge into users u using (values (1), (2)) v(id) on u.id = v.id when matched then delete",
        "delete public.users (2 rows)",
    ),
    "a delete, and then a truncate": (
        "delete from users where id > 5; truncate users",
        "truncate public.users (",
    ),
    "a truncate of which some rows come back, and go": (
        "truncate users; insert into users values (1), (2), (3); delete from users where id = 3",
        "truncate public.users (",
    ),
    "a delete in a block that another try has undone": (IN_DOUBT, "delete public.users (1 row)"),
    "a truncate in a block, undone and done": (
        ("do $$ begin begin truncate users; raise exception 'x'; exception when others then null;"
        " end; truncate users; end $$"),
        "truncate public.users (",
    ),
    "all rows of a partition": (
        "delete from events where at < 100", "delete public.events (100 rows)",
    ),
    "a move in which a row is lost": (
        "update events set at = at + 100 where at between 9 and 20; delete from events where v = 5",
        "delete public.events (1 row)",
    ),
    "a delete, and a file that is written anew": (
        "delete from users where id = 1; alter table users alter n type bigint",
        "delete public.users (1 row)",
    ),
    "a delete of more than is inserted": (
        ("insert into users select g + 100000 from generate_series(1, 3) g;"
        " delete from users where id between 1 and 5"),
        "delete public.users (2 rows)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNDECLARED)
def test_what_is_lost_under_traffic_is_told_to_the_row(
    case: str, start: Start, database: Database
) -> None:
    """84: the rows that others insert and delete meanwhile are no part of it, either way."""
    text, told = UNDECLARED[case]
    with app(database, "insert into users values (-%(n)s); delete from users where id = -%(n)s"):
        report = start(text).result()

    assert report["exit_code"] == 84, report
    assert f"does not declare: {told}" in report["failure"]["message"]
    assert "," not in report["failure"]["message"].partition("does not declare: ")[2]
    assert database.value("select count(*) from users where id > 0") == ROWS
    assert database.value("select count(*) from events") == 200


KEPT = {
    "a delete that a block has undone": "select forget(100); insert into other values (1)",
    "a delete that a block has undone, and a rewrite": (
        "select forget(100); alter table users alter n type bigint"
    ),
    "rows that move": "update events set at = at + 100 where at < 100",
    "rows that move in a block": (
        "do $$ begin update events set at = at + 100 where at < 50; end $$"
    ),
    "rows that move, and a block that is undone": (
        "do $$ begin update events set at = at + 100 where at < 50; begin"
        " delete from events; raise exception 'x'; exception when others then null; end; end $$"
    ),
    "a merge that only updates": (
        "merge into users using (values (1)) v(id) on users.id = v.id"
        " when matched then update set n = 5"
    ),
    "rows that are replaced": (
        "create temp table t as select * from users where id < 9; delete from users where id < 9;"
        " insert into users select * from t"
    ),
    "an upsert": "insert into users values (1), (2) on conflict (id) do update set n = 7",
}


@pytest.mark.parametrize("case", KEPT)
def test_what_loses_nothing_passes_although_others_delete(
    case: str, start: Start, database: Database
) -> None:
    """0 without a declaration: what others take away meanwhile is not the step's."""
    database.execute("insert into users select -g from generate_series(1, 500) g")
    with app(database, "delete from users where id = -%(n)s"):
        report = start(KEPT[case]).result()

    assert report["exit_code"] == 0, report
    assert findings(report, "taken-away") == []
    assert database.value("select count(*) from users where id > 0") == ROWS
    assert database.value("select count(*) from events") == 200


@contextmanager
def app(database: Database, text: str) -> Iterator[None]:
    """An app that does this again and again, %(n)s being how often it has."""
    over = threading.Event()

    def work() -> None:
        with database.connect() as conn:
            for n in range(1, 100_000):
                for one in text.split(";"):
                    conn.execute(one % {"n": n})
                if over.wait(0.02):
                    return

    with ThreadPoolExecutor() as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            over.set()
        working.result()


def test_a_table_that_somebody_else_drops_is_not_our_loss(start: Start, database: Database) -> None:
    """0: so do partitions come and go while a step runs."""
    running = start("-- predeploy: allow delete users\nselect pg_sleep(2); delete from users")
    until(lambda: database.value(SLEEPS), "the step to begin")
    database.execute("drop table other; alter table drawn drop column t")

    report = running.result()

    assert report["exit_code"] == 0, report
    assert findings(report, "taken-away") == [
        f"migrations/2_step.sql: delete public.users ({ROWS} rows)"
    ]


EMPTIES = """truncate events; truncate filled; vacuum full kept;
    insert into filled select generate_series(1, 5)"""
BESIDE = {
    "other tables": (
        "-- predeploy: allow delete users\nselect pg_sleep(2); delete from users;", (),
    ),
    "the same tables, behind that": (
        ("-- predeploy: allow delete users\nselect pg_sleep(2); delete from users;"
        " alter table filled add n int; insert into events values (1, 1); delete from kept"
        " where id < 0"), (),
    ),
    "a truncate of its own": (
        "select pg_sleep(2); truncate users",
        (f"truncate public.users ({ROWS} rows)",),
    ),
    "a delete from what was emptied": (
        ("-- predeploy: allow delete users\nselect pg_sleep(2); delete from users;"
        " delete from filled where id = 2"),
        ("delete public.filled (1 row)",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BESIDE)
def test_a_table_that_somebody_else_empties_is_not_our_loss(
    case: str, start: Start, database: Database
) -> None:
    """What others truncate and rewrite meanwhile is theirs; what the step takes away is told."""
    text, told = BESIDE[case]
    database.execute(
        "create table filled (id int); insert into filled select generate_series(1, 7);"
        "create table kept (id int); insert into kept select generate_series(1, 7)"
    )
    running = start(text)
    until(lambda: database.value(SLEEPS), "the step to begin")
    for statement in EMPTIES.split(";"):
        database.execute(statement)

    report = running.result()

    assert report["exit_code"] == (84 if told else 0), report
    if told:
        assert report["failure"]["message"].endswith(f"does not declare: {', '.join(told)}")
    else:
        assert findings(report, "taken-away") == [
            f"migrations/2_step.sql: delete public.users ({ROWS} rows)"
        ]
        assert database.value("select count(*) from kept") == 7


def test_what_has_to_be_counted_waits_no_longer_than_the_lock_timeout(
    start: Start, database: Database
) -> None:
    """75 while a writer stays: readers and other writers get by between the tries."""
    with database.connect() as writer, database.connect() as other:
        writer.execute("begin; insert into users values (-1)")
        running = start(IN_DOUBT, PREDEPLOY_DDL_LOCK_TIMEOUT="300ms", PREDEPLOY_DDL_BUDGET="2s")
        other.execute("set lock_timeout = '2s'")
        done = 0
        while not running.done():
            other.execute("select count(*) from users where id = 1")
            other.execute("update users set n = n + 1 where id = 2")
            done += 1
            time.sleep(0.02)
        writer.execute("rollback")

    report = running.result()

    assert report["exit_code"] == 75, report
    assert "lock timeout" in report["failure"]["message"]
    assert done > 3
    assert database.value("select count(*) from users") == ROWS


@pytest.mark.dear
def test_nobody_writes_while_rows_are_counted_and_everybody_reads(
    start: Start, database: Database
) -> None:
    """The rows are as many as the step found, so what the step has deleted is what is missing."""
    running = start("select pg_sleep(1.5);" + IN_DOUBT)
    locked = """select count(*) from pg_locks where relation = 'users'::regclass
        and mode = 'ShareRowExclusiveLock' and granted"""
    until(lambda: database.value(locked), "the second try")
    with database.connect() as other:
        other.execute("set lock_timeout = '200ms'")
        assert other.execute("select count(*) from users").fetchall() == [(ROWS,)]
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("update users set n = 5 where id = 1")

    assert "delete public.users (1 row)" in running.result()["failure"]["message"]


def test_what_is_too_much_to_count_is_asked_about(
    migrate: Migrate, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """84 with the line to declare it, which then lets it pass in one try, with what is known."""
    monkeypatch.setattr(values, "COUNTED_UP_TO", 1000)

    report = migrate(IN_DOUBT)

    assert report["exit_code"] == 84, report
    assert (
        "may lose what is too much to count: delete public.users (a table of 1 MB)"
        in report["failure"]["message"]
    )
    assert database.value("select count(*) from users") == ROWS
    line = report["failure"]["next"].partition(": ")[2]
    before = database.value("select last_value from drawn_id_seq")
    report = migrate(f"{line}\ninsert into drawn (t) values ('x'); {IN_DOUBT}")
    assert report["exit_code"] == 0, report
    assert findings(report, "taken-away") == [
        "migrations/2_step.sql: delete public.users (at most 6 rows)"
    ]
    assert database.value("select last_value from drawn_id_seq") == before
    assert database.value("select count(*) from users") == ROWS - 1


def test_a_large_table_that_is_emptied_is_told_with_an_estimate(
    migrate: Migrate, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """84, and nobody has counted: whether rows are left shows by reading one."""
    monkeypatch.setattr(values, "COUNTED_UP_TO", 1000)
    database.execute("analyze users")

    report = migrate("truncate users")

    assert report["exit_code"] == 84
    assert f"truncate public.users (about {ROWS} rows)" in report["failure"]["message"]
    assert migrate("alter table users alter n type bigint")["exit_code"] == 0


def test_counting_that_is_off_is_turned_on_where_we_may(
    migrate: Migrate, database: Database
) -> None:
    """A superuser's step runs once, and is judged by its counters like any other."""
    database.execute(f'alter database "{database.name}" set track_counts = off')

    report = migrate("insert into drawn (t) values ('x'); delete from users where id = 1")

    assert report["exit_code"] == 84
    assert report["failure"]["message"].endswith("declare: delete public.users (1 row)")
    report = migrate("insert into drawn (t) values ('x'); update users set n = 2 where id = 1")
    assert report["exit_code"] == 0, report
    assert "sequence-gap" not in {f["code"] for f in report.get("findings", [])}


def test_counting_that_stays_off_is_always_suspicious(migrate: Migrate, database: Database) -> None:
    """Who may not turn it on has the rows counted: 84 for a delete, and 0 for an insert."""
    database.execute(
        f'alter database "{database.name}" set track_counts = off; create role uncounted login;'
        "alter table users owner to uncounted; alter table drawn owner to uncounted;"
        "grant all on schema public, predeploy to uncounted;"
        "grant all on all tables in schema predeploy to uncounted;"
        "grant all on all sequences in schema predeploy to uncounted;"
        f'grant create on database "{database.name}" to uncounted'
    )
    url = database.url.replace("postgres@", "uncounted@")
    try:
        report = migrate("do $$ begin delete from users where id < 4; end $$", DATABASE_URL=url)
        assert report["exit_code"] == 84, report
        assert "delete public.users (3 rows)" in report["failure"]["message"]
        report = migrate("insert into drawn (t) values ('x')", DATABASE_URL=url)
        assert report["exit_code"] == 0, report
    finally:
        database.execute(
            "reassign owned by uncounted to current_user; drop owned by uncounted;"
            "drop role uncounted"
        )


TRAFFIC = {
    "a declared delete": (
        "migrations/2_step.sql",
        ("-- predeploy: allow delete users\nupdate users set n = 1;"
        " delete from users where id % 1000 = 0;"),
        ROWS,
    ),
    "a sync": (
        "schema.sql",
        SETUP.partition("create table events")[0].partition("insert")[0].replace(
            "n int default 0", "n int default 0 check (n >= 0), late text not null default 'x'"
        ) + "create index users_seen on users (seen); create index users_last on users (last);",
        0,
    ),
}  # fmt: skip


@pytest.mark.usefixtures("migrate")
@pytest.mark.parametrize("case", TRAFFIC)
def test_twenty_updates_a_second_go_on_and_none_fails(
    case: str, folder: Folder, database: Database
) -> None:
    """The run ends well, no update of the app is lost, and no row was written more than once."""
    path, text, own = TRAFFIC[case]
    before, over = written(database), threading.Event()

    def work() -> int:
        with database.connect() as conn:
            for n in range(100_000):
                conn.execute("update users set last = last || '+' where id = %s", (1 + n % 999,))
                if over.wait(0.05):
                    return n + 1
        return 0

    files = {"migrations/1_setup.sql": SETUP, path: text}
    with ThreadPoolExecutor() as pool:
        working = pool.submit(work)
        report = report_here(environ(database, folder(files)))
        over.set()
        updates = working.result()

    assert report["exit_code"] == 0, report
    kept = "select sum(length(last) - length(replace(last, '+', '')))::int from users"
    assert database.value(kept) == updates
    assert written(database) - before == updates + own
