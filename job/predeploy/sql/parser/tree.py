"""Walks the parser's tree of a statement."""

from collections.abc import Iterator
from typing import Any

from predeploy.sql.parser.parsing import parse


def nodes_of(text: str) -> tuple[Any, ...]:
    """Return every node of the parser's tree, at any depth and without recursion.

    Raises postgast.PgQueryError for text that is not valid SQL.
    """
    return tuple(below(*(raw.stmt for raw in parse(text).stmts)))


def below(*trees: Any) -> Iterator[Any]:
    """Yield these nodes and every node below them."""
    todo = list(trees)
    while todo:
        node: Any = todo.pop()
        yield node
        for field, value in node.ListFields():
            if field.message_type is not None:
                todo.extend([value] if hasattr(value, "ListFields") else value)
