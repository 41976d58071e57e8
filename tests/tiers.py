"""How much of the suite runs: `make test` the short form, `.ci/run` the long one, `make full` all.

- Short (`--one-in=12`): every test that is cheap; one in twelve cases with a server.
- Long: all cases, and the tests that are `dear`. So does pytest with the name of a file or a test.
- Full (FULL=1): the `slow` ones as well, and all that is a sample elsewhere.

CHAOS_SEED, which the header prints, draws the same cases again.
"""

import math
import os
import random
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

# Before the workers of xdist start, so that all of them take the same sample.
os.environ.setdefault("CHAOS_SEED", str(secrets.randbelow(10**6)))
FULL = os.environ.get("FULL") == "1"


def sampled(cases: Iterable[Any], count: int) -> list[Any]:
    """Return all cases as parameters; all but `count`, drawn by CHAOS_SEED, are slow."""
    known = list(cases)
    taken = set(drawn(range(len(known)), count))
    return [
        case if number in taken else pytest.param(case, marks=pytest.mark.slow)
        for number, case in enumerate(known)
    ]


def drawn(cases: Sequence[Any], count: int) -> list[Any]:
    """Return so many of the cases, or all where there are fewer, drawn by CHAOS_SEED."""
    return _chance().sample(cases, min(count, len(cases)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--one-in",
        type=int,
        default=0,
        help="the short form: leave out what is dear, and take one in so many cases of a test",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this form does not run; `-m slow` or `-m dear` asks for a tier by name."""
    if config.getoption("-m"):
        return
    kept = items if FULL else [item for item in items if not item.get_closest_marker("slow")]
    one_in = config.getoption("--one-in")
    if one_in and not FULL:
        kept = short(kept, one_in)
    wanted = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = kept


def short(items: Sequence[pytest.Item], one_in: int) -> list[pytest.Item]:
    """Return the short form, in order: nothing dear, one in so many of the cases of each test.

    Unit tests are all taken: they are cheap. Of every test that is not dear one case is, at least.
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
