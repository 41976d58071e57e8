"""The connection dies during COMMIT: whatever became of it, each step is done, and done once.

A step travels with its COMMIT, and so do the ledger's own rows; several steps may travel together.
So a commit is lost on the way there, arrives when the job has given it up, or is done and not heard
of.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from comparison import Undisturbed
from production import ADMIN_BY_HASH
from proxy import Lost, Moment, proxied
from stages import Maker, Scene, port_of, run, scene
from tiers import sampled
from workloads import Workload

pytestmark = pytest.mark.dear

_TABLE = """
    create table users (id integer generated always as identity, username text, email text,
        password_hash text);
    create table log (n integer);"""
_SCHEMA = "create table item (id integer primary key, owner integer{});"
# Nothing in it would notice by itself that it has run twice.
EVERYTHING = Workload(
    "everything",
    {
        "migrations/0001_users.sql": _TABLE,
        "migrations/0002_log.sql": """
            insert into log values (1);
            create index concurrently log_n on log (n);""",
        "migrations/0003_gone.sql": """
            -- predeploy: allow delete item
            delete from item where id = 100;""",
        "migrations/0004_together.sql": "insert into log values (4);",
        "migrations/0005_together.sql": "insert into log values (5);",
        "schema.sql": _SCHEMA.format(" not null check (owner > 0), words text")
        + "create index item_owner on item (owner);",
        "seed/admin.sql": "select from users where username = %(admin_username)s;\n"
        "insert into users (username, email, password_hash) values (%(admin_username)s, "
        "%(admin_email)s, %(admin_password_hash)s);",
    },
    before={"migrations/0001_users.sql": _TABLE, "schema.sql": _SCHEMA.format("")},
    rows="insert into item select n, n from generate_series(1, 100) n",
    environ=ADMIN_BY_HASH,
)
# What a message that is all ours begins with.
_OURS = rb"^set local search_path to pg_catalog, pg_temp;\n"
COMMITS = {
    "the lock": rb"pg_try_advisory_xact_lock",
    "the run's row": rb'insert into "predeploy".run',
    "a step": rb"insert into log",
    "the row of what is to run outside a transaction": _OURS
    + rb'insert into "predeploy".migration',
    "what runs outside a transaction": rb"^create index concurrently",
    "the word that it is done": _OURS + rb'update "predeploy".migration',
    "a step of sync": rb"ADD COLUMN",
    "an index of sync": rb"^CREATE INDEX CONCURRENTLY",
    "a validation of sync": rb"VALIDATE CONSTRAINT",
    "a commit that travels alone": rb"reset all; .*commit",
    # Of a statement that is parsed by itself, the name stands in front, which is empty.
    "steps that travel together": rb'^\x00update "predeploy".migration',
    "the seed": rb"^\x00/\* predeploy seed/.* \*/ insert into users",
    "the end of the run, which settles it and frees the lock": rb'update "predeploy".run',
}


@dataclass(frozen=True)
class Control:
    """Where it starts, and what comes of it undisturbed."""

    scene: Scene
    undisturbed: Undisturbed


@pytest.fixture(scope="module")
def control(superuser_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    maker = Maker(superuser_url)
    ours = scene(EVERYTHING, maker, tmp_path_factory.mktemp("commit"))
    database = ours.clone()
    ours.settle(database)
    yield Control(ours, Undisturbed(database))
    maker.drop_all()


@pytest.mark.parametrize("moment", Moment, ids=[moment.name for moment in Moment])
@pytest.mark.parametrize("commit", sampled(COMMITS, 5))
def test_a_connection_that_dies_during_a_commit_does_nothing_twice(
    control: Control, commit: str, moment: Moment
) -> None:
    """The same run connects again and ends with 0; everything is done, and done once."""
    scene, story = control.scene, f"lost {commit}, {moment.value}"
    database = scene.clone()
    with proxied(port_of(database), Lost(COMMITS[commit], moment)) as proxy:
        run(scene.settings(database, proxy), story)

    assert isinstance(proxy.harm, Lost)
    assert proxy.harm.is_over
    scene.settle(database, story)
    control.undisturbed.require_like(database, story)
