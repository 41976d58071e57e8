"""What goes into the image: pinned, named, and built by files that a linter has nothing against."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from conftest import ROOT
from containers import Engine
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.dear

BIN = Path(sys.executable).parent
REQUIREMENTS = ROOT / "requirements.txt"
OURS = [
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*"), *ROOT.glob("deploy/**/*"), *ROOT.glob("tests/container/**/*"))
]
DOCKERFILES = [path for path in OURS if Path(path).name.startswith("Dockerfile")]
COMPOSE = [path for path in OURS if re.search(r"(^|/)(docker-)?compose[^/]*\.ya?ml$", path)]
HASH = re.compile(r" --hash=sha256:[0-9a-f]{64}")


def lint(program: str, *paths: str) -> None:
    done = subprocess.run(
        [BIN / program, *paths], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_dockerfile_is_clean() -> None:
    assert {"Dockerfile", "deploy/railway/app/Dockerfile"} <= set(DOCKERFILES)

    lint("hadolint", *DOCKERFILES)


def test_every_compose_file_is_clean() -> None:
    """But for what its .compose-lint.yml excepts, with the reasons."""
    assert COMPOSE == ["deploy/compose/compose.yaml"]

    config = ("--config", "deploy/compose/.compose-lint.yml", "--strict-config")
    lint("compose-lint", "check", "--fail-on=low", *config, *COMPOSE)


def pinned() -> Iterator[tuple[Requirement, int]]:
    """Every requirement of the file, and how many hashes it has."""
    text = REQUIREMENTS.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if not line.startswith("#"):
            yield Requirement(HASH.sub("", line)), len(HASH.findall(line))


def asked_for() -> Iterator[Requirement]:
    """What pyproject.toml asks for here, and what that asks for in turn."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(line) for line in project["dependencies"]]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        yield requirement
        for line in requires(requirement.name) or ():
            further = Requirement(line)
            extras = requirement.extras or {""}
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(further)


def test_every_requirement_is_one_version_with_hashes() -> None:
    """No URL, no index, no range; and the file says how it is made."""
    text = REQUIREMENTS.read_text()
    assert text.splitlines()[1] == "#    make requirements"
    assert "://" not in text
    assert "\n-" not in text
    for requirement, hashes in pinned():
        assert re.fullmatch(r"==[0-9][0-9.a-z]*", str(requirement.specifier)), requirement
        assert hashes, requirement


def test_what_is_pinned_is_what_pyproject_asks_for() -> None:
    """No more, no less, and within its ranges."""
    versions = {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement, _ in pinned()
        if requirement.marker is None or requirement.marker.evaluate()
    }
    asked = list(asked_for())

    assert versions.keys() == {canonicalize_name(requirement.name) for requirement in asked}
    for requirement in asked:
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {version}"


@pytest.mark.xdist_group("engine")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("target", "more"), [("slim", ()), ("distroless", ("IMAGE=predeploy:distroless",))]
)
def test_the_image_s_parts_are_named(
    request: pytest.FixtureRequest,
    engine: Engine,
    tmp_path: Path,
    target: str,
    more: tuple[str, ...],
) -> None:
    """Also where no package manager is: wheels, what these bundle, libc and OpenSSL."""
    request.getfixturevalue(target)
    subprocess.run(
        ["make", "sbom", f"DIST={tmp_path}", f"DOCKER={engine.client}", *more],
        cwd=ROOT,
        env=engine.environ,
        check=True,
    )

    document = json.loads((tmp_path / "predeploy.spdx.json").read_text())
    parts = {part["name"]: part.get("versionInfo") for part in document["packages"]}
    expected = {
        requirement.name: str(requirement.specifier).removeprefix("==")
        for requirement, _ in pinned()
        if requirement.marker is None or requirement.name == "psycopg-binary"
    }
    assert expected.items() <= parts.items()
    assert {"libc6", "libssl3t64", "cyrus-sasl-lib"} <= parts.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["predeploy.spdx.json"]
