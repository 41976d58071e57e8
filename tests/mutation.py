"""Finds for each case of the desired state a change of the code that makes it fail.

`python tests/mutation.py [WORD …]` tries the cases with a WORD in their name, or all. What a case
alone runs is changed first (see `mutants`). A case that no change fails guards nothing of its own:
it is named, with what was tried, and the exit status is 1.
"""

import ast
import contextlib
import importlib.abc
import importlib.machinery
import io
import multiprocessing
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import mutants
import pytest

from predeploy.embedded import server, wheel_binaries

ROOT = Path(__file__).resolve().parent.parent
_CODE = ROOT / "job" / "predeploy"
_GUARDED = ("schema", "sql", "database/shadow", "database/catalog", "layers")
_TEST = "tests/integration/test_cases.py"
_TRIES = 12
_BACKGROUND = 24  # cases that tell what is common, beside those that are asked for
_TRACED_AT_ONCE = 12
_PATIENCE_S = 600
_WORKERS = int(os.environ.get("WORKERS") or os.cpu_count() or 1)
_WARM = multiprocessing.get_context("forkserver")
_PRELOADED = ["pytest", "hypothesis", "psycopg", "psycopg.sql", "postgast", "structlog", "bcrypt"]

Lines = dict[str, set[int]]
"""Lines by file."""


@dataclass
class Watch:
    """A plugin of pytest: which cases pass, which an assertion fails, and what they run."""

    is_tracing: bool
    passed: dict[str, Lines] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[None]:
        """Trace a test's call, and note how it ended; an error is no failure."""
        lines: Lines = defaultdict(set)
        tracer = _tracer(lines) if self.is_tracing else None
        threading.settrace(tracer)  # type: ignore[arg-type]
        sys.settrace(tracer)
        outcome = yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        name = item.callspec.id
        if outcome.excinfo is None:
            self.passed[name] = dict(lines)
        elif issubclass(outcome.excinfo[0], AssertionError):
            self.failed.add(name)
        elif issubclass(outcome.excinfo[0], pytest.skip.Exception):
            self.skipped.add(name)


