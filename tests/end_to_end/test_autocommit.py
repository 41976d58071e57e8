"""Steps outside a transaction: between two states of a row, and settled by proof after a crash."""

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Database, run_job, start_job

from predeploy.embedded import Server, server

TABLE = """create table items (id int, name text);
insert into items select g, g::text from generate_series(1, 100) g;"""
BUILD = "create index concurrently items_name_idx on items (name);"
VALID = (
    "select indexrelid::regclass::text, indisvalid from pg_index where indrelid = 'items'::regclass"
)
STEPS = "select file, position, is_done from predeploy.migration order by applied_at"


@pytest.fixture
def environ(database: Database, folder: Callable[..., Path]) -> Callable[..., dict[str, str]]:
    """Writes migrations and returns the environment of a job that applies them."""

    def write(settings: dict[str, str] | None = None, **files: str) -> dict[str, str]:
        root = folder({f"migrations/{name}.sql": text for name, text in files.items()})
        return {
            "DATABASE_URL": database.url,
            "PREDEPLOY_SQL_DIR": str(root),
            **(settings or {}),
        }

    return write


@contextmanager
def old_snapshot(database: Database) -> Iterator[int]:
    """An idle transaction with a snapshot, which a concurrent build has to wait for; its pid."""
    with database.connect() as conn:
        conn.execute("begin isolation level repeatable read; select count(*) from pg_class")
        yield conn.info.backend_pid


def wait_for(database: Database, condition: str) -> None:
    """Wait until a query returns a row; fail after 30 s."""
    end = time.monotonic() + 30
    with database.connect() as conn:
        while not conn.execute(condition).fetchall():
            assert time.monotonic() < end, f"never happened: {condition}"
            time.sleep(0.02)


def report(output: str) -> dict:
    return json.loads(output.splitlines()[-1])


def test_a_file_may_mix_both_kinds(database: Database, environ: Callable[..., dict]) -> None:
    """Each kind of statement is a step, in file order, and the file is whole at the end."""
    text = f"{TABLE}\n{BUILD}\nupdate items set name = 'x' where id = 1;\nvacuum items;"

    run_job("run", environ=environ(**{"1_a": text}), check=0)

    assert database.rows(STEPS) == [("1_a.sql", n, True) for n in (1, 2, 3, 4)]
    assert database.rows(VALID) == [("items_name_idx", True)]
    assert (
        report(run_job("run", environ=environ(**{"1_a": text}), check=0).stdout)["outcome"]
        == "settled"
    )


def test_autocommit_inside_a_transaction_is_refused(
    database: Database, environ: Callable[..., dict]
) -> None:
    """PostgreSQL would refuse it at run time; the plan does so before anything runs."""
    done = run_job("run", environ=environ(**{"1_a": f"{TABLE} begin; {BUILD} commit;"}), check=65)

    assert "CREATE INDEX CONCURRENTLY inside BEGIN … COMMIT" in done.stdout
    assert database.value("select to_regclass('items') is null")


IN_BATCHES = f"""{TABLE}
create procedure in_batches() language plpgsql as $$ begin
    update items set name = 'a' where id <= 50; commit;
    update items set name = 'b' where id > 50; commit;
end $$;
-- predeploy: autocommit
call in_batches();"""


def test_a_directive_takes_the_next_statement_out_of_the_transaction(
    database: Database, environ: Callable[..., dict]
) -> None:
    """A procedure that commits can be called, when the file says that it does."""
    text = f"-- predeploy: allow commit-inside\n{IN_BATCHES}"

    run_job("run", environ=environ(**{"1_a": text}), check=0)

    batches = "select name, count(*) from items group by 1 order by 1"
    assert database.rows(batches) == [("a", 50), ("b", 50)]


def test_a_call_that_may_commit_has_to_be_declared(
    database: Database, environ: Callable[..., dict]
) -> None:
    """65, with the line that says so; nothing has run."""
    done = run_job("run", environ=environ(**{"1_a": IN_BATCHES}), check=65)

    assert "-- predeploy: allow commit-inside" in done.stdout
    assert database.value("select to_regclass('items') is null")


