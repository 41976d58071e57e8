"""The role of docs/kubernetes.md that can only read: enough for `verify`, and for nothing else."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from conftest import ADMIN, SQL, Database, run_job, start_job
from manifests import blocks
from production import report_of, until

LEDGER, CHECKS = blocks("sql")
THINGS = "create table things (id int primary key, size int not null);"
WIDER = "create table things (id int primary key, size int not null, name text);"
PASSWORD = "shop"

Folder = Callable[[Mapping[str, str]], Path]


@dataclass(frozen=True)
class Roles:
    """The docs' two roles, under names of a test's own: a role belongs to the whole server."""

    owner: str
    reader: str

    def grant(self, database: Database, text: str) -> None:
        """Do what a block of the docs says."""
        named = text.replace("shop_reader", self.reader)
        database.execute(re.sub(r"\b(authorization|role) shop\b", rf"\1 {self.owner}", named))
        database.execute(f"alter role {self.reader} password '{PASSWORD}'")

    def environ(self, database: Database, role: str, folder: Path = SQL) -> dict[str, str]:
        url = psycopg.conninfo.make_conninfo(database.url, user=role, password=PASSWORD)
        return {"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder)}

    def verify(self, database: Database, folder: Path = SQL) -> CompletedProcess[str]:
        return run_job("verify", environ=self.environ(database, self.reader, folder))

    def migrate(self, database: Database, folder: Path = SQL) -> None:
        run_job("run", environ=self.environ(database, self.owner, folder) | ADMIN, check=0)


@pytest.fixture(autouse=True)
def roles(superuser_url: str) -> Iterator[Roles]:
    """The role that migrates; the docs make the reader."""
    suffix = uuid.uuid4().hex[:8]
    made = Roles(f"shop_{suffix}", f"shop_{suffix}_reader")
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f"create role {made.owner} login password '{PASSWORD}'")
        yield made
        # Made before the databases, they go after them, and after all that was granted there.
        conn.execute(f"drop role if exists {made.reader}, {made.owner}")


@pytest.fixture
def shop(database: Database, roles: Roles) -> Database:
    """An empty database, which belongs to the role that migrates."""
    database.execute(f"alter database {database.name} owner to {roles.owner}")
    database.execute(f"grant create on schema public to {roles.owner}")
    return database


def test_the_grants_of_the_docs_are_enough(thekeyn: Database, roles: Roles) -> None:
    """Given after the first run, on TheKeyn's 42 tables and the queries of its folder."""
    roles.grant(thekeyn, LEDGER + CHECKS)

    assert roles.verify(thekeyn).returncode == 0


@pytest.mark.parametrize("table", ["meta", "migration", "declared"])
def test_verify_reads_three_tables_of_the_ledger(
    thekeyn: Database, roles: Roles, table: str
) -> None:
    """Without one of them it is denied, and says which."""
    roles.grant(thekeyn, LEDGER + CHECKS)
    thekeyn.execute(f"revoke select on predeploy.{table} from {roles.reader}")

    done = roles.verify(thekeyn)

    assert done.returncode == 77
    assert f"permission denied for table {table}" in done.stdout


def test_without_the_checks_grants_it_names_the_check(thekeyn: Database, roles: Roles) -> None:
    """77, with the GRANT that lets the query be asked; it reads, so that is SELECT."""
    roles.grant(thekeyn, LEDGER)

    done = roles.verify(thekeyn)

    denied = [f for f in report_of(done)["findings"] if f["code"] == "check-broken"]
    assert done.returncode == 77
    assert "lagging_sequences.sql could not be asked: permission denied" in denied[0]["message"]
    assert re.match(rf'GRANT SELECT ON SEQUENCE public\.\w+ TO "{roles.reader}"', denied[0]["next"])


