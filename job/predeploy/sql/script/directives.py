"""Finds the comment lines `-- predeploy: …` of a script; `sources` interprets them."""

import re
from dataclasses import dataclass, replace

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Mode, Statement
from predeploy.contract.words import mentions
from predeploy.sql.parser.offsets import Offsets
from predeploy.sql.parser.scanning import scanned

_DIRECTIVE = re.compile(r"--\s*predeploy:\s*(.*?)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Directive:
    """A comment line `-- predeploy: …`: its text, its line, and the offset of its end."""

    text: str
    line: int
    end: int


def directives_in(text: str, offsets: Offsets) -> tuple[Directive, ...]:
    """Return the directives of a text, in order.

    `offsets` must be positioned at the start of the text.
    """
    if not mentions(text, "predeploy:"):
        return ()
    raw = text.encode()
    found = []
    try:
        for token in scanned(text):
            match = token.token == pb.SQL_COMMENT and _DIRECTIVE.match(
                raw[token.start : token.end].decode()
            )
            if match:
                end, line, _ = offsets.place(token.end)
                found.append(Directive(match[1], line, end))
    except postgast.PgQueryError:
        return ()  # reading the statements will report it, with the position
    return tuple(found)


def marked(
    directives: tuple[Directive, ...], statements: tuple[Statement, ...]
) -> tuple[Statement, ...]:
    """Set AUTOCOMMIT mode for the statement after each `autocommit` directive."""
    ends = [d.end for d in directives if d.text.lower() == "autocommit"]
    chosen = {next((i for i, s in enumerate(statements) if s.start >= end), -1) for end in ends}
    return tuple(
        replace(s, mode=Mode.AUTOCOMMIT) if i in chosen else s for i, s in enumerate(statements)
    )
