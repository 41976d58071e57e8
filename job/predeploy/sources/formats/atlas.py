"""Atlas: `<version>[_<name>].sql` in the order of names, verified by `atlas.sum`.

https://atlasgo.io/versioned/apply https://atlasgo.io/concepts/migration-directory-integrity
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import TABLE, Applied, Format, History, Row, only_by, stray
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_SUM = "atlas.sum"
_TABLE = "atlas_schema_revisions"
_NAME = re.compile(r"\d+[^/]*\.sql")
_LINE = re.compile(r"(?:(.+) )?h1:([A-Za-z0-9+/]+={0,2})")
_DIRECTIVE = re.compile(r"--[ \t]*atlas:(\w+)[ \t]*([^\r\n]*)")
# As Atlas looks for it: in the first line, with any comment sign.
_IGNORED = re.compile(rb"^[ -~]*atlas:sum +ignore")
# What predeploy does not read as Atlas does; checkpoints stand for the files before them.
_NOT_READ = frozenset({"delimiter", "import", "txtar", "checkpoint"})
_BASELINE = 1
_HASH = "run `atlas migrate hash` if the folder is as it should be"


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations, if they are what `atlas.sum` says; problems go to `problems`."""
    files = folder.having(Role.MIGRATION)
    for sums in folder.having(Role.TOOL):
        if sums.name == folder.home + _SUM:
            problems.extend(_differences(sums, files, folder.home))
    return tuple(scripts_of(files, _read, problems))


def _read(file: File) -> Script:
    base = shown(file.name).rpartition("/")[2]
    if not _NAME.fullmatch(base):
        raise stray(file, "Atlas", "<version>_<name>.sql")
    script = script_of(
        file, version=version_of(base), recorded_as=base.removesuffix(".sql").partition("_")[0]
    )
    said = dict(_directives(script.text))
    return replace(
        script,
        commits_each=said.get("txmode") == "none",
        only_by="Atlas" if _NOT_READ & said.keys() else "",
    )


def _directives(text: str) -> Iterator[tuple[str, str]]:
    """Yield the directives in the comments at the top, behind which an empty line has to be."""
    lines = text.splitlines()
    top = list(takewhile(lambda line: line.startswith("--"), lines))
    if len(top) < len(lines) and not lines[len(top)].strip():
        for line in top:
            if match := _DIRECTIVE.match(line):
                yield match[1], match[2].strip()


def _differences(sums: File, files: Sequence[File], home: str) -> Iterator[str]:
    """Name the lines that cannot be read, and the first file that is not as they say.

    Each sum covers the files before it, too, so that those behind that file differ as well.
    """
    listed: dict[str, str] = {}
    for number, line in enumerate(sums.content.decode(errors="replace").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None or bool(match[1]) == (number == 1):
            yield f"{sums.name}:{number}: is no line of {_SUM}; {_HASH}"
            return
        if match[1]:
            listed[match[1]] = match[2]
    found = dict(_sums(files, home))
    for name in sorted(listed.keys() | found.keys()):
        if name not in found:
            yield f"{home}{name}: {_SUM} lists it, and it is not there; put it back"
        elif name not in listed:
            yield f"{home}{shown(name)}: {_SUM} does not list it; {_HASH}"
        elif found[name] != listed[name]:
            yield f"{home}{shown(name)}: is not what {_SUM} says it was; {_HASH}"
        else:
            continue
        return


def _sums(files: Sequence[File], home: str) -> Iterator[tuple[str, str]]:
    sha = hashlib.sha256()
    for file in files:
        name = file.name.removeprefix(home)
        sha.update(name.encode(errors="surrogateescape"))
        if not _IGNORED.match(file.content):
            sha.update(file.content)
            yield name, b64encode(sha.digest()).decode()


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: whole files, and all up to a baseline.

    Refused are files that were applied in part, and those that Atlas would not run as a later one
    was applied.
    """
    by_version = {row["version"]: row for row in rows}
    baseline = max((v for v, row in by_version.items() if row["type"] == _BASELINE), default="")
    newest = max(by_version, default="")
    applied: dict[str, str] = {}
    refusals: list[tuple[str, Finding]] = []
    for script in scripts:
        row = by_version.get(script.recorded_as)
        if script.recorded_as <= baseline:
            applied[script.name] = ""
        elif row is None and script.recorded_as < newest:
            refusals.append((script.name, _late(script)))
        elif row is not None and (row["error"] or row["applied"] < row["total"]):
            refusals.append((script.name, _failed(script, row)))
        elif row is not None:
            applied[script.name] = str(row["executed_at"])
    is_ours = any(script.recorded_as in by_version for script in scripts)
    return Applied(applied, tuple(refusals) if applied or is_ours else ())


def _failed(script: Script, row: Row) -> Finding:
    where = f"version = '{row['version']}'"
    return Finding(
        "history-failed",
        f"Atlas has applied {row['applied']} of the {row['total']} statements of {script.path} and "
        "not the rest",
        f"look at `select error_stmt, error from {TABLE} where {where}`; then let `atlas migrate "
        f"apply` finish it, or finish it by hand and run `atlas migrate set {row['version']}`",
        ExitCode.BAD_SOURCES,
    )


def _late(script: Script) -> Finding:
    return Finding(
        "history-late",
        f"{script.path} is not applied, and Atlas would not run it: a later file is applied",
        f"give it a newer version with `atlas migrate rebase {script.recorded_as}`",
        ExitCode.BAD_SOURCES,
    )


FORMAT = Format(
    read,
    History(
        "Atlas",
        _TABLE,
        frozenset({"version", "type", "applied", "total", "error", "executed_at"}),
        "version",
        judge,
    ),
    only_by("atlas migrate new"),
)
