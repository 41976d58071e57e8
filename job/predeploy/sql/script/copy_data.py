"""The rows that follow a COPY … FROM STDIN in a script."""

import re
from collections.abc import Iterator
from dataclasses import replace

from predeploy.contract.statement import Mode, Statement
from predeploy.sql.script.psql_lines import stands_alone
from predeploy.sql.statement.classify import COPY_FROM_STDIN

# As pg_dump writes it: the statement, then lines of data up to a line with `\.`.
_COPY_DATA = re.compile(
    r"^(?P<copy>copy\s[^;]*?\sfrom\s+stdin\b[^;]*;)[ \t]*\r?\n(?P<data>.*?)^\\\.[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


def copies_in(text: str) -> Iterator[re.Match[str]]:
    """Yield each COPY that is followed by data, except those inside a literal or comment."""
    at = tried = 0
    while copy := _COPY_DATA.search(text, tried):
        tried = copy.start() + 1
        # From the end of the last COPY on: its data is not SQL and cannot be scanned.
        if stands_alone(text[at : copy.start()]):
            at = tried = copy.end()
            yield copy


def without_data(text: str, copies: tuple[re.Match[str], ...]) -> str:
    """Blank what is not SQL, so that offsets and lines stay unchanged."""
    kept, at = [], 0
    for copy in copies:
        start, end = copy.start("data"), copy.end()
        blank = "\n".join(" " * len(line) for line in text[start:end].split("\n"))
        kept += [text[at:start], blank]
        at = end
    return "".join([*kept, text[at:]]) if copies else text


def with_data(
    text: str, copies: tuple[re.Match[str], ...], statements: tuple[Statement, ...]
) -> tuple[Statement, ...]:
    """Attach its data to each COPY … FROM STDIN, which can then be part of a step."""
    by_start = {copy.start("copy"): copy for copy in copies}
    lines, line, at = {}, 1, 0
    for start, copy in by_start.items():
        line += text.count("\n", at, copy.start("data"))
        lines[start], at = line, copy.start("data")
    return tuple(
        replace(
            s,
            mode=Mode.TRANSACTION,
            data=by_start[s.start]["data"],
            data_line=lines[s.start],
        )
        if s.start in by_start and s.what == COPY_FROM_STDIN
        else s
        for s in statements
    )
