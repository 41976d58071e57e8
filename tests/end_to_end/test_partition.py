"""A network that falls silent: nobody says goodbye, and yet nobody waits for ever.

As root, in a network namespace that the test makes and removes.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from conftest import Database
from partition import Cable, cable, start_without_answers, why_not
from production import until, whole_files

Folder = Callable[[Mapping[str, str]], Path]

pytestmark = [
    pytest.mark.dear,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there can be partitions"),
    pytest.mark.timeout(180),
]

IMPATIENT = {"PREDEPLOY_CONNECT_BUDGET": "3s"}
NOTICED_S = 10
FREED_S = 30
FILES = {
    "migrations/1_kept.sql": "create table kept ();",
    "migrations/2_slow.sql": "create table slow (); select pg_sleep({});",
}
SESSIONS = "select count(*) from pg_stat_activity where application_name like 'predeploy%'"
LOCKS = "select count(*) from pg_locks where locktype = 'advisory'"
A_STEP_SLEEPS = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and {}".format(
    "application_name like 'predeploy step%'"
)


@pytest.fixture
def wire(own_binaries: Path) -> Iterator[Cable]:
    """A server, and a cable to it."""
    with cable(own_binaries) as made:
        yield made


def slow(folder: Folder, seconds: float) -> dict[str, str]:
    """Write a migration that sleeps so long; return the settings of a job that runs it."""
    files = {path: text.format(seconds) for path, text in FILES.items()}
    return {"PREDEPLOY_SQL_DIR": str(folder(files))}


def until_it_sleeps(database: Database) -> None:
    until(lambda: database.value(A_STEP_SLEEPS), "the step to sleep")


def test_a_silent_network_wedges_neither_side(wire: Cable, folder: Folder) -> None:
    """The job notices within 10 s and ends with 69; the server frees the lock within 30 s."""
    told: dict[str, float] = {}
    with wire.start(slow(folder, 120) | IMPATIENT) as job:
        until_it_sleeps(wire.database)
        wire.drop()
        cut = time.monotonic()
        assert job.stdout is not None
        for line in job.stdout:
            told[line] = time.monotonic() - cut
    (noticed_s,) = [at for line, at in told.items() if "the connection was lost" in line]
    until(lambda: wire.database.value(SESSIONS) == 0, "the server to end the sessions", FREED_S)
    freed_s = time.monotonic() - cut

    assert job.returncode == 69, told
    assert noticed_s < NOTICED_S
    assert freed_s < FREED_S
    assert wire.database.value(LOCKS) == 0
    assert whole_files(wire.database) == ["1_kept.sql"]
    assert wire.database.value("select to_regclass('slow') is null")


def test_a_network_that_comes_back_is_enough(wire: Cable, folder: Folder) -> None:
    """A job whose link was down connects again, and no step stands twice."""
    with wire.start(slow(folder, 12)) as job:
        until_it_sleeps(wire.database)
        wire.pull()
        plugging = threading.Timer(NOTICED_S + 2, wire.plug_in)
        plugging.start()
        output, _ = job.communicate(timeout=120)
        plugging.join()

    assert job.returncode == 0, output
    assert "the connection was lost, in the middle of migrations/2_slow.sql; connecting" in output
    assert whole_files(wire.database) == ["1_kept.sql", "2_slow.sql"]


@pytest.mark.parametrize("after_s", [0.1, 1.0, 3.0])
def test_a_signal_ends_a_job_whose_network_is_silent(
    after_s: float, wire: Cable, folder: Folder
) -> None:
    """Within 1 s, with its report, although nobody hears that its statement is cancelled."""
    with wire.start(slow(folder, 120)) as job:
        until_it_sleeps(wire.database)
        wire.drop()
        time.sleep(after_s)
        sent = time.monotonic()
        job.send_signal(signal.SIGTERM)
        output, _ = job.communicate(timeout=60)
        took_s = time.monotonic() - sent

    assert job.returncode == 143, output
    assert '"exit_code":143' in output.splitlines()[-1]
    assert "the server did not answer the cancel request" in output.splitlines()[-1]
    assert took_s < 1


@pytest.fixture
def unanswered(folder: Folder, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A job that waits for a name server; its connect budget is 3 s."""
    settings = slow(folder, 0) | IMPATIENT | {"DATABASE_URL": "postgresql://app@db.example/shop"}
    with start_without_answers(settings, tmp_path) as job:
        yield job
        job.kill()


def test_a_silent_name_server_uses_up_the_budget_and_no_more(
    unanswered: subprocess.Popen[str],
) -> None:
    """What cannot be interrupted in the system's resolver does not outlive the connect budget."""
    started = time.monotonic()
    output, _ = unanswered.communicate(timeout=60)

    assert unanswered.returncode == 69, output
    assert "no name server answers (yet)" in output.splitlines()[-1]
    assert 2 < time.monotonic() - started < 3 + 2


def test_a_signal_ends_the_waiting_for_a_name_server(unanswered: subprocess.Popen[str]) -> None:
    """Within 1 s, with its report, although the resolver hears no signal."""
    time.sleep(1)
    sent = time.monotonic()
    unanswered.send_signal(signal.SIGTERM)
    output, _ = unanswered.communicate(timeout=60)

    assert unanswered.returncode == 143, output
    assert '"exit_code":143' in output.splitlines()[-1]
    assert time.monotonic() - sent < 1
