"""Rows get the ids that psql gives: a step runs once, or its sequences are put back in between."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from conftest import ADMIN, Database, run_job

Deploy = Callable[..., tuple[int, dict]]

SHELVES = """
create table shelf (id serial primary key, name text not null, room text);
create table book (id serial primary key, shelf_id int not null references shelf (id), title text);
create index books_by_title on book (title);
"""
TWO = "insert into shelf (name) values ('poetry'), ('history');"
# What stands in a step with two rows that draw the ids 1 and 2; whatever it is, they get those.
BESIDE = {
    "a declared loss": f"-- predeploy: allow drop-column shelf.room\n"
    f"alter table shelf drop column room; {TWO}",
    "a guarded table in front": "create table if not exists shelf (id serial primary key, "
    f"name text not null, room text); {TWO} alter table shelf add column room text;",
    "a table in front that is there, and a DO that renames": "create table shelf (id serial "
    f"primary key, name text not null, room text); {TWO} "
    "do $$ begin alter table shelf rename room to place; end $$;",
    "a declared loss behind": f"{TWO}\n-- predeploy: allow drop-column shelf.room\n"
    "alter table shelf drop column room;",
    "a guarded column": f"alter table shelf add column if not exists room text; {TWO}",
    "a guarded table behind": f"{TWO} create table if not exists book (id serial primary key, "
    "shelf_id int not null references shelf (id), title text);",
    "a table that is there": f"{TWO} create table book (id serial primary key, shelf_id int);",
    "a column that is there": f"{TWO} alter table shelf add column room text;",
    "a column that is gone": f"{TWO} alter table shelf drop column no_more;",
    "a renamed column": f"alter table shelf rename column room to place; {TWO}",
    "a renamed table": f"{TWO} alter table book rename to volume;",
    "a default": f"alter table shelf alter column room set default 'hall'; {TWO}",
    "a rewrite": f"{TWO} alter table shelf alter column room type varchar(20);",
    "a delete": "-- predeploy: allow delete shelf\n"
    f"{TWO} insert into shelf (name) values ('gone'); delete from shelf where name = 'gone';",
    "a dropped index": f"{TWO} drop index books_by_title;",
    "a serial column": f"alter table book add column n serial; {TWO}",
    "a DO that renames": f"{TWO} do $$ begin alter table shelf rename room to place; end $$;",
    "a DO that makes what is there": "do $$ begin execute 'create table late (id int)'; end $$; "
    f"{TWO} create table if not exists late (id int);",
    "a DO that empties": "insert into book (shelf_id) select id from shelf; "
    f"{TWO} do $$ begin delete from book where false; truncate book; end $$;",
}


@pytest.fixture
def deploy(database: Database, tmp_path: Path) -> Deploy:
    """Runs the job on migrations; returns exit code and report."""

    def job(files: Mapping[str, str], **settings: str) -> tuple[int, dict]:
        root = write(tmp_path / "sql", files)
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root), **settings}
        done = run_job(environ=environ)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    return job


def write(root: Path, files: Mapping[str, str]) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    (root / "migrations").mkdir(parents=True)
    for name, text in files.items():
        (root / "migrations" / f"{name}.sql").write_text(text)
    return root


def elsewhere(database: Database) -> str:
    """How the server reaches its own database, for dblink."""
    port = psycopg.conninfo.conninfo_to_dict(database.url)["port"]
    return f"host=127.0.0.1 port={port} user=postgres dbname={database.name}"


def shelves(database: Database) -> list[tuple]:
    return database.rows("select id, name from shelf order by id")


def found(report: dict, code: str) -> list[str]:
    return [f["message"] for f in report.get("findings", []) if f["code"] == code]


@pytest.mark.parametrize("deploys", [1, 2])
@pytest.mark.parametrize("step", BESIDE.values(), ids=BESIDE)
def test_the_first_two_rows_are_one_and_two(
    step: str, deploys: int, deploy: Deploy, database: Database
) -> None:
    """A sequence is drawn from once, whatever else stands in the step (cases corpora/ids-*)."""
    if deploys == 2:
        assert deploy({"1_shelves": SHELVES})[0] == 0

    exit_code, report = deploy({"1_shelves": SHELVES, "2_step": step})

    assert exit_code == 0, report
    assert shelves(database) == [(1, "poetry"), (2, "history")]
    assert database.value("select nextval('shelf_id_seq')") in (3, 4)  # 4 where a row is gone
    assert found(report, "sequence-gap") == []


def test_literal_ids_of_a_later_file_mean_the_rows_that_psql_makes(
    deploy: Deploy, database: Database
) -> None:
    """The second shelf is history, and the book on shelf 2 stands there (ids-wrong-row)."""
    exit_code, _ = deploy(
        {
            "1": SHELVES.replace("room", "floor"),
            "2": "insert into shelf (name) values ('poetry');"
            "alter table shelf rename column name to label;",
            "3": "insert into shelf (label) values ('history'), ('maps');",
            "4": "insert into book (shelf_id, title) values (2, 'Rome'), (3, 'Atlas');",
        }
    )

    assert exit_code == 0
    assert database.rows(
        "select title, label from book join shelf on shelf.id = shelf_id order by 1"
    ) == [("Atlas", "maps"), ("Rome", "history")]


def test_what_acts_outside_happens_once_beside_a_declared_loss(
    deploy: Deploy, database: Database
) -> None:
    """A rollback does not take back what dblink did (case adversary/w07)."""
    setup = f"{SHELVES}{TWO} create table outbox (n int); create extension dblink;"
    deploy({"1": setup})

    exit_code, _ = deploy(
        {
            "1": setup,
            "2": "-- predeploy: allow delete shelf\ndelete from shelf where id = 1;"
            f"select dblink_exec('{elsewhere(database)}', 'insert into outbox values (1)');",
        }
    )

    assert exit_code == 0
    assert database.rows("select n from outbox") == [(1,)]


def test_a_loss_in_a_table_that_no_text_names_is_refused(
    deploy: Deploy, database: Database
) -> None:
    """Beside a declared one: what was not counted beforehand is counted then."""
    files = {"1": SHELVES + TWO + "insert into book (shelf_id) values (1), (2);"}
    deploy(files)
    files["2"] = (
        "-- predeploy: allow delete shelf\ndo $$ begin delete from book; end $$;"
        "delete from shelf where id = 2;"
    )

    exit_code, report = deploy(files)

    assert exit_code == 84
    assert "delete public.book (2 rows)" in report["failure"]["message"]
    assert database.value("select count(*) from book") == 2


SUSPECTED = (
    "insert into shelf (name) values ('maps');"
    "do $$ begin alter table shelf rename room to place; end $$;"
)


@pytest.fixture
def company(database: Database) -> Iterator[psycopg.Connection]:
    """A session of somebody else's."""
    with database.connect() as conn:
        conn.execute("select 1")
        yield conn