def test_verify_needs_usage_of_the_ledgers_schema(thekeyn: Database, roles: Roles) -> None:
    roles.grant(thekeyn, LEDGER + CHECKS)
    thekeyn.execute(f"revoke usage on schema predeploy from {roles.reader}")

    done = roles.verify(thekeyn)

    assert done.returncode == 77
    assert "permission denied for schema predeploy" in done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "insert into users (username, email, password_hash) values ('a', 'b', 'c')",
        "select password_hash from users",
        "delete from works",
        "create table public.mine (id int)",
        "create table predeploy.mine (id int)",
        "create schema mine",
        "insert into predeploy.meta values ('a', 'b')",
        "update predeploy.migration set is_done = false",
        "delete from predeploy.state",
    ],
)
def test_the_reader_can_only_read_that(thekeyn: Database, roles: Roles, statement: str) -> None:
    roles.grant(thekeyn, LEDGER + CHECKS)
    url = roles.environ(thekeyn, roles.reader)["DATABASE_URL"]

    with (
        psycopg.connect(url) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute(statement)


def test_the_reader_cannot_run(shop: Database, roles: Roles) -> None:
    roles.grant(shop, LEDGER)

    done = run_job("run", environ=roles.environ(shop, roles.reader) | ADMIN)

    assert done.returncode == 77
    assert shop.value("select count(*) from pg_tables where schemaname = 'public'") == 0


@pytest.mark.dear
def test_granted_before_the_first_run_it_waits_for_that(shop: Database, roles: Roles) -> None:
    """The app's pods are there first, and start when the Job and the other grants are done."""
    roles.grant(shop, LEDGER)
    waiting = start_job("verify", "--wait", "60s", environ=roles.environ(shop, roles.reader))
    until(lambda: "not verified yet" in waiting.stdout.readline(), "waiting")

    roles.migrate(shop)
    roles.grant(shop, CHECKS)

    told, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, told


def test_schemas_of_others_are_none_of_their_business(shop: Database, roles: Roles) -> None:
    """Tables in a schema that neither role may use: the first run adopts, and nobody is denied."""
    shop.execute("create schema others; create table others.secret (id int)")
    roles.grant(shop, LEDGER)

    before = roles.verify(shop)
    done = run_job("run", environ=roles.environ(shop, roles.owner) | ADMIN)

    assert (before.returncode, done.returncode) == (82, 0), before.stdout + done.stdout


def test_schema_sql_is_verified_as_it_was_last_read(
    shop: Database, roles: Roles, folder: Folder
) -> None:
    """The reader may make no shadow: until the run it waits, and afterwards reads the ledger."""
    sql = folder({"schema.sql": THINGS})
    roles.grant(shop, LEDGER)
    before = roles.verify(shop, sql)

    roles.migrate(shop, sql)

    assert (before.returncode, roles.verify(shop, sql).returncode) == (82, 0)
    assert report_of(before)["findings"][0]["code"] == "no-shadow"
    shop.execute("alter table things drop column size")
    assert roles.verify(shop, sql).returncode == 82


def test_a_pod_of_the_older_release_may_start_again(
    shop: Database, roles: Roles, folder: Folder
) -> None:
    """The database is ahead of its image."""
    old = {"migrations/1_it.sql": "create table t (id int)", "schema.sql": THINGS}
    roles.grant(shop, LEDGER)
    roles.migrate(shop, folder(old))
    new = {"migrations/2_it.sql": "create table u (id int)", "schema.sql": WIDER}
    roles.migrate(shop, folder({**old, **new}))

    assert roles.verify(shop, folder(old)).returncode == 0


@pytest.mark.dear
def test_pods_of_the_last_releases_still_verify(
    shop: Database, roles: Roles, folder: Folder
) -> None:
    """What the last five files declare is kept; a pod that starts again asks for its own."""
    roles.grant(shop, LEDGER)
    releases = [f"{THINGS}\n-- release {n}\ncreate table t{n} ();" for n in range(6)]
    for text in releases:
        roles.migrate(shop, folder({"schema.sql": text}))

    codes = [roles.verify(shop, folder({"schema.sql": text})).returncode for text in releases]

    assert codes == [82, 0, 0, 0, 0, 0]
