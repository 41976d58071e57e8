"""predeploy's folder format: `migrations/**/<version>_<name>.sql`, forward only.

The version is the leading digits or the leading date and is compared as a number; names break
ties. A file that cannot be run must stop the job, because a later file may depend on it.
"""

import re
from collections.abc import Callable, Iterable

from predeploy.contract.errors import SourcesError
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import Format
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_DOWN_NAME = re.compile(r"\.(down|undo|rollback)\.sql$", re.IGNORECASE)
# The directives by which dbmate, sql-migrate, goose, micrate, rambler, Play, MyBatis, Liquibase,
# node-pg-migrate and tern mark what undoes a file. Run forward, such a section would drop what the
# file has just made. Marks that people invent are no directive: there the statements show it
# (`undone`).
_DOWN_SECTION = re.compile(
    r"^\s*(--\s*(?:migrate:|\+\w+\s+|rambler\s+)down\b|(?:--|\#)[\s-]*!downs\b"
    r"|--\s*//\s*@undo\b"
    r"|--\s*down\s+migration\b|--rollback\b|----\s*create above / drop below)",
    re.IGNORECASE | re.MULTILINE,
)


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Put the files of `migrations/` in the order in which they run; problems go to `problems`."""
    return by_version(folder, _read, problems)


def by_version(
    folder: Folder, read_one: Callable[[File], Script | None], problems: list[str]
) -> tuple[Script, ...]:
    """Read the migrations one by one; return them by version, then by name. No name may repeat."""
    scripts = scripts_of(folder.having(Role.MIGRATION), read_one, problems)
    problems.extend(same_names(scripts))
    return tuple(sorted(scripts, key=lambda script: (script.version, script.name)))


def _read(file: File) -> Script:
    label = shown(file.name)
    base = label.rsplit("/", 1)[-1]
    version = version_of(base)
    if not version:
        raise SourcesError(
            (f"{label}: has no version; start its name with digits or a date, such as 0042_",)
        )
    if _DOWN_NAME.search(base):
        raise SourcesError(
            (f"{label}: undoes a migration; predeploy only goes forward, so move it elsewhere",)
        )
    script = script_of(file, version=version)
    if section := _DOWN_SECTION.search(script.text):
        line = script.text[: section.start(1)].count("\n") + 1
        problem = f"{label}:{line}: {section[1].strip()!r} starts a section that undoes the file"
        raise SourcesError((f"{problem}; predeploy only goes forward, so take it out",))
    return script


def same_names(scripts: Iterable[Script]) -> list[str]:
    """Find duplicate names: the ledger identifies a file by its name, whatever its folder."""
    seen: dict[str, Script] = {}
    problems = []
    for script in scripts:
        first = seen.setdefault(script.name.lower(), script)
        if first is not script:
            problems.append(f"{script.path}: has the name of {first.path}; rename one of them")
    return problems


FORMAT = Format(read)
