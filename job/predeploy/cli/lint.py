"""`predeploy lint`: what may go wrong with the migrations, told without a database."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote

from predeploy import __version__
from predeploy.cli.project import said_format
from predeploy.contract.errors import JobError, SettingsError
from predeploy.contract.exit_codes import ExitCode
from predeploy.lint.linter import Problem, lint
from predeploy.settings.declaration import read_allowed, read_tables
from predeploy.sources import Folder, declaration_of, read_folder, sources_of
from predeploy.sql.rules import Severity

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_BY_SEVERITY = [severity.value for severity in Severity]


def lint_folder(
    root: Path,
    environ: Mapping[str, str],
    *,
    since: str,
    fail_on: str,
    form: str,
    shows_notes: bool,
) -> ExitCode:
    """Print the problems of the migrations in the folder `root`; return 84 if there are some.

    `form` is text, json or sarif (2.1.0, for GitHub and editors). Notes are counted, and told only
    if `shows_notes`. For the status problems count that are at least as severe as `fail_on`. With
    `since` only files are judged that differ from that commit of git. Raises SourcesError (65, 66)
    for a folder that cannot be read, SettingsError (78) for an invalid predeploy.toml, and JobError
    (64) if git does not know the commit. Nothing is changed.
    """
    folder = read_folder(root)
    problems: list[str] = []
    declaration = declaration_of(folder)
    allowed = read_allowed(read_tables(declaration, problems).get("allow", {}), problems)
    wanted_format = said_format(folder, environ, problems)
    if problems:
        raise SettingsError(tuple(problems))
    sources = sources_of(folder.knowing(environ), wanted_format, allowed)
    wanted = _changed_since(root, since, folder) if since else None
    found = lint(sources.migrations, wanted)
    count = len(sources.migrations) if wanted is None else len(wanted)
    forms: dict[str, Callable[[tuple[Problem, ...], int], str]]
    forms = {"json": _as_json, "sarif": partial(_as_sarif, root), "text": _as_text}
    shown = tuple(p for p in found if shows_notes or p.severity is not Severity.NOTE)
    if shown or form != "text":
        print(forms[form](shown, count))
    if form == "text":
        print(_summary(found, count, is_whole=len(shown) == len(found)))
    failing = _BY_SEVERITY[: _BY_SEVERITY.index(fail_on) + 1] if fail_on in _BY_SEVERITY else []
    is_bad = any(problem.severity.value in failing for problem in found)
    return ExitCode.REFUSED if is_bad else ExitCode.OK


def _changed_since(root: Path, since: str, folder: Folder) -> frozenset[str]:
    """Return the paths below `root` that differ from a commit, or that git does not know."""
    changed = _git(root, "diff", "--name-only", "-z", "--relative", "--end-of-options", since, "--")
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    there = {file.name for file in folder.files}
    return frozenset(there & {*changed.split("\0"), *new.split("\0")})


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 - the one that the user would call
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        raise JobError("--since needs git, which is not here", exit_code=ExitCode.USAGE) from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason was given"])[0]
        raise JobError(f"--since: git says {why}", exit_code=ExitCode.USAGE)
    return done.stdout


def _as_json(found: Iterable[Problem], files: int) -> str:
    told = [
        {
            "rule": each.rule,
            "severity": each.severity.value,
            "path": each.path,
            "line": each.line,
            "column": each.column,
            "about": each.about,
            "lock": each.lock,
            "waits": each.waits,
            "why": each.why,
            "safe": each.safe,
            "aliases": list(each.aliases),
        }
        for each in found
    ]
    return json.dumps({"files": files, "findings": told}, ensure_ascii=False)


def _as_sarif(root: Path, found: Iterable[Problem], _: int) -> str:
    """Return a log of SARIF 2.1.0; paths are as the folder was named.

    https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """
    problems = tuple(found)
    rules = {each.rule: each.why for each in problems}
    results = [
        {
            "ruleId": each.rule,
            "level": each.severity.value,
            "message": {"text": "\n".join(_said(each))},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": quote((root / each.path).as_posix())},
                        "region": {"startLine": each.line, "startColumn": each.column},
                    }
                }
            ],
        }
        for each in problems
    ]
    driver = {
        "name": "predeploy",
        "version": __version__,
        "rules": [{"id": name, "shortDescription": {"text": why}} for name, why in rules.items()],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False)


def _as_text(found: tuple[Problem, ...], _: int) -> str:
    return "\n".join(line for each in found for line in _lines(each))


def _summary(found: tuple[Problem, ...], files: int, *, is_whole: bool) -> str:
    counts = Counter(each.severity.value for each in found)
    told = ", ".join(
        f"{counts[name]} {name}{'s' if counts[name] != 1 else ''}" for name in _BY_SEVERITY
    )
    more = "" if is_whole else "; --notes shows them"
    return f"{files} file{'s' if files != 1 else ''} looked at: {told}{more}"


def _lines(problem: Problem) -> Iterator[str]:
    where = f"{problem.path}:{problem.line}:{problem.column}"
    about = f": {problem.about}" if problem.about else ""
    yield f"{where}: {problem.severity.value} {problem.rule}{about}"
    yield from (f"  {line}" for line in _said(problem))
    yield ""


def _said(problem: Problem) -> Iterator[str]:
    locks = f" ({problem.lock}: {problem.waits} wait)" if problem.lock else ""
    yield f"{problem.why}{locks}"
    if problem.safe:
        yield "instead:"
        yield from (f"  {line}" for line in problem.safe.splitlines())
