"""The short form drops no test but those that are dear, and of many cases takes some."""

from dataclasses import dataclass

import pytest
from tiers import not_slow, short


@dataclass(frozen=True)
class Item:
    """What the choice asks of a test."""

    nodeid: str
    dear: bool = False
    slow: bool = False

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        marks = {"dear": self.dear, "slow": self.slow}
        return getattr(pytest.mark, name).mark if marks.get(name) else None


def chosen(*items: Item) -> list[str]:
    return [item.nodeid for item in short(items, 12)]


def test_each_cheap_test_is_taken() -> None:
    assert chosen(Item("tests/integration/test_a.py::test_one"), Item("tests/end/b.py::two")) == [
        "tests/integration/test_a.py::test_one",
        "tests/end/b.py::two",
    ]


def test_what_is_dear_is_not() -> None:
    assert chosen(Item("tests/end/b.py::slowly[1]", dear=True)) == []


@pytest.mark.parametrize(("count", "drawn"), [(1, 1), (12, 1), (13, 2), (96, 8)])
def test_one_in_twelve_cases_is_drawn_and_one_at_least(count: int, drawn: int) -> None:
    cases = [Item(f"tests/integration/test_a.py::test_many[{n}]") for n in range(count)]
    taken = chosen(*cases)
    assert len(set(taken)) == drawn
    assert chosen(*cases) == taken


def test_unit_tests_keep_all_their_cases_in_order() -> None:
    cases = [Item(f"tests/unit/test_a.py::test_many[{n}]") for n in range(20)]
    assert chosen(*cases) == [case.nodeid for case in cases]


def test_a_case_that_is_named_runs_though_it_is_slow() -> None:
    """Others of its test are left to `make full`."""
    cases = [Item(f"tests/end/b.py::many[{n}]", slow=n > 0) for n in range(3)]

    assert not_slow(cases, []) == cases[:1]
    assert not_slow(cases, ["tests/end/b.py"]) == cases[:1]
    assert not_slow(cases, ["tests/end/b.py::many[2]"]) == [cases[0], cases[2]]
