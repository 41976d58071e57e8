"""Behind a PgBouncer: the way round it, what works through it, and nothing of ours left in it."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from bouncers import Bouncer, Program, Start
from conftest import ADMIN, Database, run_job, start_job, url_of
from production import contents, environ, jobs, report_of, said, until, whole_files

from predeploy.embedded import free_port

pytestmark = pytest.mark.dear

Folder = Callable[[Mapping[str, str]], Path]

TRANSACTION, SESSION = "transaction", "session"
NOTES = {"migrations/1_notes.sql": "create table notes (id int, body text);"}
SLOW = {"migrations/1_slow.sql": "create table slow (id int); select pg_sleep(60);"}
ROWS = "create table notes (id int); insert into notes select generate_series(1, 1000);"
INDEX = {**NOTES, "migrations/2_index.sql": "create index concurrently notes_id on notes (id);"}
# All that a file can do to its session.
UNTIDY = {
    "migrations/1_untidy.sql": """
        set statement_timeout = '1234s'; set search_path = pg_catalog;
        create temp table scratch (id int);
        prepare question as select 1;
        declare held cursor with hold for select 1;
        listen somebody;
        select pg_catalog.pg_advisory_lock(4711);
        create table public.notes (id int);
    """,
}
# What a session has that no fresh one would have. The name under which a client has logged in is
# PgBouncer's to hand on to a client who gives none.
LEFT = """
    select 'setting ' || name || ' = ' || setting from pg_catalog.pg_settings
        where source = 'session' and name not in ('client_encoding', 'DateStyle')
          and setting is distinct from reset_val and setting !~ '^predeploy/'
    union all select 'lock ' || objid from pg_catalog.pg_locks
        where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid()
    union all select 'prepared ' || name from pg_catalog.pg_prepared_statements
    union all select 'cursor ' || name from pg_catalog.pg_cursors where is_holdable
    union all select 'channel ' || channel from pg_catalog.pg_listening_channels() channel
    union all select 'temporary ' || relname from pg_catalog.pg_class
        where relpersistence = 't' and relnamespace = pg_catalog.pg_my_temp_schema()
    union all select 'role ' || current_user where current_user <> session_user
"""
LOCKS = """
    select count(*) from pg_locks l join pg_database d on d.oid = l.database
    where locktype = 'advisory' and d.datname = current_database()"""


@pytest.fixture(scope="module")
def pooled(bouncer: Start, superuser_url: str) -> Iterator[Bouncer]:
    with bouncer(superuser_url, TRANSACTION) as started:
        yield started


@pytest.fixture(scope="module")
def sessions(bouncer: Start, superuser_url: str) -> Iterator[Bouncer]:
    with bouncer(superuser_url, SESSION) as started:
        yield started


@pytest.fixture(params=[TRANSACTION, SESSION])
def either(request: pytest.FixtureRequest, pooled: Bouncer, sessions: Bouncer) -> Bouncer:
    """A PgBouncer in one mode, and then in the other."""
    return pooled if request.param == TRANSACTION else sessions


def left_in(pool: Bouncer, database: Database) -> list[str]:
    """Return what is left in any of the pool's server connections, which are all taken for it."""
    clients = [psycopg.connect(pool.to(database).url) for _ in range(pool.size)]
    try:
        found = [client.execute(LEFT).fetchall() for client in clients]
        pids = {client.execute("select pg_backend_pid()").fetchone() for client in clients}
        assert len(pids) == pool.size
    finally:
        for client in clients:
            client.close()
    return [name for rows in found for (name,) in rows]


def wrong(done: CompletedProcess[str]) -> str:
    """Return the problems that a report names."""
    return "; ".join(report_of(done).get("problems", []))


# what works


MIGRATE = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as conn:
    conn.execute("create table if not exists works (id int)")
