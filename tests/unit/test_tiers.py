"""The short form drops no test but those that are dear, and of many cases takes some."""

from dataclasses import dataclass

import pytest
from tiers import short


@dataclass(frozen=True)
class Item:
    """What the choice asks of a test."""

    nodeid: str
    dear: bool = False

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return pytest.mark.dear.mark if self.dear and name == "dear" else None


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
