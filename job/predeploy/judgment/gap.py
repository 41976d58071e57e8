"""Numbers that a sequence has skipped, and the files that depend on them. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from predeploy.contract.statement import Statement
from predeploy.contract.step import Step

_NUMBER = re.compile(r"(?<![\w.$\"])\d+(?![\w.\"])")
_WORD = re.compile(r"\w+")
_WRITES_OR_ASKS = frozenset((
    "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt", "select_stmt",
    "do_stmt", "call_stmt", "",
))  # fmt: skip
_HEAD = re.compile(r"insert\s+into\s+[^\s(]+\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that holds numbers of a sequence: the one it is for, or one that refers to that."""

    table: str
    name: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A sequence that continues with `actual`; under psql it would continue with `expected`."""

    sequence: str
    expected: int
    actual: int
    columns: tuple[Column, ...] = ()

    def __str__(self) -> str:
        """Return the text for a message."""
        return (
            f"sequence {self.sequence} went on with {self.actual} and not with {self.expected}, "
            "because a try that was rolled back had drawn from it"
        )


def relies_on(step: Step, gap: Gap) -> bool:
    """Whether the step has numbers written out where those of the sequence belong.

    Judged by words: a statement with a number that names a table and a column of the sequence, or
    an INSERT without a column list. It errs towards asking once too often; no row becomes wrong.
    """
    return any(
        _may_have_ids(statement, gap.columns)
        for statement in step.statements
        if statement.node in _WRITES_OR_ASKS
    )


def _may_have_ids(statement: Statement, columns: Iterable[Column]) -> bool:
    text = f"{statement.text} {statement.data or ''}".lower()
    if not _NUMBER.search(text):
        return False
    words = set(_WORD.findall(text))
    names_none = statement.node == "insert_stmt" and not _HEAD.match(statement.text)
    return any(
        _has(words, column.table) and (names_none or _has(words, column.name)) for column in columns
    )


def _has(words: set[str], name: str) -> bool:
    return words.issuperset(_WORD.findall(name.lower()))
