"""predeploy.toml: what the app cannot run without. Text in, values and problems out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from predeploy.settings.versions import NO_VERSION, Version, version_of

DECLARATION = "predeploy.toml: "
EVERY_TABLE = "*"
_MISSING = "missing"  # under [accept]: no kind of object is called so
_TABLES = ("critical", "settings", "accept", "allow", "sync", "migrate")
_NO_TABLE = f"is not one of the tables {', '.join(f'[{name}]' for name in _TABLES)}"
_ALTER = {"safe": True, "never": False}


@dataclass(frozen=True, slots=True)
class CriticalTable:
    """A table without which the app cannot run, and the columns that it must have.

    `schema` is empty if the file leaves it to the search_path.
    """

    schema: str
    table: str
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return `schema.table`, as facts name it, or the table alone."""
        return f"{self.schema}.{self.table}" if self.schema else self.table


@dataclass(frozen=True, slots=True)
class Sync:
    """What `[sync]` says of making the database as schema.sql declares it.

    `may_alter`: what is there may be altered where that touches no row and narrows nothing. `left`
    names the tables, as `schema.table` or `table`, whose partitions are left to their maintenance;
    `EVERY_TABLE` stands for all.
    """

    may_alter: bool = True
    left: frozenset[str] = frozenset()

    def leaves(self, schema: str, table: str) -> bool:
        """Whether the partitions of a table are left to their maintenance."""
        return not self.left.isdisjoint((EVERY_TABLE, table, f"{schema}.{table}"))


def read_tables(declaration: str | None, found: list[str]) -> dict[str, dict[str, object]]:
    """Return the tables of the file by name; what is wrong with it goes to `found`."""
    tables = _toml(declaration, found) if declaration else {}
    known = {name for name in _TABLES if isinstance(tables.get(name), dict)}
    strange = [name for name in tables if name not in {*known, "baseline", "format"}]
    found += [f"{DECLARATION}{name!r} {_NO_TABLE}" for name in strange]
    return {name: tables[name] for name in known}


def read_baseline(declaration: str | None, found: list[str]) -> Version:
    """Return the version up to which files count as done in a database without a ledger."""
    value = _toml(declaration, []).get("baseline") if declaration else None
    if value is None:
        return NO_VERSION
    version = version_of(value) if isinstance(value, str) else NO_VERSION
    if not version:
        found.append(f'{DECLARATION}baseline must be a version as a file has it, such as "0042"')
    return version


def read_format(declaration: str | None, found: list[str]) -> dict[str, str]:
    """Return the setting `format`, if the file has it: the name of the folder's format."""
    value = _toml(declaration, []).get("format") if declaration else None
    if value is not None and not isinstance(value, str):
        found.append(f'{DECLARATION}format must be the name of a tool, such as "prisma"')
    return {"format": value} if isinstance(value, str) else {}


def _toml(declaration: str, found: list[str]) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - only who has a declaration pays for it

    try:
        return tomllib.loads(declaration)
    except (ValueError, RecursionError) as error:
        at = re.search(r"at line (\d+)", str(error))
    line = at[1] if at else len(declaration.splitlines())
    found.append(f"{DECLARATION}line {line} is not valid TOML")
    return {}


def read_critical(declared: Mapping[str, object], found: list[str]) -> tuple[CriticalTable, ...]:
    """Return the critical tables that `[critical]` names; problems go to `found`."""
    tables: dict[tuple[str, str], CriticalTable] = {}
    for name, value in _flat(declared):
        match = re.fullmatch(r"(?:([^.]+)\.)?([^.]+)", name)
        key = (match[1] or "", match[2]) if match else ("", "")
        columns = _columns(value)
        if not match:
            found.append(f"{DECLARATION}[critical] {name!r} is not named table or schema.table")
        elif key in tables:
            found.append(f"{DECLARATION}[critical] {name!r} is there twice")
        elif columns is None:
            found.append(f"{DECLARATION}[critical] {name!r} must be a list of different columns")
        else:
            tables[key] = CriticalTable(*key, columns)
    return tuple(tables.values())


def read_sync(declared: Mapping[str, object], found: list[str]) -> Sync:
    """Return what `[sync]` says; problems go to `found`."""
    found += [
        f"{DECLARATION}[sync] {name!r} is no key of [sync]"
        for name in declared
        if name not in ("alter", "partitions")
    ]
    left = _left(declared.get("partitions", {}), found)
    alter = declared.get("alter", "safe")
    if not isinstance(alter, str) or alter not in _ALTER:
        found.append(f"{DECLARATION}[sync] alter is {alter!r}; it must be one of safe, never")
        return Sync(left=left)
    return Sync(may_alter=_ALTER[alter], left=left)


def _left(declared: object, found: list[str]) -> frozenset[str]:
    """Return the tables whose partitions are left alone: said of all, or of each."""
    by_table = dict(_flat(declared)) if isinstance(declared, dict) else {EVERY_TABLE: declared}
    for name, how in by_table.items():
        if how not in ("make", "leave"):
            of = "" if name == EVERY_TABLE else f" of {name!r}"
            what = f"partitions{of} is {how!r}; it must be one of make, leave"
            found.append(f"{DECLARATION}[sync] {what}")
    return frozenset(name for name, how in by_table.items() if how == "leave")


def read_missing(declared: Mapping[str, object], found: list[str]) -> frozenset[str]:
    """Return what `[accept] missing` lists, as `table:public.old`; problems go to `found`."""
    listed = declared.get(_MISSING, [])
    if isinstance(listed, list) and all(isinstance(name, str) and ":" in name for name in listed):
        return frozenset(listed)
    found.append(f'{DECLARATION}[accept] missing must be a list such as ["table:public.old"]')
    return frozenset()


def read_accepted(declared: Mapping[str, object], found: list[str]) -> tuple[tuple[str, str], ...]:
    """Return the drifts that `[accept]` lists, as (object, live shape); problems go to `found`."""
    found += [
        f"{DECLARATION}[accept] {name!r} must be the shape that is there, in quotes"
        for name, shape in declared.items()
        if not isinstance(shape, str) and name != _MISSING
    ]
    shapes = ((name, shape) for name, shape in declared.items() if name != _MISSING)
    return tuple((name, shape) for name, shape in shapes if isinstance(shape, str))


def read_allowed(
    declared: Mapping[str, object], found: list[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return what `[allow]` lists by file, as `drop-table old`; problems go to `found`."""
    allowed = []
    for file, said in declared.items():
        if isinstance(said, list) and said and all(isinstance(each, str) for each in said):
            allowed.append((file, tuple(said)))
        else:
            found.append(
                f'{DECLARATION}[allow] {file!r} must be a list such as ["drop-column users.note"]'
            )
    return tuple(allowed)


def _flat(declared: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    # TOML reads `schema.table = [...]` without quotes as a table in a table
    for name, value in declared.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{table}", columns) for table, columns in value.items())
        else:
            yield name, value


def _columns(value: object) -> tuple[str, ...] | None:
    columns: list[Any] = value if isinstance(value, list) else [None]
    are_names = all(isinstance(column, str) and column for column in columns)
    return tuple(columns) if are_names and len(set(columns)) == len(columns) else None


def way_to_leave(table: str) -> str:
    """Return the setting that leaves the partitions of a table to maintenance."""
    return f'predeploy.toml: [sync.partitions] "{table}" = "leave"'
