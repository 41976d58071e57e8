"""Statements that predeploy generates, in contrast to those of a file."""

from collections.abc import Iterable

from predeploy.contract.statement import Mode, Statement
from predeploy.sql.parser.opening import opening

SEPARATOR = ";\n"
"""The separator between generated statements that form one text."""


def composed(texts: Iterable[str]) -> tuple[Statement, ...]:
    """Return generated statements, to be joined by SEPARATOR, each to run in a transaction.

    They come from no file and have no line. They are not parsed: `node` is empty until needed.
    """
    found: list[Statement] = []
    start = 0
    for text in texts:
        found.append(Statement(text, start, 0, 0, "", Mode.TRANSACTION, opening(text)))
        start = found[-1].end + len(SEPARATOR)
    return tuple(found)
