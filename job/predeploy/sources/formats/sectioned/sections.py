"""Files with a part that migrates and a part that undoes it, each behind a mark of its tool."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from predeploy.contract.errors import SourcesError
from predeploy.sources.comments import COMMENT
from predeploy.sources.script import Script


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


def demand_marks(script: Script, found: Sequence[Section], tool: str, mark: str) -> None:
    """Raise SourcesError if a statement precedes the first of all sections, as the tool does."""
    before = "".join(script.text.splitlines(keepends=True)[: found[0].line - 1]) if found else ""
    statement = re.search(r"\S", re.sub(COMMENT, lambda comment: _blank(comment[0]), before))
    if statement:
        where = f"{script.path}:{before.count(chr(10), 0, statement.start()) + 1}"
        raise SourcesError((f"{where}: is before `{mark}`, where {tool} allows no statement",))


def _blank(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)