def _tracer(lines: Lines) -> Any:
    """Return a trace function that notes the lines of what is guarded, until it has seen them."""
    files = {str(_CODE / name): name for name in guarded()}
    left: dict[CodeType, set[int]] = {}

    def begin(frame: FrameType, _: str, __: object) -> Any:
        code = frame.f_code
        if code.co_filename not in files:
            return None
        unseen = left.setdefault(code, {line for _, _, line in code.co_lines() if line})
        return note if unseen else None

    def note(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            lines[files[frame.f_code.co_filename]].add(frame.f_lineno)
            left[frame.f_code].discard(frame.f_lineno)
        return note

    return begin


class Changed(importlib.abc.MetaPathFinder):
    """Imports one module from another text."""

    def __init__(self, file: str, text: str) -> None:
        """Take a module's file below job/predeploy, and its text."""
        parts = Path("predeploy", file).with_suffix("").parts
        self._name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self._text = text

    def find_spec(
        self, name: str, path: Sequence[str] | None, _: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the module where it is, and have its loader read the other text."""
        if name != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec
        spec.loader.get_code = lambda _: compile(self._text, spec.origin, "exec")  # type: ignore[union-attr]
        return spec


def _run(url: str, cases: Sequence[str], changed: tuple[str, str] | None) -> Watch:
    """Run cases in this process, which has imported nothing of ours, and say how they ended."""
    os.environ["TEST_DATABASE_URL"] = url
    os.environ.pop("UPDATE_CASES", None)
    os.chdir(ROOT)
    if changed:
        sys.meta_path.insert(0, Changed(*changed))
    watch = Watch(is_tracing=not changed)
    names = [f"{_TEST}::test_a_case[{case}]" for case in cases]
    options = ["--assert=plain", "--timeout=60", "-p", "no:cacheprovider", "-p", "no:xdist"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main([*options, *names], plugins=[watch])
    return watch


def guarded() -> list[str]:
    """Return the files that cases guard, as below job/predeploy."""
    found = (path for part in _GUARDED for path in (_CODE / part).rglob("*.py"))
    return sorted(str(path.relative_to(_CODE)) for path in found)


class Ground:
    """The code and what each case runs of it, and servers to try changes on."""

    def __init__(self, pool: Any, urls: Sequence[str]) -> None:
        """Read the code; nothing is traced yet."""
        self._pool, self._urls = pool, list(urls)
        self._trees = {name: ast.parse((_CODE / name).read_text()) for name in guarded()}
        enums = {k: v for tree in self._trees.values() for k, v in mutants.members(tree).items()}
        self._changes = {name: mutants.changes(tree, enums) for name, tree in self._trees.items()}
        self._runs: dict[str, Lines] = {}
        self._shares: dict[str, Counter[int]] = defaultdict(Counter)

    def trace(self, cases: Sequence[str]) -> None:
        """Find out what cases run, but for those that are for other servers.

        Raises RuntimeError when a case does not even pass unchanged.
        """
        skipped: set[str] = set()
        parts = [cases[n : n + _TRACED_AT_ONCE] for n in range(0, len(cases), _TRACED_AT_ONCE)]
        with ThreadPoolExecutor(len(self._urls)) as threads:
            for watch in threads.map(lambda part: self._ran(part, None), parts):
                self._runs |= watch.passed
                skipped |= watch.skipped
        if broken := [case for case in cases if case not in skipped | self._runs.keys()]:
            raise RuntimeError(f"without any change these do not pass: {', '.join(broken)}")
        for lines in self._runs.values():
            for name, seen in lines.items():
                seen |= mutants.lines_outside(self._trees[name])
                self._shares[name].update(seen)

    def verdicts(self, cases: Sequence[str]) -> Iterator["Verdict"]:
        """Try to fail each case that was traced."""
        with ThreadPoolExecutor(len(self._urls)) as threads:
            yield from threads.map(self._verdict, [c for c in cases if c in self._runs])

    def _verdict(self, case: str) -> "Verdict":
        began, tried = time.monotonic(), []
        for share, name, change in self._order(case)[:_TRIES]:
            tried.append(f"{name}:{change.function}, {change.operator} (run by {share})")
            text = mutants.text_with(self._trees[name], change)
            if case in self._ran([case], (name, text)).failed:
                return Verdict(case, tried, time.monotonic() - began, has_failed=True)
        return Verdict(case, tried, time.monotonic() - began, has_failed=False)

    def _order(self, case: str) -> list[tuple[int, str, mutants.Change]]:
        found = [
            (share, turn, name, change)
            for name, lines in self._runs[case].items()
            for share, turn, change in mutants.ranked(
                self._changes[name], lines, self._shares[name]
            )
        ]
        found.sort(key=lambda entry: (*entry[:2], entry[3].rank))
        return [(share, name, change) for share, _, name, change in found]

    def _ran(self, cases: Sequence[str], changed: tuple[str, str] | None) -> Watch:
        url = self._urls.pop()  # one for each thread
        try:
            return self._pool.apply_async(_run, (url, cases, changed)).get(_PATIENCE_S)
        finally:
            self._urls.append(url)


@dataclass(frozen=True)
class Verdict:
    """What was tried to fail a case; when it failed, the last of it did that."""

    case: str
    tried: list[str]
    seconds: float
    has_failed: bool

    def __str__(self) -> str:
        """Return a line, or one for each that was tried in vain."""
        if self.has_failed:
            return f"{self.case}  {self.tried[-1]}  [{len(self.tried)}, {self.seconds:.1f} s]"
        return "\n    ".join([f"{self.case}  guards nothing of its own; tried:", *self.tried])


@contextlib.contextmanager
def grounds() -> Iterator[Ground]:
    """Start a server for each worker: what cases stand on is made anew for each run."""
    binaries = Path(os.environ.get("TEST_POSTGRES_BIN") or wheel_binaries())
    _WARM.set_forkserver_preload(_PRELOADED)
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(server(binaries)).url() for _ in range(_WORKERS)]
        yield Ground(stack.enter_context(_WARM.Pool(_WORKERS, maxtasksperchild=1)), urls)


def main(words: Sequence[str]) -> int:
    """Try the cases with one of the words, or all; return the exit status."""
    known = sorted(
        f"{path.parent.parent.name}/{path.parent.name}"
        for path in (ROOT / "tests" / "cases").glob("*/*/current.sql")
    )
    asked = [case for case in known if not words or _is_asked(case, words, known)]
    others = [case for case in known if case not in asked]
    common = random.Random(0).sample(others, min(_BACKGROUND, len(others)))
    with grounds() as ground:
        ground.trace([*asked, *common])
        found = []
        for verdict in ground.verdicts(asked):
            print(verdict, flush=True)
            found.append(verdict)
    _print_sum(asked, found)
    return 1 if not found or not all(verdict.has_failed for verdict in found) else 0


def _is_asked(case: str, words: Sequence[str], known: Sequence[str]) -> bool:
    """A whole name stands for itself alone."""
    return any(word == case or (word in case and word not in known) for word in words)


def _print_sum(asked: Sequence[str], found: Sequence[Verdict]) -> None:
    killed = [verdict for verdict in found if verdict.has_failed]
    tries = sum(len(verdict.tried) for verdict in found) / max(1, len(found))
    seconds = sum(verdict.seconds for verdict in found) / max(1, len(found))
    skipped = len(asked) - len(found)
    print(
        f"{len(killed)} of {len(found)} cases guard something, {skipped} do not run here; ", end=""
    )
    print(f"{tries:.1f} changes and {seconds:.1f} s a case")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
