"""The files' statements as a shadow runs them: which ones, and with what search_path and names."""

from collections.abc import Set as AbstractSet
from dataclasses import replace

from predeploy.database.shadow.survey import Survey
from predeploy.sql.schema_file.desired import Desired
from predeploy.sql.schema_file.prepared import DesiredStatement
from predeploy.sql.schema_file.qualifiers import qualify


def as_run(
    desired: Desired, seen: Survey, mark: str, renamed: AbstractSet[str] = frozenset()
) -> tuple[DesiredStatement, ...]:
    """Return the statements that a shadow runs, each with a search_path.

    `renamed` are the live schemas that are named `mark` plus their name while the shadow exists.
    Extensions stay in them: their members are found there, whether a file qualifies them or not.
    CREATE EXTENSION is left out if the live database has the extension.
    """
    installed = {name for name, _ in seen.extensions}
    members = {name for name in seen.members - desired.names if name[0] in renamed}
    where = {name: mark + name if name in renamed else name for name in seen.extension_schemas}
    return tuple(
        replace(
            statement,
            text=qualify(statement.text, members, mark),
            search_path=_search_path(statement.search_path, desired.search_path, where),
        )
        for statement in desired.statements
        if statement.extension not in installed
    )


def _search_path(
    path: tuple[str, ...] | None, default: tuple[str, ...], where: dict[str, str]
) -> tuple[str, ...]:
    """Add the schemas of extensions: all to the default path, named ones to the file's own path.

    `where` maps each of them to its name while the shadow exists.
    """
    if path is None:
        return (*default, *where.values())
    extensions = (where[name] for name in path if name in where)
    return (*path, *(name for name in extensions if name not in path))
