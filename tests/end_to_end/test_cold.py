"""Most tests run warm jobs (`forked`). A cold one, as it is deployed, does and says the same."""

import re
import subprocess
from collections.abc import Callable

import pytest
from conftest import ADMIN, Database, run_cold_job, run_job
from production import environ

COMMANDS = (
    ("run",),
    ("plan",),
    ("plan", "--json"),
    ("status", "--exit-code"),
    ("verify",),
    ("adopt",),
    ("adopt", "--baseline", "0018"),
    ("explain",),
    ("frobnicate",),
)
STEPS = "select file, position, step_hash, is_final from predeploy.migration order by 1, 2"
VARIED = re.compile(r'"(timestamp|run_id|\w+_s|\w+_ms)":("[^"]*"|[\d.]+)')


def outcome(done: subprocess.CompletedProcess[str], database: Database) -> tuple[int, str, str]:
    """Return exit status, what was said, and stderr, without times and names."""
    said = VARIED.sub("", done.stdout.replace(database.name, "DATABASE"))
    return done.returncode, said, done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_warm_job_is_as_good_as_a_cold_one(
    command: tuple[str, ...], make_database: Callable[..., Database], template: str
) -> None:
    """On equal databases both end with the same status, output, stderr and ledger."""
    warm, cold = make_database(template), make_database(template)

    said_warm = outcome(run_job(*command, environ=environ(warm, **ADMIN)), warm)
    said_cold = outcome(run_cold_job(*command, environ=environ(cold, **ADMIN)), cold)

    assert said_warm == said_cold
    assert warm.rows(STEPS) == cold.rows(STEPS)


def test_a_first_run_is_the_same_warm_and_cold(make_database: Callable[..., Database]) -> None:
    """All 42 tables and the admin: the same files, steps and checksums are recorded."""
    warm, cold = make_database(), make_database()

    said_warm = outcome(run_job("run", environ=environ(warm, **ADMIN), check=0), warm)
    said_cold = outcome(run_cold_job("run", environ=environ(cold, **ADMIN), check=0), cold)

    assert said_warm == said_cold
    assert warm.rows(STEPS) == cold.rows(STEPS)
