"""What a tool's own table says has been applied: how it is recognised, and what follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from predeploy.contract.plan import Finding
from predeploy.sources.script import Script

Row = Mapping[str, Any]
"""A row of the tool's table: values by column, as JSON has them."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a history says about the files of a folder.

    `files` are those that the tool has applied: by name, when, in its own words. `refusals` say
    (65) why a file, by name, must not be run as things are; an empty name is about all of them.
    `warnings` do not stop a run.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[tuple[str, Finding], ...] = ()
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Mirror:
    """How to record a file in the tool's table, so that the tool takes it for applied.

    `create` returns the statements that make the table as the tool does, and `write` those for a
    file; both are given the table's quoted name, `write` its columns, too (none for a new table).
    `schema` is where the tool makes it; empty for the first schema of the search_path.
    """

    create: Callable[[str], tuple[str, ...]]
    write: Callable[[Script, str, frozenset[str]], tuple[str, ...]]
    schema: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """The table in which a tool records what it has applied.

    `columns` are some that it always has; `foreign` are columns of it, or tables in its schema, by
    which it is another tool's table of the same name. `read` judges its rows, in any order, for the
    migrations of a folder. `order` is the column by which they are read.
    """

    tool: str
    table: str
    columns: frozenset[str]
    order: str
    read: Callable[[tuple[Script, ...], tuple[Row, ...]], Applied]
    foreign: frozenset[str] = frozenset()
    mirror: Mirror | None = None

    def is_kept_in(self, table: "Table") -> bool:
        """Whether this table is one of the tool's."""
        return (
            table.name == self.table
            and self.columns <= table.columns
            and not self.foreign & (table.columns | table.neighbours)
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A table by the name of a history, its columns, and the names of some tables beside it."""

    schema: str
    name: str
    columns: frozenset[str]
    neighbours: frozenset[str]

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Records:
    """A tool's table that is there, and its rows."""

    history: History
    table: Table
    rows: tuple[Row, ...]