print("options:", os.environ.get("PGOPTIONS", "none"))
"""


def test_a_command_runs_through_a_pooler(
    either: Bouncer, database: Database, tmp_path: Path
) -> None:
    """Without startup options, which a pooler refuses or drops; and then it is settled."""
    program = tmp_path / "migrate.py"
    program.write_text(MIGRATE)
    (tmp_path / "sql").mkdir()
    command, inputs = json.dumps([sys.executable, str(program)]), json.dumps([str(program)])
    (tmp_path / "sql/predeploy.toml").write_text(
        f"[migrate]\ncommand = {command}\ninputs = {inputs}\nretry = true\n[critical]\nworks = []\n"
    )
    settings = environ(
        either.to(database), PREDEPLOY_SQL_DIR=str(tmp_path / "sql"), PYTHONWARNINGS="ignore"
    )

    first, second = run_job("run", environ=settings), run_job("run", environ=settings)

    assert (first.returncode, report_of(first)["outcome"]) == (0, "ok"), first.stdout
    assert "options: none" in first.stdout
    assert report_of(second)["outcome"] == "settled", second.stdout
    assert left_in(either, database) == []


def test_all_42_tables_come_through_a_pooler(either: Bouncer, database: Database) -> None:
    """An empty database is made ready through a pooler, and the second run is settled."""
    settings = environ(either.to(database), **ADMIN)

    first, second = run_job("run", environ=settings), run_job("run", environ=settings)

    assert (first.returncode, report_of(first)["outcome"]) == (0, "ok"), first.stdout
    assert (second.returncode, report_of(second)["outcome"]) == (0, "settled"), second.stdout
    assert len(contents(database)) == 42
    assert database.value(LOCKS) == 0
    assert left_in(either, database) == []


def test_the_mode_is_told(either: Bouncer, database: Database, folder: Folder) -> None:
    """The log says that there is a pooler, and in which mode it is."""
    done = run_job("run", environ=environ(either.to(database), folder(NOTES)), check=0)

    told = [line["message"] for line in said(done) if "pooler" in line["message"]]
    assert told == [f"DATABASE_URL leads through a pooler in {either.mode} mode"]


def test_the_mode_is_found_in_a_busy_pool(
    pooled: Bouncer, database: Database, folder: Folder
) -> None:
    """While others use the pool all the time, transaction mode is still not taken for sessions."""
    url, over = pooled.to(database).url, threading.Event()

    def work() -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
            while not over.is_set():
                conn.execute("select pg_sleep(0.002)")

    with ThreadPoolExecutor(6) as clients:
        working = [clients.submit(work) for _ in range(6)]
        done = run_job("run", environ=environ(pooled.to(database), folder(NOTES)))
        over.set()
        for client in working:
            client.result()

    assert done.returncode == 0, done.stdout
    assert any("in transaction mode" in line["message"] for line in said(done))


def test_jobs_through_one_pool_apply_each_step_once(
    pooled: Bouncer, database: Database, folder: Folder
) -> None:
    """Three jobs at once through a pool of five: one migrates, the others wait for it."""
    settings = environ(pooled.to(database), folder(NOTES))

    with jobs(*[settings] * 3) as processes:
        outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert whole_files(database) == ["1_notes.sql"]
    assert database.value(LOCKS) == 0


def test_an_index_is_built_concurrently_through_sessions(
    sessions: Bouncer, database: Database, folder: Folder
) -> None:
    """In session mode a statement outside a transaction has a session, and leaves it as it was."""
    done = run_job("run", environ=environ(sessions.to(database), folder(INDEX)))

    assert done.returncode == 0, done.stdout
    assert database.value("select indisvalid from pg_index where indexrelid = 'notes_id'::regclass")
    assert left_in(sessions, database) == []


def test_who_is_in_the_way_is_named_through_a_pooler(
    either: Bouncer, database: Database, folder: Folder
) -> None:
    """The pid that a client sees is the pooler's invention; the blocker is found all the same."""
    run_job("run", environ=environ(database, folder(NOTES)), check=0)
    later = {**NOTES, "migrations/2_more.sql": "alter table notes add column more int;"}
    budgets = {"PREDEPLOY_DDL_BUDGET": "2s", "PREDEPLOY_DDL_LOCK_TIMEOUT": "1s"}

    with database.connect() as reader:
        reader.execute("begin; lock table notes in access share mode")
        done = run_job("run", environ=environ(either.to(database), folder(later), **budgets))
        pid = reader.info.backend_pid

    assert done.returncode == 75, done.stdout
    assert f"blocked by pid {pid} " in report_of(done)["message"], done.stdout


