"""Splits a script and classifies each of its statements."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from predeploy.contract.statement import Statement
from predeploy.sql.parser.odd_characters import odd_characters
from predeploy.sql.parser.offsets import Offsets
from predeploy.sql.parser.opening import opening
from predeploy.sql.parser.parts import ParseFailedError, parts
from predeploy.sql.parser.unparsed import UnreadableError, pieces
from predeploy.sql.script.copy_data import copies_in, with_data, without_data
from predeploy.sql.script.directives import Directive, directives_in, marked
from predeploy.sql.script.psql_lines import SPOKEN, PsqlLineError, without_psql_lines
from predeploy.sql.statement.classify import classify
from predeploy.sql.statement.creation import creates, removes
from predeploy.sql.statement.rows import rows_of

_HEAD = 1_000  # characters that hold the first words
_BLANKS = " \t\n\r\f\v"  # as in PostgreSQL; str.rstrip() would also remove letters of names


@dataclass(frozen=True, slots=True)
class Reading:
    """A script's statements and directives, and the parser's error (empty if there is none).

    `text` is the script with everything that is not SQL blanked: the rows of a COPY and psql
    commands. `line` and `column` say where the parser gave up, from 1.
    """

    statements: tuple[Statement, ...]
    directives: tuple[Directive, ...]
    complaint: str = ""
    line: int = 0
    column: int = 0
    text: str = field(default="", repr=False, compare=False)


def read(text: str, nodes: list[Any] | None = None) -> Reading:
    """Split `text` and classify its statements; append the parser's node of each to `nodes`.

    Text that the parser cannot read is split at its semicolons and left to the server, which may
    know a newer grammar; `complaint` is then set. Raises UnreadableError if that is unsafe: the
    text cannot be scanned (a quote that never ends) or contains transaction control or COPY, or if
    the script has a command that only psql can carry out.
    """
    copies = tuple(copies_in(text)) if "\\." in text else ()
    try:
        sql = without_psql_lines(without_data(text, copies), SPOKEN)
    except PsqlLineError as error:
        raise UnreadableError(str(error), error.line, 1) from None
    directives: list[Directive] = []
    found: list[Statement] = []
    # Offsets must be queried in ascending order, so statements and directives each have a counter.
    offsets, spoken = Offsets(), Offsets()
    try:
        for part, parsed in parts(sql):
            offsets.append(part)
            spoken.append(part)
            directives += directives_in(part, spoken)
            found += _statements(sql, parsed, offsets, nodes)
    except ParseFailedError as error:
        if nodes is not None:
            nodes.clear()
        all_directives = directives_in(sql, Offsets(sql))
        place = _place_of(sql, error.offset)
        complaint = "; ".join(filter(None, (error.complaint, odd_characters(sql))))
        split = marked(all_directives, tuple(pieces(sql, complaint, *place)))
        return Reading(split, all_directives, complaint, *place, text=sql)
    read_in_all = marked(tuple(directives), tuple(found))
    return Reading(with_data(text, copies, read_in_all), tuple(directives), text=sql)


def _statements(
    script: str, parsed: Any, offsets: Offsets, nodes: list[Any] | None
) -> Iterator[Statement]:
    """Yield the statements of a part of the script."""
    for raw in parsed.stmts:
        start, line, column = offsets.place(raw.stmt_location)
        behind = raw.stmt_location + raw.stmt_len
        end = offsets.char(behind) if raw.stmt_len else offsets.end()
        node = sys.intern(raw.stmt.WhichOneof("node"))
        stmt = getattr(raw.stmt, node)
        if nodes is not None:
            nodes.append(stmt)
        mode, what = classify(node, stmt)
        while script[end - 1] in _BLANKS:
            end -= 1
        yield Statement(
            script,
            start,
            line,
            column,
            node,
            mode,
            sys.intern(what or opening(script[start : min(end, start + _HEAD)])),
            creates=creates(node, stmt),
            removes=removes(node, stmt),
            rows=rows_of(node, stmt),
            at=start,
            length=end - start,
        )


def _place_of(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of a character offset."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")
