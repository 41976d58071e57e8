"""What sync cannot add is said once: by the gate, or by the run or the plan that ends before it."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from conftest import Database, run_job
from production import report_of, said

THERE = "create table users (id int primary key, email text); insert into users values (0, 'a');"
DECLARED = "create table users (id int primary key, email text, age int not null);"
FAILING = "create index on users ((1 / id));"
LEFT = "column public.users.age is missing and is not added"

Job = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def job(database: Database, folder: Callable[..., Path]) -> Job:
    """Runs a command on a schema.sql, in a database that has users."""
    database.execute(THERE)

    def run(
        schema: str,
        *arguments: str,
        files: Mapping[str, str] = MappingProxyType({}),
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:
        root = folder({"schema.sql": schema, "predeploy.toml": 'baseline = "1"', **files})
        settings = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root), **environ}
        return run_job(*arguments, environ=settings)

    return run


def told(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """Level and code of the findings that the report has of what was left, and of the log's."""
    found = [f for f in report_of(done)["findings"] if f["message"].startswith(LEFT)]
    logged = [line for line in said(done)[:-1] if line["message"].startswith(LEFT)]
    assert [line["code"] for line in logged] == [finding["code"] for finding in found]
    return [(finding["level"], finding["code"]) for finding in found]


def test_the_gate_says_it(job: Job) -> None:
    """An error, 82; no warning beside it."""
    done = job(DECLARED)

    assert done.returncode == 82
    assert told(done) == [("error", "not-null-without-default")]


def test_a_run_that_ends_before_the_gate_says_it(database: Database, job: Job) -> None:
    """A lock is not obtained in time: what sync had left out by plan is a warning beside that."""
    with database.connect() as other:
        other.execute("begin; lock table users in access share mode")
        done = job(
            DECLARED.replace("email text", "email text, note text"),
            PREDEPLOY_DDL_LOCK_TIMEOUT="100ms",
            PREDEPLOY_DDL_BUDGET="1s",
        )

    assert done.returncode == 75
    assert told(done) == [("warn", "not-null-without-default")]


def test_a_statement_of_ours_that_the_server_refuses_stops_nothing_else(
    database: Database, job: Job
) -> None:
    """Nobody wrote it, so it is no failure (80) to fix: the gate stops the run, by name."""
    done = job(DECLARED + FAILING + "create table beside (id int)")

    assert done.returncode == 82
    assert told(done) == [("error", "not-null-without-default")]
    (refused,) = [f for f in report_of(done)["findings"] if f["code"] == "refused-by-server"]
    assert refused["message"].startswith("index public.users.users_expr_idx is not there")
    assert "22012 division by zero" in refused["message"]
    assert database.value("select to_regclass('beside') is not null")


def test_a_rescued_run_says_it(job: Job) -> None:
    """It goes on to the gate."""
    done = job(DECLARED + FAILING, PREDEPLOY_ON_FAILURE="rescue")

    assert done.returncode == 82
    assert told(done) == [("error", "not-null-without-default")]


@pytest.mark.parametrize("more", ["", "create table other ();"])
def test_a_plan_says_it(job: Job, more: str) -> None:
    """Once, whether it comes to plan the gate or has steps to show first: a run will end so."""
    done = job(DECLARED + more, "plan")

    shown = [line for line in done.stdout.splitlines()[:-1] if LEFT in line]
    assert [line.split(maxsplit=1)[0] for line in shown] == ["error:"]
    assert done.returncode == 82


def test_rows_in_the_way_hide_nothing_else(database: Database, job: Job) -> None:
    """All in one run: the violation once, and drift, what is left out, and what a check finds."""
    job("create table users (id int primary key, email text);")
    check = {"verify/nobody.sql": "select id from users"}
    schema = """create table users (
        id int primary key check (id > 0), email varchar(9) not null, age int not null);"""

    done = job(schema, files=check)

    found = report_of(done)["findings"]
    assert done.returncode == 82
    assert report_of(done)["message"].startswith(
        "not-verified (82): constraint public.users.users_id_check is not there as schema.sql "
        "declares it, because rows violate it: 23514"
    )
    assert [(f["level"], f["code"]) for f in found] == [
        ("error", code)
        for code in ("violated", "not-null-without-default", "drift", "check-failed")
    ]
    validated = "select convalidated from pg_constraint where conname = 'users_id_check'"
    assert database.value(validated) is False


def test_a_rescue_does_not_hide_rows_in_the_way(database: Database, job: Job) -> None:
    """Sync goes on behind them, and fails at something else, which is rescued: 82 all the same."""
    database.execute("insert into users values (1, 'a')")
    schema = """create table users (id int primary key, email text);
        create unique index on users (email);"""

    done = job(schema + FAILING, PREDEPLOY_ON_FAILURE="rescue")

    assert done.returncode == 82
    assert "violated" in [finding["code"] for finding in report_of(done)["findings"]]
