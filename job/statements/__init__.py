"""Reads SQL text: where its statements are and what each of them is. The only user of libpg_query.

Text in, values out: no file and no database. Offsets that leave this module count characters;
libpg_query's own count bytes of UTF-8.
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import postgast
from google._upb import _message
from postgast import pg_query_pb2 as pb

from job.plan import Mode, Statement
from job.statements.alteration import alters
from job.statements.classify import (
    COPY_FROM_STDIN,
    classify,
    holds_ddl,
    is_additive,
    is_unwatched,
    may_take,
    sets_session,
)
from job.statements.concern import (
    Concern,
    Detach,
    IndexBuild,
    IndexDrop,
    Rebuild,
    Repeatable,
    concern,
)
from job.statements.creation import (
    Creation,
    Departure,
    abouts,
    addresses,
    tolerates,
    without,
)
from job.statements.guarded import guarded_drops
from job.statements.parsing import parse
from job.statements.psql_lines import SPOKEN, PsqlLineError, stands_alone, without_psql_lines
from job.statements.stall import Stall, stall

__all__ = [
    "SEPARATOR",
    "Concern",
    "Creation",
    "Departure",
    "Detach",
    "Directive",
    "IndexBuild",
    "IndexDrop",
    "Reading",
    "Rebuild",
    "Repeatable",
    "Stall",
    "UnreadableError",
    "abouts",
    "alters",
    "composed",
    "concern",
    "digest",
    "guarded_drops",
    "holds_ddl",
    "is_additive",
    "is_unwatched",
    "may_take",
    "read",
    "sets_session",
    "stall",
    "tolerates",
    "without",
]

# Without it protobuf refuses deep but ordinary SQL (48 chained ||) with a DecodeError that is no
# syntax error. The call is private to protobuf; postgast offers none of its own.
_message.SetAllowOversizeProtos(True)  # noqa: FBT003

_PART = 40_000  # characters that are parsed at once, and fewer than need a stack of their own
_COMMENTS = (pb.SQL_COMMENT, pb.C_COMMENT)
_BLANKS = " \t\n\r\f\v"  # PostgreSQL's own; str.rstrip() would take letters of names, too
_PART_OF_LITERAL = re.compile(rb"'(?:[^']|'')*'|[^'\s]+")
_PART_OF_ESCAPED = re.compile(rb"'(?:[^'\\]|\\.|'')*'|[^'\s]+", re.DOTALL)
_SEMICOLON, _OPEN, _CLOSE = pb.ASCII_59, pb.ASCII_40, pb.ASCII_41
# As pg_dump writes it: the statement, then lines of data up to a line with a backslash and a dot.
_COPY_DATA = re.compile(
    r"^(?P<copy>copy\s[^;]*?\sfrom\s+stdin\b[^;]*;)[ \t]*\r?\n(?P<data>.*?)^\\\.[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"--\s*predeploy:\s*(.*?)\s*$", re.IGNORECASE)
# fmt: off
# What an unparsed text must not hold: it could end our transaction, or start a COPY.
_WEDGES = frozenset((
    "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare",
    "copy",
))
# fmt: on


SEPARATOR = ";\n"
"""What stands between statements of ours that make one text."""


class UnreadableError(Exception):
    """Text that cannot be run safely because libpg_query cannot read it. Line and column from 1."""

    def __init__(self, complaint: str, line: int, column: int) -> None:
        """Keep the parser's complaint and where it gave up."""
        super().__init__(complaint)
        self.line = line
        self.column = column


_MOST_WORDS = 6
# A verb and what it is about, whatever that is called; some say enough alone.
_ATTRIBUTES = (
    r"EVENT|FOREIGN(?: DATA)?|TEXT SEARCH|MATERIALIZED|UNIQUE|TEMP|TEMPORARY|UNLOGGED|ACCESS"
    r"|CONSTRAINT|DEFAULT|USER(?= MAPPING)|OPERATOR(?= CLASS| FAMILY)"
)
_OPENING = re.compile(
    rf"(?:SELECT|VALUES|WITH|DO|CALL)\b|\S+(?: OR REPLACE)?(?: (?:{_ATTRIBUTES}))?(?: \S+)?"
)