def test_who_an_index_build_waits_for_is_named_through_a_pooler(
    sessions: Bouncer, database: Database, folder: Folder
) -> None:
    """The same outside a transaction, on the session that the pooler gives to the build."""
    run_job("run", environ=environ(database, folder(NOTES)), check=0)
    settings = environ(sessions.to(database), folder(INDEX), PREDEPLOY_CONCURRENT_BUDGET="3s")

    with database.connect() as writer:
        writer.execute("begin; insert into notes values (1)")
        done = run_job("run", environ={**settings, "PREDEPLOY_DDL_BUDGET": "1s"})
        pid = writer.info.backend_pid

    assert done.returncode == 75, done.stdout
    assert f"blocked by pid {pid} " in report_of(done)["message"], done.stdout


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role that may connect and create schemas, and owns nothing."""
    name = f"role_{database.name}"
    database.execute(
        f"create role {name} login; grant create on database {database.name} to {name}"
    )
    database.execute(f"alter schema public owner to postgres; grant all on schema public to {name}")
    yield name
    database.execute(f"drop owned by {name} cascade; drop role {name}")


@pytest.fixture
def trapped(database: Database, role: str) -> str:
    """The role as owner of `public`, where an event trigger bars a shadow in the database."""
    database.execute(
        f"""alter schema public owner to {role}; alter role {role} createdb;
        create function public.watch() returns event_trigger language plpgsql as 'begin end';
        create event trigger watch_{role} on ddl_command_end execute function public.watch()"""
    )
    return role


def test_schema_sql_is_read_by_a_swap_through_a_pooler(
    bouncer: Start, either: Bouncer, database: Database, folder: Folder, role: str
) -> None:
    """The owner of the schema reads the declaration in its place, and leaves nothing there."""
    database.execute(f"alter schema public owner to {role}")
    done = _sync(partial(bouncer, mode=either.mode, known="*"), database, folder, role)

    assert done.returncode == 0, done.stdout
    assert any(line.get("shadow") == "swap" for line in said(done))
    assert {"public.people"} == set(contents(database))


def test_schema_sql_is_read_in_a_temporary_database_through_a_pooler(
    bouncer: Start, either: Bouncer, database: Database, folder: Folder, trapped: str
) -> None:
    """A pooler that leads to any database leads to a temporary one, which is dropped again."""
    done = _sync(partial(bouncer, mode=either.mode, known="*"), database, folder, trapped)

    assert done.returncode == 0, done.stdout
    assert any("in a temporary database" in line["message"] for line in said(done))
    assert _temporary(database) == []


def test_a_pooler_of_one_database_leads_to_no_temporary_one(
    bouncer: Start, either: Bouncer, database: Database, folder: Folder, trapped: str
) -> None:
    """Where the pooler knows the app's database only, that is 76 with what to do."""
    done = _sync(partial(bouncer, mode=either.mode, known=database.name), database, folder, trapped)

    assert done.returncode == 76, done.stdout
    assert "set MIGRATION_DATABASE_URL" in report_of(done)["message"]
    assert _temporary(database) == []


def _sync(start: Start, database: Database, folder: Folder, role: str) -> CompletedProcess[str]:
    """Sync a small schema through a pooler, as a role."""
    files = {"schema.sql": "create table people (id int primary key, name text);"}
    with start(database.url.replace("//postgres", f"//{role}")) as pool:
        return run_job("run", environ=environ(pool.to(database), folder(files)))


