"""Our own folder format: `migrations/**/<version>_<name>.sql`, one way, forward only.

The version is the leading digits or the leading date and is compared as a number; names break
ties. What cannot be run here must stop the job, because a later file may depend on it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from job.errors import SourcesError
from job.sources.script import Script, read_script
from job.sources.walk import is_sql, walk

_FOLDER = "migrations"
_DATE = re.compile(r"(\d{4})[-_](0[1-9]|1[0-2])[-_](0[1-9]|[12]\d|3[01])(?!\d)")
_DIGITS = re.compile(r"\d+")
_DOWN_NAME = re.compile(r"\.(down|undo|rollback)\.sql$", re.IGNORECASE)
_PROSE = re.compile(r"(\.(md|rst|adoc|txt|bak|orig|swp)|~)$", re.IGNORECASE)
# The directives by which dbmate, sql-migrate, goose, MyBatis, node-pg-migrate, Liquibase and tern
# mark what undoes a file. Run forward, such a section would drop what the file has just made.
_DOWN_SECTION = re.compile(
    r"^\s*(--\s*(?:migrate:|\+migrate\s+|\+goose\s+)down\b|--\s*//\s*@undo\b"
    r"|--\s*down\s+migration\b|--rollback\b|----\s*create above / drop below)",
    re.IGNORECASE | re.MULTILINE,
)


def version_of(name: str) -> int | None:
    """Return the version that a file name starts with; None without one."""
    if date := _DATE.match(name):
        return int("".join(date.groups()))
    digits = _DIGITS.match(name)
    return int(digits[0]) if digits else None


def read_migrations(sql_dir: Path, problems: list[str]) -> tuple[Script, ...]:
    """Read `migrations/` in the order in which it runs; what is wrong goes to `problems`."""
    scripts: list[Script] = []
    for name, path in walk(sql_dir / _FOLDER):
        label = f"{_FOLDER}/{name}"
        if not is_sql(name):
            problems.extend(_not_sql(path.name, label))
            continue
        try:
            scripts.append(_read(path, label))
        except SourcesError as error:
            problems.extend(error.problems)
    problems.extend(_same_names(scripts))
    return tuple(sorted(scripts, key=lambda s: (s.version, s.name)))


def _not_sql(name: str, label: str) -> Iterator[str]:
    """Complain of what has a version and is no SQL, unless it is there to be read by people."""
    if version_of(name) is not None and not _PROSE.search(name):
        yield f"{label}: cannot be run here, and later files may need it; rewrite it as SQL"


def _read(path: Path, label: str) -> Script:
    version = version_of(path.name)
    if version is None:
        raise SourcesError(
            (f"{label}: has no version; start its name with digits or a date, such as 0042_",)
        )
    if _DOWN_NAME.search(path.name):
        raise SourcesError(
            (f"{label}: undoes a migration; predeploy only goes forward, so move it elsewhere",)
        )
    script = read_script(path, label, version=version)
    if section := _DOWN_SECTION.search(script.text):
        line = script.text[: section.start(1)].count("\n") + 1
        problem = f"{label}:{line}: {section[1].strip()!r} starts a section that undoes the file"
        raise SourcesError((f"{problem}; predeploy only goes forward, so take it out",))
    return script


def _same_names(scripts: list[Script]) -> list[str]:
    """Find names that stand twice: the ledger knows a file by its name, in whatever folder."""
    seen: dict[str, Script] = {}
    problems = []
    for script in scripts:
        first = seen.setdefault(script.name.lower(), script)
        if first is not script:
            problems.append(f"{script.path}: has the name of {first.path}; rename one of them")
    return problems
