"""The formats in which tools keep migrations, one module for each tool.

A module here says how its tool's folder is read: names, order, what undoes a file and is therefore
left alone, and how its history table is understood. It never runs anything and never looks at a
database. Which format a folder has is decided here, before a module is imported: a settled run
needs none but its own.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module

from predeploy.contract.errors import SettingsError, SourcesError
from predeploy.sources.formats.format import Format, History
from predeploy.sources.formats.unread import refusal
from predeploy.sources.layout import Role
from predeploy.sources.walk import Folder

_HEAD = 1 << 16  # bytes of a file in which its tool's mark is looked for
NATIVE = "native"


def _named(pattern: str, folder: Folder) -> str:
    """Return the first file whose path below the migrations matches; empty if none does."""
    wanted = re.compile(pattern, re.IGNORECASE)
    below = (name for name in folder.names if name.startswith(folder.home))
    return next((name for name in below if wanted.search(name.removeprefix(folder.home))), "")


def _marked(word: bytes, pattern: bytes, folder: Folder) -> str:
    """Return the first migration that holds a line which matches; empty if none does.

    `word`, in lower case, is in each such line: looking for it first takes a tenth of the time.
    """
    wanted = re.compile(rb"^\s*" + pattern, re.MULTILINE)
    for file in folder.having(Role.MIGRATION):
        head = file.content[:_HEAD].lower()
        if word in head and wanted.search(head):
            return file.name
    return ""


def _drizzle(folder: Folder) -> str:
    return _named(r"^meta/_journal\.json$", folder) or _named(
        r"^\d{14}_[^/]*/snapshot\.json$", folder
    )


def _prisma(folder: Folder) -> str:
    return "" if _drizzle(folder) else _named(r"^\d+_[^/]*/migration\.sql$", folder)


def _sqlx(folder: Folder) -> str:
    return _named(r"^sqlx\.toml$", folder)


def _golang_migrate(folder: Folder) -> str:
    return "" if _sqlx(folder) else _named(r"^\d+_[^/]*\.up\.sql$", folder)


def _node_pg_migrate(folder: Folder) -> str:
    """Return a file with a part that goes up, if there are parts that go down, too.

    One of the marks alone may be any comment.
    """
    ups = _marked(b"migration", rb"--[ \t-]*up[ \t]+migration\b", folder)
    return ups and _marked(b"migration", rb"--[ \t-]*down[ \t]+migration\b", folder) and ups


# What a folder shows: the file by which it is taken for one of that format. Only plain files with
# a version in their names are left to the native format.
_SIGNS: dict[str, Callable[[Folder], str]] = {
    "prisma": _prisma,
    "drizzle": _drizzle,
    "flyway": lambda folder: _named(r"(^|/)(V\d+([._]\d+)*|R)__[^/]*\.sql$", folder),
    "atlas": lambda folder: _named(r"^atlas\.sum$", folder),
    "goose": lambda folder: _marked(b"+goose", rb"--[ \t]*\+goose[ \t]+up\b", folder),
    "dbmate": lambda folder: _marked(b"migrate:up", rb"--[ \t]*migrate:up\b", folder),
    "sql-migrate": lambda folder: _marked(b"+migrate", rb"--[ \t]*\+migrate[ \t]+up\b", folder),
    "node-pg-migrate": _node_pg_migrate,
    "diesel": lambda folder: _named(r"^[\d-]+_[^/]*/up\.sql$", folder),
    "golang-migrate": _golang_migrate,
    "sqlx": _sqlx,
}
# Formats that look alike in the folder: the history table in the database tells them apart.
_ALIKE = {NATIVE: ("supabase", "sqlx"), "golang-migrate": ("sqlx",)}
_SECTIONED = frozenset({"goose", "dbmate", "sql-migrate", "node-pg-migrate"})
FORMATS = (*dict.fromkeys((*_SIGNS, *_ALIKE[NATIVE], NATIVE)),)
"""The names of all formats, as settings have them."""


def format_of(folder: Folder, wanted: str, problems: list[str]) -> str:
    """Return the name of the folder's format: `wanted`, or what the folder shows.

    That several fit is a problem, which goes to `problems`. Raises SettingsError (78) if `wanted`
    is no format's name, and SourcesError (65) if the folder is of a tool that is not read.
    """
    if wanted and wanted not in FORMATS:
        raise SettingsError(
            (f"PREDEPLOY_FORMAT is {wanted!r}; it must be one of {', '.join(FORMATS)}",)
        )
    if wanted:
        return wanted
    if why := refusal(folder):
        raise SourcesError((why,))
    fitting = {name: file for name, sign in _SIGNS.items() if (file := sign(folder))}
    first = next(iter(fitting), NATIVE)
    if len(fitting) > 1:
        why = ", ".join(f"{name} by {file}" for name, file in fitting.items())
        problems.append(
            f"the migrations look like those of several tools ({why}); say whose they are: "
            f'format = "{first}" in predeploy.toml'
        )
    return first


def named(name: str) -> Format:
    """Return the format of this name."""
    room = f"{__name__}.sectioned" if name in _SECTIONED else __name__
    found = import_module(f"{room}.{name.replace('-', '_')}").FORMAT
    assert isinstance(found, Format)  # noqa: S101 - each module of this room has one
    return found


def tools_of(name: str, wanted: str) -> tuple[str, ...]:
    """Return the formats whose tools may have migrated with a folder of the format `name`.

    One, if a setting says whose it is.
    """
    return (name,) if wanted else (name, *_ALIKE.get(name, ()))


def histories_of(tools: Iterable[str], table: str = "") -> tuple[History, ...]:
    """Return the histories of these formats, kept in `table` if that is said."""
    found = (history for tool in tools if (history := named(tool).history))
    schema, _, name = table.rpartition(".")
    return tuple(replace(each, table=name, schema=schema) if name else each for each in found)
