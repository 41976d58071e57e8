"""Breaks each line that a case guards, in a copy, and sees that the case fails.

`python tests/mutation.py [WORD …]` tries all of tests/cases/guards.toml, or those with a WORD in a
case's name. Its exit status is 1 when a case still passes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from predeploy.embedded import server, wheel_binaries

ROOT = Path(__file__).resolve().parent.parent
GUARDS = ROOT / "tests" / "cases" / "guards.toml"
_TEST = "tests/integration/test_cases.py"
_PARTS = ("job", "sql", "tests")
_WORKERS = 2
_SOME_FAILED = 1  # pytest's exit status; 2 and more mean that it could not even begin


@dataclass(frozen=True)
class Guard:
    """With `old` replaced by `new` in `file`, each of the `cases` must fail."""

    file: str
    old: str
    new: str
    cases: tuple[str, ...]


def read_guards() -> tuple[Guard, ...]:
    """Return what guards.toml says."""
    found = tomllib.loads(GUARDS.read_text())["guard"]
    return tuple(Guard(g["file"], g["old"], g["new"], tuple(g["cases"])) for g in found)


def survivors(guards: tuple[Guard, ...]) -> Iterator[str]:
    """Yield what went unnoticed, on one server and one copy for all of these guards."""
    binaries = Path(os.environ.get("TEST_POSTGRES_BIN") or wheel_binaries())
    with tempfile.TemporaryDirectory() as copy, server(binaries) as started:
        for part in _PARTS:
            shutil.copytree(ROOT / part, Path(copy) / part)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for guard in guards:
            yield from _tried(guard, Path(copy), started.url())


def _tried(guard: Guard, copy: Path, url: str) -> Iterator[str]:
    target = copy / guard.file
    whole = target.read_text()
    target.write_text(whole.replace(guard.old, guard.new))
    names = [f"{_TEST}::test_a_case[{case}]" for case in guard.cases]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *names]
    environ = {**os.environ, "TEST_DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    environ["PYTHONPATH"] = str(copy / "job")  # before the checkout that is installed
    environ.pop("UPDATE_CASES", None)
    done = subprocess.run(
        command, cwd=copy, env=environ, capture_output=True, text=True, check=False
    )
    target.write_text(whole)
    for case, name in zip(guard.cases, names, strict=True):
        has_failed = done.returncode == _SOME_FAILED and f"FAILED {name}" in done.stdout
        print("." if has_failed else f"\n{case} passes without: {guard.old}", end="", flush=True)
        if not has_failed:
            yield case


def main() -> int:
    """Try the guards; return the exit status."""
    words = sys.argv[1:] or [""]
    guards = tuple(g for g in read_guards() if any(w in c for w in words for c in g.cases))
    shares = [guards[start::_WORKERS] for start in range(_WORKERS)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        found = [case for cases in pool.map(lambda s: [*survivors(s)], shares) for case in cases]
    print(f"\n{len(guards)} line(s) broken, {len(found)} case(s) did not notice")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
