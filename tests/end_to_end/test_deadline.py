"""Whatever a job waits for, it does not wait behind its deadline."""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import environ, orphans, prepare

from predeploy.database.session.lock import lock_key
from predeploy.embedded import free_port

pytestmark = pytest.mark.dear

Folder = Callable[[Mapping[str, str]], Path]

DEADLINE_S = 2
SLACK_S = 1.5  # the start of Python, and a machine that is busy otherwise
BEFORE = {"migrations/1_log.sql": "create table log (id bigint); insert into log values (1);"}
INDEX = "create index concurrently log_id on log (id);"


@contextmanager
def nobody(_: Database) -> Iterator[Mapping[str, str]]:
    yield {"DATABASE_URL": f"postgresql://app@127.0.0.1:{free_port()}/shop"}


@contextmanager
def somebody_silent(_: Database) -> Iterator[Mapping[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield {"DATABASE_URL": f"postgresql://app@127.0.0.1:{listener.getsockname()[1]}/shop"}


@contextmanager
def another_run(database: Database) -> Iterator[Mapping[str, str]]:
    with database.connect() as holder:
        holder.execute("select pg_advisory_lock(%s)", (lock_key("predeploy"),))
        yield {}


@contextmanager
def a_reader(database: Database) -> Iterator[Mapping[str, str]]:
    with database.connect() as reader:
        reader.execute("begin; select from log")
        yield {}


@contextmanager
def a_writer(database: Database) -> Iterator[Mapping[str, str]]:
    with database.connect() as writer:
        writer.execute("begin; update log set id = 2")
        yield {}


def test_all_addresses_of_a_host_share_the_budget(folder: Folder) -> None:
    """Four that say nothing take the connect budget, and not four times that."""
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server((f"127.0.0.{n}", 0))) for n in (1, 2, 3, 4)
        ]
        hosts = ",".join("{}:{}".format(*listener.getsockname()) for listener in listeners)
        done = run_job(
            environ={
                "DATABASE_URL": f"postgresql://app@{hosts}/shop",
                "PREDEPLOY_SQL_DIR": str(folder(BEFORE)),
                "PREDEPLOY_CONNECT_BUDGET": "5s",
            }
        )

    assert done.returncode == 69, done.stdout
    # What is begun is ended, and takes two seconds. The process's own start does not count.
    assert json.loads(done.stdout.splitlines()[-1])["duration_s"] < 5 + 2 + 2 * SLACK_S


WAITS = {
    "nobody listens": (nobody, "run", {}, (69, 75)),
    "no answer": (somebody_silent, "run", {}, (69, 75)),
    "the lock of another run": (another_run, "run", {"migrations/2.sql": "select 1"}, (75,)),
    "a table's lock": (
        a_reader,
        "run",
        {"migrations/2.sql": "alter table log add column a int"},
        (75,),
    ),
    "a row's lock": (a_writer, "run", {"migrations/2.sql": "update log set id = 3"}, (75,)),
    "an index outside a transaction": (a_writer, "run", {"migrations/2.sql": INDEX}, (75,)),
    "a function": (a_reader, "run", {"migrations/2.sql": "select pg_sleep(60)"}, (75,)),
    "a function in verify": (a_reader, "run", {"verify/slow.sql": "select pg_sleep(60)"}, (75,)),
    "a declared column": (
        a_reader,
        "run",
        {"schema.sql": "create table log (id bigint, a int)"},
        (75,),
    ),
    "what verify lacks": (
        a_reader,
        "verify",
        {"predeploy.toml": "[critical]\nabsent = []\n"},
        (75,),
    ),
}


@pytest.mark.parametrize("what", WAITS)
def test_no_wait_outlives_the_deadline(what: str, database: Database, folder: Folder) -> None:
    """It ends in time with a code that says to run again, and nothing of its step is left."""
    in_the_way, command, files, codes = WAITS[what]
    prepare(environ(database, folder(BEFORE)))
    settings = environ(database, folder({**BEFORE, **files}), PREDEPLOY_DEADLINE=f"{DEADLINE_S}s")
    arguments = (command, "--wait", "60s") if command == "verify" else (command,)

    with in_the_way(database) as more:
        started = time.monotonic()
        done = run_job(*arguments, environ={**settings, **more})
        took_s = time.monotonic() - started

    told = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, told["retryable"]) == (told["exit_code"], True), done.stdout
    assert done.returncode in codes
    assert took_s < DEADLINE_S + SLACK_S
    # the next run drops it: here and now it would wait again
    assert orphans(database) == (["index log_id"] if INDEX in files.values() else [])
    assert database.value("select count(*) from predeploy.migration where is_done") == 1
