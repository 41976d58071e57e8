"""Files with a part that migrates and a part that undoes it, each behind a mark of its tool."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a file: the words of its mark in lower case, the mark's line, and the part's place.

    `start` is behind the mark's line, `end` before the next mark.
    """

    mark: tuple[str, ...]
    line: int
    start: int
    end: int


def sections(text: str, mark: re.Pattern[str]) -> tuple[Section, ...]:
    """Return the parts of a text in their order; `mark` finds a line, and its words as group 1."""
    found = list(mark.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    return tuple(
        Section(
            tuple(match[1].lower().split()),
            text.count("\n", 0, match.start()) + 1,
            match.end(),
            end,
        )
        for match, end in zip(found, ends, strict=True)
    )


def only(text: str, kept: Iterator[Section]) -> str:
    """Return the text with blanks for all but these parts, so that places in it stay the same."""
    at, parts = 0, []
    for section in kept:
        parts += [_blank(text[at : section.start]), text[section.start : section.end]]
        at = section.end
    return "".join([*parts, _blank(text[at:])])


def _blank(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)
