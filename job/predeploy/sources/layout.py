"""What each file of the SQL folder is, by its name alone.

One function decides. A file is a migration, part of the desired state, a fallback, a seed, a check,
the declaration, OTHER (nothing to run), or UNREAD: it looks like something to run, and nothing
runs it. Pure: names in, roles and sentences out.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from enum import Enum

from predeploy.settings.versions import version_of

DECLARATION = "predeploy.toml"
SCHEMA_FILE = "schema.sql"
STRUCTURE_FILE = "structure.sql"  # as Rails writes it
_LIKENESS = 0.8  # of a name to that of a part: seeds to seed, migration to migrations


class Role(Enum):
    """What a file is for; the value of one that is read is where it belongs."""

    MIGRATION = "migrations"
    SCHEMA = "schema"
    FALLBACK = "fallback"
    SEED = "seed"
    CHECK = "verify"
    DECLARATION = DECLARATION
    PROGRAM = "a migration that is a program"
    TOOL = "a file by which a tool keeps its migrations"
    OTHER = "nothing that is run"
    UNREAD = "something that nothing here runs"


_PARTS = {
    role.value: role for role in (Role.MIGRATION, Role.SCHEMA, Role.FALLBACK, Role.SEED, Role.CHECK)
}
FOLDERS = tuple(_PARTS)
BELOW = f"{Role.MIGRATION.value}/"
_FILES = {
    DECLARATION: Role.DECLARATION,
    SCHEMA_FILE: Role.SCHEMA,
    STRUCTURE_FILE: Role.SCHEMA,
}
_ALL = frozenset({*FOLDERS, *_FILES})
# SQL that the app or its tests run, as with sqlc, PgTyped and pgTAP.
_OF_OTHERS = frozenset({"queries", "query", "tests", "test", "docs"})
_SQL = re.compile(r"\.(sql|ddl|dml|psql|pgsql|plpgsql)(\.txt)?$", re.IGNORECASE)
_PROSE = re.compile(
    r"(\.(md|mdx|markdown|rst|adoc|txt|pdf|png|jpe?g|gif|svg|puml|mmd|dbml|drawio"
    r"|bak|orig|rej|swp|swo)|~)$",
    re.IGNORECASE,
)
# Files next to migrations that are not migrations: documents, and the locks, journals, settings and
# loaders of Atlas, Prisma, Drizzle, Sqitch, Flyway, tern, Alembic, Go, Rust and Node.js.
_COMPANION = re.compile(
    r"(^|/)(readme[^/]*|licen[cs]e[^/]*|copying|notice|changelog|authors|contributing|codeowners"
    r"|owners|todo|makefile|justfile|build(\.bazel)?"
    r"|[^/]+\.(sum|lock|mod|toml|ini|conf|cfg|hcl|prisma)|meta/[^/]+\.json|_journal\.json"
    r"|snapshot\.json|sqitch\.plan|script\.py\.mako|__pycache__/[^/]+|(env|__init__)\.py"
    r"|(embed|fs|migrations|[^/]+_test)\.go|(mod|lib|main|build)\.rs|index\.[jt]s"
    r"|(package|package-lock|tsconfig)\.json)$",
    re.IGNORECASE,
)
# What says in which order migrations run, or what they were when they were written.
_TOOL = re.compile(
    r"(^|/)(_journal\.json|atlas\.sum|flyway\.(conf|toml)|[^/]+\.sql\.conf|sqlx\.toml"
    r"|metadata\.toml)$"
)
# A migration in Go, whose tests lie beside it.
_PROGRAM = re.compile(r"(^|/)\d+_[^/]*(?<!_test)\.go$", re.IGNORECASE)
# Top-level entries of a folder that is a tool's own folder of migrations.
_MIGRATION = re.compile(
    r"[^/]+\.sql$|[^/]+/(migration|up)\.sql$|meta/_journal\.json$", re.IGNORECASE
)
_REPEATABLE = re.compile(r"R__")
_MOVE = "or move it out of the SQL folder"


def home_of(names: Collection[str]) -> str:
    """Return where the migrations are, as a prefix of paths: `migrations/`, or empty.

    It is empty if the SQL folder is itself a folder of migrations: it holds some at its top, and
    nothing that belongs to predeploy but the declaration.
    """
    tops = {name.split("/")[0] for name in names}
    if tops & (_ALL - {DECLARATION}):
        return BELOW
    found = any(
        _MIGRATION.match(name) and (version_of(name) or _REPEATABLE.match(name)) for name in names
    )
    is_own = found or "meta/_journal.json" in names
    return "" if is_own else BELOW


def role_of(name: str, home: str = BELOW) -> Role:
    """Return what a file is; `name` is its path below the SQL folder, with slashes.

    `home` is where the migrations are, as `home_of` says.
    """
    if not home and name != DECLARATION:
        name = f"{BELOW}{name}"
    top, *below = name.split("/")
    if not below and top in _FILES:
        return _FILES[top]
    if not below or top not in _PARTS:
        return Role.UNREAD if _looks_like_sql(name) and top not in _OF_OTHERS else Role.OTHER
    if is_sql(name):
        return _PARTS[top]
    if top == Role.MIGRATION.value and _TOOL.search(name):
        return Role.TOOL
    if top == Role.MIGRATION.value and _PROGRAM.search(name):
        return Role.PROGRAM
    is_other = _PROSE.search(name) and not _looks_like_sql(name)
    return Role.OTHER if is_other or _COMPANION.search(name) else Role.UNREAD


def shown(name: str) -> str:
    """Return a path as text that can be printed, also where it is not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def is_sql(name: str) -> bool:
    """Whether a file's name ends in .sql, in whatever case."""
    return name.lower().endswith(".sql")


