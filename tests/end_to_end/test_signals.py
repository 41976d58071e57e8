"""Being ended: by a signal, from a terminal, by the deadline, or without warning.

Whoever ends a job finds nothing of it left: no session, no lock, and no half of a step.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from conftest import Database, job_environ
from conftest import run_cold_job as run_job
from conftest import start_cold_job as start_job
from production import report_here

from predeploy import pipeline
from predeploy.contract.errors import Interrupted
from predeploy.contract.exit_codes import ExitCode
from predeploy.database.session.lock import lock_key
from predeploy.embedded import free_port

BY_SIGNAL = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
A_STEP_SLEEPS = """
    select pid from pg_stat_activity
    where datname = current_database() and state = 'active' and pid <> pg_backend_pid()
      and application_name like 'predeploy step%' and query like '%pg_sleep%'"""
SESSIONS = """
    select count(*) from pg_stat_activity
    where datname = current_database() and application_name like 'predeploy%'"""
ADVISORY_LOCKS = """
    select count(*) from pg_locks join pg_database d on d.oid = database
    where locktype = 'advisory' and datname = current_database()"""
FILES = "select file from predeploy.migration order by file"

Folder = Callable[[Mapping[str, str]], Path]


def migrations(sleep_s: int | None) -> dict[str, str]:
    """Two migrations, of which the second sleeps after it has made its table."""
    sleep = f"select pg_sleep({sleep_s});" if sleep_s else ""
    return {
        "migrations/0001_kept.sql": "create table kept (id int);",
        "migrations/0002_slow.sql": f"create table slow (id int); {sleep}",
    }


def environ(database: Database, sql: Path, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(sql), **more}


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition, which has to come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


def until_said(job: "subprocess.Popen[str]", text: str) -> None:
    """Read a job's lines up to one that holds a text."""
    assert job.stdout is not None
    assert any(text in line for line in job.stdout), f"the job never said {text!r}"


@dataclass(frozen=True)
class End:
    """How a job ended after a signal, how long that took, and its last line."""

    exit_code: int
    duration_s: float
    report: dict[str, Any]


def end(job: "subprocess.Popen[str]", number: signal.Signals) -> End:
    """Send a signal and wait for the job to end."""
    sent = time.monotonic()
    job.send_signal(number)
    output, _ = job.communicate(timeout=30)
    duration_s = time.monotonic() - sent
    return End(job.returncode, duration_s, json.loads(output.splitlines()[-1]))


def assert_nothing_of_the_slow_step_is_left(database: Database) -> None:
    """The sessions and their locks are gone, and so is the step; what came before it stays."""
    until(lambda: database.value(SESSIONS) == 0, seconds=5)
    assert database.value(ADVISORY_LOCKS) == 0
    assert database.value("select to_regclass('slow') is null")
    assert database.value("select to_regclass('kept') is not null")
    assert database.rows(FILES) == [("0001_kept.sql",)]


@pytest.mark.parametrize(("number", "exit_code"), BY_SIGNAL)
def test_a_signal_in_the_middle_of_a_statement_undoes_its_step(
    number: signal.Signals, exit_code: int, database: Database, folder: Folder
) -> None:
    """A signal cancels the statement on the server, within 1 s, and the next run starts afresh."""
    settings = environ(database, folder(migrations(60)))

    with start_job(environ=settings) as job:
        until(lambda: database.rows(A_STEP_SLEEPS))
        ended = end(job, number)

    assert (ended.exit_code, ended.report["exit_code"]) == (exit_code, exit_code)
    assert ended.duration_s < 1
    assert ended.report["event"] == "report"
    assert ended.report["retryable"] is True
    assert "0002_slow.sql" in ended.report["message"]
    assert_nothing_of_the_slow_step_is_left(database)

    folder(migrations(None))
    run_job(environ=settings, check=0)

    assert database.rows(FILES) == [("0001_kept.sql",), ("0002_slow.sql",)]


def test_a_signal_while_the_step_before_is_told_names_the_one_that_runs(
    database: Database, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is at the next step by then, and that is what is undone."""

    def interrupted(*_: object) -> NoReturn:
        until(lambda: database.rows(A_STEP_SLEEPS))
        raise Interrupted(ExitCode.TERMINATED, "SIGTERM")

    # Of a millisecond that a signal from outside would hit by luck.
    monkeypatch.setattr(pipeline, "findings_of", interrupted)
    report = report_here(environ(database, folder(migrations(60))))

    assert report["exit_code"] == 143
    assert "in the middle of migrations/0002_slow.sql" in report["message"]
    assert_nothing_of_the_slow_step_is_left(database)


def test_the_ledger_knows_that_a_run_was_ended(database: Database, folder: Folder) -> None:
    """The row of a run that a signal has ended says so, and holds its report."""
    with start_job(environ=environ(database, folder(migrations(60)))) as job:
        until(lambda: database.rows(A_STEP_SLEEPS))
        end(job, signal.SIGTERM)

    runs = database.rows(
        """select outcome, exit_code, finished_at is not null, (report ->> 'exit_code')::int
        from predeploy.run"""
    )
    assert runs == [("failed", 143, True, 143)]


def test_a_signal_that_comes_when_the_work_is_done_changes_nothing(
    database: Database, folder: Folder, tmp_path: Path
) -> None:
    """While the report is written there is nothing to interrupt: exit code and report agree."""
    report, summary = tmp_path / "report", tmp_path / "summary"
    os.mkfifo(report)
    os.mkfifo(summary)
    places = {"PREDEPLOY_REPORT": str(report), "GITHUB_STEP_SUMMARY": str(summary)}

    with start_job(environ=environ(database, folder(migrations(None)), **places)) as job:
        written = json.loads(report.read_text())  # and now it waits for a reader of the summary
        job.send_signal(signal.SIGTERM)
        reader = os.open(summary, os.O_RDONLY | os.O_NONBLOCK)
        output, _ = job.communicate(timeout=30)
        os.close(reader)

    assert written["exit_code"] == 0
    assert (job.returncode, json.loads(output.splitlines()[-1])) == (0, written)


@contextmanager
def on_a_terminal(environ: Mapping[str, str]) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start the job in a session of its own on a new terminal; yield it and our end of that."""
    ours, theirs = os.openpty()
    command = ["setsid", "--ctty", sys.executable, "-m", "predeploy"]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, env=job_environ(environ), cwd="/", **streams) as job:
        os.close(theirs)
        try:
            yield job, ours
        finally:
            os.close(ours)


