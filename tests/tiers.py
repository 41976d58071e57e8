"""The three forms of the suite: `make test` runs the short, `.ci/run` the long, `make full` all.

- Short (`--one-in=12`): all unit tests, and one in twelve cases of the tests with a server.
- Long: all cases, and the tests marked `dear`. Also used by pytest with the name of a file or test.
- Full (FULL=1): also the tests marked `slow`, and all cases where the other forms take a sample.

A case that pytest is given by its name in brackets always runs.

With the CHAOS_SEED that the header prints, the same cases are chosen again.
"""

import math
import os
import random
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

# Set before the workers of xdist start, so that all of them take the same sample.
os.environ.setdefault("CHAOS_SEED", str(secrets.randbelow(10**6)))
FULL = os.environ.get("FULL") == "1"


def sampled(cases: Iterable[Any], count: int) -> list[Any]:
    """Return all cases as parameters; mark all but `count`, chosen by CHAOS_SEED, as slow."""
    known = list(cases)
    taken = set(drawn(range(len(known)), count))
    return [
        case if number in taken else pytest.param(case, marks=pytest.mark.slow)
        for number, case in enumerate(known)
    ]


def drawn(cases: Sequence[Any], count: int) -> list[Any]:
    """Return `count` of the cases, chosen by CHAOS_SEED, or all if there are fewer."""
    return _chance().sample(cases, min(count, len(cases)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--one-in",
        type=int,
        default=0,
        help="the short form: leave out what is dear, and take one in so many cases of a test",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that this form does not run; with `-m`, leave the selection to pytest."""
    if config.getoption("-m"):
        return
    kept = items if FULL else not_slow(items, config.args)
    one_in = config.getoption("--one-in")
    if one_in and not FULL:
        kept = short(kept, one_in)
    wanted = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = kept


def not_slow(items: Sequence[pytest.Item], named: Sequence[str]) -> list[pytest.Item]:
    """Return the items without those marked `slow`, unless they are `named` with their case."""
    return [
        item
        for item in items
        if ("[" in item.nodeid and item.nodeid in named) or not item.get_closest_marker("slow")
    ]


def short(items: Sequence[pytest.Item], one_in: int) -> list[pytest.Item]:
    """Return the items of the short form, in order: one in `one_in` cases of each test.

    No test marked `dear` is included, and all unit tests are, because they are cheap. Every other
    test is included with at least one case.
    """
    cases = defaultdict(list)
    for item in items:
        if not item.get_closest_marker("dear"):
            cases[item.nodeid.partition("[")[0]].append(item)
    chance = _chance()
    taken = {
        item
        for name, known in cases.items()
        for item in (
            known
            if name.startswith("tests/unit/")
            else chance.sample(known, math.ceil(len(known) / one_in))
        )
    }
    return [item for item in items if item in taken]


def pytest_report_header(config: pytest.Config) -> str:
    given = "TEST_DATABASE_URL" if os.environ.get("TEST_DATABASE_URL") else ""
    server = given or os.environ.get("TEST_POSTGRES_BIN") or "the wheel"
    form = "full" if FULL else "short" if config.getoption("--one-in") else "long"
    return f"server: {server}; form: {form}; CHAOS_SEED={os.environ['CHAOS_SEED']}"


def _chance() -> random.Random:
    return random.Random(int(os.environ["CHAOS_SEED"]))  # noqa: S311 - no secret
