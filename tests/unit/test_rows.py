"""Rows of text become values by the types of their fields."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest

from predeploy.database.server.rows import typed


class Named(NamedTuple):
    name: str
    count: int
    is_ours: bool


@dataclass(frozen=True)
class Made:
    parents: tuple[int, ...]
    schemas: tuple[str, ...]
    columns: frozenset[str]
    seconds: float
    exit_code: int | None
    outcome: str | None


def test_each_column_is_read_by_its_field() -> None:
    assert typed(Named, [("t", "3", "t"), ("u", "-1", "f")]) == [
        Named("t", 3, is_ours=True),
        Named("u", -1, is_ours=False),
    ]
    assert typed(tuple[int, str], [("7", "7")]) == [(7, "7")]


def test_null_is_the_empty_value_of_the_type() -> None:
    """But None where the field may be None."""
    assert typed(Named, [(None, None, None)]) == [Named("", 0, is_ours=False)]
    assert typed(Made, [(None,) * 6]) == [Made((), (), frozenset(), 0.0, None, None)]


def test_collections_are_arrays_of_json() -> None:
    row = ("[16384, 4294967295]", '["a", "b, c"]', '["x", "x"]', "0.25", "0", "")
    made = Made((16384, 4294967295), ("a", "b, c"), frozenset({"x"}), 0.25, 0, "")
    assert typed(Made, [row]) == [made]


@pytest.mark.parametrize("row", [(), ("1",), ("1", "a", "b")])
def test_a_row_of_another_length_is_refused(row: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="zip"):
        typed(tuple[int, str], [row])
