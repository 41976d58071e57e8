"""What a database or a server lacks is told before anything changes, with what to do about it."""

import os
import socket
import struct
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from conftest import Database, run_job
from partition import why_not
from production import contents, environ, has_ledger, jobs, prepare, report_here, report_of
from structlog.testing import capture_logs

from predeploy.contract.deadline import Deadline
from predeploy.database.server.connection import connect
from predeploy.embedded import Server, server
from predeploy.settings.endpoint import parse_endpoint

Folder = Callable[[Mapping[str, str]], Path]

TABLE = {"migrations/1_notes.sql": "create table notes (id int); insert into notes values (1);"}
BIG = "create table big as select repeat(md5(n::text), 30) from generate_series(1, 40000) n;"


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role that may make schemas here; gone at the end, with all that it owns."""
    name = f"role_{uuid.uuid4().hex[:12]}"
    database.execute(f"create role {name} login password '{name}'")
    database.execute(f'grant create on database "{database.name}" to {name}')
    yield name
    database.execute(f"drop owned by {name} cascade; drop role {name}")


def as_role(database: Database, role: str) -> dict[str, str]:
    """Return the address for a role whose password is its name."""
    at = psycopg.conninfo.conninfo_to_dict(database.url)
    url = f"postgresql://{role}:{role}@{at['host']}:{at['port']}/{database.name}"
    return {"DATABASE_URL": url}


# read-only


def test_a_database_that_was_made_read_only_is_refused(database: Database, folder: Folder) -> None:
    """As hosts do it when the disk is nearly full: 76, and what to take off."""
    database.execute(f'alter database "{database.name}" set default_transaction_read_only = on')
    settings = environ(database, folder(TABLE), PREDEPLOY_CONNECT_BUDGET="1s")

    report = report_here(settings)

    assert report["exit_code"] == 76
    assert "default_transaction_read_only" in report["message"]
    assert contents(database) == {}
    assert not has_ledger(database)


# privileges


GRANTS = {
    "a schema": (
        "create table theirs.notes ()",
        'GRANT USAGE, CREATE ON SCHEMA theirs TO "{}"',
        "grant usage, create on schema theirs to {}",
    ),
    "a table": (
        "insert into theirs.taken values (1)",
        'GRANT ALL ON TABLE theirs.taken TO "{}"',
        "grant all on table theirs.taken to {}",
    ),
    "a sequence": (
        "select nextval('theirs.numbers')",
        'GRANT ALL ON SEQUENCE theirs.numbers TO "{}"',
        "grant all on sequence theirs.numbers to {}",
    ),
    "a function": (
        "select theirs.secret()",
        'GRANT EXECUTE ON FUNCTION theirs.secret() TO "{}"',
        "grant execute on function theirs.secret to {}",
    ),
    "a table that is somebody else's": (
        "alter table theirs.taken add column late int",
        'GRANT postgres TO "{}", or connect as postgres',
        "alter table theirs.taken owner to {}",
    ),
}
THEIRS = """
    create schema theirs; create table theirs.taken (id int); create sequence theirs.numbers;
    create function theirs.secret() returns int language sql as 'select 1';
    revoke all on function theirs.secret from public;"""


@pytest.mark.parametrize("what", GRANTS)
def test_a_lacking_privilege_is_told_with_what_mends_it(
    what: str, database: Database, role: str, folder: Folder
) -> None:
    """77 with the GRANT, nothing of the step; with the GRANT the next run goes through."""
    text, remedy, fix = GRANTS[what]
    settings = {**environ(database, folder({})), **as_role(database, role)}
    folder({"verify/fine.sql": "select 1 where false"})
    prepare(settings)
    database.execute(THEIRS)
    if what != "a schema":
        database.execute(f"grant usage on schema theirs to {role}")
    folder({"migrations/1_theirs.sql": f"{text};"})

    report = report_here(settings)

    assert (report["exit_code"], report["failure"]["sqlstate"]) == (77, "42501")
    assert report["failure"]["next"].startswith(remedy.format(role))
    database.execute(fix.format(role))
    if "owner" in fix:
        database.execute(f"grant create on schema theirs to {role}")
    assert report_here(settings)["exit_code"] == 0


# room


@contextmanager
def tiny_disk(started: Server, megabytes: int) -> Iterator[tuple[Database, Path]]:
    """Make a database on a disk of that size; yield it, and a file that can fill the disk."""
    disk = started.data.parent / "tiny"
    disk.mkdir()
    size = f"size={megabytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=True)
    try:
        space = disk / "space"
        space.mkdir()
        owner = started.data.stat()
        os.chown(space, owner.st_uid, owner.st_gid)
        anywhere = Database("postgres", started.url())
        anywhere.execute(f"create tablespace tiny location '{space}'")
        anywhere.execute("create database shop tablespace tiny")
        yield Database("shop", started.url("shop")), disk / "filler"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(filler: Path) -> None:
    """Write to a file until its disk is full."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@pytest.mark.dear
