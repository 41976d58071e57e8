"""Getting to the database: patience with what passes, a quick and plain word about what does not.

Whatever is wrong with an address, nothing of its password is printed.
"""

import json
import os
import socketserver
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import structlog
from conftest import Database, run_job, start_job
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from proxy import Direction, Fault, Harm, proxied
from psycopg.conninfo import conninfo_to_dict

from bench.relay import relayed
from predeploy.cli import main
from predeploy.contract.exit_codes import ExitCode
from predeploy.database.server.failure import READ_ONLY
from predeploy.embedded import Server, free_port, running, server, stop
from predeploy.settings.endpoint import URL_VARIABLES

pytestmark = pytest.mark.dear

ONE_MIGRATION = {"migrations/0001_notes.sql": "create table notes (id int);"}
STEPS = {
    f"migrations/000{n}_{name}.sql": f"create table {name} (id int); select pg_sleep(1) as {name};"
    for n, name in enumerate(("first", "second", "third"), start=1)
}
ODD_PASSWORD = "Q7@x/Zw%k:9+vX"
FAR_S = 0.02
LOST_IN_THE_SECOND = "the connection was lost, in the middle of migrations/0002_second.sql"
LEDGER = "select file, count(*) from predeploy.migration group by file order by file"
A_STEP_SLEEPS = """
    select pid from pg_stat_activity
    where datname = current_database() and state = 'active' and pid <> pg_backend_pid()
      and application_name like 'predeploy step%%' and query like %s"""
LOCK_HOLDER = """
    select pid from pg_locks join pg_database d on d.oid = database
    where locktype = 'advisory' and granted and datname = current_database()"""

Folder = Callable[[Mapping[str, str]], Path]


def lines(stdout: str) -> list[dict[str, Any]]:
    """Every line of a job's output, read as JSON."""
    return [json.loads(line) for line in stdout.splitlines()]


def report(stdout: str) -> dict[str, Any]:
    return lines(stdout)[-1]


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition, which has to come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


def pieces(secret: str) -> set[str]:
    """Every piece of a secret that would give it away: six characters and more."""
    return {secret[start : start + 6] for start in range(len(secret) - 5)}


def programs_of(started: Server) -> Path:
    """Where the programs of a running server are; they may be a copy in its own folder."""
    arguments = [str(argument) for argument in started.process.args]
    return Path(next(a for a in arguments if a.endswith("/postgres"))).parent


@dataclass(frozen=True)
class Outcome:
    """What a platform can tell of a job: its exit code, and all that it printed."""

    exit_code: int
    output: str


def refused(environ: Mapping[str, str], sql: Path) -> tuple[Outcome, dict[str, Any]]:
    """Run the job; return how it ended, and its report."""
    done = run_job(environ={**environ, "PREDEPLOY_SQL_DIR": str(sql)})
    return Outcome(done.returncode, done.stdout + done.stderr), report(done.stdout)