@pytest.mark.parametrize("loss", ["delete from items", "drop table items", "truncate items"])
def test_nothing_is_taken_away_behind_the_sentinel_s_back(
    loss: str, database: Database, environ: Callable[..., dict]
) -> None:
    """65 before anything runs: outside its transaction nobody could give the rows back."""
    text = f"-- predeploy: autocommit\n{loss};"
    run_job("run", environ=environ(**{"1_a": TABLE}), check=0)
    before = database.rows("select * from items order by 1")

    done = run_job("run", environ=environ(**{"1_a": TABLE, "2_b": text}), check=65)

    assert "-- predeploy: allow commit-inside" in done.stdout
    assert database.rows("select * from items order by 1") == before
    assert database.rows(STEPS) == [("1_a.sql", 1, True)]


def test_a_killed_build_is_done_by_the_next_run(
    database: Database, environ: Callable[..., dict]
) -> None:
    """SIGKILL in the middle of CREATE INDEX CONCURRENTLY, then a rerun: one valid index."""
    settings = environ(**{"1_a": TABLE, "2_b": BUILD})
    with old_snapshot(database):
        job = start_job("run", environ=settings)
        wait_for(database, "select from pg_index where not indisvalid")
        job.send_signal(signal.SIGKILL)
        job.communicate(timeout=30)

    run_job("run", environ=settings, check=0)

    assert database.rows(VALID) == [("items_name_idx", True)]
    assert database.rows(STEPS) == [("1_a.sql", 1, True), ("2_b.sql", 1, True)]


@pytest.mark.dear
def test_a_build_that_waits_too_long_names_who_is_in_its_way(
    database: Database, environ: Callable[..., dict]
) -> None:
    """At its budget it is cancelled, its invalid index is dropped, and it may be tried again."""
    settings = environ({"PREDEPLOY_CONCURRENT_BUDGET": "2s"}, **{"1_a": TABLE, "2_b": BUILD})
    with old_snapshot(database) as pid:
        done = run_job("run", environ=settings, check=75)

        assert f"pid {pid}" in report(done.stdout)["failure"]["message"]
        assert database.rows(VALID) == []
    assert database.rows(STEPS) == [("1_a.sql", 1, True)]
    run_job("run", environ=settings, check=0)
    assert database.rows(VALID) == [("items_name_idx", True)]


def test_a_build_that_fails_leaves_no_invalid_index(
    database: Database, environ: Callable[..., dict]
) -> None:
    """Duplicates under a unique build: 81, nothing remains, and after fixing it goes on."""
    twice = f"{TABLE} insert into items values (1, 'twin');"
    unique = "create unique index concurrently items_id_idx on items (id);"
    settings = environ(**{"1_a": twice, "2_b": unique})

    done = run_job("run", environ=settings, check=81)

    assert report(done.stdout)["failure"]["sqlstate"] == "23505"
    assert "nothing remains" in report(done.stdout)["message"]
    assert database.rows(VALID) == []
    database.execute("delete from items where name = 'twin'")
    run_job("run", environ=settings, check=0)
    assert database.rows(VALID) == [("items_id_idx", True)]


def test_an_invalid_index_is_rebuilt_and_not_skipped(
    database: Database, environ: Callable[..., dict]
) -> None:
    """IF NOT EXISTS would skip for ever what another tool's failed build has left."""
    guarded = BUILD.replace("concurrently", "concurrently if not exists")
    run_job("run", environ=environ(**{"1_a": TABLE}), check=0)
    with old_snapshot(database), database.connect() as other:
        other.execute("set statement_timeout = '1s'")
        with pytest.raises(Exception, match="statement timeout"):
            other.execute(BUILD)
    assert database.rows(VALID) == [("items_name_idx", False)]

    run_job("run", environ=environ(**{"1_a": TABLE, "2_b": guarded}), check=0)

    assert database.rows(VALID) == [("items_name_idx", True)]


def test_a_drop_that_nobody_recorded_is_settled_by_proof(
    database: Database, environ: Callable[..., dict]
) -> None:
    """The index is gone, so the step is done; it is not run again, where it would fail."""
    settings = environ(
        **{"1_a": TABLE, "2_b": BUILD, "3_c": "drop index concurrently items_name_idx;"}
    )
    run_job("run", environ=settings, check=0)
    database.execute("update predeploy.migration set is_done = false where file = '3_c.sql'")
    database.execute("delete from predeploy.state")

    done = run_job("run", environ=settings, check=0)

    assert "was done by a run that died before it could record it" in done.stdout
    assert database.rows(STEPS)[-1] == ("3_c.sql", 1, True)


PARTED = """create table measures (at int) partition by range (at);
create table low partition of measures for values from (0) to (9);
insert into measures values (1), (2);"""
DETACH = "alter table measures detach partition low concurrently;"
PARTITIONS = "select inhrelid::regclass::text, inhdetachpending from pg_inherits"