@pytest.mark.usefixtures("company")
def test_a_sequence_that_others_may_have_used_is_not_put_back(
    deploy: Deploy, database: Database
) -> None:
    """With a session of somebody else's there, the gap stays, and the report has both numbers."""
    deploy({"1": SHELVES + TWO})

    exit_code, report = deploy({"1": SHELVES + TWO, "2": SUSPECTED})

    assert exit_code == 0
    assert shelves(database)[-1] == (4, "maps")
    (gap,) = found(report, "sequence-gap")
    assert "public.shelf_id_seq went on with 4 and not with 3" in gap


@pytest.mark.usefixtures("company")
def test_a_file_that_counts_on_a_skipped_number_is_stopped(
    deploy: Deploy, database: Database
) -> None:
    """84 before it, and again in the next run, until somebody has looked at the file."""
    files = {"1": SHELVES + TWO, "2": SUSPECTED}
    files["3"] = "insert into shelf (name) values ('no number of a shelf');"
    files["4"] = "insert into book (shelf_id, title) values (3, 'Atlas');"
    deploy({"1": files["1"]})

    first, report = deploy(files)
    again, _ = deploy(files)

    assert (first, again) == (84, 84)
    assert "4.sql" in json.dumps(report["failure"])
    assert database.value("select count(*) from shelf") == 4
    assert database.value("select count(*) from book") == 0
    files["4"] = files["4"].replace("3", "4")
    assert deploy(files)[0] == 0
    assert database.rows("select shelf_id from book") == [(4,)]


@pytest.mark.usefixtures("company")
def test_what_the_run_itself_has_made_is_put_back_in_company(
    deploy: Deploy, database: Database
) -> None:
    """Nobody else knows of a sequence yet that this run has created."""
    exit_code, report = deploy({"1": SHELVES + TWO, "2": SUSPECTED})

    assert exit_code == 0
    assert shelves(database)[-1] == (3, "maps")
    assert found(report, "sequence-gap") == []


def test_what_others_draw_meanwhile_is_no_gap_of_ours(
    deploy: Deploy, database: Database, company: psycopg.Connection
) -> None:
    """An app that inserts while a step is tried again makes no finding of its own sequences."""
    setup = SHELVES + "create table visit (id serial primary key);"
    deploy({"1": setup})
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            company.execute("insert into visit default values")

    app = threading.Thread(target=visit)
    app.start()
    exit_code, report = deploy({"1": setup, "2": f"select pg_sleep(0.2); {SUSPECTED}"})
    stop.set()
    app.join()

    assert exit_code == 0
    assert all("shelf_id_seq" in gap for gap in found(report, "sequence-gap"))
    assert database.value("select count(*) = max(id) from visit")


