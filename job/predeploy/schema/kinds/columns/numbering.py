"""The parameters of a sequence, its own or an identity's, and which changes narrow nothing.

https://www.postgresql.org/docs/current/sql-altersequence.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_OPTION = re.compile(r"(START WITH|INCREMENT BY|MINVALUE|MAXVALUE|CACHE) (-?\d+)")


@dataclass(frozen=True, slots=True)
class Numbering:
    """The parameters of a sequence; `type` is smallint, integer or bigint."""

    type: str
    start: int
    increment: int
    lowest: int
    highest: int
    cache: int
    cycles: bool


def read_numbering(type_name: str, options: str) -> Numbering:
    """Parse a fact's sequence options; omitted ones have the defaults of an ascending sequence."""
    found = {name: int(value) for name, value in _OPTION.findall(options)}
    lowest = found.get("MINVALUE", 1)
    return Numbering(
        type_name,
        found.get("START WITH", lowest),
        found.get("INCREMENT BY", 1),
        lowest,
        found.get("MAXVALUE", _LARGEST.get(type_name, _LARGEST["bigint"])),
        found.get("CACHE", 1),
        options.endswith("CYCLE"),
    )


def is_safe(desired: Numbering, live: Numbering) -> bool:
    """Whether every number that the live sequence may return is also valid for the desired one.

    Both must count in the same direction: otherwise numbers would be returned a second time.
    """
    is_as_wide = _LARGEST.get(desired.type, 0) >= _LARGEST.get(live.type, 0)
    is_as_long = desired.lowest <= live.lowest and desired.highest >= live.highest
    return is_as_wide and is_as_long and (desired.increment > 0) == (live.increment > 0)


def clauses(desired: Numbering, live: Numbering, word: str = "") -> Iterator[str]:
    """Yield the clauses of ALTER SEQUENCE for it; for a column, `word` is put before each."""
    is_other_type = desired.type != live.type
    if is_other_type and not word:
        yield f"AS {desired.type}"
    # Another type changes the default bounds, so they are written out.
    for name, wanted, there, is_needed in (
        ("INCREMENT BY", desired.increment, live.increment, False),
        ("MINVALUE", desired.lowest, live.lowest, is_other_type),
        ("MAXVALUE", desired.highest, live.highest, is_other_type),
        ("START WITH", desired.start, live.start, False),
        ("CACHE", desired.cache, live.cache, False),
    ):
        if wanted != there or is_needed:
            yield f"{word}{name} {wanted}"
    if desired.cycles != live.cycles:
        yield f"{word}{'CYCLE' if desired.cycles else 'NO CYCLE'}"
