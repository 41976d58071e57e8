"""What the server answers: rows as text, by number or by name, and as typed values.

A query's text results are converted once, where they are received.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import psycopg
from psycopg import pq

Row = tuple[str | None, ...]
T = TypeVar("T")

SEPARATOR = "\n;\n"
"""Between the statements of a message: a text may end with a comment."""

_READERS: dict[Any, Callable[[str | None], Any]] = {
    str: lambda text: text or "",
    int: lambda text: int(text or 0),
    float: lambda text: float(text or 0),
    bool: lambda text: text == "t",
    str | None: lambda text: text,
    int | None: lambda text: None if text is None else int(text),
    tuple[int, ...]: lambda text: tuple(json.loads(text or "[]")),
    tuple[str, ...]: lambda text: tuple(json.loads(text or "[]")),
    frozenset[str]: lambda text: frozenset(json.loads(text or "[]")),
}


def typed(kind: type[T], rows: Iterable[Row]) -> list[T]:
    """Return each row as a value of `kind`: a dataclass, a named tuple, or `tuple[int, str]`.

    A column is converted to the type of its field: NULL becomes `""`, 0 or False, unless the field
    may be None; collections are JSON arrays. Raises ValueError for a row of another length.
    """
    readers = _readers(cast("Hashable", kind))
    read = ([reader(text) for reader, text in zip(readers, row, strict=True)] for row in rows)
    if get_origin(kind) is tuple:
        return cast("list[T]", [tuple(values) for values in read])
    return [kind(*values) for values in read]


@cache
def _readers(kind: Hashable) -> tuple[Callable[[str | None], Any], ...]:
    fields = get_args(kind) if get_origin(kind) is tuple else get_type_hints(kind).values()
    return tuple(_READERS[field] for field in fields)


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of one message, in order; a failed statement's is the last, with its error.

    `skipped` holds the notices of IF NOT EXISTS about objects that already exist.
    """

    results: tuple[pq.abc.PGresult, ...]
    error: psycopg.Error | None
    skipped: tuple[str, ...] = ()

    @property
    def failed_index(self) -> int:
        """The number of the statement that failed, from 0."""
        return len(self.results) - 1

    def rows(self, index: int) -> list[Row]:
        """Return the rows of one statement, as text."""
        result = self.results[index]
        return [
            tuple(_text(result.get_value(r, c)) for c in range(result.nfields))
            for r in range(result.ntuples)
        ]

    @property
    def last(self) -> list[Row]:
        """The rows of the last statement; none if one failed."""
        return [] if self.error is not None else self.rows(-1)

    def columns(self, index: int) -> tuple[str, ...]:
        """Return the column names of one statement's result."""
        result = self.results[index]
        return tuple((result.fname(c) or b"?").decode() for c in range(result.nfields))


@dataclass(frozen=True, slots=True)
class NamedAnswer:
    """The answer to a message of statements that have names, in the order of `texts`."""

    texts: Mapping[Hashable, str]
    answer: Answer

    @property
    def is_complete(self) -> bool:
        """Whether no statement failed, and each text was a single statement."""
        return self.answer.error is None and len(self.answer.results) == len(self.texts)

    @property
    def failed(self) -> Hashable:
        """The name of the statement that failed; None if there is no such name.

        A syntax error fails the whole message before any of it runs: then only its position tells.
        """
        number = self.answer.failed_index
        position = self.answer.error.diag.statement_position if self.answer.error else None
        if number == 0 and position:
            ends = accumulate(len(text) + len(SEPARATOR) for text in self.texts.values())
            number = sum(end < int(position) for end in ends)
        return dict(enumerate(self.texts)).get(number)

    def has(self, name: Hashable) -> bool:
        """Whether the statement of that name was reached and did not fail."""
        done = len(self.answer.results) - (self.answer.error is not None)
        return self._index(name) < done

    def rows(self, name: Hashable) -> list[Row]:
        """Return the rows of one statement, as text."""
        return self.answer.rows(self._index(name))

    def columns(self, name: Hashable) -> tuple[str, ...]:
        """Return the column names of one statement's result."""
        return self.answer.columns(self._index(name))

    def _index(self, name: Hashable) -> int:
        return [*self.texts].index(name)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
