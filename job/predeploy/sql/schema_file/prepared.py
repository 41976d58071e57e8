"""Prepares a schema file's statement for a shadow, so that it locks and fills no live table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.names import Name
from predeploy.sql.parser.scanning import tokens
from predeploy.sql.schema_file.external_keys import take_apart
from predeploy.sql.schema_file.piece import Piece
from predeploy.sql.statement.targets import referenced

WITH_KEYS = ("create_stmt", "alter_table_stmt")


@dataclass(frozen=True, slots=True)
class DesiredStatement:
    """One statement of the schema files, as a shadow runs it.

    `text` has the same length as the file's text at `line` and `column` (from 1), so that an offset
    applies to both, unless `is_verbatim` is False. `search_path` is the one that the file has set;
    None if it has set none. `extension` is the one that a CREATE EXTENSION creates. With
    `locks_others` the statement locks a table that the files do not declare, and must run last.
    """

    path: str
    line: int
    column: int
    text: str
    node: str
    search_path: tuple[str, ...] | None = None
    extension: str = ""
    locks_others: bool = False
    is_verbatim: bool = True


def prepared(
    piece: Piece, schemas: Sequence[str], relations: set[Name]
) -> Iterator[DesiredStatement]:
    """Yield the statements that a shadow runs for it.

    `relations` are those that the files create in `schemas`. A foreign key to any other relation
    becomes a separate statement, to run last.
    """
    statement = piece.statement
    ready = DesiredStatement(
        piece.path, statement.line, statement.column, statement.text, statement.node,
        piece.search_path,
    )  # fmt: skip
    match statement.node:
        case "index_stmt" if piece.stmt.concurrent:
            yield replace(ready, text=_without_concurrently(statement.text))
        case "create_table_as_stmt" if not piece.stmt.into.skip_data:
            yield replace(ready, text=_without_rows(statement.text))
        case "create_cast_stmt":
            # A cast between built-in types is in no schema, so it exists even though the live
            # schemas have been moved aside.
            dropped = f"DROP CAST IF EXISTS {_types_of_cast(statement.text)}"
            yield replace(ready, text=dropped, node="drop_stmt", is_verbatim=False)
            yield ready
        case "create_extension_stmt":
            yield replace(ready, extension=piece.stmt.extname)
        case node if node in WITH_KEYS:
            yield from _without_far_keys(ready, piece, _is_far(piece, schemas, relations))
        case _:
            yield ready


def _is_far(piece: Piece, schemas: Sequence[str], relations: set[Name]) -> Callable[[Name], bool]:
    def is_far(name: Name) -> bool:
        if name[0]:
            return name[0] not in schemas
        return not piece.surely_means(name[1], relations, schemas)

    return is_far


def _without_far_keys(
    ready: DesiredStatement, piece: Piece, is_far: Callable[[Name], bool]
) -> Iterator[DesiredStatement]:
    stmt = _without_owner(piece.stmt)
    if stmt is not piece.stmt:
        ready = replace(ready, text=_deparse(stmt), is_verbatim=False)
    if not any(is_far(target) for _, target in referenced(stmt)):
        yield ready
        return
    rest, keys = take_apart(ready.text, is_far)
    if rest:
        yield replace(ready, text=rest, is_verbatim=False)
    for key in keys:
        yield replace(ready, text=key, locks_others=True, is_verbatim=False)


def _without_owner(stmt: Any) -> Any:
    """Remove OWNER TO: ownership is not compared, and needs membership in the new role."""
    if not isinstance(stmt, pb.AlterTableStmt):
        return stmt
    kept = [n for n in stmt.cmds if n.alter_table_cmd.subtype != pb.AT_ChangeOwner]
    if len(kept) == len(stmt.cmds):
        return stmt
    bare = pb.AlterTableStmt()
    bare.CopyFrom(stmt)
    del bare.cmds[:]
    bare.cmds.extend(kept)
    return bare


def _deparse(stmt: Any) -> str:
    parsed = pb.ParseResult()
    parsed.stmts.add().stmt.alter_table_stmt.CopyFrom(stmt)
    return str(postgast.deparse(parsed))


def _without_concurrently(text: str) -> str:
    """Blank the word, which is not allowed in a transaction; offsets stay unchanged."""
    raw = text.encode()
    token = next(t for t in postgast.scan(text).tokens if t.token == pb.CONCURRENTLY)
    start, end = int(token.start), int(token.end)
    return (raw[:start] + b" " * (end - start) + raw[end:]).decode()


def _types_of_cast(text: str) -> str:
    """Return the first parenthesized text, with its parentheses: `(mood AS numeric(4, 2))`."""
    raw, depth, start = text.encode(), 0, 0
    for token in tokens(text):
        word = raw[token.start : token.end]
        if word == b"(":
            start = start if depth else token.start
            depth += 1
        elif word == b")":
            depth -= 1
            if not depth:
                return raw[start : token.end].decode()
    raise ValueError("a CREATE CAST without types")


def _without_rows(text: str) -> str:
    """Append WITH NO DATA, so that a materialized view is created without running its query."""
    raw = text.encode()
    last = list(tokens(text))[-2:]
    if [raw[t.start : t.end].decode().lower() for t in last] == ["with", "data"]:
        start, end = last[0].start, last[1].end
        raw = raw[:start] + b" " * (end - start) + raw[end:]
    return raw.decode() + "\nWITH NO DATA"