@pytest.fixture(scope="module")
def guarded(own_binaries: Path) -> Iterator[Server]:
    """A server that asks everybody but postgres for a password; `app` owns the database `shop`."""
    with server(own_binaries) as started:
        with psycopg.connect(started.url(), autocommit=True) as conn:
            conn.execute(f"create role app login password '{ODD_PASSWORD}'")
            conn.execute("create database shop owner app")
        (started.data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        with psycopg.connect(started.url(), autocommit=True) as conn:
            conn.execute("select pg_reload_conf()")
        until(lambda: not can_connect(started.url("shop", "app")))
        yield started


def can_connect(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="module")
def tls(own_binaries: Path) -> Iterator[Server]:
    """A server with a certificate that it has signed itself, for 127.0.0.1."""
    with server(own_binaries) as started:
        with psycopg.connect(started.url(), autocommit=True) as conn:
            _make_certificate(started.data, "server")
            _make_certificate(started.data, "other")
            try:
                conn.execute("alter system set ssl = on")
            except psycopg.errors.InvalidParameterValue:
                pytest.skip("these binaries are built without OpenSSL")
            conn.execute("select pg_reload_conf()")
        until(lambda: can_connect(f"{started.url()}?sslmode=require"))
        yield started


def _make_certificate(folder: Path, name: str) -> None:
    """Make NAME.crt and NAME.key in the server's folder, and give them to its owner."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-newkey", "rsa:2048",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    owner = folder.stat()
    for path in (key, certificate):
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o600)


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role that may log in and nothing else; gone at the end, with all that it owns."""
    name = f"role_{uuid.uuid4().hex[:12]}"
    database.execute(f"create role {name} login password '{name}'")
    yield name
    database.execute(f"drop owned by {name} cascade; drop role {name}")


def as_role(database: Database, role: str) -> str:
    """Return the database's URL for a role whose password is its name."""
    parts = psycopg.conninfo.conninfo_to_dict(database.url)
    return f"postgresql://{role}:{role}@{parts['host']}:{parts['port']}/{database.name}"


# what passes


def test_waits_for_a_server_that_starts_late(own_binaries: Path, folder: Folder) -> None:
    """A job that is there 20 s before its server says so at every try, and then does its work."""
    port = free_port()
    environ = {
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}/postgres",
        "PREDEPLOY_SQL_DIR": str(folder(ONE_MIGRATION)),
    }

    with start_job(environ=environ) as job:
        time.sleep(20)  # what the test is about; nothing is waited for
        with server(own_binaries, port=port):
            output, _ = job.communicate(timeout=60)

    messages = [line["message"] for line in lines(output)]
    connected = messages.index(f"connected to postgres@127.0.0.1:{port}/postgres")
    tries = [line for line in lines(output) if line["message"].startswith("cannot connect")]
    assert job.returncode == 0, output
    assert connected >= 4
    assert messages[:connected] == [line["message"] for line in tries]
    assert [line["attempt"] for line in tries] == list(range(1, connected + 1))
    assert {line["message"] for line in tries} <= {
        "cannot connect: nothing is listening there (yet)",
        "cannot connect: the server is starting or stopping",
    }
    assert "Connection refused" not in output
    assert "connection to server" not in output


@pytest.mark.parametrize("session", ["work", "lock"])
def test_a_session_that_somebody_ends_ends_the_run(
    session: str, database: Database, folder: Folder
) -> None:
    """pg_terminate_backend is an operator's word: 75 at once, and nothing is started again.

    The next run goes on where it was, and no step is applied twice.
    """
    longer = {name: text.replace("pg_sleep(1)", "pg_sleep(5)") for name, text in STEPS.items()}
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(longer))}

    with start_job(environ=environ) as job:
        until(lambda: database.rows(A_STEP_SLEEPS, "%second%"))
        work = database.value(A_STEP_SLEEPS, "%second%")
        pid = work if session == "work" else database.value(LOCK_HOLDER)
        assert pid is not None  # or the run was over before it could be ended
        database.rows("select pg_terminate_backend(%s)", pid)
        output, _ = job.communicate(timeout=60)

    told = report(output)["problems"][0]
    assert job.returncode == 75, output
    assert "somebody has ended this session (pg_terminate_backend)" in told
    assert "0003_third.sql" not in [file for file, _ in database.rows(LEDGER)]
    if session == "work":
        assert told.startswith("migrations/0002_second.sql: the connection was lost (")
        assert database.rows(LEDGER) == [("0001_first.sql", 1)]
    ended = "select outcome, exit_code, report ->> 'run_id' = id from predeploy.run"
    assert database.rows(ended) == [("failed", 75, True)]

    run_job(environ=environ, check=0)
    assert database.rows(LEDGER) == [
        ("0001_first.sql", 1), ("0002_second.sql", 1), ("0003_third.sql", 1),
    ]  # fmt: skip


def test_a_run_that_lost_its_lock_ends_its_own_row_alone(
    database: Database, folder: Folder
) -> None:
    """Another replica holds the lock by then, and goes on: each has its row, and its own end."""
    longer = {name: text.replace("pg_sleep(1)", "pg_sleep(2)") for name, text in STEPS.items()}
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(longer))}
    # One that waits for the lock has two connections.
    waits = """select count(*) from pg_stat_activity
        where datname = current_database() and application_name like 'predeploy%'"""

    with start_job(environ=environ) as first:
        until(lambda: database.rows(A_STEP_SLEEPS, "%second%"))
        before = database.value(waits)
        with start_job(environ=environ) as second:
            until(lambda: database.value(waits) > before + 1)
            database.rows("select pg_terminate_backend(%s)", database.value(LOCK_HOLDER))
            assert first.wait(60) == 75
            output, _ = second.communicate(timeout=60)

    assert second.returncode == 0, output
    runs = "select outcome, exit_code from predeploy.run order by started_at"
    assert database.rows(runs) == [("failed", 75), ("ok", 0)]
    assert database.rows(LEDGER) == [
        ("0001_first.sql", 1), ("0002_second.sql", 1), ("0003_third.sql", 1),
    ]  # fmt: skip