def misplaced(names: Iterable[str], folders: Iterable[str]) -> Iterator[str]:
    """Yield where each file or folder that nothing reads belongs, in the order of names.

    `names` are all files, `folders` all folders, both as paths below the SQL folder.
    """
    yield from map(shown, _misplaced(tuple(names), frozenset(folders)))


def _misplaced(names: tuple[str, ...], folders: frozenset[str]) -> Iterator[str]:
    if not home_of(names):
        unread = (name for name in names if role_of(name, "") is Role.UNREAD)
        yield from (_unread_in_part(name, Role.MIGRATION.value) for name in unread)
        return
    yield from (f"{name} is no folder" for name in FOLDERS if name in names)
    if "schema.rb" in names and STRUCTURE_FILE not in names and SCHEMA_FILE not in names:
        yield (
            "schema.rb is not SQL; have Rails write structure.sql: "
            "config.active_record.schema_format = :sql"
        )
    for name in sorted(folders):
        if name in _FILES or (name.split("/")[0] in _PARTS and is_sql(name)):
            yield f"{name} is no file"
    near = dict(_near_misses(names, folders))
    yield from (f"{name} is not read; call it {part}, {_MOVE}" for name, part in near.items())
    strangers: dict[str, list[str]] = {}
    for name in names:
        top, *below = name.split("/")
        if role_of(name) is not Role.UNREAD or top in near or top in _FILES:
            continue
        if not below:
            yield f"{name} is not read; {_where(name)}, {_MOVE}"
        elif top in _PARTS:
            yield _unread_in_part(name, top)
        else:
            strangers.setdefault(top, []).append(name)
    for top, files in strangers.items():
        more = f" (and {len(files) - 1} more in {top}/)" if len(files) > 1 else ""
        yield f"{files[0]}{more} is not read; {_where(files[0])}, {_MOVE}"


def _near_misses(names: tuple[str, ...], folders: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield names that resemble an absent part of the same kind: (name, part)."""
    absent = _ALL.difference(names, folders)
    absent -= {STRUCTURE_FILE}  # nobody writes it by hand
    if len(absent & {SCHEMA_FILE, Role.SCHEMA.value}) == 1:
        absent -= {SCHEMA_FILE, Role.SCHEMA.value}  # either will do
    for tops, parts in ((names, _FILES), (folders, FOLDERS)):
        for name in sorted(name for name in tops if "/" not in name and name not in _ALL):
            from difflib import get_close_matches  # noqa: PLC0415 - only where there is a stranger

            for part in get_close_matches(name.lower(), sorted(absent & {*parts}), 1, _LIKENESS):
                yield name, part


def _looks_like_sql(name: str) -> bool:
    return _SQL.search(name) is not None


def _where(name: str) -> str:
    """Return where a SQL file that is in no part belongs."""
    stem = name.rsplit("/", 1)[-1].split(".", maxsplit=1)[0].lower()
    if stem[:1].isdigit():
        return "put it into migrations/"
    for part in ("seed", "verify", "fallback", "migration"):
        if stem.startswith(part):
            return f"put it into {'migrations' if part == 'migration' else part}/"
    if stem == "schema":
        return f"call it {SCHEMA_FILE}"
    return "put it into migrations/, schema/, seed/, verify/ or fallback/"


def _unread_in_part(name: str, part: str) -> str:
    if match := _SQL.search(name):
        return f"{name} is not read; call it {name[: match.start()].rsplit('/', 1)[-1]}.sql"
    if part == Role.MIGRATION.value:
        return f"{name}: cannot be run here, and later files may need it; rewrite it as SQL"
    return f"{name} is not read, only *.sql is; rewrite it as SQL, {_MOVE}"
