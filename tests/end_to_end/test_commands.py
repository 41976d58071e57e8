"""The commands that look: plan, verify and status. They change nothing, and gate by exit code."""

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from conftest import ADMIN, SQL, Database
from conftest import run_cold_job as run_job
from production import (
    ADMIN_BY_HASH,
    catalog,
    contents,
    environ,
    has_ledger,
    jobs,
    ledger,
    objects,
    prepare,
    report_of,
    run_here,
)

from predeploy.database.session.lock import lock_key

Folder = Callable[[Mapping[str, str]], Path]

FILES = {
    "migrations/1_log.sql": "-- two statements\n\ncreate table log (what text);\nselect 1;\n",
    "migrations/2_steps.sql": (
        "begin;\ninsert into log values ('one');\ncommit;\n"
        "begin;\n\ninsert into log\nvalues ('two');\ncommit;\n"
    ),
    "verify/no_nulls.sql": "select what from log where what is null",
    "predeploy.toml": '[critical]\nlog = ["what"]\n',
}


def data_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what a command with --json has found: the line before the report."""
    last_but_one: dict[str, Any] = json.loads(done.stdout.splitlines()[-2])
    return last_but_one


@pytest.fixture
def role(superuser_url: str) -> Iterator[str]:
    """A role of the test's own, which may log in and nothing else."""
    name = f"role_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f"create role {name} login password 'secret'")
        yield name
        conn.execute(f"drop role {name}")


@pytest.fixture
def reader(role: str, make_database: Callable[..., Database], template: str) -> Iterator[Database]:
    """TheKeyn as a role sees it that may read what verify asks about, and nothing else."""
    owned = make_database(template)
    for grant in (
        "usage on schema predeploy",
        "select on all tables in schema predeploy",
        "select on users, works, certificates",
        "select on users_id_seq, works_id_seq, certificates_id_seq",
    ):
        owned.execute(f"grant {grant} to {role}")
    parts = urlsplit(owned.url)
    place = f"{role}:secret@{parts.hostname}:{parts.port}"
    yield Database(owned.name, urlunsplit(parts._replace(netloc=place)))
    owned.execute(f"drop owned by {role}")


# plan


def test_plan_names_steps_and_lines(database: Database, folder: Folder) -> None:
    """The plan names each step with its file and lines, and what will be planned later."""
    done = run_job("plan", environ=environ(database, folder(FILES)))

    assert done.returncode == 0
    assert done.stdout.splitlines()[:-1] == [
        "migrate: 3 step(s)",
        "  migrations/1_log.sql (lines 3-4, one transaction): CREATE TABLE, SELECT",
        "  migrations/2_steps.sql step 1 (lines 2-2, one transaction): INSERT INTO",
        "  migrations/2_steps.sql step 2 (lines 6-7, one transaction): INSERT INTO",
        "sync, fallback, seed, verify: planned once the steps above are applied",
    ]


def test_plan_changes_nothing(database: Database) -> None:
    """Planning on an empty database leaves it empty: no table, and no ledger either."""
    before = catalog(database)

    done = run_job("plan", environ=environ(database, **ADMIN), check=0)

    assert "0018_missing_foreign_keys.sql" in done.stdout
    assert catalog(database) == before
    assert objects(database) == set()
    assert not has_ledger(database)


def test_plan_as_json_is_one_object(database: Database, folder: Folder) -> None:
    """With --json the line before the report is one object: pending steps and later layers."""
    done = run_job("plan", "--json", environ=environ(database, folder(FILES)), check=0)

    assert data_of(done) == {
        "pending": [
            {
                "layer": "migrate",
                "step": "migrations/1_log.sql",
                "lines": "lines 3-4",
                "how": "one transaction",
                "statements": ["CREATE TABLE", "SELECT"],
            },
            {
                "layer": "migrate",
                "step": "migrations/2_steps.sql step 1",
                "lines": "lines 2-2",
                "how": "one transaction",
                "statements": ["INSERT INTO"],
            },
            {
                "layer": "migrate",
                "step": "migrations/2_steps.sql step 2",
                "lines": "lines 6-7",
                "how": "one transaction",
                "statements": ["INSERT INTO"],
            },
        ],
        "findings": [],
        "asks": [],
        "provisional": ["sync", "fallback", "seed", "verify"],
    }
    assert report_of(done)["command"] == "plan"


