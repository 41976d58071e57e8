"""Servers and roles that are set up in a way that few expect, and that are no reason to fail."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from bouncers import Program, running
from conftest import Database, run_job
from production import report_of
from tiers import sampled

from predeploy import embedded

NAMES = ("Deploy", "de.ploy", "de@ploy", "de ploy", 'de"ploy', "de'ploy", "42", "user", "déploy")


@pytest.fixture
def as_role(database: Database) -> Iterator[Callable[[str], Database]]:
    """Makes a role that owns the database, and returns the database as it sees it."""
    made: list[str] = []

    def make(role: str) -> Database:
        name = '"' + role.replace('"', '""') + '"'
        database.execute(f"drop role if exists {name}; create role {name} login createdb")
        made.append(name)
        database.execute(f'alter database "{database.name}" owner to {name}')
        url = database.url.replace("postgres@", f"{quote(role, safe='')}@")
        return Database(database.name, url)

    yield make
    for name in made:
        database.execute(
            f'alter database "{database.name}" owner to postgres; reassign owned by {name} to '
            f"postgres; drop owned by {name}; drop role {name}"
        )


@pytest.fixture
def deployer(database: Database) -> Iterator[Database]:
    """The database as a role sees it that is no superuser and may create schemas and tables."""
    role = f"deployer_{uuid.uuid4().hex[:8]}"
    database.execute(
        f"create role {role} login; grant create on schema public to {role}; "
        f'grant create on database "{database.name}" to {role}'
    )
    yield Database(database.name, database.url.replace("postgres@", f"{role}@"))
    database.execute(f"drop owned by {role} cascade; drop role {role}")


@pytest.fixture
def settings(folder: Callable[..., Path]) -> Callable[..., dict[str, str]]:
    """Writes a folder and returns the environment of a job that runs it on a database."""

    def write(database: Database, files: dict[str, str]) -> dict[str, str]:
        return {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}

    return write


@pytest.mark.parametrize("role", sampled(NAMES, 4))
def test_a_role_of_any_name_deploys(
    as_role: Callable[[str], Database], settings: Callable[..., dict[str, str]], role: str
) -> None:
    """Migrations, schema.sql and the settled look do not mind how the role is called."""
    database = as_role(role)
    files = {
        "migrations/1_a.sql": "create table t (a int);",
        "schema.sql": "create table t (a int, b int);",
    }
    environ = settings(database, files)

    run_job(environ=environ, check=0)
    assert database.value("select count(*) from pg_attribute where attrelid = 't'::regclass "
                          "and attnum > 0") == 2  # fmt: skip
    assert report_of(run_job(environ=environ))["outcome"] == "settled"


def test_a_cluster_past_its_first_epoch_is_as_good_as_a_young_one(
    own_binaries: Path, folder: Callable[..., Path]
) -> None:
    """Beyond 2^32 transactions, migrations, adoption by replay, schema.sql and a loss work."""
    if not (own_binaries / "pg_resetwal").exists():
        pytest.skip("no pg_resetwal among these binaries")
    with embedded.server(own_binaries) as young:
        embedded.stop(young)
        started = [str(part) for part in young.process.args]
        programs = next(Path(part).parent for part in started if part.endswith("/postgres"))
        reset = [programs / "pg_resetwal", "-e", "1", "-D", young.data]
        embedded._run_as_user(reset, young.data.parent)
        with embedded.running(programs, young.data) as old:
            database = Database("postgres", old.url())
            assert int(str(database.value("select pg_current_xact_id()::text"))) > 2**32
            database.execute("create table users (id int, email text)")
            database.execute("insert into users values (1, 'a@b.example')")
            files = {
                "migrations/1_users.sql": "create table if not exists users (id int, email text);"
                "alter table users add column if not exists n int;",
                "schema.sql": "create table users (id int, email text, n int, more int);",
            }
            environ = {"DATABASE_URL": old.url(), "PREDEPLOY_SQL_DIR": str(folder(files))}
            run_job(environ=environ, check=0)
            assert report_of(run_job(environ=environ))["outcome"] == "settled"

            files["migrations/2_gone.sql"] = "do $$ begin delete from users; end $$;"
            folder(files)
            run_job(environ=environ, check=84)
            files["migrations/2_gone.sql"] = "create table v (id int); update users set n = 1;"
            folder(files)
            run_job(environ=environ, check=0)


FILES = {"migrations/1_a.sql": "create table t (a int); insert into t values (1);"}
LOSS = {"migrations/2_b.sql": "-- predeploy: allow delete t\ndelete from t;"}


@pytest.mark.parametrize("function", ["pg_control_system()", "pg_stat_force_next_flush()"])
def test_a_function_that_was_revoked_is_done_without(
    deployer: Database, database: Database, settings: Callable[..., dict[str, str]], function: str
) -> None:
    """Hardened servers take EXECUTE from everybody; nothing of ours depends on it."""
    database.execute(f"revoke execute on function {function} from public")
    environ = settings(deployer, FILES)

    run_job(environ=environ, check=0)
    assert report_of(run_job(environ=environ))["outcome"] == "settled"
    run_job(environ=settings(deployer, FILES | LOSS), check=0)
    assert database.value("select count(*) from t") == 0


@pytest.mark.parametrize("function", ["signs", "suspects", "guard", "sequences"])
def test_a_function_of_ours_that_was_dropped_is_made_again(
    database: Database, settings: Callable[..., dict[str, str]], function: str
) -> None:
    """A clean-up script that drops one of them is no reason to fail for ever."""
    run_job(environ=settings(database, FILES), check=0)
    ((name,),) = database.rows(
        "select oid::regprocedure::text from pg_proc where proname like %s", f"{function}%"
    )
    database.execute(f"drop function {name}")

    run_job(environ=settings(database, FILES | LOSS), check=0)
    assert database.value("select count(*) from t") == 0


RLS = """create function protect() returns event_trigger language plpgsql security definer as $$
declare r record; begin
    for r in select * from pg_event_trigger_ddl_commands() where command_tag = 'CREATE TABLE' loop
        execute format('alter table %s enable row level security', r.object_identity);
        execute format('alter table %s force row level security', r.object_identity);
    end loop;
