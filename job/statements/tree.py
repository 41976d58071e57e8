"""Walks what the parser makes of a statement."""

from typing import Any

from job.statements.parsing import parse


def nodes_of(text: str) -> tuple[Any, ...]:
    """Return every node of the parser's tree, without recursion, however deep it is.

    Raises postgast.PgQueryError for what is no SQL.
    """
    found, todo = [], [raw.stmt for raw in parse(text).stmts]
    while todo:
        node: Any = todo.pop()
        found.append(node)
        for field, value in node.ListFields():
            if field.message_type is not None:
                todo.extend([value] if hasattr(value, "ListFields") else value)
    return tuple(found)
