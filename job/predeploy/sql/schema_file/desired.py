"""Reads the schema files: the statements that declare the desired state, and their schemas.

The result is what a shadow runs: only statements on the whitelist, each with the search_path that
its file has set, and verbatim wherever possible, so that the server's error positions match the
file.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.search_path import read_names
from predeploy.schema.written import NOTHING_WRITTEN, Written
from predeploy.sql.parser.names import Name
from predeploy.sql.parser.unparsed import UnreadableError
from predeploy.sql.schema_file.locks import lock_count
from predeploy.sql.schema_file.piece import Piece
from predeploy.sql.schema_file.prepared import WITH_KEYS, DesiredStatement, prepared
from predeploy.sql.schema_file.written import read_written
from predeploy.sql.script.psql_lines import PsqlLineError, without_psql_lines
from predeploy.sql.script.reading import read
from predeploy.sql.statement.targets import changed, described, made, referenced
from predeploy.sql.statement.whitelist import Verdict, judge, path_of_select, reason

_RELATION_NODES = frozenset(
    ("create_stmt", "view_stmt", "create_foreign_table_stmt", "create_table_as_stmt")
)
_FIX = "fix it, then run again"
_DECLARE = "declare it, or write the schema that it is in"
# "$user" depends on the connected role; a declaration must not.
_NO_SCHEMAS = ("", "$user")


@dataclass(frozen=True, slots=True)
class Desired:
    """The desired state as statements.

    `schemas` are those that the files manage, in order of first mention; `names` are the objects
    made there, as (schema, name). `locks` is the number of locks that a transaction holds once it
    has made all of them. `filled` are the materialized views declared WITH DATA, although a shadow
    creates them without. `homes` maps extensions to the schemas written for them. `search_path`
    applies to statements whose file sets none. `written` holds what the files say and no catalog
    keeps. If a finding has an exit code (65), no statement may be run.
    """

    schemas: tuple[str, ...]
    statements: tuple[DesiredStatement, ...]
    names: frozenset[Name]
    locks: int
    filled: frozenset[Name]
    homes: Mapping[str, str]
    search_path: tuple[str, ...]
    findings: tuple[Finding, ...]
    written: Written = NOTHING_WRITTEN


@dataclass(slots=True)
class _Reader:
    search_path: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)
    schemas: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # where first mentioned

    def refuse(self, path: str, line: int, column: int, why: str, remedy: str = "") -> None:
        message = f"{path}:{line}:{column}: {why}"
        self.findings.append(Finding("bad-schema", message, remedy, ExitCode.BAD_SOURCES))


def read_desired(
    files: Iterable[tuple[str, str]], ledger_schema: str, search_path: tuple[str, ...]
) -> Desired:
    """Read the schema files, given as (path, text) in order.

    `search_path` resolves unqualified names where a file sets none. The findings name every
    statement that a schema file may not contain, with its position.
    """
    reader = _Reader(search_path)
    found = [piece for path, text in files for piece in _read_file(path, text, reader)]
    names: set[Name] = set()
    relations: set[Name] = set()
    for piece in found:
        name = made(piece.statement.node, piece.stmt)
        if name is None:
            continue
        name = piece.resolved(name)
        names.add(name)
        if piece.statement.node in _RELATION_NODES:
            relations.add(name)
        if name[0]:
            reader.schemas.setdefault(name[0], piece.place)
    # If the files name no schema, they manage the first one of the search_path.
    schemas = tuple(reader.schemas) or search_path[:1]
    _refuse_reserved(ledger_schema, reader)
    # Only now is it known what the files create: a file may refer to objects of a later one.
    for piece in found:
        _check_reach(piece, schemas, relations, reader)
    locks = lock_count(found)
    statements = tuple(s for piece in found for s in prepared(piece, schemas, relations))
    return Desired(
        schemas=schemas,
        statements=statements,
        names=frozenset(names),
        locks=locks,
        filled=frozenset(_filled(found)),
        homes=dict(_homes(found)),
        search_path=search_path,
        findings=tuple(reader.findings),
        written=read_written(found, relations),
    )


def _read_file(path: str, text: str, reader: _Reader) -> Iterator[Piece]:
    """Yield the statements to run; record the schemas that the file creates, and its problems."""
    nodes: list[Any] = []
    try:
        reading = read(without_psql_lines(text), nodes)
    except PsqlLineError as error:
        reader.refuse(path, error.line, 1, str(error), error.remedy)
        return
    except UnreadableError as error:
        reader.refuse(path, error.line, error.column, f"cannot be read: {error}", _FIX)
        return
    if reading.complaint:
        why = f"cannot be read: {reading.complaint}"
        reader.refuse(path, reading.line, reading.column, why, _FIX)
        return
    search_path: tuple[str, ...] | None = None
    for statement, stmt in zip(reading.statements, nodes, strict=True):
        match judge(statement, stmt):
            case Verdict.PATH:
                try:
                    search_path = _path_of(statement.node, stmt)
                except ValueError as error:
                    why = f"the search_path must be {error}"
                    reader.refuse(path, statement.line, statement.column, why, _FIX)
            case Verdict.RUN:
                yield Piece(path, statement, stmt, search_path, reader.search_path)
            case Verdict.SKIP if statement.node == "create_schema_stmt":
                place = (path, statement.line, statement.column)
                reader.schemas.setdefault(stmt.schemaname, place)
            case None:
                what = f"this {statement.what} cannot stand in a schema file"
                why = reason(statement)
                reader.refuse(path, statement.line, statement.column, what, why)


def _check_reach(
    piece: Piece, schemas: Sequence[str], relations: set[Name], reader: _Reader
) -> None:
    """Refuse a statement that would lock or change a live object that the files do not declare."""
    node, stmt = piece.statement.node, piece.stmt

    def refuse(name: str, why: str, remedy: str) -> None:
        what = f"{piece.statement.what} concerns {name}, {why}"
        reader.refuse(*piece.place, what, remedy)

    for schema, name in changed(node, stmt):
        if schema and schema not in schemas:
            why = f"and no schema file creates anything in {schema}"
            refuse(f"{schema}.{name}", why, "use a migration for it")
        elif not schema and not piece.surely_means(name, relations, schemas):
            refuse(name, "which no schema file creates", _DECLARE)
    for schema in described(node, stmt):
        if schema and schema not in schemas:
            why = "which the schema files do not manage"
            refuse(f"schema {schema}", why, "use a migration for it")
    if node in WITH_KEYS:
        for _, (schema, name) in referenced(stmt):
            if not schema and not piece.may_mean(name, relations):
                refuse(name, "which no schema file creates", _DECLARE)


def _filled(found: Iterable[Piece]) -> Iterator[Name]:
    for piece in found:
        name = made(piece.statement.node, piece.stmt)
        is_view = piece.statement.node == "create_table_as_stmt"
        if name is not None and is_view and not piece.stmt.into.skip_data:
            yield piece.resolved(name)


def _homes(found: Iterable[Piece]) -> Iterator[tuple[str, str]]:
    for piece in found:
        if piece.statement.node == "create_extension_stmt":
            for option in piece.stmt.options:
                if option.def_elem.defname == "schema":
                    yield piece.stmt.extname, option.def_elem.arg.string.sval


def _refuse_reserved(ledger_schema: str, reader: _Reader) -> None:
    for schema, place in reader.schemas.items():
        if schema.startswith("pg_") or schema in ("information_schema", ledger_schema):
            whose = "predeploy" if schema == ledger_schema else "PostgreSQL"
            what = f"schema {schema} belongs to {whose}"
            reader.refuse(*place, what, "declare nothing in it")


def _path_of(node: str, stmt: Any) -> tuple[str, ...] | None:
    """Return the schemas that the statement sets; None if it resets to the default."""
    if node == "select_stmt":
        names = read_names(path_of_select(stmt) or "")
        return tuple(name for name in names if name not in _NO_SCHEMAS)
    if stmt.kind != pb.VAR_SET_VALUE:
        return None
    names = tuple(arg.a_const.sval.sval for arg in stmt.args)
    return tuple(name for name in names if name not in _NO_SCHEMAS)