end $$;
create event trigger protect on ddl_command_end execute function protect();"""


def test_an_event_trigger_that_protects_every_table_spares_the_ledger(
    deployer: Database, database: Database, settings: Callable[..., dict[str, str]]
) -> None:
    """With row-level security forced on all new tables, a role that is no superuser deploys."""
    database.execute(RLS)
    environ = settings(deployer, {"migrations/1_a.sql": "create table t (a int);"})

    run_job(environ=environ, check=0)
    assert database.value("select relforcerowsecurity from pg_class where relname = 't'")
    assert report_of(run_job(environ=environ))["outcome"] == "settled"


@pytest.mark.parametrize("errcode", ["raise_exception", "insufficient_privilege"])
@pytest.mark.parametrize("when", ["ledger", "file"])
def test_an_event_trigger_that_denies_is_named(
    deployer: Database,
    database: Database,
    settings: Callable[..., dict[str, str]],
    errcode: str,
    when: str,
) -> None:
    """Whatever SQLSTATE it raises, no GRANT is advised: it is named, and who may let us pass."""
    if when == "file":
        run_job(environ=settings(deployer, FILES), check=0)
    database.execute(
        f"""create function "no DDL"() returns event_trigger language plpgsql as $$
        begin raise exception using errcode = '{errcode}', message = 'not today'; end $$;
        create event trigger "office hours" on ddl_command_end execute function "no DDL"()"""
    )
    files = FILES | ({"migrations/2_u.sql": "create table u (a int);"} if when == "file" else {})

    told = report_of(run_job(environ=settings(deployer, files)))
    database.execute('drop event trigger "office hours"')

    is_denial = when == "file" and errcode == "insufficient_privilege"
    assert told["exit_code"] == (77 if is_denial else 80)
    assert "not today" in told["message"]
    assert 'the event trigger "office hours" of the database' in told["message"]
    assert "GRANT" not in told["message"].upper()


NAMED = {"application_name": "predeploy step predeploy"}


@pytest.mark.parametrize("query", ["select 1", "begin; select 1"])
def test_a_stranger_under_our_application_name_is_no_holder(
    database: Database, settings: Callable[..., dict[str, str]], query: str
) -> None:
    """Any role that may connect can call itself so; it keeps nobody from deploying."""
    role = f"mallory_{uuid.uuid4().hex[:8]}"
    database.execute(f"create role {role} login")
    environ = settings(database, FILES)
    run_job(environ=environ, check=0)
    url = database.url.replace("postgres@", f"{role}@")
    with psycopg.connect(url, autocommit=True, **NAMED) as conn:
        conn.execute(query)
        environ = settings(database, FILES | LOSS) | {"PREDEPLOY_LOCK_BUDGET": "2s"}
        run_job(environ=environ, check=0)
    database.execute(f"drop role {role}")


def test_an_idle_session_under_our_application_name_is_no_holder(
    database: Database, settings: Callable[..., dict[str, str]]
) -> None:
    """A pooler keeps a server connection, and its name, after the step that it was for."""
    with psycopg.connect(database.url, autocommit=True, **NAMED) as conn:
        conn.execute("select 1")
        run_job(environ=settings(database, FILES) | {"PREDEPLOY_LOCK_BUDGET": "2s"}, check=0)


def test_a_pooler_that_resets_nothing_keeps_nothing_of_a_step(
    database: Database,
    superuser_url: str,
    installed_pgbouncer: Program,
    settings: Callable[..., dict[str, str]],
) -> None:
    """In session mode without a reset query, the next run starts, and so do other clients."""
    first = {"migrations/1_a.sql": FILES["migrations/1_a.sql"]}
    index = {"migrations/2_i.sql": "create index concurrently i on t (a);"}
    with running(installed_pgbouncer, superuser_url, "session", server_reset_query="") as pool:
        pooled = pool.to(database)
        run_job(environ=settings(pooled, first | index), check=0)
        left = "select application_name from pg_stat_activity where application_name like %s"
        assert database.rows(f"{left} and datname = current_database()", "predeploy step%") == []
        more = {"migrations/3_u.sql": "create table u (a int);"}
        environ = settings(pooled, first | index | more) | {"PREDEPLOY_LOCK_BUDGET": "5s"}
        run_job(environ=environ, check=0)
