"""The manifests' pods, played by podman: not a cluster, but a kubelet's part of one.

podman starts init containers in order and the app behind them, as a kubelet does, with the security
context of the manifest. What a cluster would add is put in: Secrets, an address, images.
"""

import copy
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from conftest import ADMIN, SQL, Database, run_job
from containers import Engine
from manifests import JOBS, KUBERNETES, blocks, commands, containers_of, pod_of
from production import until
from psycopg.conninfo import make_conninfo

from predeploy.embedded import free_port, server

pytestmark = [pytest.mark.dear, pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
IMAGE = "shop-migrations"
# What a container without systemd, a journal and a cgroup of its own needs; and nothing is shared
# with another podman on the machine.
SETTINGS = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{home}/tmp"
"""


@dataclass(frozen=True)
class Podman:
    """A podman with a storage of its own."""

    home: Path

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        where = ("--root", self.home / "root", "--runroot", self.home / "run")
        return subprocess.Popen(
            ["podman", *where, *arguments],
            env={**os.environ, "CONTAINERS_CONF": str(self.home / "containers.conf")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *arguments: str | Path, check: bool = True) -> str:
        with self.start(*arguments) as process:
            told, _ = process.communicate(timeout=280)
        assert process.returncode == 0 or not check, f"podman {arguments}\n{told}"
        return told

    def state(self, container: str) -> dict:
        (found,) = json.loads(self("inspect", container))
        return found["State"]


@pytest.fixture(scope="session")
def podman(engine: Engine, slim: str) -> Iterator[Podman]:
    """A podman that holds the image of the docs."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("podman", "runc", "catatonit"))):
        pytest.skip("no pods: it takes root, podman, runc and catatonit")
    # Not a folder of pytest's: podman refuses a path of more than 50 characters for its state.
    home = Path(tempfile.mkdtemp(prefix="podman-"))
    build(engine, slim, home / "image")
    archive = home / "image.tar"
    engine.docker("save", "--output", archive, IMAGE)
    (home / "containers.conf").write_text(SETTINGS.format(home=home))
    own = Podman(home)
    try:
        own("load", "--input", archive)
        archive.unlink()
        yield own
    finally:
        own("pod", "rm", "--all", "--force", "--time=0", check=False)
        own("rmi", "--all", "--force", check=False)
        shutil.rmtree(home, ignore_errors=True)


def build(engine: Engine, base: str, context: Path) -> None:
    """Build the image as the docs do: their Dockerfile beside a folder sql, their command."""
    (recipe,) = blocks("dockerfile")
    (command,) = (shlex.split(c)[1:] for c in commands() if c.startswith("docker"))
    assert base in recipe.split()
    assert IMAGE in command
    shutil.copytree(SQL, context / "sql")
    (context / "Dockerfile").write_text(recipe)
    engine.docker(*command, cwd=context)


@dataclass(frozen=True)
class Pod:
    """A pod that was made from a manifest's template."""

    podman: Podman
    name: str
    file: Path

    def play(self) -> subprocess.Popen[str]:
        """Start it; the command returns when the app has been started, or will not be."""
        return self.podman.start("play", "kube", self.file)

    def logs(self, container: str) -> str:
        return self.podman("logs", f"{self.name}-{container}", check=False)

    def state(self, container: str) -> dict:
        return self.podman.state(f"{self.name}-{container}")


MakePod = Callable[[dict, str], Pod]


@pytest.fixture
def make_pod(podman: Podman, tmp_path: Path) -> Iterator[MakePod]:
    made: list[Pod] = []

    def make(template: dict, url: str) -> Pod:
        pod = Pod(podman, f"pod{len(made)}", tmp_path / f"pod{len(made)}.yaml")
        made.append(pod)
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod.name}}
        pod.file.write_text(yaml.safe_dump({**about, "spec": playable(template, url, tmp_path)}))
        return pod

    yield make
    for pod in made:
        podman("pod", "rm", "--force", "--time=0", pod.name, check=False)


