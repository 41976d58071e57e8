"""Whether a step's text could ever do what a declaration allows, on any database.

A file must also work on a new database, where what it drops never existed, and on one whose
partitions have other names. So a line that allows what did not happen is an error only if nothing
in the text could make use of it: then it is misspelt or forgotten.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement
from predeploy.contract.step import Declaration
from predeploy.losses.allowlist import pattern_of
from predeploy.losses.loss import Verb
from predeploy.sql.outcome.story import Made, Renamed, events
from predeploy.sql.parser.names import Name
from predeploy.sql.parser.parsing import node_of
from predeploy.sql.parser.tree import nodes_of

_TABLES = (pb.OBJECT_TABLE, pb.OBJECT_MATVIEW, pb.OBJECT_FOREIGN_TABLE)
_ROWS = (Verb.DELETE.value, Verb.TRUNCATE.value)
# What a block of code calls, or executes as dynamic SQL, its text does not show.
_HIDES = re.compile(r"\b(execute|perform|call)\b|\bselect\s+[\w.\"]+\s*\(", re.IGNORECASE)
# Built-in functions that remove nothing.
_KNOWN_CALLS = frozenset(("set_config", "setval", "nextval", "currval", "now", "current_setting"))
_WRITES = (pb.DeleteStmt, pb.MergeStmt, pb.UpdateStmt, pb.InsertStmt)


@dataclass(slots=True)
class _Step:
    """What is known as the statements are followed.

    `old` maps the current name of a table or type to its name before the step; `new` holds the
    names of objects that the step has made.
    """

    tables: Collection[str]
    parents: Collection[str]
    old: dict[str, str] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)

    def apply(self, node: str, stmt: Any) -> None:
        for event in events(node, stmt):
            match event:
                case Renamed(old, now) if not old.of:
                    self.old[now.name] = self.old.pop(old.name, old.name)
                case Made(thing) if not thing.of:
                    self.new.add(thing.name)

    def before(self, name: Name) -> Name:
        """Return the name from before the step."""
        schema, relation = name
        return (schema, relation) if relation not in self.old else ("", self.old[relation])

    def may_have_parts(self, name: Name) -> bool:
        """Whether a table has partitions or children; one unknown here may have some elsewhere."""
        return not _is_among(name, self.tables) or _is_among(name, self.parents)


def may_use(
    statements: Sequence[Statement],
    said: Declaration,
    tables: Collection[str] = (),
    parents: Collection[str] = (),
) -> bool:
    """Whether one of the statements could do what is declared.

    `tables` are the existing tables, and `parents` those of them with partitions or children.
    """
    step = _Step(tables, parents)
    for statement in statements:
        if _hides(statement, said):
            return True
        if statement.node in ("", "do_stmt", "select_stmt"):
            continue
        try:
            stmt = node_of(statement)
        except (postgast.PgQueryError, IndexError):
            # What cannot be parsed could do anything.
            return True
        may = _MAY.get(statement.node, _may_write)
        if said.target.rpartition(".")[2] not in _renamed_to(step) and may(step, stmt, said):
            return True
        step.apply(statement.node, stmt)
    return False


def _renamed_to(step: _Step) -> set[str]:
    """Return names that exist only since the step; no loss of the step can have one of them."""
    kept = {old for new, old in step.old.items()}
    return {name for name in {*step.old, *step.new} if name not in kept} - {
        table.rpartition(".")[2] for table in step.tables
    }


def _hides(statement: Statement, said: Declaration) -> bool:
    """Whether it runs code that the text does not show, or that contains the declared name."""
    match statement.node:
        case "call_stmt" | "execute_stmt":
            return True
        case "" | "do_stmt":
            words = [part for part in re.split(r"[\W]+", said.target.rpartition(".")[2]) if part]
            is_named = all(word.lower() in statement.text.lower() for word in words)
            return is_named or bool(_HIDES.search(statement.text))
        case "select_stmt":
            return "(" in statement.text and any(map(_is_unknown_call, _nodes(statement.text)))
    return False


def _nodes(text: str) -> Iterable[Any]:
    try:
        return nodes_of(text)
    except postgast.PgQueryError:
        return ()


def _is_unknown_call(node: Any) -> bool:
    if not isinstance(node, pb.FuncCall):
        return False
    names = [part.string.sval for part in node.funcname]
    return names[0] != "pg_catalog" and names[-1] not in _KNOWN_CALLS


def _may_drop(step: _Step, stmt: Any, said: Declaration) -> bool:
    takes_along = bool(stmt.behavior == pb.DROP_CASCADE)
    kind = stmt.remove_type
    if kind == pb.OBJECT_SCHEMA:
        schemas = [item.string.sval for item in stmt.objects]
        return takes_along and said.verb != Verb.DETACH.value and _is_in(schemas, said)
    names = [step.before(_name_of(item)) for item in stmt.objects]
    match said.verb:
        case Verb.DROP_TABLE.value if kind in _TABLES:
            return takes_along or any(
                _says(said, name) or step.may_have_parts(name) for name in names
            )
        case Verb.DROP_LABEL.value if kind == pb.OBJECT_TYPE:
            return any(_says(said, (*name, "*")) for name in names)
        case Verb.DROP_TABLE.value | Verb.DROP_COLUMN.value:
            return takes_along or kind == pb.OBJECT_EXTENSION
    return bool(said.verb == Verb.DROP_LABEL.value and kind == pb.OBJECT_EXTENSION)


def _is_in(schemas: Collection[str], said: Declaration) -> bool:
    """Whether the declared object may be in one of the schemas; it need not name one."""
    # The number of names that follow the schema in a target.
    depth = {Verb.DROP_COLUMN.value: 2, Verb.DROP_LABEL.value: 2}.get(said.verb, 1)
    parts = said.target.split(".")
    named = parts[-depth - 1] if len(parts) > depth else ""
    is_along = said.verb == Verb.DROP_COLUMN.value  # of a table in another schema, by its type
    return is_along or not named or any(pattern_of(named).fullmatch(s) for s in schemas)


def _may_alter(step: _Step, stmt: Any, said: Declaration) -> bool:
    table = step.before((stmt.relation.schemaname, stmt.relation.relname))
    return any(_may_change(table, node.alter_table_cmd, said) for node in stmt.cmds)


def _may_change(table: Name, command: Any, said: Declaration) -> bool:
    """Whether a subcommand does it, to the table or to one that inherits from it."""
    part = said.target.rpartition(".")[2]
    match said.verb, command.subtype:
        case (Verb.DROP_COLUMN.value, pb.AT_DropColumn):
            is_named = pattern_of(part).fullmatch(command.name) is not None
            return is_named or command.behavior == pb.DROP_CASCADE
        case (Verb.REWRITE.value, pb.AT_AlterColumnType):
            return pattern_of(part).fullmatch(command.name) is not None
        case (Verb.REWRITE.value, _):
            return _says(said, table)
        case (Verb.DETACH.value, pb.AT_DetachPartition | pb.AT_DetachPartitionFinalize):
            name = getattr(command, "def").partition_cmd.name
            return _says(said, table) or _says(said, (name.schemaname, name.relname))
    return False


def _may_rename(step: _Step, stmt: Any, said: Declaration) -> bool:
    if said.verb != Verb.RENAME.value:
        return False
    last = pattern_of(said.target.rpartition(".")[2])
    olds = (event.old for event in events(_node_of(stmt), stmt) if isinstance(event, Renamed))
    return any(last.fullmatch(step.before(("", old.name))[1]) for old in olds)


def _node_of(stmt: Any) -> str:
    return "rename_stmt" if isinstance(stmt, pb.RenameStmt) else "alter_object_schema_stmt"


def _may_relabel(_step: _Step, stmt: Any, said: Declaration) -> bool:
    label = said.target.rpartition(".")[2]
    return said.verb == Verb.RENAME.value and bool(stmt.old_val) and stmt.old_val == label


def _may_truncate(step: _Step, stmt: Any, said: Declaration) -> bool:
    names = [(n.range_var.schemaname, n.range_var.relname) for n in stmt.relations]
    return said.verb in _ROWS and (
        stmt.behavior == pb.DROP_CASCADE
        or any(_says(said, n) or step.may_have_parts(n) for n in map(step.before, names))
    )


def _may_write(step: _Step, stmt: Any, said: Declaration) -> bool:
    if said.verb not in _ROWS:
        return False
    written = [node.relation for node in _below(stmt) if isinstance(node, _WRITES)]
    names = [step.before((r.schemaname, r.relname)) for r in written]
    return any(_says(said, name) or step.may_have_parts(name) for name in names)


def _always(_step: _Step, _stmt: Any, _said: Declaration) -> bool:
    return True


def _below(stmt: Any) -> Iterable[Any]:
    todo = [stmt]
    while todo:
        node: Any = todo.pop()
        yield node
        for field_, value in node.ListFields():
            if field_.message_type is not None:
                todo.extend([value] if hasattr(value, "ListFields") else value)


def _name_of(item: Any) -> Name:
    match item.WhichOneof("node"):
        case "list":
            parts = [part.string.sval for part in item.list.items if part.string.sval]
        case "type_name":
            parts = [part.string.sval for part in item.type_name.names]
        case "object_with_args":
            parts = [part.string.sval for part in item.object_with_args.objname]
        case _:
            parts = [item.string.sval]
    return (parts[-2] if len(parts) > 1 else "", parts[-1])


def _says(said: Declaration, name: Sequence[str]) -> bool:
    """Whether the declaration's target may be that name; either may leave out the schema."""
    theirs = [part for part in name if part]
    ours = said.target.split(".")
    pairs = list(zip(reversed(ours), reversed(theirs), strict=False))
    return all(b == "*" or pattern_of(a).fullmatch(b) is not None for a, b in pairs)


def _is_among(name: Name, tables: Collection[str]) -> bool:
    schema, relation = name
    if schema:
        return f"{schema}.{relation}" in tables
    return any(table == relation or table.endswith(f".{relation}") for table in tables)


_MAY = {
    "drop_stmt": _may_drop,
    "alter_table_stmt": _may_alter,
    "rename_stmt": _may_rename,
    "alter_object_schema_stmt": _may_rename,
    "alter_enum_stmt": _may_relabel,
    "truncate_stmt": _may_truncate,
    "drop_owned_stmt": _always,
    "alter_extension_stmt": _always,
}