def _temporary(database: Database) -> list[tuple]:
    """Return the temporary databases that a job on this database has left, of whatever test."""
    return database.rows(
        """select datname from pg_database d join pg_roles r on r.oid = d.datdba
        where datname like 'predeploy_shadow_%%' and rolname = %s""",
        f"role_{database.name}",
    )


# what cannot work


def test_outside_a_transaction_is_refused_in_transaction_mode(
    pooled: Bouncer, database: Database, folder: Folder
) -> None:
    """CONCURRENTLY through transaction pooling ends with 76 before any step, and says the way."""
    done = run_job("run", environ=environ(pooled.to(database), folder(INDEX)))

    assert done.returncode == 76, done.stdout
    assert "migrations/2_index.sql" in wrong(done)
    assert "set MIGRATION_DATABASE_URL" in wrong(done)
    assert contents(database) == {}
    assert database.value(LOCKS) == 0


def test_an_index_of_the_schema_is_refused_where_its_table_has_rows(
    pooled: Bouncer, database: Database, folder: Folder
) -> None:
    """What sync would build CONCURRENTLY is refused with 76 too, and built through a direct URL."""
    files = {"migrations/1_notes.sql": ROWS}
    wanted = folder(
        {**files, "schema.sql": "create table notes (id int); create index i on notes (id);"}
    )
    settings = environ(pooled.to(database), wanted)

    done = run_job("run", environ=settings)
    direct = run_job("run", environ={**settings, "DIRECT_URL": database.url})

    assert done.returncode == 76, done.stdout
    assert "set MIGRATION_DATABASE_URL" in wrong(done)
    assert direct.returncode == 0, direct.stdout
    assert database.value("select indisvalid from pg_index where indexrelid = 'i'::regclass")


@pytest.mark.parametrize("command", ["plan", "status", "verify"])
def test_a_coming_76_is_told_before_a_run(
    pooled: Bouncer, database: Database, folder: Folder, command: str
) -> None:
    """Who looks through a pooler in transaction mode sees that a run will need a session."""
    settings = environ(pooled.to(database), folder(INDEX))

    alone = report_of(run_job(command, environ=settings))
    direct = report_of(run_job(command, environ=environ(database, folder(INDEX))))

    told = [f["message"] for f in alone["findings"] if f["code"] == "no-session"]
    assert len(told) == 1, alone
    assert "migrations/2_index.sql has to run outside a transaction" in told[0]
    assert "set MIGRATION_DATABASE_URL" in told[0]
    assert alone["exit_code"] == direct["exit_code"]
    assert "no-session" not in {f["code"] for f in direct.get("findings", ())}


@pytest.mark.parametrize("command", ["plan", "status", "verify"])
def test_no_76_is_told_where_another_variable_leads_round(
    pooled: Bouncer, database: Database, folder: Folder, command: str
) -> None:
    """They take the way that a run will take."""
    settings = environ(database, folder(INDEX), DIRECT_URL=pooled.to(database).url)

    done = run_job(command, environ=settings)

    assert "no-session" not in {f["code"] for f in report_of(done).get("findings", ())}
    assert "using DATABASE_URL" in done.stdout


def test_another_variable_leads_round_statement_mode(
    bouncer: Start, superuser_url: str, database: Database, folder: Folder
) -> None:
    """Single statements pass, and are enough to prove that the other address is the same place."""
    with bouncer(superuser_url, "statement") as pool:
        settings = environ(database, folder(INDEX), DIRECT_URL=pool.to(database).url)
        done = run_job("run", environ=settings)
        looked = run_job("verify", environ=settings)

    assert done.returncode == 0, done.stdout
    assert any("going on with DATABASE_URL" in line["message"] for line in said(done))
    assert looked.returncode == 0, looked.stdout