@pytest.mark.dear
def test_a_detach_that_waited_too_long_is_finalized_by_the_next_run(
    database: Database, environ: Callable[..., dict]
) -> None:
    """75 with who was in its way; a second DETACH would be refused, so the rerun ends the first."""
    files = {"1_a": PARTED, "2_b": DETACH}
    run_job("run", environ=environ(**{"1_a": PARTED}), check=0)
    settings = environ({"PREDEPLOY_CONCURRENT_BUDGET": "2s"}, **files)
    with database.connect() as other:
        other.execute("begin; select count(*) from measures")
        done = run_job("run", environ=settings, check=75)
        assert f"pid {other.info.backend_pid} " in report(done.stdout)["message"]
    left = database.rows(PARTITIONS)

    run_job("run", environ=environ(**files), check=0)

    assert left == [("low", True)]
    assert database.rows(PARTITIONS) == []
    assert database.rows("select at from low order by 1") == [(1,), (2,)]
    assert database.rows(STEPS)[-1] == ("2_b.sql", 1, True)


@pytest.mark.parametrize("statement", [DETACH, DETACH.replace(" concurrently", "")])
def test_a_detach_is_told_with_its_rows(
    statement: str, database: Database, environ: Callable[..., dict]
) -> None:
    """Nothing is lost, but queries of the parent miss them: a note, also kept in the ledger."""
    done = run_job("run", environ=environ(**{"1_a": PARTED, "2_b": statement}), check=0)

    found = [f for f in report(done.stdout)["findings"] if f["code"] == "detached"]
    assert [f["message"] for f in found] == ["migrations/2_b.sql: detach public.low (2 rows)"]
    losses = "select losses from predeploy.migration where file = '2_b.sql'"
    assert database.value(losses) == ["detach public.low (2 rows)"]


@pytest.mark.parametrize(
    "statement", [DETACH, "vacuum measures;", "reindex table concurrently low;", "analyze low;"]
)
def test_what_nobody_recorded_is_proved_or_run_again(
    statement: str, database: Database, environ: Callable[..., dict]
) -> None:
    """A detach is done when there is no such partition; the others can simply be repeated."""
    settings = environ(**{"1_a": PARTED, "2_b": f"-- predeploy: autocommit\n{statement}"})
    run_job("run", environ=settings, check=0)
    database.execute("update predeploy.migration set is_done = false where file = '2_b.sql'")
    database.execute("delete from predeploy.state")

    run_job("run", environ=settings, check=0)

    assert database.rows(STEPS)[-1] == ("2_b.sql", 1, True)
    assert database.rows("select at from low order by 1") == [(1,), (2,)]


INVALID = "select indexrelid::regclass::text from pg_index where not indisvalid"
INDEXED = f"{TABLE} create index items_name on items (name);"


@pytest.mark.dear
@pytest.mark.parametrize(
    "rebuild",
    ["table concurrently items", "index concurrently items_name", "(concurrently) table items"],
)
def test_a_rebuild_that_is_cancelled_leaves_no_copy(
    rebuild: str, database: Database, environ: Callable[..., dict]
) -> None:
    """75 behind a snapshot, naming it; what it has begun is dropped, and the next run rebuilds."""
    run_job("run", environ=environ(**{"1_a": INDEXED}), check=0)
    files = {"1_a": INDEXED, "2_b": f"reindex {rebuild};"}
    settings = environ({"PREDEPLOY_CONCURRENT_BUDGET": "2s"}, **files)
    with database.connect() as other:
        other.execute("begin isolation level repeatable read; select count(*) from items")
        done = run_job("run", environ=settings)
        assert done.returncode in {75, 81}, done.stdout

    run_job("run", environ=environ(**files), check=0)

    assert database.rows(INVALID) == []
    assert database.rows(STEPS)[-1] == ("2_b.sql", 1, True)


def test_a_detach_of_what_is_no_partition_fails(
    database: Database, environ: Callable[..., dict]
) -> None:
    """81 when it was never started: a misspelt name proves nothing."""
    single = "create table low (at int); create table measures (at int) partition by range (at);"

    run_job("run", environ=environ(**{"1_a": single, "2_b": DETACH}), check=81)

    assert database.rows(STEPS) == [("1_a.sql", 1, True)]


