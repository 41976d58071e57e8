"""Reads SQL text: where its statements are and what each of them is. The only user of libpg_query.

Text in, values out: no file and no database. Offsets that leave this module count characters;
libpg_query's own count bytes of UTF-8.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import postgast
from google._upb import _message
from postgast import pg_query_pb2 as pb

from job.concern import PROBE_INDEX, PROBE_TABLE, Concern, Detach, IndexBuild, IndexDrop, Repeatable
from job.plan import Mode, Statement

# Without it protobuf refuses deep but ordinary SQL (48 chained ||) with a DecodeError that is no
# syntax error. The call is private to protobuf; postgast offers none of its own.
_message.SetAllowOversizeProtos(True)  # noqa: FBT003

_COMMENTS = (pb.SQL_COMMENT, pb.C_COMMENT)
_BLANKS = " \t\n\r\f\v"  # PostgreSQL's own; str.rstrip() would take letters of names, too
_PART_OF_LITERAL = re.compile(rb"'(?:[^']|'')*'|[^'\s]+")
_PART_OF_ESCAPED = re.compile(rb"'(?:[^'\\]|\\.|'')*'|[^'\s]+", re.DOTALL)
_STRINGS = "standard_conforming_strings"
_SEMICOLON, _OPEN, _CLOSE = pb.ASCII_59, pb.ASCII_40, pb.ASCII_41
_COPY_FROM_STDIN = "COPY … FROM STDIN"
# As pg_dump writes it: the statement, then lines of data up to a line with a backslash and a dot.
_COPY_DATA = re.compile(
    r"^(?P<copy>copy\s[^;]*?\sfrom\s+stdin\b[^;]*;)[ \t]*\r?\n(?P<data>.*?)^\\\.[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_SETS_LOCALLY = re.compile(r"set\s+(local|transaction)\b", re.IGNORECASE)
_SET_CONFIG = re.compile(
    r"select\s+(pg_catalog\.)?set_config\s*\(.*,\s*false\s*\)$", re.IGNORECASE | re.DOTALL
)
_DIRECTIVE = re.compile(r"--\s*predeploy:\s*(.*?)\s*$", re.IGNORECASE)
# fmt: off
_READS_OR_WRITES_ROWS = frozenset((
    "select", "insert", "update", "delete", "merge", "explain", "variable_set", "variable_show",
    "copy", "constraints_set", "notify", "prepare", "execute", "deallocate", "declare_cursor",
    "fetch", "close_portal",
))
_ADDITIVE = frozenset((
    "create", "index", "create_seq", "create_enum", "composite_type", "create_domain",
    "create_range", "create_schema", "create_extension", "view", "create_function", "create_trig",
    "create_policy", "create_stats", "rule", "do",
))
# What an unparsed text must not hold: it could end our transaction, or start a COPY.
_WEDGES = frozenset((
    "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare",
    "copy",
))
# fmt: on


class UnreadableError(Exception):
    """Text that cannot be run safely because libpg_query cannot read it. Line and column from 1."""

    def __init__(self, complaint: str, line: int, column: int) -> None:
        """Keep the parser's complaint and where it gave up."""
        super().__init__(complaint)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Directive:
    """A comment line `-- predeploy: …`: what it says, its line, and where it ends."""

    text: str
    line: int
    end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A script's statements, its directives, and why the parser gave up (empty: it did not)."""

    statements: tuple[Statement, ...]
    directives: tuple[Directive, ...]
    complaint: str = ""