def test_goes_on_after_the_server_was_restarted(own_binaries: Path, folder: Folder) -> None:
    """A restart in the middle of a step costs that step's time, and no step is applied twice."""
    with server(own_binaries) as first:
        database = Database("postgres", first.url())
        environ = {"DATABASE_URL": first.url(), "PREDEPLOY_SQL_DIR": str(folder(STEPS))}

        with start_job(environ=environ) as job:
            until(lambda: database.rows(A_STEP_SLEEPS, "%second%"))
            stop(first)
            with running(programs_of(first), first.data, port=first.port):
                output, _ = job.communicate(timeout=60)
                applied = database.rows(LEDGER)

    assert job.returncode == 0, output
    assert applied == [("0001_first.sql", 1), ("0002_second.sql", 1), ("0003_third.sql", 1)]


def test_a_server_that_does_not_come_back_is_not_looked_for_in_a_step(
    own_binaries: Path, folder: Folder
) -> None:
    """The step is told where the connection was lost in it; the end says that nobody is there."""
    with server(own_binaries) as started:
        database = Database("postgres", started.url())
        environ = {
            "DATABASE_URL": started.url(),
            "PREDEPLOY_SQL_DIR": str(folder(STEPS)),
            "PREDEPLOY_CONNECT_BUDGET": "2s",
        }
        with start_job(environ=environ) as job:
            until(lambda: database.rows(A_STEP_SLEEPS, "%second%"))
            stop(started)
            output, _ = job.communicate(timeout=60)

    assert job.returncode == 69, output
    assert f"{LOST_IN_THE_SECOND}; connecting again" in output
    assert "0002_second" not in report(output)["message"]


def test_a_step_that_ends_its_session_each_time_is_named(
    database: Database, folder: Folder
) -> None:
    """It is not tried for ever: 75, with the step before what happened and what to do next."""
    text = "select pg_terminate_backend(pg_backend_pid());"
    files = {"migrations/1_first.sql": "select 1;", "migrations/2_ends.sql": text}

    done = run_job(environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))})

    (problem,) = report(done.stdout)["problems"]
    assert done.returncode == 75
    assert problem.startswith("migrations/2_ends.sql: the connection was lost (")
    assert problem.endswith("run again")


# what does not pass


def test_a_wrong_password_is_tried_three_times_at_most(guarded: Server, folder: Folder) -> None:
    """A wrong password ends the job with 77 before the role can be locked out, and is not shown."""
    before = guarded.log.read_text().count("password authentication failed")
    started = time.monotonic()

    outcome, told = refused(
        {"DATABASE_URL": f"postgresql://app:not-the-one@127.0.0.1:{guarded.port}/shop"},
        folder(ONE_MIGRATION),
    )

    elapsed_s = time.monotonic() - started
    tries = guarded.log.read_text().count("password authentication failed") - before
    assert outcome.exit_code == told["exit_code"] == 77
    assert elapsed_s < 35
    assert 1 <= tries <= 3
    assert told["message"] == (
        f"denied (77): cannot connect to app@127.0.0.1:{guarded.port}/shop (DATABASE_URL): "
        "user name or password is wrong; check user and password (a role that does not exist is "
        "refused in the same words)"
    )
    assert "not-the-one" not in outcome.output


def test_an_unknown_host_is_given_up_when_the_budget_is_used_up(folder: Folder) -> None:
    """A name that cannot be resolved is asked for until the budget is over: 69, try again later."""
    started = time.monotonic()

    outcome, told = refused(
        {
            "DATABASE_URL": "postgresql://app@nosuchhost.invalid/shop",
            "PREDEPLOY_CONNECT_BUDGET": "3s",
        },
        folder(ONE_MIGRATION),
    )

    elapsed_s = time.monotonic() - started
    assert 2 < elapsed_s < 10
    assert (outcome.exit_code, told["exit_code"], told["retryable"]) == (69, 69, True)
    assert told["message"] == (
        "unavailable (69): cannot connect to app@nosuchhost.invalid:5432/shop (DATABASE_URL): the "
        "host name is not known (yet); check the host name; an unescaped @ or / in the password "
        "also ends here"
    )