def playable(template: dict, url: str, folder: Path) -> dict:
    """The pod with the URL in the place of its Secret, and our image in all places."""
    pod = copy.deepcopy(template)
    pod["hostNetwork"] = True  # where the suite's server listens
    pod["restartPolicy"] = "Never"  # of those that podman 4 knows with init containers
    secret = folder / "secret"
    secret.mkdir(exist_ok=True)
    (secret / "DATABASE_URL").write_text(url)
    for volume in pod.get("volumes", ()):
        if volume.pop("secret", None):
            volume["hostPath"] = {"path": str(secret), "type": "Directory"}
    for container in containers_of(pod):
        container["image"] = f"localhost/{IMAGE}:latest"
        for variable in container.get("env", ()):
            if variable.pop("valueFrom", None):
                variable["value"] = url
        if container["name"] == "shop":
            container["command"] = ["sleep", "1000"]
    return pod


@pytest.fixture
def app() -> dict:
    """The pod template of the Deployment."""
    return pod_of(yaml.safe_load((KUBERNETES / "init-container.yaml").read_text()))


def has_exited(pod: Pod, container: str) -> bool:
    return pod.state(container)["Status"] == "exited"


def test_an_app_does_not_start_on_a_database_that_is_not_ready(
    app: dict, make_pod: MakePod, database: Database
) -> None:
    """The same as the manifest's, but that it does not wait: 82, and the app was never started."""
    app["initContainers"][0]["args"] = ["verify"]
    pod = make_pod(app, database.url)

    told, _ = pod.play().communicate()

    assert "exited with code 82" in told
    assert "0001_accounts.sql has not been applied" in pod.logs("verify")
    assert pod.state("shop")["Status"] == "created"


def test_an_app_does_not_start_with_a_role_that_may_not_read(
    app: dict, make_pod: MakePod, thekeyn: Database
) -> None:
    """The database is ready, but the reader has no grants: 77, without waiting."""
    role = f"{thekeyn.name}_reader"
    thekeyn.execute(f"create role {role} login password 'shop'")
    pod = make_pod(app, make_conninfo(thekeyn.url, user=role, password="shop"))

    told, _ = pod.play().communicate()

    thekeyn.execute(f"drop role {role}")
    assert "exited with code 77" in told
    assert "permission denied for schema predeploy" in pod.logs("verify")
    assert pod.state("shop")["Status"] == "created"


def test_an_app_waits_for_a_late_database_and_for_its_migration(
    app: dict, make_pod: MakePod, binaries: Path
) -> None:
    """The pod is there first, then the server, then the Job: and the app starts."""
    port = free_port()
    pod = make_pod(app, f"postgresql://postgres@127.0.0.1:{port}/postgres")
    playing = pod.play()
    until(lambda: "nothing is listening there" in pod.logs("verify"), "a try to connect")

    with server(binaries, port=port) as late:
        until(lambda: "not verified yet" in pod.logs("verify"), "a look at the database")
        before = pod.state("shop")["Status"]
        run_job("run", environ={"DATABASE_URL": late.url(), **ADMIN}, check=0)
        told, _ = playing.communicate(timeout=60)

    assert before == "created"
    assert playing.returncode == 0, told
    assert pod.state("shop")["Status"] == "running"


@pytest.mark.parametrize("manifest", JOBS, indirect=True)
def test_a_jobs_pod_migrates(
    manifest: dict, make_pod: MakePod, database: Database, tmp_path: Path
) -> None:
    """With the URL from the Secret's file or its key; the report is the termination message."""
    message = tmp_path / "termination-log"
    message.touch()
    message.chmod(0o666)  # as the kubelet makes it
    template = pod_of(manifest)
    mount = {"name": "message", "mountPath": "/dev/termination-log"}
    volume = {"name": "message", "hostPath": {"path": str(message), "type": "File"}}
    template["containers"][0].setdefault("volumeMounts", []).append(mount)
    template.setdefault("volumes", []).append(volume)
    pod = make_pod(template, database.url)

    pod.play().communicate()
    until(lambda: has_exited(pod, "predeploy"), "the end")

    assert pod.state("predeploy")["ExitCode"] == 0, pod.logs("predeploy")
    assert database.value("select count(*) from pg_tables where schemaname = 'public'") == 42
    assert message.read_text() == pod.logs("predeploy").splitlines()[-1]
    assert json.loads(message.read_text())["outcome"] == "ok"
