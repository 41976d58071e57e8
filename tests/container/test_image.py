"""The image, built and run as its users do, with every hardening flag."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import ROOT, Database
from containers import HARDENED, PASSWORD, Engine, Host, Job, report_of
from production import has_ledger, until

pytestmark = [pytest.mark.dear, pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
TARGETS = ("slim", "distroless")
PYTHON = (
    *("/opt/predeploy/lib/ld.so", "--library-path", "/opt/predeploy/lib"),
    *("/opt/predeploy/bin/python3", "-IS", "-c"),
)
EXAMPLE = ("-e", "PREDEPLOY_SQL_DIR=/app/sql")
TABLES = "select count(*) from pg_tables where schemaname = 'public'"


@pytest.fixture(params=TARGETS)
def image(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def mounted(root: Path, files: dict[str, str]) -> Sequence[str]:
    """Write an SQL folder and return the arguments that mount it at /sql."""
    sql = root / "sql"
    for path, text in files.items():
        (sql / path).parent.mkdir(parents=True, exist_ok=True)
        (sql / path).write_text(text)
    return ("--volume", f"{sql}:/sql:ro")


@pytest.mark.parametrize("command", ["run", "plan", "verify"])
def test_without_a_folder_it_ends_with_66(
    image: str, job: Job, shop: Database, command: str
) -> None:
    """Somebody forgot to mount /sql: the example is never applied to a stranger's database."""
    shop.execute("create table customers (id int)")

    done = job(image, command)

    assert done.returncode == 66, done.stdout
    assert "the SQL folder /sql does not exist; mount it" in report_of(done)["message"]
    assert shop.value(TABLES) == 1
    assert not has_ledger(shop)


def test_an_empty_mount_ends_with_66(image: str, job: Job, shop: Database, tmp_path: Path) -> None:
    """Docker makes an empty folder of `--volume ./sqll:/sql`."""
    done = job(image, more=("--volume", f"{tmp_path}/sqll:/sql"))

    assert done.returncode == 66, done.stdout
    assert "the SQL folder /sql is empty" in report_of(done)["message"]
    assert shop.value(TABLES) == 0


def test_the_example_makes_42_tables_and_settles_where_it_is_named(
    image: str, job: Job, shop: Database
) -> None:
    """Empty: 0 and 42 tables. Again: settled."""
    first = job(image, more=EXAMPLE)
    assert first.returncode == 0, first.stdout
    assert shop.value(TABLES) == 42

    again = job(image, more=EXAMPLE)

    assert (again.returncode, report_of(again)["outcome"]) == (0, "settled")


def test_a_broken_migration_is_80(image: str, job: Job, shop: Database, tmp_path: Path) -> None:
    sql = mounted(
        tmp_path, {"migrations/0001_it.sql": "create table t (id int);\ncreate tabel u ()"}
    )

    done = job(image, more=sql)

    assert done.returncode == 80, done.stdout
    assert "0001_it.sql:2:8" in report_of(done)["message"]
    assert shop.value(TABLES) == 0


def test_a_wrong_password_is_77_and_not_shown(
    image: str, job: Job, db: Host, shop: Database
) -> None:
    url = db.inside(shop).replace(PASSWORD, "not-the-password")

    done = job(image, more=(*EXAMPLE, "-e", f"DATABASE_URL={url}"))

    assert done.returncode == 77, done.stdout
    assert "not-the-password" not in done.stdout