def test_without_an_address_every_variable_is_named(folder: Folder) -> None:
    """A job that is not told where the database is says which variables would tell it."""
    outcome, told = refused({}, folder(ONE_MIGRATION))

    assert (outcome.exit_code, told["exit_name"]) == (78, "config")
    assert [name for name in (*URL_VARIABLES, "PGHOST") if name not in told["message"]] == []


def test_all_wrong_settings_are_told_at_once(folder: Folder) -> None:
    """Nobody has to run the job once per mistake."""
    outcome, told = refused(
        {
            "DATABASE_URL": "postgresql://app@127.0.0.1/shop?sslmode=sometimes",
            "PREDEPLOY_CONNECT_BUDGET": "soon",
            "PREDEPLOY_LOG_LEVEL": "loud",
            "PREDEPLOY_LOCK_BUGDET": "5m",
            "ADMIN_USERNAME": "root-admin",
        },
        folder({**ONE_MIGRATION, "predeploy.toml": "[critical]\nusers = 'id'\n"}),
    )

    duration = "it must be a duration from 1 ms to 24 h, such as 90, 90s, 5m, 1.5h or 500ms"
    lacking = "ADMIN_EMAIL, ADMIN_PASSWORD or ADMIN_PASSWORD_HASH"
    assert outcome.exit_code == 78
    assert sorted(told["problems"]) == [
        f"ADMIN_USERNAME without {lacking}: the seed needs all or none",
        "DATABASE_URL: sslmode must be one of: disable allow prefer require verify-ca verify-full",
        f"PREDEPLOY_CONNECT_BUDGET is 'soon'; {duration}",
        "PREDEPLOY_LOCK_BUGDET is not a setting; did you mean PREDEPLOY_LOCK_BUDGET?",
        "PREDEPLOY_LOG_LEVEL is 'loud'; it must be one of debug, info, warn, error",
        "predeploy.toml: [critical] 'users' must be a list of different columns",
    ]