@pytest.mark.skipif(bool(why_not()), reason=f"a disk of our own: {why_not()}")
def test_a_full_disk_is_told_and_nothing_is_left(own_binaries: Path, folder: Folder) -> None:
    """At connect, in our own ledger and in a step; with room the next run goes through."""
    with server(own_binaries) as started, tiny_disk(started, 24) as (database, filler):
        settings = environ(database, folder({**TABLE, "migrations/2_big.sql": BIG}))
        fill(filler)
        done = run_job(environ={**settings, "PREDEPLOY_CONNECT_BUDGET": "1s"})

        assert done.returncode == 69
        assert "its disk is full; make room on the server" in report_of(done)["message"]

        filler.unlink()
        assert contents(database) == {}  # who has once been there is let in
        fill(filler)
        at_once = report_here(settings)

        assert at_once["exit_code"] == 75, at_once
        assert "(53100); make room on the server" in at_once["message"]
        assert not has_ledger(database)

        filler.unlink()
        report = report_here(settings)

        assert (report["exit_code"], report["failure"]["sqlstate"]) == (75, "53100")
        assert "make room on the server" in report["message"]
        assert contents(database) == {"public.notes": [{"id": 1}]}

        folder(TABLE)
        assert report_here(settings)["exit_code"] == 0


@pytest.mark.dear
def test_a_lock_table_that_is_too_small_is_told(own_binaries: Path, folder: Folder) -> None:
    """53200: 75 with the setting to raise, or the file to cut; cut, it goes through."""
    small = {"max_connections": "5", "max_locks_per_transaction": "10", "max_wal_senders": "0"}
    tables = [f"create table t{n} (id int primary key);" for n in range(2000)]
    with server(own_binaries, settings=small) as started:
        database = Database("postgres", started.url())
        settings = environ(database, folder({"migrations/1_many.sql": "".join(tables)}))

        report = report_here(settings)

        assert (report["exit_code"], report["failure"]["sqlstate"]) == (75, "53200")
        assert "max_locks_per_transaction" in report["failure"]["next"]
        assert contents(database) == {}
        cut = "".join(f"begin;{''.join(tables[n : n + 20])}commit;" for n in range(0, 200, 20))
        folder({"migrations/1_many.sql": cut})
        assert report_here(settings)["exit_code"] == 0


# slots


def test_a_slot_that_comes_free_is_waited_for(
    database: Database, role: str, folder: Folder
) -> None:
    """53300 at connect is tried again, in plain words, until another session leaves."""
    database.execute(f"alter role {role} connection limit 2")
    settings = {**environ(database, folder({})), **as_role(database, role)}
    folder({"verify/fine.sql": "select 1 where false"})
    url = settings["DATABASE_URL"]
    with psycopg.connect(url) as one, psycopg.connect(url) as two, jobs(settings) as (process,):
        assert process.stdout is not None
        told = next(line for line in process.stdout if "no free connection slot" in line)
        one.close()
        two.close()
        output, _ = process.communicate(timeout=60)

    assert "cannot connect" in told
    assert process.returncode == 0, output


def test_without_a_slot_the_budget_ends(database: Database, role: str, folder: Folder) -> None:
    """69, and what to raise."""
    database.execute(f"alter role {role} connection limit 0")
    settings = {**environ(database, folder(TABLE)), **as_role(database, role)}

    done = run_job(environ={**settings, "PREDEPLOY_CONNECT_BUDGET": "1s"})

    assert done.returncode == 69
    assert "CONNECTION LIMIT" in report_of(done)["message"]


# an old server


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message of the server's in PostgreSQL's protocol."""
    return kind + struct.pack("!i", len(body) + 4) + body


def greeting(**parameters: str) -> bytes:
    """Return what a server says that lets somebody in without a password."""
    told = [message(b"S", f"{name}\0{value}\0".encode()) for name, value in parameters.items()]
    ready = message(b"K", struct.pack("!ii", 1, 2)) + message(b"Z", b"I")
    return b"".join([message(b"R", struct.pack("!i", 0)), *told, ready])


COLUMN = b"\0\1transaction_read_only\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
IS_WRITABLE = b"".join(
    [
        message(b"T", COLUMN),
        message(b"D", struct.pack("!hi", 1, 3) + b"off"),
        message(b"C", b"SHOW\0"),
        message(b"Z", b"I"),
    ]
)


def serve(listener: socket.socket, hello: bytes) -> None:
    """Greet who comes, and tell him that he may write, which is all that is asked."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client:
                while received := client.recv(4096):
                    asks_for_encryption = len(received) == 8
                    client.sendall(
                        IS_WRITABLE if received[:1] == b"Q"
                        else b"N" if asks_for_encryption
                        else b"" if received[:1] == b"X"
                        else hello
                    )  # fmt: skip


@contextmanager
def server_of(version: str) -> Iterator[int]:
    """Listen as a server of that version would; yield the port."""
    hello = greeting(
        server_version=version, client_encoding="UTF8", standard_conforming_strings="on"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, hello))
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_server_that_is_too_old_is_refused(folder: Folder) -> None:
    """76 before a question is asked that it might not understand, with what predeploy needs.

    No PostgreSQL 14 runs where this is tested: it is its greeting that is spoken here.
    """
    with server_of("14.22") as port:
        url = f"postgresql://app@127.0.0.1:{port}/shop"
        done = run_job(environ={"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder(TABLE))})

    assert done.returncode == 76, done.stdout
    assert "is PostgreSQL 14; predeploy needs 15 or newer" in report_of(done)["message"]


def test_a_server_that_is_newer_than_tested_is_served_with_a_warning() -> None:
    """The connection is given out, and the log names the version and what was tested."""
    told = {}
    for version in ("18.4", "19.0"):
        with server_of(version) as port, capture_logs() as lines:
            endpoint = parse_endpoint("DATABASE_URL", f"postgresql://app@127.0.0.1:{port}/shop")
            connect(endpoint, Deadline.after(10)).close()
        told[version] = [(x["log_level"], x["event"]) for x in lines]

    ((level, message),) = told["19.0"]
    assert level == "warning"
    assert "is PostgreSQL 19; this predeploy is tested on 15 to 18" in message
    assert told["18.4"] == []