def test_a_build_that_nobody_recorded_is_proved_by_its_shape(
    database: Database, environ: Callable[..., dict]
) -> None:
    """A valid index of that name with the statement's own definition is the step's; it stays."""
    settings = environ(**{"1_a": TABLE, "2_b": BUILD})
    run_job("run", environ=settings, check=0)
    before = database.value("select 'items_name_idx'::regclass::oid")
    database.execute("update predeploy.migration set is_done = false where file = '2_b.sql'")
    database.execute("delete from predeploy.state")

    run_job("run", environ=settings, check=0)

    assert database.value("select 'items_name_idx'::regclass::oid") == before
    assert database.rows(STEPS)[-1] == ("2_b.sql", 1, True)


def test_an_index_of_another_shape_proves_nothing(
    database: Database, environ: Callable[..., dict]
) -> None:
    """81: somebody has to look; the index that is there is left alone."""
    settings = environ(**{"1_a": TABLE, "2_b": BUILD})
    run_job("run", environ=settings, check=0)
    database.execute("drop index items_name_idx; create index items_name_idx on items (id)")
    database.execute("update predeploy.migration set is_done = false where file = '2_b.sql'")

    done = run_job("run", environ=settings, check=81)

    assert "the catalog does not tell how it ended" in report(done.stdout)["message"]
    assert database.rows(STEPS)[-1] == ("2_b.sql", 1, False)
    assert "(id)" in str(database.value("select pg_get_indexdef('items_name_idx'::regclass)"))


def interrupted(database: Database, file: str) -> None:
    """Leave the ledger as a run that was killed in the middle of the file's only step."""
    database.execute(f"update predeploy.migration set is_done = false where file = '{file}.sql'")
    database.execute("delete from predeploy.state")


@pytest.mark.parametrize("statement", ["create database {n}", "create database {n} owner {o}"])
def test_a_database_that_nobody_recorded_is_proved_by_being_there(
    statement: str, database: Database, environ: Callable[..., dict]
) -> None:
    """CREATE DATABASE is there or is not: no human is asked, and DROP DATABASE is alike."""
    name, owner = f"made_{database.name}", f"owner_{database.name}"
    database.execute(f"create role {owner}")
    made = {"2_b": f"{statement};".format(n=name, o=owner)}
    gone = {"3_c": f"-- predeploy: allow commit-inside\ndrop database {name};"}
    there = f"select oid::bigint from pg_database where datname = '{name}'"
    try:
        run_job("run", environ=environ(**{"1_a": "select 1;"} | made), check=0)
        before = database.rows(there)
        interrupted(database, "2_b")
        run_job("run", environ=environ(**{"1_a": "select 1;"} | made), check=0)
        assert database.rows(there) == before

        database.execute(f"drop database {name}")
        interrupted(database, "2_b")
        run_job("run", environ=environ(**{"1_a": "select 1;"} | made), check=0)
        assert database.rows(there) != before

        run_job("run", environ=environ(**{"1_a": "select 1;"} | made | gone), check=0)
        assert database.rows(there) == []
        interrupted(database, "3_c")
        run_job("run", environ=environ(**{"1_a": "select 1;"} | made | gone), check=0)
    finally:
        database.execute(f"drop database if exists {name}")
        database.execute(f"drop role {owner}")


def test_another_role_s_database_proves_nothing(
    database: Database, environ: Callable[..., dict]
) -> None:
    """It was there before, so the statement cannot have made it: 81, and both commands."""
    name, owner = f"made_{database.name}", f"owner_{database.name}"
    settings = environ(**{"1_a": f"create database {name};"})
    try:
        run_job("run", environ=settings, check=0)
        database.execute(f"create role {owner}; alter database {name} owner to {owner}")
        interrupted(database, "1_a")

        message = report(run_job("run", environ=settings, check=81).stdout)["message"]

        assert "predeploy settle 1_a.sql --done" in message
        assert "predeploy settle 1_a.sql --again" in message
        assert "  " not in message
    finally:
        database.execute(f"drop database if exists {name}")
        database.execute(f"drop role if exists {owner}")


