"""What a format is: how a tool's folder is read, its history understood, and its next file made."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from predeploy.contract.errors import SourcesError
from predeploy.contract.plan import Finding
from predeploy.sources.layout import shown
from predeploy.sources.script import Script
from predeploy.sources.walk import File, Folder

TABLE = "{table}"
"""In a finding's remedy: the history table, as statements name it."""
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

    @property
    def is_about_the_folder(self) -> bool:
        """Whether the history shares a file with it."""
        return bool(self.files or self.refusals)


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

    It is called `table` and, if that is said, is in `schema`; else it is where the tool looks.
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
    schema: str = ""

    def is_kept_in(self, table: "Table") -> bool:
        """Whether this table is one of the tool's."""
        return (
            table.name == self.table
            and self.schema in ("", table.schema)
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


_DIGITS = re.compile(r"\d+")
_TIMESTAMP = 14  # digits of YYYYMMDDHHMMSS
_WIDTH = 4  # of the first file's number


def next_version(names: Iterable[str], now: datetime) -> str:
    """Return a timestamp if the newest of these names has one, else the number behind the last.

    It is never below a version that is there: a clock may be behind the one that made the last.
    """
    found = [match[0] for name in names if (match := _DIGITS.match(name))]
    newest = max(found, key=int, default="")
    if len(newest) != _TIMESTAMP:
        return str(int(newest or 0) + 1).zfill(len(newest) or _WIDTH)
    return max(f"{now:%Y%m%d%H%M%S}", str(int(newest) + 1))


def timestamp(names: Iterable[str], now: datetime) -> str:
    """Return a version for a tool that always takes the time."""
    return next_version([*names, "0" * _TIMESTAMP], now)


def _plain(names: tuple[str, ...], name: str, now: datetime) -> Mapping[str, str]:
    """Return a file `<version>_<name>.sql` without a statement."""
    return {f"{next_version(names, now)}_{name}.sql": ""}


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What a folder says of its tool, where that is not as usual.

    `table` is the name of the history table, and `schema` that in which the files run: it has to be
    the first of the search_path.
    """

    table: str = ""
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """One format of folders.

    `read` returns the migrations in the order in which the tool runs them; what is wrong with them
    goes to its second argument, with file and line. `history` is where the tool records what it has
    applied, if it does. `new` returns the next migration's files, by path below the migrations; it
    is given the paths that are there, a name and the time. It raises SourcesError (65) with the
    tool's own command if only that can make one. `settings` returns what the folder says of
    the tool itself.
    """

    read: Callable[[Folder, list[str]], tuple[Script, ...]]
    history: History | None = None
    new: Callable[[tuple[str, ...], str, datetime], Mapping[str, str]] = _plain
    settings: Callable[[Folder], ToolSettings] = lambda _: ToolSettings()


def stray(file: File, tool: str, wanted: str) -> SourcesError:
    """Return the refusal of a file that the tool would pass over; `wanted` is what it runs."""
    what = f"{shown(file.name)}: is not run by {tool}; call it {wanted}, or move it"
    return SourcesError((f"{what} out of the migrations",))


def only_by(command: str) -> Callable[[tuple[str, ...], str, datetime], Mapping[str, str]]:
    """Return the refusal to make a file for which the tool keeps more than the file."""

    def refuse(_: tuple[str, ...], name: str, __: datetime) -> Mapping[str, str]:
        raise SourcesError((f"the tool keeps more than the file: run `{command} {name}`",))

    return refuse