def test_docker_stop_in_a_slow_statement_is_143_within_a_second(
    engine: Engine, image: str, db: Host, shop: Database, tmp_path: Path
) -> None:
    """As PID 1 the job hears SIGTERM, cancels on the server, and frees the lock."""
    sql = mounted(tmp_path, {"migrations/0001_it.sql": "select pg_sleep(60)"})
    name = f"stopped-{shop.name}"
    where = ("--network", db.network, "-e", f"DATABASE_URL={db.inside(shop)}")
    engine.docker("run", "--detach", "--name", name, *HARDENED, *where, *sql, image)
    until(
        lambda: shop.value("select count(*) from pg_stat_activity where wait_event = 'PgSleep'"),
        "it",
    )

    began = time.monotonic()
    engine.docker("stop", name)
    took = time.monotonic() - began

    code = engine.docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip()
    logs = engine.docker("logs", name).stdout
    engine.docker("rm", name)
    assert code == "143", logs
    # The engine's own part is some tenths; its grace, which a deaf PID 1 uses up, is ten seconds.
    assert took < 2, f"{took:.2f} s\n{logs}"
    assert '"duration_s"' in logs.splitlines()[-1]
    assert shop.value("select count(*) from pg_locks where locktype = 'advisory'") == 0
    assert shop.value("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 0


def test_any_user_may_run_it(image: str, job: Job) -> None:
    """OpenShift gives a container a user of its own choice, in group 0, without a home."""
    assert job(image, "plan", more=(*EXAMPLE, "--user", "1000770000:0")).returncode == 0


def test_a_shell_may_start_it(slim: str, job: Job) -> None:
    """Railway and others hand their command to /bin/sh."""
    script = "predeploy plan && predeploy explain 80"

    done = job(slim, "-c", script, more=(*EXAMPLE, "--entrypoint", "/bin/sh"))

    assert done.returncode == 0, done.stdout
    assert "80 failed" in done.stdout


def test_there_is_no_shell_in_distroless(engine: Engine, distroless: str) -> None:
    done = engine.docker(
        "run", "--rm", "--entrypoint", "/bin/sh", distroless, "-c", ":", check=False
    )

    assert done.returncode == 127


def test_what_the_image_says_of_itself(engine: Engine, image: str) -> None:
    config = engine.config(image)

    assert config["User"] == "65532:65532"
    assert (config["Entrypoint"], config["Cmd"]) == (["predeploy"], ["run"])
    assert not config.get("Volumes")
    assert not config.get("ExposedPorts")
    assert not config.get("Healthcheck")
    labels = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
    assert labels >= {"title", "description", "licenses", "version", "revision"}


def test_every_module_is_compiled(engine: Engine, slim: str) -> None:
    """A read-only root cannot do it later, and what is cached must not ask for times."""
    listing = """
import pathlib, sys
root = pathlib.Path("/opt/predeploy/lib")
for source in root.rglob("*.py"):
    cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    if not cached.exists() or cached.read_bytes()[4:8] != bytes((1, 0, 0, 0)):
        print(source)
"""
    done = engine.docker(*("run", "--rm", "--entrypoint", PYTHON[0], slim), *PYTHON[1:], listing)

    assert done.stdout == ""


def test_every_module_of_ours_can_be_imported(engine: Engine, image: str) -> None:
    """The standard library in the tree lacks nothing that a later command would ask for."""
    script = """
import importlib, pkgutil, sys
sys.path.insert(0, "/opt/predeploy/lib/predeploy")
import predeploy, psycopg, psycopg_binary, google.protobuf.json_format
for module in pkgutil.walk_packages(predeploy.__path__, "predeploy."):
    if module.name not in ("predeploy.__main__", "predeploy.embedded", "predeploy.cli.demo"):
        importlib.import_module(module.name)
print(psycopg_binary._psycopg, predeploy.sql.read("select 1").statements)
"""
    done = engine.docker(*("run", "--rm", "--entrypoint", PYTHON[0], image), *PYTHON[1:], script)

    assert "SELECT" in done.stdout.upper()


def test_the_sizes(
    engine: Engine, slim: str, distroless: str, capsys: pytest.CaptureFixture
) -> None:
    """Under 80 MB from scratch; 150 MB over a Debian of 78 MB, which the stand-in is not."""
    base, whole = engine.size_mb("debian:trixie-slim"), engine.size_mb(slim)
    small = engine.size_mb(distroless)
    with capsys.disabled():
        print(  # noqa: T201 - the figures are wanted in CI's log
            f"\nsizes: distroless {small:.1f} MB, slim {whole:.1f} MB over a base of {base:.1f} MB"
        )

    assert small < 80
    assert whole - base < 150 - 78


@pytest.mark.slow
def test_two_builds_give_the_same_files(engine: Engine, slim: str) -> None:
    engine.build("predeploy:again", "--target=slim", "--no-cache")

    assert tree_of(engine, "predeploy:again") == tree_of(engine, slim)


def tree_of(engine: Engine, image: str) -> str:
    """Every file of ours with its mode, owner, and hash."""
    each = "-type f -printf '%m %U %G ' -exec sha256sum {} \\;"
    script = f"cd /; find opt/predeploy app usr/local {each} | sort -k5"
    done = engine.docker("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", script)
    assert "opt/predeploy/bin/predeploy" in done.stdout
    return done.stdout


def test_the_readmes_commands_work(engine: Engine, slim: str, database: Database) -> None:
    """Verbatim in a shell, on the shipped folder and a server on this host."""
    readme = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```sh\n(docker build.*?)```", readme, re.DOTALL)
    build, run = block.splitlines()
    assert (build, slim) == ("docker build --tag predeploy .", "predeploy")
    environ = {**engine.environ, "DATABASE_URL": database.url}

    done = Engine(environ, "/bin/sh").docker("-c", run)

    assert report_of(done)["outcome"] == "ok"
    assert database.value(TABLES) == 42