@contextmanager
def listening(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Listen on a port and give everybody the same answer; yield it and what was received."""
    received: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            received.append(self.request.recv(4096))
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield listener.server_address[1], received
        finally:
            listener.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("target_session_attrs=standby", "it is a primary, and target_session_attrs asks for a"),
        ("target_session_attrs=read-only", "it is a primary, and target_session_attrs asks for a"),
        ("options=-cstatement_timeout", "a connection parameter is not accepted"),
        ("options=-cTimeZone%3DMars", "a connection parameter is not accepted"),
        ("replication=true", "replication must be one of: false off no 0"),
        ("replication=database", "replication must be one of: false off no 0"),
    ],
)
def test_a_parameter_that_no_server_will_ever_take_is_a_wrong_setting(
    parameters: str, words: str, database: Database, folder: Folder
) -> None:
    """It is not tried again for a minute, and does not ask for another try."""
    environ = {"DATABASE_URL": f"{database.url}?{parameters}", "PREDEPLOY_CONNECT_BUDGET": "2s"}

    outcome, told = refused(environ, folder(ONE_MIGRATION))

    assert outcome.exit_code == 78
    assert words in told["message"]


def test_a_wrong_sslmode_is_told_without_a_connection(folder: Folder) -> None:
    """What cannot be meant is told by us, not by the server."""
    with listening(b"") as (port, received):
        outcome, told = refused(
            {"DATABASE_URL": f"postgresql://app@127.0.0.1:{port}/shop?sslmode=requires"},
            folder(ONE_MIGRATION),
        )

    assert (outcome.exit_code, received) == (78, [])
    assert told["message"] == (
        "config (78): DATABASE_URL: sslmode must be one of: disable allow prefer require verify-ca "
        "verify-full"
    )


@pytest.mark.parametrize("sslmode", ["prefer", "disable"])
def test_what_is_not_postgresql_is_said_to_be_something_else(sslmode: str, folder: Folder) -> None:
    """A web server behind the port is told as what it is, in our words."""
    with listening(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as (port, received):
        outcome, told = refused(
            {
                "DATABASE_URL": f"postgresql://app@127.0.0.1:{port}/shop?sslmode={sslmode}",
                "PREDEPLOY_CONNECT_BUDGET": "3s",
            },
            folder(ONE_MIGRATION),
        )

    assert received
    assert outcome.exit_code == 76
    assert told["message"] == (
        f"wrong-endpoint (76): cannot connect to app@127.0.0.1:{port}/shop (DATABASE_URL): what "
        "answers there is not PostgreSQL; check host and port"
    )
    assert "HTTP" not in outcome.output


def test_a_standby_is_refused_with_the_primary_as_remedy(
    own_binaries: Path, folder: Folder
) -> None:
    """A standby is waited for as long as it may be promoted, then refused."""
    with server(own_binaries) as primary:
        stop(primary)
        (primary.data / "standby.signal").touch()
        with running(programs_of(primary), primary.data, settings={"hot_standby": "on"}) as standby:
            outcome, told = refused(
                {"DATABASE_URL": standby.url(), "PREDEPLOY_CONNECT_BUDGET": "3s"},
                folder(ONE_MIGRATION),
            )

    assert outcome.exit_code == 76
    assert told["message"] == (
        f"wrong-endpoint (76): cannot connect to postgres@127.0.0.1:{standby.port}/postgres "
        f"(DATABASE_URL): it is a standby or read-only; {READ_ONLY}"
    )


def test_a_second_connection_that_is_cut_off_is_tried_again(
    database: Database, folder: Folder
) -> None:
    """It is lost while it is opened: the run goes on with the first, which is open still."""
    port = int(conninfo_to_dict(database.url)["port"])
    # Its start, the question whether all is settled, and the start that was cut off. Before
    # PostgreSQL 16 the question is rolled back by a message of its own.
    with database.connect() as conn:
        sent = b"\0Q\0\0" if conn.info.server_version >= 160000 else b"\0QQ\0\0"
    with proxied(port, Harm(Direction.TO_SERVER, len(sent) - 1, Fault.CUT)) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{database.name}?sslmode=disable"
        outcome = run_job(
            environ={"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder(ONE_MIGRATION))}, check=0
        )

    assert bytes(proxy.kinds[Direction.TO_SERVER]).startswith(sent)
    assert "connecting again" not in outcome.stdout
    assert database.rows(LEDGER) == [("0001_notes.sql", 1)]


def test_one_connection_is_too_few(database: Database, role: str, folder: Folder) -> None:
    """A role that may have one connection only is told its limit, instead of waiting for itself."""
    database.execute(f"alter role {role} connection limit 1")
    database.execute(f'grant create on database "{database.name}" to {role}')

    outcome, told = refused({"DATABASE_URL": as_role(database, role)}, folder(ONE_MIGRATION))

    assert (outcome.exit_code, told["retryable"]) == (75, True)
    assert "predeploy needs two connections and got one" in told["message"]
    assert "CONNECTION LIMIT" in told["message"]
    assert database.value("select to_regnamespace('predeploy') is null")


def test_a_role_that_may_not_create_a_schema_is_told_what_to_grant(
    database: Database, role: str, folder: Folder
) -> None:
    """A lacking privilege is named with the GRANT that fixes it, and nothing was changed."""
    outcome, told = refused({"DATABASE_URL": as_role(database, role)}, folder(ONE_MIGRATION))

    assert outcome.exit_code == 77
    assert database.value("select to_regnamespace('predeploy') is null")
    assert database.value("select to_regclass('public.notes') is null")
    assert "grant create on database" in told["message"].lower()


# How often it goes there and back before it may ask


def trips_to_connect(server: Server, url: str, folder: Path) -> int:
    """Settle a database, and count the next run's round trips but for the one that asks."""
    environ = {"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder), "PGPASSWORD": ODD_PASSWORD}
    run_job(environ=environ, check=0)
    # So far away that what both send at the same time crosses, as the tickets of TLS do our start.
    with relayed(server.port, FAR_S) as relay:
        far = url.replace(f":{server.port}/", f":{relay.port}/")
        run_job(environ={**environ, "DATABASE_URL": far}, check=0)
        until(lambda: relay.open_connections == 0)
        assert relay.connections == 1
        return relay.round_trips - 1


@pytest.mark.parametrize(
    ("database", "parameters", "trips"),
    [
        ("postgres", "?user=postgres&sslmode=disable", 1),  # the start
        ("postgres", "?user=postgres", 2),  # and before it a question for TLS, which is not there
        ("shop", "?user=app&sslmode=disable", 3),  # SCRAM: two more answers of ours
    ],
)
def test_a_connection_costs_what_libpq_needs(
    guarded: Server, folder: Folder, database: str, parameters: str, trips: int
) -> None:
    """No round trip is ours: for no settings, no pooler and no standby."""
    url = f"postgresql://127.0.0.1:{guarded.port}/{database}{parameters}"

    assert trips_to_connect(guarded, url, folder(ONE_MIGRATION)) == trips


@pytest.mark.parametrize("parameters", ["", "?sslmode=require"])
def test_a_connection_with_tls_costs_what_libpq_needs(
    tls: Server, folder: Folder, parameters: str
) -> None:
    """The question for TLS, its handshake, the start; and the parting, which is not waited for.

    The handshake takes one more before PostgreSQL 18, which wants another curve than OpenSSL offers
    (ssl_ecdh_curve).
    """
    with psycopg.connect(tls.url()) as conn:
        is_retried = conn.info.server_version < 180000

    assert trips_to_connect(tls, tls.url() + parameters, folder(ONE_MIGRATION)) == 4 + is_retried


# TLS


def test_require_is_satisfied_by_any_certificate(tls: Server, folder: Folder) -> None:
    """sslmode=require encrypts and checks nothing."""
    outcome, told = refused({"DATABASE_URL": f"{tls.url()}?sslmode=require"}, folder(ONE_MIGRATION))

    assert (outcome.exit_code, told["exit_code"]) == (0, 0), outcome.output


def test_verify_full_is_satisfied_by_a_certificate_that_is_trusted(
    tls: Server, folder: Folder
) -> None:
    """sslrootcert names what to trust."""
    trusted = f"sslmode=verify-full&sslrootcert={tls.data}/server.crt"

    outcome, told = refused({"DATABASE_URL": f"{tls.url()}?{trusted}"}, folder(ONE_MIGRATION))

    assert (outcome.exit_code, told["exit_code"]) == (0, 0), outcome.output


@pytest.mark.parametrize("root", ["", "&sslrootcert={data}/other.crt"], ids=["none", "another"])
def test_verify_full_refuses_a_certificate_that_is_not_trusted(
    root: str, tls: Server, folder: Folder
) -> None:
    """A certificate that nobody vouches for is refused at once, and the way out is told."""
    mode = f"sslmode=verify-full{root.format(data=tls.data)}"

    outcome, told = refused({"DATABASE_URL": f"{tls.url()}?{mode}"}, folder(ONE_MIGRATION))

    assert outcome.exit_code == 76
    assert told["message"] == (
        f"wrong-endpoint (76): cannot connect to postgres@127.0.0.1:{tls.port}/postgres "
        "(DATABASE_URL): its certificate cannot be trusted; mount its CA and set sslrootcert, or "
        "use sslmode=require (encrypts, checks nothing)"
    )


def test_require_refuses_a_server_without_tls(database: Database, folder: Folder) -> None:
    """Where the server has no TLS, sslmode=require ends at once."""
    with database.connect() as conn:
        if conn.execute("show ssl").fetchone() == ("on",):
            pytest.skip("TEST_DATABASE_URL's server has TLS")

    outcome, told = refused(
        {"DATABASE_URL": f"{database.url}?sslmode=require"}, folder(ONE_MIGRATION)
    )

    assert outcome.exit_code == 76
    assert "TLS is required and the server offers none" in told["message"]


# addresses


@pytest.mark.parametrize(
    ("scheme", "query", "note"),
    [
        ("postgres", "", None),
        ("postgresql+psycopg", "", "the driver suffix of the URL's scheme was stripped"),
        (
            "postgresql",
            "?pgbouncer=true",
            "the parameter pgbouncer is not libpq's and was stripped",
        ),
        ("postgresql", "?schema=public", None),
    ],
)
def test_addresses_of_other_drivers_are_understood(
    scheme: str, query: str, note: str | None, database: Database, folder: Folder
) -> None:
    """What ORMs and poolers put into a URL is taken out, with a word about it."""
    url = f"{scheme}{database.url.removeprefix('postgresql')}{query}"

    outcome, _ = refused({"DATABASE_URL": url}, folder(ONE_MIGRATION))

    messages = [line["message"] for line in lines(outcome.output)]
    assert outcome.exit_code == 0, outcome.output
    assert [m for m in messages if "stripped" in m] == ([note] if note else [])


def test_an_odd_password_works_when_it_is_percent_encoded(guarded: Server, folder: Folder) -> None:
    """A password with @ / % : and + in it is written percent-encoded and means what it says."""
    login = f"app:{quote(ODD_PASSWORD, safe='')}"

    outcome, _ = refused(
        {"DATABASE_URL": f"postgresql://{login}@127.0.0.1:{guarded.port}/shop"},
        folder(ONE_MIGRATION),
    )

    assert outcome.exit_code == 0, outcome.output
    assert {piece for piece in pieces(ODD_PASSWORD) if piece in outcome.output} == set()


def test_an_odd_password_that_is_not_encoded_is_not_shown(guarded: Server, folder: Folder) -> None:
    """A URL that a password breaks apart is refused with advice and without a piece of it."""
    outcome, told = refused(
        {"DATABASE_URL": f"postgresql://app:{ODD_PASSWORD}@127.0.0.1:{guarded.port}/shop"},
        folder(ONE_MIGRATION),
    )

    assert outcome.exit_code == 78
    assert "write @ / : ? # % as %40 %2F %3A %3F %23 %25" in told["message"]
    assert {piece for piece in pieces(ODD_PASSWORD) if piece in outcome.output} == set()


class Patient:
    """An edge that never interrupts."""

    def set_deadline(self, seconds: float) -> None:
        """Set no alarm."""

    def quiet(self) -> None:
        """Have nothing to quiet."""


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Forget how a command that ran in this process has configured its logs."""
    yield
    structlog.reset_defaults()


# Each six characters hold a Q, an X or a Z, which none of our own texts does.
odd_passwords = st.lists(
    st.tuples(st.text("@/:?#%&=+ '\"\\$[]{}(),;ab4é", max_size=4), st.sampled_from("QXZ")),
    min_size=2,
    max_size=6,
).map(lambda parts: "".join(odd + letter for odd, letter in parts))


@pytest.mark.usefixtures("own_binaries", "logging_restored")
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(password=odd_passwords)
@example(password="aQ@bX/cZ:dQ%eX")
@example(password="aQbXcZ@dQeXfZ")
@example(password="aQbXcZ?dQ=eXfZ")
@example(password="${aQbXcZ}")
def test_no_piece_of_a_password_is_ever_shown(
    password: str,
    database: Database,
    folder: Folder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Encoded, every password works; as it is, it works or is refused; and it is never shown."""
    place = database.url.partition("@")[2]
    sql = str(folder(ONE_MIGRATION))

    def exit_code(written: str) -> ExitCode:
        url = f"postgresql://postgres:{written}@{place}"
        budget = {"PREDEPLOY_SQL_DIR": sql, "PREDEPLOY_CONNECT_BUDGET": "100ms"}
        return main(["run"], {"DATABASE_URL": url, **budget}, Patient())

    encoded, plain = exit_code(quote(password, safe="")), exit_code(password)
    captured = capsys.readouterr()

    output = captured.out + captured.err
    assert encoded is ExitCode.OK, output
    assert plain in (ExitCode.OK, ExitCode.CONFIG, ExitCode.UNAVAILABLE)
    assert {piece for piece in pieces(password) if piece in output} == set()


def test_an_address_may_stand_in_a_file(database: Database, folder: Folder, tmp_path: Path) -> None:
    """DATABASE_URL_FILE names a file with the URL, as secrets are mounted."""
    secret = tmp_path / "database-url"
    secret.write_text(f"{database.url}\n")

    outcome, told = refused({"DATABASE_URL_FILE": str(secret)}, folder(ONE_MIGRATION))

    assert (outcome.exit_code, told["message"]) == (0, "ok: 1 step applied, verified")


def test_the_address_for_migrations_wins(database: Database, folder: Folder) -> None:
    """MIGRATION_DATABASE_URL comes before DATABASE_URL, and the log says which one was taken."""
    nowhere = f"postgresql://app@127.0.0.1:{free_port()}/nowhere"

    outcome, _ = refused(
        {"DATABASE_URL": nowhere, "MIGRATION_DATABASE_URL": database.url}, folder(ONE_MIGRATION)
    )

    connected = [line for line in lines(outcome.output) if "by" in line]
    assert outcome.exit_code == 0, outcome.output
    assert [line["by"] for line in connected] == ["MIGRATION_DATABASE_URL"]
    assert connected[0]["message"].endswith(f"/{database.name}")