def read_to_end(terminal: int) -> str:
    """Return what is written to a terminal until nobody has it open any more."""
    output = b""
    while True:
        try:
            output += os.read(terminal, 4096)
        except OSError:  # how Linux tells the end
            return output.decode()


def test_ctrl_c_on_a_terminal_ends_the_job_and_lines_are_for_people(
    database: Database, folder: Folder
) -> None:
    """Ctrl-C on a terminal is an interruption as any other, told in words instead of JSON."""
    settings = environ(database, folder(migrations(60)))

    with on_a_terminal(settings) as (job, terminal):
        until(lambda: database.rows(A_STEP_SLEEPS))
        os.write(terminal, b"\x03")
        output = read_to_end(terminal)

    printed = output.splitlines()
    assert job.returncode == 130, output
    assert [line for line in printed if line.startswith("{")] == []
    assert [line for line in printed if "applied migrations/0001_kept.sql" in line] != []
    assert printed[-1].removeprefix("^C").startswith("interrupted (130): ")
    assert_nothing_of_the_slow_step_is_left(database)


@pytest.mark.parametrize(("number", "exit_code"), BY_SIGNAL)
def test_a_signal_ends_the_waiting_for_a_server(
    number: signal.Signals, exit_code: int, folder: Folder
) -> None:
    """A job that waits for a server that is not there ends within 1 s."""
    settings = {
        "DATABASE_URL": f"postgresql://app@127.0.0.1:{free_port()}/shop",
        "PREDEPLOY_SQL_DIR": str(folder(migrations(None))),
    }

    with start_job(environ=settings) as job:
        until_said(job, "nothing is listening there (yet)")
        ended = end(job, number)

    assert (ended.exit_code, ended.report["exit_code"]) == (exit_code, exit_code)
    assert ended.duration_s < 1
    assert ended.report["retryable"] is True


def test_a_signal_ends_the_waiting_for_an_answer(folder: Folder) -> None:
    """A job that is connected to something silent ends within 1 s."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = {
            "DATABASE_URL": f"postgresql://app@127.0.0.1:{listener.getsockname()[1]}/shop",
            "PREDEPLOY_SQL_DIR": str(folder(migrations(None))),
        }

        with start_job(environ=settings) as job:
            accepted, _ = listener.accept()
            with accepted:
                ended = end(job, signal.SIGTERM)

    assert (ended.exit_code, ended.report["exit_code"]) == (143, 143)
    assert ended.report["problems"] == [
        "SIGTERM: no step was under way, and nothing is left half done"
    ]
    assert ended.duration_s < 1


def test_a_signal_ends_the_waiting_for_the_lock(database: Database, folder: Folder) -> None:
    """A job that waits for another run ends within 1 s and has changed nothing."""
    with database.connect() as holder, holder.transaction():
        key = lock_key("predeploy")
        holder.execute("select pg_try_advisory_xact_lock(%s)", (key,))

        with start_job(environ=environ(database, folder(migrations(None)))) as job:
            until_said(job, "waiting for the lock")
            ended = end(job, signal.SIGTERM)

    assert (ended.exit_code, ended.report["exit_code"]) == (143, 143)
    assert ended.duration_s < 1
    assert ended.report["retryable"] is True
    assert database.value("select to_regnamespace('predeploy') is null")
    until(lambda: database.value(SESSIONS) == 0, seconds=5)


@pytest.mark.dear
def test_the_deadline_cancels_the_statement(database: Database, folder: Folder) -> None:
    """When the deadline is over the statement is cancelled on the server: 75, run again."""
    settings = environ(database, folder(migrations(60)), PREDEPLOY_DEADLINE="2s")

    done = run_job(environ=settings)

    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["exit_code"], report["retryable"]) == (75, 75, True)
    assert "PREDEPLOY_DEADLINE" in report["message"]
    assert "0002_slow.sql" in report["message"]
    assert_nothing_of_the_slow_step_is_left(database)


@pytest.mark.dear
def test_a_killed_job_leaves_nothing_that_the_next_run_trips_over(
    database: Database, folder: Folder
) -> None:
    """After SIGKILL the next run waits for what the server still does, and no step stands twice."""
    settings = environ(database, folder(migrations(3)))
    with start_job(environ=settings) as killed:
        until(lambda: database.rows(A_STEP_SLEEPS))
        killed.kill()

    done = run_job(environ=settings)

    assert done.returncode == 0, done.stdout
    assert database.rows(FILES) == [("0001_kept.sql",), ("0002_slow.sql",)]
    assert database.value("select to_regclass('slow') is not null")