@dataclass(frozen=True, slots=True)
class Directive:
    """A comment line `-- predeploy: …`: what it says, its line, and where it ends."""

    text: str
    line: int
    end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A script's statements, its directives, and why the parser gave up (empty: it did not).

    `text` is the script's without what is no SQL, the rows of a COPY and the lines for psql, which
    are blank in it. `line` and `column` say where the parser gave up, from 1.
    """

    statements: tuple[Statement, ...]
    directives: tuple[Directive, ...]
    complaint: str = ""
    line: int = 0
    column: int = 0
    text: str = field(default="", repr=False, compare=False)


class _Offsets:
    """Turns byte offsets, asked for in rising order, into character offsets and lines."""

    def __init__(self, text: str = "") -> None:
        self._bytes = text.encode()
        self._byte = self._char = 0
        self._line, self._line_start = 1, 0

    def go_on(self, text: str) -> None:
        """Count on, in the bytes of what comes behind the text."""
        self.char(len(self._bytes))
        self._bytes, self._byte = text.encode(), 0

    def char(self, byte: int) -> int:
        passed = self._bytes[self._byte : byte].decode(errors="replace")
        start = self._char
        self._byte, self._char = byte, start + len(passed)
        newlines = passed.count("\n")
        if newlines:
            self._line += newlines
            self._line_start = start + passed.rindex("\n") + 1
        return self._char

    def place(self, byte: int) -> tuple[int, int, int]:
        """Return the character offset, and line and column from 1."""
        char = self.char(byte)
        return char, self._line, char - self._line_start + 1


def read(text: str, nodes: list[Any] | None = None) -> Reading:
    """Split `text` and classify its statements; what the parser has made of each joins `nodes`.

    What the parser cannot read is split at its semicolons and left to the server to judge (it may
    know a newer grammar), with `complaint` set. Raises UnreadableError where even that could go
    wrong: no tokens (a quote that never ends), or words of transaction control or COPY in it; and
    for a command that only psql could carry out.
    """
    copies = tuple(_copies(text)) if "\\." in text else ()
    try:
        sql = without_psql_lines(_without_data(text, copies), SPOKEN)
    except PsqlLineError as error:
        raise UnreadableError(str(error), error.line, 1) from None
    directives: list[Directive] = []
    found: list[Statement] = []
    offsets, spoken = _Offsets(), _Offsets()
    try:
        for part, parsed in _parts(sql):
            offsets.go_on(part)
            spoken.go_on(part)
            directives += _directives(part, spoken)
            found += _statements(part, parsed, offsets, nodes)
    except _GaveUpError as error:
        if nodes is not None:
            nodes.clear()
        all_directives = _directives(sql, _Offsets(sql))
        place = _place_of(sql, error.offset)
        pieces = _apply(all_directives, tuple(_pieces(sql, error.complaint, *place)))
        return Reading(pieces, all_directives, error.complaint, *place, text=sql)
    read_in_all = _apply(tuple(directives), tuple(found))
    return Reading(_with_data(text, copies, read_in_all), tuple(directives), text=sql)


class _GaveUpError(Exception):
    """The parser's complaint, and at which character of the text."""

    def __init__(self, complaint: str, offset: int) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.offset = offset


def _parts(sql: str) -> Iterator[tuple[str, Any]]:
    """Yield the text in parts, each with its tree: that of a large text would fill the memory.

    A part ends with a semicolon. Where the parser reads it to that end, the semicolon is one
    between statements: behind one in a literal, a block comment, parentheses or BEGIN ATOMIC, the
    text would be unfinished. Then more is tried, twice as much each time, so that it stays linear.
    """
    start, size = 0, _PART
    while start < len(sql) or not start:
        end = _end_of_part(sql, start, start + size)
        part = sql[start:end]
        try:
            parsed = parse(part)
        except postgast.PgQueryError as error:
            if end == len(sql):
                offset = start + max(error.cursorpos - 1, 0)
                raise _GaveUpError(error.message, offset) from None
            size *= 2
            continue
        yield part, parsed
        if end == len(sql):
            return
        start, size = end, _PART


def _end_of_part(sql: str, start: int, at_least: int) -> int:
    """Return the place behind a semicolon that no `--` may have made a comment, or the end."""
    while found := sql.find(";", at_least) + 1:
        if "--" not in sql[max(sql.rfind("\n", start, found), start) : found]:
            return found
        at_least = sql.find("\n", found)
        if at_least < 0:
            break
    return len(sql)


def composed(texts: Iterable[str]) -> tuple[Statement, ...]:
    """Return statements that are ours, to be joined by SEPARATOR, each to run in a transaction.

    They stand in no file and have no line. They are not read: `node` is empty until it matters.
    """
    found, start = [], 0
    for text in texts:
        end = start + len(text)
        found.append(Statement(text, start, end, 0, 0, "", Mode.TRANSACTION, _opening(text)))
        start = end + len(SEPARATOR)
    return tuple(found)


def digest(statements: Iterable[Statement]) -> str:
    """Return the SHA-256 of the statements' tokens; comments, blanks, line ends don't count."""
    sha = hashlib.sha256()
    for statement in statements:
        text = statement.text.replace("\r\n", "\n")
        raw = text.encode()
        for token in postgast.scan(text).tokens:
            if token.token not in _COMMENTS:
                sha.update(_joined(raw[token.start : token.end]) + b"\0")
        sha.update((statement.data or "").replace("\r\n", "\n").encode() + b";")
    return sha.hexdigest()