def test_a_session_that_comes_and_goes_counts_as_company(
    deploy: Deploy, database: Database
) -> None:
    """It is gone by the second try, and has drawn a number, as it does in the second, too."""
    setup = SHELVES + "create extension dblink;"
    deploy({"1": setup})
    drawn = f"select dblink_connect('x', '{elsewhere(database)}');"
    drawn += "select * from dblink('x', 'select nextval(''shelf_id_seq'')') t(n int);"
    drawn += "select dblink_disconnect('x');"

    exit_code, report = deploy({"1": setup, "2": drawn + SUSPECTED})

    assert exit_code == 0
    assert database.rows("select id from shelf") == [(4,)]
    assert "went on with 3 and not with 1" in found(report, "sequence-gap")[0]


@pytest.mark.dear
def test_a_try_that_lacked_a_lock_leaves_no_gap_in_what_the_run_has_made(
    deploy: Deploy, database: Database
) -> None:
    """The whole step is tried again once the lock is free."""
    deploy({"0": "create table busy ()"})
    step = f"{TWO} alter table busy add column n int;"
    with database.connect() as holder:
        holder.execute("begin; select from busy")
        threading.Timer(2.5, holder.close).start()

        exit_code, report = deploy(
            {"0": "create table busy ()", "1": SHELVES, "2": step},
            PREDEPLOY_DDL_LOCK_TIMEOUT="1s",
            PREDEPLOY_DDL_BUDGET="60s",
        )

    assert exit_code == 0, report
    assert shelves(database) == [(1, "poetry"), (2, "history")]
    assert found(report, "sequence-gap") == []


def test_a_role_that_does_not_own_the_sequence_leaves_the_gap(
    deploy: Deploy, database: Database
) -> None:
    """It may draw from it and not restart it: the report says so."""
    role = f"drawer_{database.name[-8:]}"
    deploy({"1": SHELVES + TWO})
    database.execute(
        f"create role {role} login; grant all on database {database.name} to {role};"
        f"grant all on schema public, predeploy to {role};"
        f"grant all on all tables in schema public, predeploy to {role};"
        f"grant all on all sequences in schema public to {role};"
        f"grant all on all functions in schema predeploy to {role};"
        f"alter table book owner to {role}; alter sequence shelf_id_seq owner to postgres;"
    )
    own = "create table if not exists mine (n int);"
    step = (
        "insert into shelf (name) values ('maps');"
        "do $$ begin alter table book rename title to name; end $$;"
    )
    url = database.url.replace("postgres@", f"{role}@")
    try:
        exit_code, report = deploy({"1": SHELVES + TWO, "2": own + step}, DATABASE_URL=url)

        assert exit_code == 0, report
        assert shelves(database)[-1] == (4, "maps")
        assert "went on with 4 and not with 3" in found(report, "sequence-gap")[0]
    finally:
        database.execute(f"reassign owned by {role} to postgres; drop owned by {role}")
        database.execute(f"drop role {role}")


def test_a_sequence_that_was_set_by_hand_is_put_back_to_that(
    deploy: Deploy, database: Database
) -> None:
    """setval(…, false): the next number is the one that was set."""
    deploy({"1": SHELVES})
    database.execute("select setval('shelf_id_seq', 70, false)")

    exit_code, _ = deploy({"1": SHELVES, "2": SUSPECTED})

    assert exit_code == 0
    assert shelves(database) == [(70, "maps")]


def test_a_seed_that_was_suspected_draws_its_ids_once(
    database: Database, folder: Callable[..., Path]
) -> None:
    """A trigger of its table deletes a row, and puts it back: nothing is lost, and user 1 is 1."""
    files = {
        "migrations/1.sql": """
            create table users (id serial primary key, username text, email text, hash text);
            create table seen (n int);
            insert into seen values (0);
            create function see() returns trigger language plpgsql as $$ begin
                delete from seen; insert into seen values (1); return null; end $$;
            create trigger see after insert on users for each row execute function see();""",
        "seed/admin.sql": "select username from users where username = %(admin_username)s;"
        "insert into users (username, email, hash)"
        " values (%(admin_username)s, %(admin_email)s, %(admin_password_hash)s)",
    }

    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files)), **ADMIN}
    run_job(environ=environ, check=0)

    assert database.rows("select id, n from users, seen") == [(1, 1)]
