"""Rows as typed values: a query's text results are converted once, where they are received."""

import json
from collections.abc import Callable, Hashable, Iterable
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from predeploy.database.server.wire import Row

T = TypeVar("T")

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