def test_plan_gates_by_exit_code(database: Database, folder: Folder) -> None:
    """With --exit-code plan ends with 2 while something is pending, and with 0 afterwards."""
    settings = environ(database, folder(FILES))

    before = run_job("plan", "--exit-code", environ=settings)
    prepare(settings)
    after = run_job("plan", "--exit-code", environ=settings)

    assert (before.returncode, report_of(before)["exit_name"]) == (2, "pending")
    assert (after.returncode, report_of(after)["exit_name"]) == (0, "ok")


def test_plan_refuses_what_run_would_refuse(database: Database, folder: Folder) -> None:
    """A folder that cannot be run makes plan end with the code that run would end with."""
    files = {**FILES, "migrations/3_vacuum.sql": "begin; vacuum log; commit;"}

    done = run_job("plan", "--exit-code", environ=environ(database, folder(files)))

    assert (done.returncode, report_of(done)["findings"][0]["code"]) == (65, "autocommit")


# verify


def test_verify_judges_before_and_after(database: Database, folder: Folder) -> None:
    """Verify ends with 82 on a database that lacks what was declared, and with 0 after a run."""
    settings = environ(database, folder(FILES))

    before = run_job("verify", environ=settings)
    was_empty = objects(database) == set() and not has_ledger(database)
    prepare(settings)
    state = catalog(database), contents(database), ledger(database)
    after = run_job("verify", environ=settings)

    assert (before.returncode, was_empty) == (82, True)
    assert [f["message"] for f in report_of(before)["findings"]] == [
        "migrations/1_log.sql has not been applied",
        "migrations/2_steps.sql has not been applied",
        "table public.log is missing",
        'verify/no_nulls.sql could not be asked: relation "log" does not exist (42P01)',
    ]
    assert after.returncode == 0
    assert (catalog(database), contents(database), ledger(database)) == state


def test_verify_needs_no_right_to_write(reader: Database) -> None:
    """A role with USAGE and SELECT on what verify asks about can run it."""
    done = run_job("verify", environ=environ(reader))

    assert done.returncode == 0, done.stdout


def test_verify_waits_for_somebody_elses_run(database: Database, folder: Folder) -> None:
    """With --wait it looks again until another process has made the database ready."""
    settings = environ(database, folder(FILES))
    with jobs(settings, arguments=("verify", "--wait", "60s")) as (process,):
        told = next((line for line in process.stdout or () if "not verified yet" in line), "")

        run_job("run", environ=settings, check=0)

        rest, _ = process.communicate(timeout=90)
    assert told, rest
    assert process.returncode == 0, rest


@pytest.mark.dear
def test_verify_looks_again_when_its_connection_is_lost(database: Database, folder: Folder) -> None:
    """While it waits the server may end its session: it connects again, up to its own deadline."""
    settings = environ(database, folder(FILES))
    end = """select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and starts_with(application_name, 'predeploy')"""
    with jobs(settings, arguments=("verify", "--wait", "60s")) as (process,):
        assert process.stdout is not None
        next(line for line in process.stdout if "not verified yet" in line)
        assert database.rows(end) == [(True,)]
        told = next(line for line in process.stdout if "the connection was lost" in line)

        run_job("run", environ=settings, check=0)

        rest, _ = process.communicate(timeout=90)
    assert "not verified yet" in told
    assert process.returncode == 0, rest


@pytest.mark.dear
def test_verify_does_not_wait_for_ever(database: Database, folder: Folder) -> None:
    """When the time is up and nobody has run the job, it ends with 82 all the same."""
    done = run_job("verify", "--wait", "2s", environ=environ(database, folder(FILES)))

    assert done.returncode == 82
    assert "not verified yet: migrations/" in done.stdout
    assert "has not been applied" in done.stdout


