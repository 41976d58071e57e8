"""Predicts from their text what the steps of a folder will remove from tables that hold rows.

The files are followed in order from the first, so the tables, columns, keys and enums that exist at
each point are those that the files have made. Names are those from before each step, as a
declaration must give them. What a function or dynamic SQL does cannot be seen in the text; in a DO
block only statements that are written out count.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement
from predeploy.losses.loss import Loss, Verb
from predeploy.losses.values import ENUM, Column
from predeploy.sql.outcome.conversion import Conversion, conversions
from predeploy.sql.outcome.model import Model, Relation
from predeploy.sql.outcome.story import path_of
from predeploy.sql.parser.parsing import commands_of, parse
from predeploy.sql.parser.tree import below, nodes_of

# A cheap test of the text, before it is parsed.
_TELLING = re.compile(r"\b(drop|truncate|delete|merge|type|detach)\b", re.IGNORECASE)
# In the body of a DO block, a statement from its first keyword on.
_IN_BLOCK = re.compile(
    r"\b(?:alter\s+table|alter\s+type|drop\s+\w+|delete\s+from|truncate|merge\s+into)\b.*",
    re.IGNORECASE | re.DOTALL,
)
# EXECUTE of a literal counts as the statement written out.
_LITERAL = re.compile(r"\bexecute\s+'((?:[^']|'')*)'\s*$", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_SERIALS = {"serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8",
            "smallserial": "int2", "serial2": "int2"}  # fmt: skip
_HEADER = 4  # VARHDRSZ, which is part of a type modifier of varchar, char and numeric


def forecast(
    steps: Sequence[Sequence[Statement]], pending: Sequence[bool]
) -> tuple[tuple[Loss, ...], ...]:
    """Return what each step removes, for the steps of all files in order.

    `pending` selects the steps of interest; the result for every other step is empty.
    """
    wanted = [number for number, one in enumerate(pending) if one and may_lose(steps[number])]
    found: list[tuple[Loss, ...]] = [() for _ in steps]
    if wanted:
        story = _Story()
        for number, statements in enumerate(steps[: wanted[-1] + 1]):
            losses = story.follow(statements)
            found[number] = losses if pending[number] else ()
    return tuple(found)


def may_lose(statements: Iterable[Statement]) -> bool:
    """Whether the text of any statement hints at something that it removes."""
    inert = ("insert_stmt", "copy_stmt", "create_function_stmt", "comment_stmt", "create_stmt")
    # The text of these is mostly data or a body; `what` shows a WITH … DELETE in an INSERT.
    return any(
        _TELLING.search(s.what if s.node in inert else s.text)
        for s in statements
        if s.node != "update_stmt"
    )


class _Story:
    """Follows the statements and collects what each step removes."""

    def __init__(self) -> None:
        self._model = Model()
        self._found: list[Loss] = []

    def follow(self, statements: Sequence[Statement]) -> tuple[Loss, ...]:
        self._found = []
        self._model.begin_step()
        # Conversions come first: they are judged by the types from before the step.
        for conversion in conversions(statements):
            self._convert(conversion)
        for statement in statements:
            for node, stmt in _read(statement):
                self._go_on(node, stmt)
        self._found += (Loss(Verb.DROP_LABEL, name) for name in self._model.labels_gone())
        return tuple(dict.fromkeys(self._found))

    def _go_on(self, node: str, stmt: Any) -> None:
        if node == "variable_set_stmt" and stmt.name.lower() == "search_path":
            self._model.path = path_of(stmt)
        elif node == "drop_stmt":
            self._drop(stmt)
        elif node == "alter_table_stmt":
            self._alter(stmt)
        elif node == "truncate_stmt":
            self._truncate(stmt)
        else:
            self._delete(stmt)
            self._model.follow(node, stmt)

    def _lose(self, verb: Verb, table: Relation, column: str = "") -> None:
        """Record a loss, unless the step itself has made the object."""
        if table.before is None:
            return
        if not column:
            self._found.append(Loss(verb, table.before))
        elif (was := table.column_before(column)) is not None:
            self._found.append(Loss(verb, f"{table.before}.{was}"))

    def _drop(self, stmt: Any) -> None:
        model, takes_along = self._model, stmt.behavior == pb.DROP_CASCADE
        for item in stmt.objects:
            match stmt.remove_type:
                case pb.OBJECT_TABLE | pb.OBJECT_MATVIEW:
                    table = model.table(item, may_be_absent=stmt.missing_ok)
                    if table is not None:
                        self._drop_table(table, takes_along=takes_along)
                case pb.OBJECT_SCHEMA:
                    for table in model.in_schema(item.string.sval):
                        self._drop_table(table, takes_along=False)
                    model.drop_types_in(item.string.sval)
                case pb.OBJECT_TYPE | pb.OBJECT_DOMAIN:
                    name = model.drop_type(item)
                    for table, column in model.of_type(name) if takes_along else ():
                        self._lose(Verb.DROP_COLUMN, table, column)
                        table.drop(column)

    def _drop_table(self, table: Relation, *, takes_along: bool) -> None:
        self._lose(Verb.DROP_TABLE, table)
        for child in self._model.below(table):
            if takes_along and not child.is_partition:
                self._lose(Verb.DROP_TABLE, child)
            self._model.forget(child)
        self._model.forget(table)

    def _alter(self, stmt: Any) -> None:
        table = self._model.altered(stmt)
        commands = commands_of(stmt)
        for command in (c for c in commands if c.subtype == pb.AT_DropColumn):
            if table is not None and table.has(command.name, may_be_absent=command.missing_ok):
                self._lose(Verb.DROP_COLUMN, table, command.name)
        self._model.follow("alter_table_stmt", stmt)

    def _truncate(self, stmt: Any) -> None:
        for node in stmt.relations:
            table = self._model.named(node.range_var)
            is_cascade = stmt.behavior == pb.DROP_CASCADE
            # TRUNCATE … CASCADE empties every referring table, whatever its ON DELETE action.
            along = self._model.referring(table, any_action=True) if is_cascade else ()
            for one in (table, *along):
                self._lose(Verb.TRUNCATE, one)

    def _delete(self, stmt: Any) -> None:
        for node in below(stmt):
            is_merge = isinstance(node, pb.MergeStmt) and pb.CMD_DELETE in (
                n.merge_when_clause.command_type for n in node.merge_when_clauses
            )
            if isinstance(node, pb.DeleteStmt) or is_merge:
                table = self._model.named(node.relation)
                for one in (table, *self._model.referring(table, any_action=False)):
                    self._lose(Verb.DELETE, one)

    def _convert(self, conversion: Conversion) -> None:
        model = self._model
        table = model.find(conversion.schema, conversion.table)
        if table is None:
            table = model.unknown(conversion.schema, conversion.table)
        kind, modifiers = table.type_of(conversion.column)
        kind, new = (_plain(name, model) for name in (kind, conversion.type_name))
        column = Column(
            (0, 0), table.name, conversion.column, kind, _modifier(kind, modifiers),
            (ENUM if conversion.makes_enum else new) + ("[]" if conversion.is_array else ""),
            conversion.modifiers, conversion.is_plain, is_by_text=conversion.is_by_text,
        )  # fmt: skip
        if column.may_lose:
            self._lose(Verb.REWRITE, table, conversion.column)


def _plain(name: str, model: Model) -> str:
    """Return a type as Column names it; empty for a user-defined type that is not an enum."""
    element = name.removesuffix("[]")
    kind = ENUM if model.is_enum(element) else _SERIALS.get(element, element)
    return kind + name[len(element) :]


def _modifier(kind: str, modifiers: tuple[int, ...]) -> int:
    if not modifiers:
        return -1
    if kind == "numeric":
        scale = modifiers[1] if len(modifiers) > 1 else 0
        return ((modifiers[0] << 16) | scale) + _HEADER
    return modifiers[0] + (_HEADER if kind in ("varchar", "bpchar") else 0)


def _read(statement: Statement) -> Iterator[tuple[str, Any]]:
    """Yield the node of a statement, and those of statements written out in a DO block."""
    if statement.node in ("insert_stmt", "select_stmt") and not _TELLING.search(statement.text):
        return
    if statement.node in ("copy_stmt", "create_function_stmt", "comment_stmt", "grant_stmt"):
        return
    yield from _nodes(statement.text)
    if statement.node == "do_stmt":
        for text in _in_block(statement.text):
            yield from _nodes(text)


def _nodes(text: str) -> Iterator[tuple[str, Any]]:
    # What does not parse is skipped: a fragment of a DO block need not be a statement.
    try:
        raw = [one.stmt for one in parse(text).stmts]
    except postgast.PgQueryError:
        return
    for one in raw:
        node = str(one.WhichOneof("node"))
        yield node, getattr(one, node)


def _in_block(text: str) -> Iterator[str]:
    bodies = (node.arg.string.sval for node in nodes_of(text) if isinstance(node, pb.DefElem))
    for body in bodies:
        for piece in _COMMENT.sub(" ", body).split(";"):
            if literal := _LITERAL.search(piece.strip()):
                yield literal[1].replace("''", "'")
            elif match := _IN_BLOCK.search(piece):
                yield match[0]