class _Offsets:
    """Turns byte offsets, asked for in rising order, into character offsets and lines."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._bytes = text.encode()
        self._byte = self._char = 0
        self._line, self._line_start = 1, 0

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


def read(text: str) -> Reading:
    """Split `text` and classify its statements.

    What the parser cannot read is split at its semicolons and left to the server to judge (it may
    know a newer grammar), with `complaint` set. Raises UnreadableError where even that could go
    wrong: no tokens (a quote that never ends), or words of transaction control or COPY in it.
    """
    copies = tuple(_COPY_DATA.finditer(text)) if "\\." in text else ()
    sql = _without_data(text, copies)
    directives = _directives(sql)
    try:
        parsed = postgast.parse(sql)
    except postgast.PgQueryError as error:
        pieces = _apply(directives, tuple(_pieces(sql, error)))
        return Reading(pieces, directives, complaint=error.message)
    found = tuple(_statements(sql, parsed.stmts))
    return Reading(_with_data(text, copies, _apply(directives, found)), directives)


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


def holds_ddl(statements: Iterable[Statement]) -> bool:
    """Whether any of them may take a table lock that readers feel; a DO or a CALL may."""
    return any(s.node.removesuffix("_stmt") not in _READS_OR_WRITES_ROWS for s in statements)


def concern(text: str) -> Concern | None:
    """Say what a statement outside a transaction is about; None where its traces prove nothing."""
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError:
        return None
    raw = parsed.stmts[0].stmt
    node = raw.WhichOneof("node")
    stmt = getattr(raw, node)
    match node:
        case "index_stmt":
            return _index_build(parsed, stmt)
        case "drop_stmt" if stmt.remove_type == pb.OBJECT_INDEX:
            names = ([item.string.sval for item in o.list.items] for o in stmt.objects)
            return IndexDrop(tuple(_quoted(*name) for name in names))
        case "alter_table_stmt" if _detaches_concurrently(stmt):
            child = getattr(stmt.cmds[0].alter_table_cmd, "def").partition_cmd.name
            return Detach(_relation(stmt.relation), _relation(child))
        case "reindex_stmt" | "vacuum_stmt" | "cluster_stmt" | "alter_system_stmt" | "discard_stmt":
            return Repeatable()
    return None


def is_additive(statement: Statement) -> bool:
    """Whether it only adds: what may be replayed on a database whose history is not known.

    A DO block counts, because it can ask first; what it did is judged afterwards.
    """
    if statement.node != "alter_table_stmt":
        guarded_build = statement.node == "index_stmt" and "not exists" in statement.text.lower()
        plain = statement.mode is Mode.TRANSACTION or guarded_build
        return plain and statement.node.removesuffix("_stmt") in _ADDITIVE
    parsed = postgast.parse(statement.text)
    commands = [node.alter_table_cmd for node in parsed.stmts[0].stmt.alter_table_stmt.cmds]
    return all(c.subtype in (pb.AT_AddColumn, pb.AT_AddConstraint) for c in commands)


def sets_session(statement: Statement) -> bool:
    """Whether it changes a setting or the role for what comes after it, beyond its transaction."""
    if statement.node == "variable_set_stmt":
        return not _SETS_LOCALLY.match(statement.text)
    return statement.node == "select_stmt" and bool(_SET_CONFIG.match(statement.text))


def _index_build(parsed: Any, stmt: Any) -> IndexBuild:  # noqa: ANN401
    table, name = _relation(stmt.relation), stmt.idxname
    stmt.concurrent = stmt.if_not_exists = False
    stmt.idxname = PROBE_INDEX
    stmt.relation.schemaname, stmt.relation.relname = PROBE_TABLE.split(".")
    return IndexBuild(table, name, postgast.deparse(parsed))


def _relation(range_var: Any) -> str:  # noqa: ANN401
    return _quoted(*(part for part in (range_var.schemaname, range_var.relname) if part))


def _quoted(*parts: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _without_data(text: str, copies: tuple[re.Match[str], ...]) -> str:
    """Blank what is no SQL, so that offsets and lines stay as they are."""
    for copy in copies:
        start, end = copy.start("data"), copy.end()
        text = text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
    return text


def _with_data(
    text: str, copies: tuple[re.Match[str], ...], statements: tuple[Statement, ...]
) -> tuple[Statement, ...]:
    """Give each COPY … FROM STDIN its data; with it, it can be part of a step."""
    by_start = {copy.start("copy"): copy for copy in copies}
    return tuple(
        replace(
            s,
            mode=Mode.TRANSACTION,
            data=by_start[s.start]["data"],
            data_line=text.count("\n", 0, by_start[s.start].start("data")) + 1,
        )
        if s.start in by_start and s.what == _COPY_FROM_STDIN
        else s
        for s in statements
    )


def _statements(text: str, parsed: Iterable[Any]) -> Iterator[Statement]:
    offsets = _Offsets(text)
    size = len(text.encode())
    for raw in parsed:
        start, line, column = offsets.place(raw.stmt_location)
        end = offsets.char(raw.stmt_location + raw.stmt_len if raw.stmt_len else size)
        node = raw.stmt.WhichOneof("node")
        mode, what = _classify(node, getattr(raw.stmt, node))
        body = text[start:end].rstrip(_BLANKS)
        yield Statement(
            body, start, start + len(body), line, column, node, mode, what or _opening(body)
        )


def _pieces(text: str, error: postgast.PgQueryError) -> Iterator[Statement]:
    """Yield what stands between semicolons outside parentheses, unclassified."""
    gave_up = len(text[: max(error.cursorpos - 1, 0)].encode())  # its position is in characters
    _, line, column = _Offsets(text).place(gave_up)
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
                raise UnreadableError(error.message, line, column)
            start, at_line, at_column = offsets.place(piece[0].start)
            end = offsets.char(piece[-1].end)
            body = text[start:end]
            yield Statement(
                body, start, end, at_line, at_column, "", Mode.TRANSACTION, _opening(body)
            )
            piece = []


def _directives(text: str) -> tuple[Directive, ...]:
    if "predeploy:" not in text.lower():
        return ()
    try:
        tokens = postgast.scan(text).tokens
    except postgast.PgQueryError:
        return ()  # reading the statements will say so, with the place
    raw, offsets = text.encode(), _Offsets(text)
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
    """Return the first words, for messages: `CREATE TABLE`."""
    return " ".join(text.split(None, 2)[:2]).upper()[:40]


def _classify(node: str, stmt: Any) -> tuple[Mode, str]:  # noqa: ANN401 - one of 120 messages
    """Say how a statement must run, and name it where a message will want the name.

    The manual marks each "cannot be executed inside a transaction block" on the command's page.
    """
    kind = node.removesuffix("_stmt")
    if kind == "transaction":
        return _classify_transaction(stmt)
    if kind == "alter_enum" and stmt.new_val and not stmt.old_val:
        return Mode.OWN_TRANSACTION, "ALTER TYPE … ADD VALUE"
    if kind == "copy" and not stmt.is_program and not stmt.filename:
        return Mode.REFUSED, _COPY_FROM_STDIN if stmt.is_from else "COPY … TO STDOUT"
    if kind == "variable_set" and stmt.name.lower() == _STRINGS and not _turns_on(stmt):
        return Mode.REFUSED, "SET standard_conforming_strings"
    if name := _autocommit_name(kind, stmt):
        return Mode.AUTOCOMMIT, name
    return Mode.TRANSACTION, _more_than_an_insert(stmt) if kind == "insert" else ""


def _more_than_an_insert(stmt: Any) -> str:  # noqa: ANN401
    """Name an INSERT that may change rows that are there; empty for one that only adds."""
    if stmt.on_conflict_clause.action == pb.ONCONFLICT_UPDATE:
        return "INSERT … ON CONFLICT DO UPDATE"
    queries = (node.common_table_expr.ctequery for node in stmt.with_clause.ctes)
    kinds = (query.WhichOneof("node").removesuffix("_stmt").upper() for query in queries)
    return next((f"INSERT … WITH … {kind}" for kind in kinds if kind != "SELECT"), "")


def _classify_transaction(stmt: Any) -> tuple[Mode, str]:  # noqa: ANN401
    word = pb.TransactionStmtKind.Name(stmt.kind).removeprefix("TRANS_STMT_").replace("_", " ")
    if word in ("BEGIN", "START") and not stmt.options:
        return Mode.BEGIN, word
    if word == "COMMIT" and not stmt.chain:
        return Mode.COMMIT, word
    return Mode.REFUSED, f"{word} with options" if word in ("BEGIN", "START", "COMMIT") else word


def _autocommit_name(kind: str, stmt: Any) -> str:  # noqa: ANN401
    return next((name for k, name, is_so in _AUTOCOMMIT if k == kind and is_so(stmt)), "")


def _always(_stmt: Any) -> bool:  # noqa: ANN401
    return True


def _of_everything(stmt: Any) -> bool:  # noqa: ANN401
    return not stmt.HasField("relation")


def _detaches_concurrently(stmt: Any) -> bool:  # noqa: ANN401
    commands = [node.alter_table_cmd for node in stmt.cmds]
    return any(
        c.subtype == pb.AT_DetachPartition and getattr(c, "def").partition_cmd.concurrent
        for c in commands
    )


def _turns_on(stmt: Any) -> bool:  # noqa: ANN401
    return [a.a_const.sval.sval.lower() for a in stmt.args] in (["on"], ["true"], ["yes"])


def _names(option: str, attribute: str) -> Callable[[Any], bool]:
    return lambda stmt: any(d.def_elem.defname == option for d in getattr(stmt, attribute))


def _is_on(option: str, attribute: str, *, unless_named: bool) -> Callable[[Any], bool]:
    """Ask for a boolean option as CREATE SUBSCRIPTION and REINDEX have them."""

    def is_on(stmt: Any) -> bool:  # noqa: ANN401
        named = [d.def_elem for d in getattr(stmt, attribute) if d.def_elem.defname == option]
        return not _says_no(named[0].arg) if named else unless_named

    return is_on


def _says_no(arg: Any) -> bool:  # noqa: ANN401
    if arg.WhichOneof("node") == "integer":
        return not arg.integer.ival
    word = arg.type_name.names[-1].string if arg.type_name.names else arg.string
    return word.sval.lower() in ("false", "off", "no", "0")


def _refreshes(stmt: Any) -> bool:  # noqa: ANN401
    changes = pb.AlterSubscriptionType.Name(stmt.kind).endswith("_PUBLICATION")
    refreshes = _is_on("refresh", "options", unless_named=True)(stmt)
    return bool(stmt.kind == pb.ALTER_SUBSCRIPTION_REFRESH or (changes and refreshes))


def _connects(stmt: Any) -> bool:  # noqa: ANN401
    options = (_is_on(name, "options", unless_named=True) for name in ("connect", "create_slot"))
    return all(is_on(stmt) for is_on in options)


# What cannot be executed inside a transaction block, by the parser's node.
_AUTOCOMMIT: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("index", "CREATE INDEX CONCURRENTLY", lambda stmt: bool(stmt.concurrent)),
    ("drop", "DROP INDEX CONCURRENTLY", lambda stmt: bool(stmt.concurrent)),
    ("reindex", "REINDEX CONCURRENTLY", _is_on("concurrently", "params", unless_named=False)),
    ("reindex", "REINDEX of a schema or a database", _of_everything),
    ("vacuum", "VACUUM", lambda stmt: bool(stmt.is_vacuumcmd)),
    ("cluster", "CLUSTER of every table", _of_everything),
    ("discard", "DISCARD ALL", lambda stmt: bool(stmt.target == pb.DISCARD_ALL)),
    ("alter_table", "DETACH PARTITION CONCURRENTLY", _detaches_concurrently),
    ("alter_database", "ALTER DATABASE … SET TABLESPACE", _names("tablespace", "options")),
    ("alter_subscription", "ALTER SUBSCRIPTION … REFRESH", _refreshes),
    ("createdb", "CREATE DATABASE", _always),
    ("dropdb", "DROP DATABASE", _always),
    ("alter_system", "ALTER SYSTEM", _always),
    ("create_table_space", "CREATE TABLESPACE", _always),
    ("drop_table_space", "DROP TABLESPACE", _always),
    ("create_subscription", "CREATE SUBSCRIPTION", _connects),
    ("drop_subscription", "DROP SUBSCRIPTION", _always),
)
