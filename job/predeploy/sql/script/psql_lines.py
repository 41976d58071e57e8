"""Lines that are commands of psql, not SQL: pg_dump writes some around its output."""

import re
from collections.abc import Collection

import postgast

_LINE = re.compile(r"^[ \t]*\\(?P<command>[^\s\\]*)[^\n]*", re.MULTILINE)
# Commands that do not change the effect of a file. Others, like `\i` or `\gexec`, must not be
# dropped.
SPOKEN = frozenset(("restrict", "unrestrict", "echo", "qecho", "warn", "pset", "timing", "x", "."))
# Commands that do not change what a schema file declares. `\connect` is harmless only there: in a
# script it would send the statements after it to another database.
_HARMLESS = frozenset(
    ("restrict", "unrestrict", "connect", "c", "encoding", "set", "echo", "qecho", "warn", "pset",
     "timing", "x", "q")
)  # fmt: skip

_ENDS_ROWS = "ends the rows of a COPY, and a schema file declares objects only"
_LEAVE_OUT = (
    "leave the rows out, as pg_dump --schema-only does; they belong in migrations/ or seed/"
)


class PsqlLineError(Exception):
    """A psql command that only psql can carry out. `line` counts from 1.

    `remedy` says what to do about it.
    """

    def __init__(self, command: str, line: int) -> None:
        """Keep the command's name, without its backslash, and its line."""
        what = (
            _ENDS_ROWS if command == "." else "is a command of psql, which the server does not know"
        )
        super().__init__(f"\\{command} {what}")
        self.line = line
        self.remedy = _LEAVE_OUT if command == "." else "take the line out"


def without_psql_lines(text: str, harmless: Collection[str] = _HARMLESS) -> str:
    """Blank harmless psql lines outside literals and comments; offsets and lines stay unchanged.

    Raises PsqlLineError for a command whose removal would change the meaning of the text.
    """
    if "\\" not in text:
        return text
    position = 0
    while match := _LINE.search(text, position):
        position = match.end()
        if not stands_alone(text[: match.start()]):
            continue
        if match["command"].lower() not in harmless:
            raise PsqlLineError(match["command"], text.count("\n", 0, match.start()) + 1)
        blank = " " * (match.end() - match.start())
        text = text[: match.start()] + blank + text[match.end() :]
    return text


def stands_alone(before: str) -> bool:
    """Whether no literal, comment or quoted name is open at the end of `before`."""
    try:
        postgast.scan(before)
    except postgast.PgQueryError:
        return False
    return True
