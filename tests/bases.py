"""Stand-ins for the public images that the repository's files name, made of Debian's packages.

They are kept in the virtual environment's folder until `make clean`. `.ci/run` makes them while it
does other things: `python tests/bases.py`.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_HOME = Path(__file__).resolve().parents[1] / ".venv" / "bases"
# Suite, packages and mmdebstrap's variant of each image.
_BASES = {
    "python:3.13-slim": ("trixie", "python3,python3-venv,ca-certificates", "apt"),
    "debian:trixie-slim": ("trixie", "", "essential"),
    "node:22-slim": ("bookworm", "nodejs", "apt"),
}
_FOR_FULL = {"debian:bookworm-slim": ("bookworm", "", "essential")}  # only tests marked `slow`
_LEFT_OUT = ("doc", "man", "locale", "info")


def archives() -> list[tuple[str, Path]]:
    """Return each image's name and its archive, which is made if it is not there.

    Raises CalledProcessError with what mmdebstrap said.
    """
    wanted = _BASES | (_FOR_FULL if os.environ.get("FULL") == "1" else {})
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / "lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        source = mirror()
        with ThreadPoolExecutor(2) as two_at_a_time:
            made = two_at_a_time.map(lambda item: _archive(*item, source), wanted.items())
            return list(zip(wanted, made, strict=True))


def _archive(name: str, base: tuple[str, str, str], source: str) -> Path:
    archive = _HOME / f"{name.replace(':', '-')}.tar"
    if archive.exists():
        return archive
    suite, packages, variant = base
    unfinished = archive.with_suffix(".part.tar")
    command = [
        *("mmdebstrap", "--quiet", f"--variant={variant}"),
        *([f"--include={packages}"] if packages else []),
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in _LEFT_OUT),
        *(suite, str(unfinished), source),
    ]
    # When it fails it ends its whole process group.
    subprocess.run(command, check=True, capture_output=True, timeout=280, start_new_session=True)
    return unfinished.rename(archive)


def mirror() -> str:
    """Return the Debian mirror that this machine's apt uses; an empty string if it has none."""
    if not shutil.which("apt-get"):
        return ""
    if not (found := _listed_mirrors()):  # apt knows the origin only after an update
        subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
        found = _listed_mirrors()
    return next((line for line in found if "security" not in line), "")


def _listed_mirrors() -> list[str]:
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    return subprocess.run(
        [*command, "Origin: Debian"], check=True, capture_output=True, text=True
    ).stdout.splitlines()


if __name__ == "__main__":
    try:
        archives()
    except subprocess.CalledProcessError as error:
        sys.exit(error.stderr.decode(errors="replace"))
