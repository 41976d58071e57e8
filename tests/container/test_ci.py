"""The CI stages for users' repositories: linted, and run, line by line, as the platforms do."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from conftest import ROOT, SQL, Database
from containers import Job, report_of
from workflow import Runner, environ_of_a_machine, load

pytestmark = pytest.mark.dear

GITHUB = ROOT / "deploy/github/smoke.yml"
GITLAB = ROOT / "deploy/gitlab/smoke.gitlab-ci.yml"
OWN = ROOT / ".github/workflows/ci.yml"
ACTION = ROOT / "action.yml"
BIN = Path(sys.executable).parent
TABLES = "select count(*) from pg_tables where schemaname = 'public'"


class Situation(NamedTuple):
    """What a user's repository holds, and his job's variables; the tables that there are then."""

    files: Mapping[str, str] = MappingProxyType({})
    environ: Mapping[str, str] = MappingProxyType({})
    tables: int = 42


GOOD = Situation()
BROKEN = Situation({"sql/migrations/0000_broken.sql": "create tabel it ()"}, tables=0)
DEGRADED = Situation(BROKEN.files, {"PREDEPLOY_ON_FAILURE": "rescue"})


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("github-workflows", GITHUB),
        ("github-workflows", OWN),
        ("github-actions", ACTION),
        ("gitlab-ci", GITLAB),
    ],
)
def test_the_platform_knows_every_key(schema: str, path: Path) -> None:
    lint("check-jsonschema", "--builtin-schema", f"vendor.{schema}", path)


def test_no_workflow_hands_out_more_than_it_must() -> None:
    """No text of a pull request gets into a script, no token is left lying about."""
    config = ROOT / "tests/container/zizmor.yml"
    options = ("--offline", "--quiet", "--min-severity=medium", "--config", config)
    lint("zizmor", *options, ACTION, OWN, GITHUB)


def lint(program: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [BIN / program, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A user's repository, who calls a package of his own as ours is called."""
    root = tmp_path / "repository"
    shutil.copytree(SQL, root / "sql")
    (root / "predeploy").mkdir()
    (root / "predeploy/__init__.py").write_text("raise SystemExit('this is not predeploy')")
    return root


@pytest.fixture(scope="session")
def temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the action installs predeploy; once is enough."""
    return tmp_path_factory.mktemp("runner")


@pytest.fixture
def runner(
    checkout: Path, temp: Path, tmp_path: Path, database: Database
) -> Callable[[Situation], Runner]:
    """Makes a runner whose job names the test's database."""

    def make(situation: Situation) -> Runner:
        write(checkout, situation)
        return Runner(checkout, temp, tmp_path, {"DATABASE_URL": database.url, **situation.environ})

    return make


def write(checkout: Path, situation: Situation) -> None:
    for path, text in situation.files.items():
        (checkout / path).write_text(text)


@pytest.mark.xdist_group("action")
@pytest.mark.parametrize(
    ("path", "situation", "codes"),
    [
        (OWN, GOOD, [0, 0, 0, 0, 0]),
        (GITHUB, GOOD, [0, 0, 0, 0, 0]),
        (GITHUB, BROKEN, [0, 80]),
        (GITHUB, DEGRADED, [0, 0, 0, 0, 1]),
    ],
)
def test_github_migrates_twice_and_the_second_time_is_settled(
    runner: Callable[[Situation], Runner],
    database: Database,
    path: Path,
    situation: Situation,
    codes: list[int],
) -> None:
    """Each use of the action is two scripts: install, run. Then the outcome is asked for."""
    run = runner(situation)

    run.steps(load(path)["jobs"]["smoke"]["steps"])

    assert run.codes == codes, run.printed
    assert run.summary.count("predeploy run") == len(codes) // 2
    assert database.value(TABLES) == situation.tables


@pytest.mark.parametrize("path", [GITHUB, OWN])
def test_github_s_database_is_the_one_of_the_service(path: Path) -> None:
    job = load(path)["jobs"]["smoke"]
    url = urlsplit(job["env"]["DATABASE_URL"])
    service = job["services"]["postgres"]

    assert url.password == service["env"]["POSTGRES_PASSWORD"]
    assert service["ports"] == [f"{url.port}:5432"]


@pytest.mark.xdist_group("action")
def test_the_action_tells_how_it_ended(
    runner: Callable[..., Runner], database: Database, tmp_path: Path
) -> None:
    """Its inputs decide about command, folder and database; its outputs tell code and outcome."""
    (tmp_path / "repository/sql").rename(tmp_path / "repository/database")
    run = runner(Situation(environ={"DATABASE_URL": "postgresql://nowhere.invalid/it"}))
    inputs = {
        "command": "plan --exit-code",
        "sql-dir": "database",
        "database-url": database.url,
    }

    contexts = run.steps([{"uses": "./", "id": "it", "with": inputs}])

    outputs = contexts["steps"]["it"]["outputs"]
    assert outputs == {"exit-code": "2", "outcome": "ok"}, run.printed
    assert run.codes == [0, 2]
    assert "### ✅ predeploy plan" in run.summary
    assert database.value(TABLES) == 0


def test_the_gate_is_the_project_s_own() -> None:
    *_, gate = load(OWN)["jobs"]["gate"]["steps"]

    assert os.access(ROOT / gate["run"], os.X_OK)


@pytest.mark.parametrize(("situation", "code"), [(GOOD, 0), (BROKEN, 80), (DEGRADED, 1)])
def test_gitlab_migrates_twice_and_the_second_time_is_settled(
    checkout: Path, database: Database, tmp_path: Path, situation: Situation, code: int
) -> None:
    write(checkout, situation)
    job = load(GITLAB)["database-smoke"]
    machine = environ_of_a_machine()
    environ = {
        **machine,
        **{
            name: v.replace("$CI_PROJECT_DIR", f"{checkout}")
            for name, v in job["variables"].items()
        },
        **situation.environ,
        # As the image has it, and where this machine can.
        "PATH": f"{BIN}:{machine['PATH']}",
        "PREDEPLOY_REPORT": f"{tmp_path}/report.json",
        "DATABASE_URL": database.url,
    }

    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(job["script"])],
        cwd=checkout,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code, done.stdout + done.stderr
    assert database.value(TABLES) == situation.tables


@pytest.mark.xdist_group("engine")
@pytest.mark.timeout(600)
def test_gitlab_s_script_runs_in_the_image(slim: str, job: Job, shop: Database) -> None:
    """GitLab gives it to the shell that the image has."""
    script = "set -e\n" + "\n".join(load(GITLAB)["database-smoke"]["script"])
    variables = load(GITLAB)["database-smoke"]["variables"]
    report = f"PREDEPLOY_REPORT={variables['PREDEPLOY_REPORT']}"
    example = "PREDEPLOY_SQL_DIR=/app/sql"
    where = ("--tmpfs", "/tmp", "-e", report, "-e", example)  # noqa: S108 - the image's own

    done = job(slim, "-c", script, more=(*where, "--entrypoint", "/bin/sh"))

    assert done.returncode == 0, done.stdout
    assert report_of(done)["outcome"] == "settled"
    assert shop.value(TABLES) == 42


def test_gitlab_s_database_is_the_one_of_the_service() -> None:
    job = load(GITLAB)["database-smoke"]
    url = urlsplit(job["variables"]["DATABASE_URL"])

    assert url.hostname == job["services"][0]["alias"]
    assert url.password == job["variables"]["POSTGRES_PASSWORD"]
