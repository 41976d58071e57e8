"""The roles of docs/security.md, made by its own statements, are enough, and no more than that."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from conftest import ADMIN, ROOT, Database, run_job
from production import report_of

pytestmark = pytest.mark.dear

STATEMENTS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/security.md").read_text(), re.DOTALL)
ROLES = ("deployer", "app", "verifier")


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A database on which the statements of the document, and no others, were run."""
    for block in STATEMENTS:
        named = block.replace("database shop", f"database {database.name}")
        database.execute(named.replace("PASSWORD", "secret"))
    yield database
    for role in ROLES:
        database.execute(f"drop owned by {role} cascade; drop role {role}")


@pytest.fixture
def without_schemas(shop: Database) -> Database:
    """The same without the right to create schemas, which only sync wants."""
    shop.execute(f"revoke create on database {shop.name} from deployer")
    return shop


def as_role(database: Database, role: str) -> dict[str, str]:
    """The settings of a job that logs in as the role."""
    parts = urlsplit(database.url)
    place = f"{role}:secret@{parts.hostname}:{parts.port}"
    return {"DATABASE_URL": urlunsplit(parts._replace(netloc=place))}


def test_the_deployer_may_run_every_layer(shop: Database) -> None:
    """Migrations, schema.sql, seed and checks, and once more."""
    settings = {**as_role(shop, "deployer"), **ADMIN}

    first = run_job(environ=settings)
    assert first.returncode == 0, first.stdout
    assert shop.value("select count(*) from pg_tables where schemaname = 'public'") == 42
    assert shop.value("select count(*) from users") == 1

    assert report_of(run_job(environ=settings))["outcome"] == "settled"


def test_without_a_right_on_the_database_all_but_sync_runs(
    without_schemas: Database, shipped_copy: Path
) -> None:
    """And with schema.sql the message names the statement that is left out here."""
    settings = {**as_role(without_schemas, "deployer"), **ADMIN}

    told = run_job(environ=settings)
    assert told.returncode == 77
    assert (
        f'grant create on database "{without_schemas.name}" to "deployer"'
        in report_of(told)["message"]
    )

    (shipped_copy / "schema.sql").unlink()
    done = run_job(environ={**settings, "PREDEPLOY_SQL_DIR": str(shipped_copy)})
    assert done.returncode == 0, done.stdout


def test_the_deployer_may_fall_back(without_schemas: Database, shipped_copy: Path) -> None:
    """The minimal schema asks for nothing more than the migrations do."""
    for part in ("migrations", "verify"):
        shutil.rmtree(shipped_copy / part)
    (shipped_copy / "schema.sql").unlink()
    settings = {
        **as_role(without_schemas, "deployer"),
        **ADMIN,
        "PREDEPLOY_SQL_DIR": str(shipped_copy),
    }

    done = run_job(environ=settings)

    assert (done.returncode, report_of(done)["outcome"]) == (0, "degraded"), done.stdout


def test_the_verifier_may_look_and_nothing_else(shop: Database) -> None:
    """It passes, and says 77 to a run that has something to do."""
    run_job(environ={**as_role(shop, "deployer"), **ADMIN}, check=0)
    settings = as_role(shop, "verifier")

    done = run_job("verify", environ=settings)
    assert done.returncode == 0, done.stdout
    assert run_job("status", environ=settings).returncode == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Database(shop.name, settings["DATABASE_URL"]).execute("delete from users")

    shop.execute("drop table shares")
    missing = run_job("verify", environ=settings)
    assert missing.returncode == 82
    assert "public.shares" in report_of(missing)["message"]
    assert run_job(environ=settings).returncode == 77


def test_the_app_may_read_and_write_rows(shop: Database) -> None:
    """Default privileges reach what the deployer makes after them."""
    run_job(environ={**as_role(shop, "deployer"), **ADMIN}, check=0)
    app = Database(shop.name, as_role(shop, "app")["DATABASE_URL"])

    app.execute("insert into users (username, email, password_hash) values ('a', 'b', 'c')")

    assert app.value("select count(*) from users") == 2
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("alter table users add column x int")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("select * from predeploy.meta")
