"""goose: `<version>_<name>.sql` with `-- +goose Up` and `-- +goose Down`, or migrations in Go.

The part that goes down is left alone. https://pressly.github.io/goose/documentation/annotations/
"""

import re
from dataclasses import replace

from predeploy.contract.errors import SourcesError
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import Format
from predeploy.sources.formats.history import Applied, History, Row
from predeploy.sources.formats.native import same_names
from predeploy.sources.formats.sections import only, sections
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of
from predeploy.sources.walk import File, Folder

_MARK = re.compile(
    r"^[ \t]*--[ \t]*\+goose[ \t]+(up|down)\b[^\n]*\n?", re.IGNORECASE | re.MULTILINE
)
_OUTSIDE = re.compile(
    r"^[ \t]*--[ \t]*\+goose[ \t]+no[ \t]+transaction\b", re.IGNORECASE | re.MULTILINE
)
_VARIABLES = re.compile(
    r"^[ \t]*--[ \t]*\+goose[ \t]+envsub[ \t]+on\b", re.IGNORECASE | re.MULTILINE
)
_PROGRAM = re.compile(r"\d+_.*(?<!_test)\.go")


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations; problems go to `problems`. What is written in Go has no text."""
    scripts: list[Script] = []
    for file in folder.having(Role.MIGRATION):
        try:
            scripts.append(_read(file))
        except SourcesError as error:
            problems.extend(error.problems)
    for file in folder.having(Role.PROGRAM):
        base = shown(file.name).rpartition("/")[2]
        if _PROGRAM.fullmatch(base):
            scripts.append(
                Script(base, file.name, "", file.sha256.hex(), version_of(base), only_by="goose")
            )
    problems.extend(same_names(scripts))
    return tuple(sorted(scripts, key=lambda script: (script.version, script.name)))


def _read(file: File) -> Script:
    base = shown(file.name).rpartition("/")[2]
    script = script_of(file, version=version_of(base))
    if not script.version:
        raise SourcesError(
            (f"{script.path}: has no version; goose runs files such as 00042_name.sql",)
        )
    found = sections(script.text, _MARK)
    ups = [section for section in found if section.mark == ("up",)]
    if len(ups) != 1:
        many = "no" if not ups else f"{len(ups)} times"
        raise SourcesError((f"{script.path}: has {many} `-- +goose Up`; goose needs it once",))
    return replace(
        script,
        text=only(script.text, iter(ups)),
        # Its values come from the environment of goose.
        only_by="goose" if _VARIABLES.search(script.text) else "",
        commits_each=_OUTSIDE.search(script.text) is not None,
    )


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: of each version, the newest row says so."""
    newest = {(row["version_id"],): row for row in sorted(rows, key=lambda row: row["id"])}
    done = {version: row for version, row in newest.items() if row["is_applied"]}
    return Applied({s.name: str(done[s.version]["tstamp"]) for s in scripts if s.version in done})


FORMAT = Format(
    read,
    History(
        "goose", "goose_db_version", frozenset({"id", "version_id", "is_applied", "tstamp"}), "id",
        judge,
    ),
)  # fmt: skip
