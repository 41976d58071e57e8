"""Servers and roles that are set up in a way that few expect, and that are no reason to fail."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Database, run_job, sampled
from production import report_of

from job import embedded

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