@pytest.mark.dear
def test_subscriptions_that_nobody_recorded_are_proved(
    database: Database,
    environ: Callable[..., dict],
    own_binaries: Path,
) -> None:
    """CREATE, ADD PUBLICATION, REFRESH and DROP are each done or done again, with nobody asked."""
    with server(own_binaries, settings={"wal_level": "logical"}) as publisher:
        other = Database("postgres", publisher.url())
        other.execute("create publication p; create publication q")
        conninfo = f"host=127.0.0.1 port={publisher.port} user=postgres dbname=postgres"
        name = f"s_{database.name}"
        files = {
            "1_s": f"create subscription {name} connection '{conninfo}' publication p;",
            "2_s": f"alter subscription {name} add publication q;",
            "3_s": f"alter subscription {name} refresh publication;",
            "4_s": f"alter subscription {name} drop publication p;",
        }
        gone = {"5_s": f"drop subscription {name};"}
        done: dict[str, str] = {}
        for file, text in (files | gone).items():
            done[file] = text
            for _ in range(2):
                run_job("run", environ=environ(**done), check=0)
                interrupted(database, file)
            run_job("run", environ=environ(**done), check=0)
        assert database.rows("select * from pg_stat_subscription") == []


def test_tablespaces_that_nobody_recorded_are_proved(
    database: Database, environ: Callable[..., dict], own_server: Server | None
) -> None:
    """CREATE and DROP TABLESPACE, and a database that is moved into one."""
    if own_server is None:
        pytest.skip("TEST_DATABASE_URL: no folder for a tablespace")
    place = own_server.data.parent / f"space_{database.name}"
    place.mkdir()
    shutil.chown(place, own_server.data.owner(), own_server.data.group())
    name = f"space_{database.name}"
    files = {
        "1_t": f"create tablespace {name} location '{place}';",
        "2_t": f"create database {name} tablespace {name};",
        "3_t": f"alter database {name} set tablespace pg_default;",
        "4_t": f"drop tablespace {name};",
    }
    done: dict[str, str] = {}
    try:
        for file, text in files.items():
            done[file] = text
            run_job("run", environ=environ(**done), check=0)
            interrupted(database, file)
            run_job("run", environ=environ(**done), check=0)
    finally:
        database.execute(f"drop database if exists {name}")


def test_a_call_that_nobody_recorded_is_not_run_again(
    database: Database, environ: Callable[..., dict]
) -> None:
    """What leaves no proof is for a person to judge: 81, with what to look at."""
    text = """create table log (n int);
-- predeploy: allow commit-inside
-- predeploy: autocommit
insert into log values (1);"""
    settings = environ(**{"1_a": text})
    run_job("run", environ=settings, check=0)
    database.execute("update predeploy.migration set is_done = false where position = 2")
    database.execute("delete from predeploy.state")

    done = run_job("run", environ=settings, check=81)

    assert "predeploy settle 1_a.sql --done" in report(done.stdout)["message"]
    assert database.rows("select n from log") == [(1,)]


DUMP = """\\restrict Zm9vYmFy
create table before_copy (id int);
COPY public.items (id, name) FROM stdin;
1\tone; commit; -- no SQL
2\t\\N
\\.
insert into before_copy select max(id) from items;
\\echo half of it
copy items from stdin;
3\tthr'ee
\\.
\\unrestrict Zm9vYmFy
"""


def test_copy_data_is_part_of_its_step(database: Database, environ: Callable[..., dict]) -> None:
    """What pg_dump writes goes in with the statements around it, in one transaction."""
    create = "create table items (id int, name text);"

    run_job("run", environ=environ(**{"1_a": create, "2_b": DUMP}), check=0)

    rows = [(1, "one; commit; -- no SQL"), (2, None), (3, "thr'ee")]
    assert database.rows("select id, name from items order by 1") == rows
    assert database.rows("select id from before_copy") == [(2,)]
    assert database.rows(STEPS) == [("1_a.sql", 1, True), ("2_b.sql", 1, True)]


def test_what_a_literal_says_of_copy_is_its_own(
    database: Database, environ: Callable[..., dict]
) -> None:
    """The documentation of a COPY is kept to the letter, and what follows it still has its data."""
    said = "as so:\ncopy items from stdin;\n1\tone\n\\.\n"
    text = f"""/*
copy what {said}*/
create function help() returns text language sql as $$ select '{said}'::text $$;
insert into items values (1, '{said}');
copy items from stdin;
2\tt'wo
\\.
"""
    create = "create table items (id int, name text);"

    run_job("run", environ=environ(**{"1_a": create, "2_b": text}), check=0)

    rows = [(1, said), (2, "t'wo"), (3, said)]
    assert database.rows("table items union all select 3, help() order by 1") == rows


def test_a_bad_line_of_copy_data_is_named(database: Database, environ: Callable[..., dict]) -> None:
    """The report has the file's own line, and nothing of the step remains."""
    bad = DUMP.replace("3\tthr'ee", "3\tthree\nfour\tx")
    create = "create table items (id int, name text);"

    done = run_job("run", environ=environ(**{"1_a": create, "2_b": bad}), check=80)

    failure = report(done.stdout)["failure"]
    assert (failure["file"], failure["line"], failure["sqlstate"]) == (
        "migrations/2_b.sql",
        11,
        "22P02",
    )
    assert database.rows("select * from items") == []
    assert database.value("select to_regclass('before_copy') is null")


