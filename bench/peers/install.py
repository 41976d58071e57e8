"""Installs peers from the package registries, once, each into a separate folder."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness import ROOT, BenchError

# Ignored by git, and removed by `make clean`.
_CACHE = ROOT / ".venv" / "peers"
_STAMP = "installed"
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>bench</groupId><artifactId>peer</artifactId><version>1</version>
  <dependencies>{}</dependencies>
</project>
"""
_DEPENDENCY = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)


@dataclass(frozen=True, slots=True)
class Install:
    """What is installed, and the commands that do it in the tool's folder, `{home}`.

    `files` are written there first.
    """

    what: str
    commands: tuple[tuple[str, ...], ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> str:
        """Return a program that the commands need and that is not installed, or an empty string."""
        return next((c[0] for c in self.commands if not shutil.which(c[0])), "")


def here(what: str) -> Install:
    """Return an Install for what this checkout already has."""
    return Install(what)


def npm(*packages: str) -> Install:
    """Return an Install from npm's registry."""
    quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
    return Install(" ".join(packages), (("npm", "install", *quiet, "--prefix", ".", *packages),))


def pip(*packages: str) -> Install:
    """Return an Install from PyPI into a virtual environment."""
    quiet = ("--quiet", "--disable-pip-version-check")
    return Install(
        " ".join(packages),
        (
            (sys.executable, "-m", "venv", "."),
            (sys.executable, "-m", "pip", "--python", "bin/python", "install", *quiet, *packages),
        ),
    )


def go(package: str, *, tags: str = "") -> Install:
    """Return an Install that builds a command from the Go module proxy."""
    return Install(
        package.removeprefix("github.com/"),
        (("go", "install", f"-tags={tags}", package),),
        # One package at a time: this may run while something else is being measured.
        {"GOBIN": "{home}/bin", "CGO_ENABLED": "0", "GOFLAGS": "-p=1"},
    )


def debian(package: str) -> Install:
    """Return an Install that unpacks a Debian package and its missing dependencies."""
    fetch = ("apt-get", "install", "--yes", "-qq", "--download-only", "--no-install-recommends")
    archives = ("-o", "Dir::Cache::archives={home}/archives", "-o", "Debug::NoLocking=1")
    unpack = 'for each in archives/*.deb; do dpkg -x "$each" .; done'
    return Install(
        f"Debian's {package}",
        (
            ("mkdir", "-p", "archives/partial"),
            (*fetch, *archives, package),
            ("sh", "-c", unpack),
        ),
    )


def maven(*artifacts: str, main: str = "") -> Install:
    """Return an Install that fetches `group:artifact:version` and dependencies as jars.

    With `main`, it also compiles that as Main.java.
    """
    wanted = "".join(_DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts)
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
    fetch = ("mvn", "--quiet", "--batch-mode", copy, "-DoutputDirectory=jars")
    compiled = (("javac", "-cp", "jars/*", "Main.java"),) if main else ()
    files = {"pom.xml": _POM.format(wanted)} | ({"Main.java": main} if main else {})
    return Install(" ".join(artifacts), (fetch, *compiled), files=files)


def installed(name: str, install: Install) -> Path:
    """Return the folder of an installed tool. Raises BenchError if it cannot be installed."""
    home = _CACHE / re.sub(r"\W+", "-", name)
    stamp = home / _STAMP
    _CACHE.mkdir(parents=True, exist_ok=True)
    # Several processes may want the same tool, as tests that run side by side do.
    with (_CACHE / f"{home.name}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != repr(install):
            if program := install.missing():
                raise BenchError(f"{Path(program).name} is not here")
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            _install(home, install)
            stamp.write_text(repr(install))
    return home


def _install(home: Path, install: Install) -> None:
    for path, text in install.files.items():
        (home / path).write_text(text)
    environ = {name: text.format(home=home) for name, text in install.environ.items()}
    for command in install.commands:
        filled = [part.replace("{home}", str(home)) for part in command]
        done = subprocess.run(
            filled,
            cwd=home,
            env={**os.environ, **environ},
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        if done.returncode:
            # The command's output goes to the terminal only: it may name a registry's host.
            raise BenchError(f"`{' '.join(command[:2])}` failed with {done.returncode}")
