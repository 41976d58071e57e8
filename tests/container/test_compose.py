"""db -> predeploy -> app, as the compose file has it: success starts the app, failure does not."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from containers import PASSWORD, Engine
from production import until

pytestmark = [pytest.mark.dear, pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
FOLDER = ROOT / "deploy/compose"

Compose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def compose(engine: Engine, slim: str, postgres: str) -> Iterator[Compose]:
    """Runs `docker compose` on the file, as a project of the test's own."""
    assert (slim, postgres) == ("predeploy", "postgres:18")
    project = f"test-{uuid.uuid4().hex[:8]}"
    if engine.docker("compose", "version", check=False).returncode:
        pytest.skip("no docker compose")

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        more = {"POSTGRES_PASSWORD": PASSWORD, **environ}
        with_more = Engine({**engine.environ, **more}, engine.client)
        command = ("compose", "--project-name", project, *arguments)
        return with_more.docker(*command, cwd=FOLDER, check=False)

    yield run
    run("down", "--volumes", "--timeout=1")


def test_the_app_starts_when_the_database_is_ready(compose: Compose) -> None:
    """And an `up` after that, with nothing to do for the job, leaves it running."""
    up = compose("up", "--detach")
    assert up.returncode == 0, up.stdout
    until(lambda: "hello from a database" in compose("logs", "app").stdout, "the app's greeting")

    again = compose("up", "--detach")

    assert again.returncode == 0, again.stdout
    assert '"outcome":"settled"' in compose("logs", "predeploy").stdout
    assert compose("ps", "--status=running", "--services").stdout.split() == ["app", "db"]


def test_the_app_does_not_start_when_a_migration_fails(compose: Compose, tmp_path: Path) -> None:
    """`up` ends with 1, and the log says why."""
    broken = tmp_path / "sql/migrations/0001_broken.sql"
    broken.parent.mkdir(parents=True)
    broken.write_text("create tabel greeting ()")

    up = compose("up", "--detach", SQL_DIR=str(tmp_path / "sql"))

    assert up.returncode == 1, up.stdout
    assert '"exit_code":80' in compose("logs", "predeploy").stdout
    assert compose("ps", "--status=running", "--services").stdout.split() == ["db"]


def test_without_a_password_nothing_starts(compose: Compose) -> None:
    done = compose("up", "--detach", POSTGRES_PASSWORD="")

    assert done.returncode != 0
    assert "set a password for the database" in done.stdout