# status


def test_status_of_an_empty_database(database: Database, folder: Folder) -> None:
    """On a database that we never touched all is pending, and looking makes no ledger."""
    done = run_job("status", "--json", environ=environ(database, folder(FILES)), check=0)

    assert data_of(done) == {
        "ledger": None,
        "applied": [],
        "half_applied": [],
        "pending": ["migrations/1_log.sql", "migrations/2_steps.sql"],
        "not_in_folder": [],
        "lineage": "current",
        "ahead": False,
        "lock_holder": None,
        "runs": [],
        "findings": [],
    }
    assert not has_ledger(database)


def test_status_shows_where_things_stand(database: Database, folder: Folder) -> None:
    """Status names what is applied, half applied, pending and gone, and the last runs."""
    failing = FILES["migrations/2_steps.sql"].replace("values ('two')", "values (1, 2)")
    first = {**FILES, "migrations/0_gone.sql": "select 1", "migrations/2_steps.sql": failing}
    assert run_here(environ(database, folder(first))).exit_code == 80
    now = {**FILES, "migrations/2_steps.sql": failing, "migrations/3_new.sql": "select 3"}

    done = run_job("status", "--json", environ=environ(database, folder(now)), check=0)

    data = data_of(done)
    runs, found = data.pop("runs"), data.pop("findings")
    assert data == {
        "ledger": "predeploy",
        "applied": ["migrations/1_log.sql"],
        "half_applied": ["migrations/2_steps.sql"],
        "pending": ["migrations/2_steps.sql", "migrations/3_new.sql"],
        "not_in_folder": ["0_gone.sql"],
        "lineage": "current",
        "ahead": False,
        "lock_holder": None,
    }
    assert [(finding["code"], finding["level"]) for finding in found] == [("not-in-folder", "info")]
    assert [(run["outcome"], run["exit_code"]) for run in runs] == [("failed", 80)]


def test_status_names_who_holds_the_lock(database: Database, folder: Folder) -> None:
    """While another session holds the lock, status names its pid without waiting for it."""
    settings = environ(database, folder(FILES))
    prepare(settings)

    with database.connect() as holder:
        holder.execute("select pg_advisory_lock(%s)", (lock_key("predeploy"),))
        pid = holder.info.backend_pid
        held = run_job("status", environ=settings, check=0).stdout.splitlines()
    free = run_job("status", environ=settings, check=0).stdout.splitlines()

    assert [line for line in held if line.startswith(f"lock: pid {pid} ")]
    assert "lock: free" in free
    assert "applied: 2 file(s)" in free
    assert [line for line in free if line.startswith("  20") and " ok (0) predeploy " in line]


def test_status_gates_by_exit_code(database: Database, folder: Folder) -> None:
    """With --exit-code status ends with 2 while a file is pending, and with 0 afterwards."""
    settings = environ(database, folder(FILES))

    before = run_job("status", "--exit-code", environ=settings)
    prepare(settings)
    after = run_job("status", "--exit-code", environ=settings)

    assert (before.returncode, after.returncode) == (2, 0)


def test_status_shows_a_database_that_is_ahead(thekeyn: Database, shipped_copy: Path) -> None:
    """A ledger that knows newer files than the folder is shown as ahead, with their names."""
    newest = max(path.name for path in (SQL / "migrations").iterdir())
    (shipped_copy / "migrations" / newest).unlink()
    settings = environ(thekeyn, shipped_copy, **ADMIN_BY_HASH)

    done = run_job("status", "--json", environ=settings, check=0)

    data = data_of(done)
    assert (data["ahead"], data["not_in_folder"], data["pending"]) == (True, [newest], [])
    assert (data["lineage"], report_of(done)["outcome"]) == ("ahead", "ahead")
    assert len(data["applied"]) == 17
