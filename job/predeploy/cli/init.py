"""`predeploy init`: the files with which a project starts, shown first and written when asked."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from shlex import quote

from predeploy import __version__, sql
from predeploy.cli.platforms import Platform, filled
from predeploy.cli.project import Project, look
from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.settings import FILE_VARIABLES, parse_settings
from predeploy.settings.endpoint import endpoint_from_environ
from predeploy.settings.environment import with_files
from predeploy.snapshot import Name
from predeploy.sources.formats import FORMATS, NATIVE, histories_of, tools_of
from predeploy.sources.formats.format import History, Table

_MOST_TABLES = 50
# In which tools whose migrations are programs record them.
_OF_PROGRAMS = frozenset({
    "alembic_version", "django_migrations", "knex_migrations", "knex_migrations_lock",
    "ar_internal_metadata", "schema_migrations", "SequelizeMeta", "__EFMigrationsHistory",
})  # fmt: skip
_HEAD = """# Written by `predeploy init`. What else may be here: the README, "predeploy.toml".
"""
_CRITICAL = """
# Without one of these tables the app cannot run: a deploy that lacks one ends with 82. Columns that
# it cannot do without go into the brackets; a table that it can do without goes out of the list.
[critical]
"""
_NOTHING_CRITICAL = """
# Name the tables without which the app cannot run, so that a deploy that lacks one ends with 82:
# [critical]
# users = ["id", "email"]
"""


def init(root: Path, environ: Mapping[str, str], platform: str, *, write: bool) -> ExitCode:
    """Print the files for the project below `root`, and write them if asked to.

    predeploy.toml, and those of a platform if one is named. With an address in the environment the
    database is looked at, too; it is never changed. A file that is there is never changed, either:
    beside a platform's files predeploy.toml stays as it is.

    Raises SourcesError: 65 if another one of the files is there already, or cannot be written;
    nothing has been written then, or what has been printed as written. Raises JobError if the
    database cannot be looked at.
    """
    project = look(root, environ)
    files = {project.declaration: _declaration(project, _names(environ))}
    by_hand: tuple[str, ...] = ()
    if platform:
        chosen = _of(platform, project)
        files |= chosen.files
        by_hand = chosen.by_hand
    there = [path for path in files if os.path.lexists(root / path)]
    in_the_way = [path for path in there if not platform or path != project.declaration]
    if write and in_the_way:
        raise SourcesError(
            tuple(
                f"{path} is there already and is not changed: nothing was written; run the same "
                "without --write, and put into it by hand what is missing"
                for path in in_the_way
            )
        )
    print("\n".join(_found(project)), end="\n\n")
    for path, text in files.items():
        if path in there:
            how = "is there already and stays" if write else "is there already; compare"
        else:
            how = "written" if write else "would be"
        if write and path not in there:
            _write(root / path, text)
        print(f"{path} ({how}):")
        print("".join(f"    {line}\n" for line in text.splitlines()))
    for each in by_hand:
        print(f"by hand: {each}")
    named = "" if project.folder == "sql" else f"PREDEPLOY_SQL_DIR={quote(project.folder)} "
    print(
        f"next: {named}predeploy plan"
        if write
        else "nothing was written; `predeploy init --write` with the same words writes it"
    )
    return ExitCode.OK


def _found(project: Project) -> Iterator[str]:
    """Yield what was found, for a person to see whether that is right."""
    if project.program:
        yield f"found: {project.program.name}, whose own command migrates"
    elif project.texts:
        yield f"found: {project.folder} (format {project.format}, files: {len(project.texts)})"
    else:
        yield f"found: nothing that migrates; {project.folder} is where to start"
        yield "if it is elsewhere: `PREDEPLOY_SQL_DIR=FOLDER predeploy init`"
    for other in project.beside:
        yield f"not looked at: {other}; `PREDEPLOY_SQL_DIR={quote(other)} predeploy init` does"


def _of(platform: str, project: Project) -> Platform:
    folder = PurePath(project.folder)
    if folder.is_absolute() or ".." in folder.parts:
        problem = f"{folder} is not below the working directory, so no file of {platform} can name"
        raise SourcesError((f"{problem} it; run `predeploy init` in the folder that both are in",))
    tool = project.program.name if project.program else ""
    return filled(platform, project.folder, __version__, tool)


def _names(environ: Mapping[str, str]) -> frozenset[Name]:
    """Return what the schemas of the database's search_path hold; nothing without an address."""
    complete, problems = with_files(environ, FILE_VARIABLES)
    if endpoint_from_environ(complete) is None and not problems:
        return frozenset()
    settings = parse_settings(complete, default_sql_dir=Path(), problems=problems)
    from predeploy.inspection import names_in  # noqa: PLC0415 - only with a database

    return names_in(settings)


def _declaration(project: Project, there: frozenset[Name]) -> str:
    parts = [_HEAD]
    chosen = _format(project, there)
    if project.is_said or chosen != NATIVE:
        parts.append(f'\n# Whose files and history these are.\nformat = "{chosen}"\n')
    if project.program:
        parts.append(
            f"\n# {project.program.name} migrates; what came of it is verified. docs/from/ORM.md\n"
            f"[migrate]\ncommand = {_listed(project.program.command)}\n"
            f"inputs = {_listed(project.program.inputs)}\n"
        )
    tables = _tables(project, there)
    if tables:
        parts.append(_CRITICAL + "".join(f"{quoted(table)} = []\n" for table in tables))
    else:
        parts.append(_NOTHING_CRITICAL)
    return "".join(parts)


def _format(project: Project, there: frozenset[Name]) -> str:
    """Return the folder's format; where several look alike, the one whose history is there."""
    kept = {history.tool.lower() for history, _ in _histories(there)}
    alike = tools_of(project.format, project.format if project.is_said else "")
    return next((tool for tool in alike[1:] if tool in kept), project.format)


def _tables(project: Project, there: frozenset[Name]) -> tuple[str, ...]:
    """Return the tables to propose: those of the database, or else those that the files make."""
    if there:
        kept = {(table.schema, table.name) for _, table in _histories(there)}
        found = {(schema, name) for kind, schema, _, name in there if kind == "table"} - kept
        homes = {schema for schema, _ in found}
        found = {("" if len(homes) == 1 else s, n) for s, n in found if n not in _OF_PROGRAMS}
    else:
        net = sql.net_result(project.texts)
        made = (thing for thing in net.things if thing not in net.children)
        found = {(thing.schema, thing.name) for thing in made if thing.kind == "table"}
    # A name with a dot in it cannot be said there.
    found = {(schema, name) for schema, name in found if "." not in schema + name}
    named = sorted(f"{schema}.{name}" if schema else name for schema, name in found)
    return tuple(named[:_MOST_TABLES])


def _histories(there: frozenset[Name]) -> Iterator[tuple[History, Table]]:
    """Yield the tables in which tools record what they have applied."""
    tables = {(schema, name) for kind, schema, _, name in there if kind == "table"}
    columns = defaultdict(set)
    for kind, schema, of, name in there:
        if kind == "column":
            columns[schema, of].add(name)
    for history in histories_of(FORMATS):
        for schema, name in tables:
            beside = frozenset(other for home, other in tables if home == schema)
            table = Table(schema, name, frozenset(columns[schema, name]), beside)
            if history.is_kept_in(table):
                yield history, table


def _listed(words: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, words))}]"


def quoted(text: str) -> str:
    """Return a text as a string of TOML, which escapes as JSON does, but for one character more."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SourcesError((f"{path}: cannot be written: {error.strerror}",)) from None
