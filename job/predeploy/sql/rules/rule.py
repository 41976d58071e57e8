"""What a rule is: what it looks for in a statement, and what it says about it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement


class Severity(Enum):
    """How bad a finding is: an error fails or is refused, a warning may make others wait."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(slots=True)
class Past:
    """What the statements before have said, for the rules to read.

    `filled` has columns, each behind its table, in which a validated CHECK allows no null: of the
    whole folder. `made` has the names of the tables that the file has made, which nobody else uses,
    and `indexed` the columns of its indexes, each behind its table. `locked` has the other tables
    that the transaction has locked against readers or writers, `unproved` the constraints that it
    has added NOT VALID, each behind its table, and `told` the rules that were found in it.
    """

    filled: set[tuple[str, str]] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    indexed: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    locked: list[str] = field(default_factory=list)
    unproved: set[tuple[str, str]] = field(default_factory=set)
    told: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Subject:
    """A statement that is looked at, the parser's node of it, and what came before."""

    statement: Statement
    node: Any
    past: Past

    @property
    def kind(self) -> str:
        """The parser's name of the node, such as `index_stmt`."""
        return self.statement.node

    def is_old(self, table: str) -> bool:
        """Whether others may be using the table."""
        return bool(table) and table not in self.past.made

    def altering(self, *types: int) -> Iterator[Any]:
        """Yield the commands of an ALTER TABLE on an old table; all, or those of these types."""
        if self.kind == "alter_table_stmt" and self.node.objtype == pb.OBJECT_TABLE:
            if not self.is_old(self.node.relation.relname):
                return
            for each in self.node.cmds:
                if not types or each.alter_table_cmd.subtype in types:
                    yield each.alter_table_cmd


@dataclass(frozen=True, slots=True)
class Hit:
    """That a rule applies: about which object, and the safe form as SQL, if there is one."""

    about: str
    safe: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. `name` is stable and in kebab case; `aliases` are its names in other linters.

    `lock` is the mode in PostgreSQL's words, and `waits` who waits for it; both are empty where
    nobody does. `why` is a sentence without a full stop. `bad` is SQL to which this rule applies,
    and `good` SQL to which it does not: they are its tests, and its part of docs/rules.md.
    """

    name: str
    why: str
    bad: str
    good: str
    check: Callable[[Subject], Iterable[Hit]] = field(repr=False, compare=False)
    lock: str = ""
    waits: str = ""
    severity: Severity = Severity.WARNING
    aliases: tuple[str, ...] = ()


def written(kind: str, node: Any) -> str:
    """Return a node as SQL, with a semicolon."""
    tree = pb.ParseResult()
    getattr(tree.stmts.add().stmt, kind).CopyFrom(node)
    return f"{postgast.deparse(tree)};"


def changed(node: Any, **values: object) -> Any:
    """Return a copy of a node with other values of its fields."""
    copy = type(node)()
    copy.CopyFrom(node)
    for name, value in values.items():
        setattr(copy, name, value)
    return copy


def altered(subject: Subject, command: Any) -> str:
    """Return an ALTER TABLE with this command alone, as SQL."""
    alone = changed(subject.node)
    del alone.cmds[:]
    alone.cmds.add().alter_table_cmd.CopyFrom(command)
    return written(subject.kind, alone)


def name_of(relation: Any) -> str:
    """Return a table's name as people write it, with its schema if that is said."""
    return f"{relation.schemaname}.{relation.relname}" if relation.schemaname else relation.relname


def quoted_name(relation: Any) -> str:
    """Return a table's name as SQL."""
    schema = f"{quoted(relation.schemaname)}." if relation.schemaname else ""
    return f"{schema}{quoted(relation.relname)}"


def quoted(name: str) -> str:
    """Quote a name, if it has to be."""
    is_plain = name.isascii() and name.replace("_", "a").isalnum() and name == name.lower()
    return name if is_plain and not name[:1].isdigit() else '"' + name.replace('"', '""') + '"'


def definition_of(command: Any) -> Any:
    """Return what an ADD of an ALTER TABLE adds, as the parser has it: a column or a constraint."""
    holder = getattr(command, "def")
    kind = holder.WhichOneof("node")
    return getattr(holder, kind) if kind else None


def added_columns(subject: Subject) -> Iterator[tuple[Any, Any]]:
    """Yield each ADD COLUMN to an old table, and the column's definition."""
    for command in subject.altering(pb.AT_AddColumn):
        yield command, definition_of(command)


def added_constraints(subject: Subject, *types: int) -> Iterator[tuple[Any, Any]]:
    """Yield each ADD CONSTRAINT to an old table of one of these types, and the constraint."""
    for command in subject.altering(pb.AT_AddConstraint):
        constraint = definition_of(command)
        if constraint is not None and constraint.contype in types:
            yield command, constraint