def test_an_error_behind_copy_data_has_its_place(environ: Callable[..., dict]) -> None:
    """Lines and columns are right after data, too."""
    create = "create table items (id int, name text);"
    bad = DUMP.replace("max(id)", "max(nothing)")

    done = run_job("run", environ=environ(**{"1_a": create, "2_b": bad}), check=80)

    failure = report(done.stdout)["failure"]
    assert (failure["line"], failure["column"], failure["sqlstate"]) == (7, 36, "42703")


def test_if_not_exists_does_not_pass_another_shape(
    database: Database, environ: Callable[..., dict]
) -> None:
    """84: the server skips it with a NOTICE, but it is not the index that the file declares."""
    guarded = BUILD.replace("concurrently", "concurrently if not exists")
    other = f"{TABLE} create index items_name_idx on items (id);"

    done = run_job("run", environ=environ(**{"1_a": other, "2_b": guarded}), check=84)

    assert "index public.items_name_idx is there as on public.items USING" in done.stdout
    assert database.rows(STEPS) == [("1_a.sql", 1, True)]


def test_an_index_that_is_there_already_is_proved(
    database: Database, environ: Callable[..., dict]
) -> None:
    """IF NOT EXISTS over an index of the same shape is done."""
    guarded = BUILD.replace("concurrently", "concurrently if not exists")
    same = f"{TABLE} create index items_name_idx on items (name);"

    run_job("run", environ=environ(**{"1_a": same, "2_b": guarded}), check=0)

    assert database.rows(VALID) == [("items_name_idx", True)]


def test_a_concurrent_build_needs_a_name(database: Database, environ: Callable[..., dict]) -> None:
    """Without one, what a failed build left could never be told from other indexes: 65."""
    unnamed = "create index concurrently on items (name);"

    done = run_job("run", environ=environ(**{"1_a": TABLE, "2_b": unnamed}), check=65)

    assert "migrations/2_b.sql:1: an index that is built concurrently needs a name" in done.stdout
    assert database.value("select to_regclass('items') is null")


def test_what_may_have_left_traces_is_not_tried_again(
    database: Database, environ: Callable[..., dict]
) -> None:
    """A procedure that committed and then met a lock failed once, and ran once."""
    text = """create table log (n int);
create procedure half() language plpgsql as $$ begin
    insert into log values (1); commit;
    raise exception using errcode = '55P03', message = 'locked';
end $$;
-- predeploy: allow commit-inside
-- predeploy: autocommit
call half();"""

    run_job("run", environ=environ(**{"1_a": text}), check=75)

    assert database.rows("select n from log") == [(1,)]


def test_a_started_step_cannot_be_moved_into_a_transaction(
    database: Database, environ: Callable[..., dict]
) -> None:
    """81: nobody knows how it ended, and running it again inside one could do it twice."""
    text = "-- predeploy: autocommit\ncreate table log (n int);"
    run_job("run", environ=environ(**{"1_a": text}), check=0)
    database.execute("update predeploy.migration set is_done = false; delete from predeploy.state")

    done = run_job("run", environ=environ(**{"1_a": "create table log (n int);"}), check=81)

    assert "put `-- predeploy: autocommit` back" in done.stdout


def test_who_cancels_a_statement_is_not_looked_for_in_its_way(
    database: Database, environ: Callable[..., dict]
) -> None:
    """Where nobody was seen to block it, nobody is told to end that session."""
    slow = "-- predeploy: allow commit-inside\n-- predeploy: autocommit\nselect pg_sleep(60);"
    sleeping = "from pg_stat_activity where query like 'select pg_sleep%' and datname = "
    sleeping += f"'{database.name}'"
    job = start_job("run", environ=environ(**{"1_slow": slow}))
    wait_for(database, f"select {sleeping}")
    database.execute(f"select pg_cancel_backend(pid) {sleeping}")

    output, _ = job.communicate(timeout=30)

    told = report(output)
    assert (job.returncode, told["failure"]["sqlstate"]) == (75, "57014")
    assert "no blocking session was seen" in told["message"]
    assert "end that session" not in told["message"]
    assert "find out who cancelled it" in told["failure"]["next"]
