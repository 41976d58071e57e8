"""Finds, for each case of the desired state, a change of the code that makes the case fail.

`python tests/mutation.py [WORD …]` tries the cases with a WORD in their name, or all. Code that few
other cases run is changed first (see `mutants`). A case that no change fails does not guard
anything by itself: it is listed with the changes that were tried, and the exit status is 1, unless
the case is a known exception.
"""

import ast
import contextlib
import multiprocessing
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing.pool import Pool
from pathlib import Path

import mutants
from mutated import CODE, ROOT, Lines, Watch, guarded, run

from predeploy.embedded import server, wheel_binaries

_TRIES = 80
_AT_A_TURN = 2  # changes of one function before another has its turn
_BACKGROUND = 12  # further cases that are traced to find out which lines are run by many
_TRACED_AT_ONCE = 12
_PATIENCE_S = 600
# These cases test that nothing further is compared, which no change of existing code can violate.
_AGAINST_MORE = frozenset({"normal-form/views", "grant/extra-where-nobody-speaks-of-it"})
_WORKERS = int(os.environ.get("WORKERS") or os.cpu_count() or 1)
_WARM = multiprocessing.get_context("forkserver")
_PRELOADED = ["pytest", "hypothesis", "psycopg", "psycopg.sql", "postgast", "structlog", "bcrypt"]


class Ground:
    """The code, the lines that each case runs, and servers on which changes are tried."""

    def __init__(self, pool: Pool, urls: Sequence[str]) -> None:
        """Read the code; nothing is traced yet."""
        self._pool, self._urls = pool, list(urls)
        self._one_at_a_time = threading.Lock()  # a tree is changed for a moment
        self._trees = {name: ast.parse((CODE / name).read_text()) for name in guarded()}
        enums = {k: v for tree in self._trees.values() for k, v in mutants.members(tree).items()}
        self._changes = {name: mutants.changes(tree, enums) for name, tree in self._trees.items()}
        self._runs: dict[str, Lines] = {}
        self._shares: dict[str, Counter[int]] = defaultdict(Counter)

    def trace(self, cases: Sequence[str]) -> None:
        """Find out which lines the cases run, except for cases of other server versions.

        Raises RuntimeError if a case fails without any change.
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
            for name in lines:
                lines[name] |= mutants.lines_outside(self._trees[name])
                self._shares[name].update(lines[name])

    def verdicts(self, cases: Sequence[str]) -> Iterator["Verdict"]:
        """Yield the verdict on each case that was traced, after trying to make it fail."""
        with ThreadPoolExecutor(len(self._urls)) as threads:
            yield from threads.map(self._verdict, [c for c in cases if c in self._runs])

    def _verdict(self, case: str) -> "Verdict":
        began, tried = time.monotonic(), []
        for share, name, change in islice(self._order(case), _TRIES):
            tried.append(f"{name}:{change.function}, {change.operator} (run by {share})")
            with self._one_at_a_time:
                text = mutants.text_with(self._trees[name], change)
            if case in self._ran([case], (name, text)).failed:
                return Verdict(case, tried, time.monotonic() - began, has_failed=True)
        return Verdict(case, tried, time.monotonic() - began, has_failed=False)

    def _order(self, case: str) -> Iterator[tuple[int, str, mutants.Change]]:
        """Yield share, file and change: a few of each function in turn, the smallest share first.

        The share of a line is the number of traced cases that run it.
        """
        found = []
        for name, lines in self._runs[case].items():
            shares = {line: self._shares[name][line] for line in lines}
            for turn, share, change in mutants.ranked(self._changes[name], shares):
                found.append((turn // _AT_A_TURN, share, turn, name, change))
        for _, share, _, name, change in sorted(found, key=lambda entry: entry[:4]):
            yield share, name, change

    def _ran(self, cases: Sequence[str], changed: tuple[str, str] | None) -> Watch:
        url = self._urls.pop()  # one for each thread
        try:
            return self._pool.apply_async(run, (url, cases, changed)).get(_PATIENCE_S)
        finally:
            self._urls.append(url)


@dataclass(frozen=True)
class Verdict:
    """The changes tried on a case; if the case has failed, the last one made it fail."""

    case: str
    tried: list[str]
    seconds: float
    has_failed: bool

    def __str__(self) -> str:
        """Return one line for a case that failed; otherwise also a line for each change tried."""
        if self.has_failed:
            return f"{self.case}  {self.tried[-1]}  [{len(self.tried)}, {self.seconds:.1f} s]"
        return "\n    ".join([f"{self.case}  guards nothing of its own; tried:", *self.tried])


@contextlib.contextmanager
def grounds() -> Iterator[Ground]:
    """Start a server for each worker, and yield the Ground; stop the servers at the end."""
    binaries = Path(os.environ.get("TEST_POSTGRES_BIN") or wheel_binaries())
    _WARM.set_forkserver_preload(_PRELOADED)
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(server(binaries)).url() for _ in range(_WORKERS)]
        yield Ground(stack.enter_context(_WARM.Pool(_WORKERS, maxtasksperchild=1)), urls)


def main(words: Sequence[str]) -> int:
    """Try the cases with one of the words in their names, or all; return the exit status."""
    known = sorted(
        f"{path.parent.parent.name}/{path.parent.name}"
        for path in (ROOT / "tests" / "cases").glob("*/*/current.sql")
    )
    asked = [case for case in known if not words or _is_asked(case, words, known)]
    others = [case for case in known if case not in asked]
    chance = random.Random(0)  # noqa: S311 - the same ones each time
    common = chance.sample(others, min(_BACKGROUND, len(others)))
    with grounds() as ground:
        ground.trace([*asked, *common])
        found = []
        for verdict in ground.verdicts(asked):
            print(verdict, flush=True)
            found.append(verdict)
    _print_sum(asked, found)
    is_fine = all(verdict.has_failed or verdict.case in _AGAINST_MORE for verdict in found)
    return 0 if asked and is_fine else 1


def _is_asked(case: str, words: Sequence[str], known: Sequence[str]) -> bool:
    """Whether a word selects a case; a word that is a case's full name selects only that case."""
    return any(word == case or (word in case and word not in known) for word in words)


def _print_sum(asked: Sequence[str], found: Sequence[Verdict]) -> None:
    killed = [verdict for verdict in found if verdict.has_failed]
    print(f"{len(killed)} of {len(found)} cases guard something;", end=" ")
    print(f"{len(asked) - len(found)} are for other servers;", end=" ")
    if found:
        tries = sum(len(verdict.tried) for verdict in found) / len(found)
        seconds = sum(verdict.seconds for verdict in found) / len(found)
        print(f"{tries:.1f} changes and {seconds:.1f} s a case", end="")
    print()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