def _joined(token: bytes) -> bytes:
    """Fold what stands between the parts of one literal, 'a' and on another line 'b'."""
    if not token.endswith(b"'") or b"\n" not in token:
        return token
    parts = _PART_OF_ESCAPED if token[:1] in b"eE" else _PART_OF_LITERAL
    return b"\n".join(parts.findall(token))


def _copies(text: str) -> Iterator[re.Match[str]]:
    """Find each COPY that brings data: what a literal or a comment says of one is its own text."""
    at = tried = 0
    while copy := _COPY_DATA.search(text, tried):
        tried = copy.start() + 1
        if stands_alone(text[at : copy.start()]):
            at = tried = copy.end()
            yield copy


def _without_data(text: str, copies: tuple[re.Match[str], ...]) -> str:
    """Blank what is no SQL, so that offsets and lines stay as they are."""
    kept, at = [], 0
    for copy in copies:
        start, end = copy.start("data"), copy.end()
        blank = "\n".join(" " * len(line) for line in text[start:end].split("\n"))
        kept += [text[at:start], blank]
        at = end
    return "".join([*kept, text[at:]]) if copies else text


def _with_data(
    text: str, copies: tuple[re.Match[str], ...], statements: tuple[Statement, ...]
) -> tuple[Statement, ...]:
    """Give each COPY … FROM STDIN its data; with it, it can be part of a step."""
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


def _statements(
    text: str, parsed: Any, offsets: _Offsets, nodes: list[Any] | None
) -> Iterator[Statement]:
    """Yield what stands in a part of the script."""
    first, size = offsets.char(0), len(text.encode())
    for raw in parsed.stmts:
        start, line, column = offsets.place(raw.stmt_location)
        end = offsets.char(raw.stmt_location + raw.stmt_len if raw.stmt_len else size)
        node = sys.intern(raw.stmt.WhichOneof("node"))
        stmt = getattr(raw.stmt, node)
        if nodes is not None:
            nodes.append(stmt)
        mode, what = classify(node, stmt)
        body = text[start - first : end - first].rstrip(_BLANKS)
        yield Statement(
            body,
            start,
            start + len(body),
            line,
            column,
            node,
            mode,
            sys.intern(what or _opening(body)),
            creates=addresses(node, stmt),
        )


def _place_of(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of a character."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _pieces(text: str, complaint: str, line: int, column: int) -> Iterator[Statement]:
    """Yield what stands between semicolons outside parentheses, unclassified."""
    try:
        tokens = [t for t in postgast.scan(text).tokens if t.token not in _COMMENTS]
    except postgast.PgQueryError as unscannable:
        raise UnreadableError(unscannable.message, line, column) from None
    raw, offsets, depth = text.encode(), _Offsets(text), 0
    piece: list[Any] = []
    for token in [*tokens, None]:
        if token is not None and (token.token != _SEMICOLON or depth):
            depth += {_OPEN: 1, _CLOSE: -1}.get(token.token, 0)
            piece.append(token)
        elif piece:
            if raw[piece[0].start : piece[0].end].decode().lower() in _WEDGES:
                raise UnreadableError(complaint, line, column)
            start, at_line, at_column = offsets.place(piece[0].start)
            end = offsets.char(piece[-1].end)
            body = text[start:end]
            yield Statement(
                body, start, end, at_line, at_column, "", Mode.TRANSACTION, _opening(body)
            )
            piece = []


def _directives(text: str, offsets: _Offsets) -> tuple[Directive, ...]:
    if "predeploy:" not in text.lower():
        return ()
    try:
        tokens = postgast.scan(text).tokens
    except postgast.PgQueryError:
        return ()  # reading the statements will say so, with the place
    raw = text.encode()
    found = []
    for token in tokens:
        match = token.token == pb.SQL_COMMENT and _DIRECTIVE.match(
            raw[token.start : token.end].decode()
        )
        if match:
            end, line, _ = offsets.place(token.end)
            found.append(Directive(match[1], line, end))
    return tuple(found)


def _apply(
    directives: tuple[Directive, ...], statements: tuple[Statement, ...]
) -> tuple[Statement, ...]:
    """Mark the statement after each `autocommit` directive."""
    ends = [d.end for d in directives if d.text.lower() == "autocommit"]
    marked = {next((i for i, s in enumerate(statements) if s.start >= end), -1) for end in ends}
    return tuple(
        replace(s, mode=Mode.AUTOCOMMIT) if i in marked else s for i, s in enumerate(statements)
    )


def _opening(text: str) -> str:
    """Return the first words, for messages: `CREATE TABLE`, `CREATE EVENT TRIGGER`."""
    found = _OPENING.match(" ".join(text.split(None, _MOST_WORDS)[:_MOST_WORDS]).upper())
    return found[0][:40] if found else ""