def test_statement_mode_is_refused(
    bouncer: Start, superuser_url: str, database: Database, folder: Folder
) -> None:
    """A pooler that knows no transactions is the wrong address: 76, not a lost connection."""
    with bouncer(superuser_url, "statement") as pool:
        done = run_job("run", environ=environ(pool.to(database), folder(NOTES)))

    assert done.returncode == 76, done.stdout
    assert "statement mode" in wrong(done)


@pytest.mark.parametrize("mode", [TRANSACTION, SESSION])
def test_a_pool_of_one_is_named(
    bouncer: Start, superuser_url: str, database: Database, folder: Folder, mode: str
) -> None:
    """With one server connection nothing hangs: 75, which names the pool size, and no lock."""
    with bouncer(superuser_url, mode, size=1) as pool:
        settings = environ(pool.to(database), folder(NOTES), PREDEPLOY_LOCK_BUDGET="2s")
        started = time.monotonic()
        done = run_job("run", environ=settings)
        took_s = time.monotonic() - started
        until(lambda: database.value(LOCKS) == 0, "the lock to be gone")

        assert left_in(pool, database) == []
    assert done.returncode == 75, done.stdout
    assert took_s < 10
    assert "pool size" in wrong(done)
    assert contents(database) == {}


def test_a_pool_of_two_is_named_where_a_third_is_needed(
    bouncer: Start, superuser_url: str, database: Database, folder: Folder
) -> None:
    """What runs outside a transaction needs one more: 75 again, and its row says nothing of it."""
    with bouncer(superuser_url, SESSION, size=2) as pool:
        settings = environ(pool.to(database), folder(INDEX), PREDEPLOY_CONCURRENT_BUDGET="1s")
        done = run_job("run", environ=settings)

    assert done.returncode == 75, done.stdout
    assert "pool size" in wrong(done)
    assert whole_files(database) == ["1_notes.sql"]
    assert database.rows("select from predeploy.migration where not is_done") == []


def test_a_pool_that_others_use_up_is_named(
    bouncer: Start, superuser_url: str, database: Database, folder: Folder
) -> None:
    """Where the pooler itself gives up on us, that is 75 with its pool size, and tried once."""
    with (
        bouncer(superuser_url, TRANSACTION, size=1, query_wait_timeout=1) as pool,
        psycopg.connect(pool.to(database).url) as other,
    ):
        other.execute("select 1")
        done = run_job("run", environ=environ(pool.to(database), folder(NOTES)))

    assert done.returncode == 75, done.stdout
    assert "query_wait_timeout" in wrong(done)
    assert "pool size" in wrong(done)


# the way round


@pytest.mark.parametrize("size", [1, 5])
def test_another_variable_leads_round_the_pooler(
    bouncer: Start, superuser_url: str, database: Database, folder: Folder, size: int
) -> None:
    """The variable that wins is pooled, another leads there directly: the run goes on with that."""
    with bouncer(superuser_url, TRANSACTION, size=size) as pool:
        settings = environ(database, folder(INDEX), DIRECT_URL=pool.to(database).url)
        done = run_job("run", environ=settings)

    assert done.returncode == 0, done.stdout
    assert any("going on with DATABASE_URL" in line["message"] for line in said(done))
    assert report_of(done)["target"] == url_of(database.url, database.name).split("//")[1]
    assert database.value("select indisvalid from pg_index where indexrelid = 'notes_id'::regclass")


def test_a_direct_url_goes_before_a_pooled_one(
    pooled: Bouncer, database: Database, folder: Folder
) -> None:
    """Where DIRECT_URL is direct nobody asks the pooler at all."""
    settings = environ(pooled.to(database), folder(INDEX), DIRECT_URL=database.url)

    done = run_job("run", environ=settings, check=0)

    assert not any("pooler" in line["message"] for line in said(done))


