"""Runs cases in this process, either on changed code or with a trace of each line."""

import contextlib
import importlib.abc
import importlib.machinery
import io
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = ROOT / "job" / "predeploy"
_GUARDED = ("schema", "sql", "database/shadow", "database/catalog", "judgment", "layers")
_TEST = "tests/integration/test_cases.py"

Lines = dict[str, set[int]]
"""Lines by file."""


@dataclass
class Watch:
    """A pytest plugin that notes which cases pass or fail an assertion, and what lines they run."""

    is_tracing: bool
    passed: dict[str, Lines] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: Any) -> Generator[None, Any, None]:
        """Trace a test's call and note its outcome; an error does not count as a failure."""
        lines: Lines = defaultdict(set)
        tracer = _tracer(lines) if self.is_tracing else None
        threading.settrace(tracer)
        sys.settrace(tracer)
        outcome = yield
        sys.settrace(None)
        threading.settrace(None)
        name = item.callspec.id
        if outcome.excinfo is None:
            self.passed[name] = dict(lines)
        elif issubclass(outcome.excinfo[0], AssertionError):
            self.failed.add(name)
        elif issubclass(outcome.excinfo[0], pytest.skip.Exception):
            self.skipped.add(name)


def _tracer(lines: Lines) -> Any:
    """Return a trace function that notes the lines of guarded files, each until it was seen."""
    files = {str(CODE / name): name for name in guarded()}
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
    """Imports one module from a changed text."""

    def __init__(self, file: str, text: str) -> None:
        """Keep the module's name and its text; `file` is a path below job/predeploy."""
        parts = Path("predeploy", file).with_suffix("").parts
        self._name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self._text = text

    def find_spec(
        self, name: str, path: Sequence[str] | None, _: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the module as usual, and let its loader compile the changed text."""
        if name != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec
        loader: Any = spec.loader
        loader.get_code = lambda _: compile(self._text, str(spec.origin), "exec")
        return spec


def run(url: str, cases: Sequence[str], changed: tuple[str, str] | None) -> Watch:
    """Run cases in this process, and return their outcomes.

    The process must not have imported any module of predeploy yet.
    """
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
    """Return the files that cases guard, as paths below job/predeploy."""
    found = (path for part in _GUARDED for path in (CODE / part).rglob("*.py"))
    return sorted(str(path.relative_to(CODE)) for path in found)