def test_an_address_of_another_database_is_no_way_round(
    pooled: Bouncer, database: Database, make_database: Callable[..., Database], folder: Folder
) -> None:
    """A direct address of another database, role or port is left alone, however like it looks."""
    other = make_database()
    settings = environ(other, folder(NOTES), DIRECT_URL=pooled.to(database).url)
    settings["POSTGRES_URL_NON_POOLING"] = f"postgresql://postgres@127.0.0.1:{free_port()}/shop"

    done = run_job("run", environ=settings)

    assert done.returncode == 0, done.stdout
    assert whole_files(database) == ["1_notes.sql"]
    assert contents(other) == {}


def test_an_address_of_another_role_is_no_way_round(
    pooled: Bouncer, database: Database, folder: Folder
) -> None:
    """What is made belongs to the role that was named first, so another role is no way round."""
    role = f"role_{database.name}"
    database.execute(f"create role {role} superuser login")
    try:
        direct = database.url.replace("//postgres", f"//{role}")
        settings = {**environ(database, folder(NOTES)), "DATABASE_URL": direct}
        run_job("run", environ={**settings, "DIRECT_URL": pooled.to(database).url}, check=0)

        assert database.value("select tableowner from pg_tables where tablename = 'notes'") == (
            "postgres"
        )
    finally:
        database.execute(f"drop owned by {role}; drop role {role}")


# nothing is left


def test_nothing_of_a_step_reaches_the_next_client(
    either: Bouncer, database: Database, folder: Folder
) -> None:
    """Settings, locks, cursors and all else that a file leaves in its session end with its step."""
    done = run_job("run", environ=environ(either.to(database), folder(UNTIDY)))

    assert done.returncode == 0, done.stdout
    assert left_in(either, database) == []


def test_nothing_of_a_failed_step_reaches_the_next_client(
    either: Bouncer, database: Database, folder: Folder
) -> None:
    """The same where the step fails at its end."""
    text = UNTIDY["migrations/1_untidy.sql"] + "select 1 / 0;"
    done = run_job("run", environ=environ(either.to(database), folder({"migrations/1.sql": text})))

    assert done.returncode == 80, done.stdout
    assert left_in(either, database) == []


@pytest.mark.parametrize("by", ["kill", "terminate"])
def test_no_lock_outlives_a_job_that_is_ended(
    either: Bouncer, database: Database, folder: Folder, by: str
) -> None:
    """SIGKILL or SIGTERM in the middle of a step: lock and step are gone, and a rerun passes."""
    settings = environ(either.to(database), folder(SLOW))
    with start_job("run", environ=settings) as process:
        until(lambda: _sleeps(database), "the step to sleep")
        assert database.value(LOCKS) == 1
        getattr(process, by)()
        process.communicate(timeout=20)

    until(lambda: database.value(LOCKS) == 0 and not _sleeps(database), "the lock to be gone", 10)
    assert left_in(either, database) == []
    run_job("run", environ=environ(either.to(database), folder(NOTES)), check=0)


def test_prepared_statements_of_others_stay(
    pgbouncer: Program, pooled: Bouncer, database: Database, folder: Folder
) -> None:
    """What the pooler prepares for its clients (from 1.21 on) is not ours to clear away."""
    if pgbouncer.version < (1, 21):
        pytest.skip("it prepares nothing for its clients")
    url = pooled.to(database).url
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as app:
        assert app.execute("select %s::int + 1", (1,)).fetchone() == (2,)
        run_job("run", environ=environ(pooled.to(database), folder(UNTIDY)), check=0)

        assert [app.execute("select %s::int + 1", (n,)).fetchone() for n in range(5)] == [
            (n + 1,) for n in range(5)
        ]


def _sleeps(database: Database) -> bool:
    return bool(
        database.rows(
            """select from pg_stat_activity where datname = current_database()
            and state = 'active' and application_name like 'predeploy step%%'"""
        )
    )
