"""The files that the operator's command depends on: found by patterns, read, and hashed."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.sources.layout import shown

_MOST_ENTRIES = 50_000
# Written by those who read the others.
_NEVER_MEANT = ("__pycache__", "node_modules")
_WILD = re.compile(r"[*?\[]")
_PARTS = re.compile(
    r"(?P<any>\*\*/?)|(?P<some>\*)|(?P<one>\?)|\[(?P<no>!)?(?P<of>[^\]]+)\]|(?P<as>.)"
)


@dataclass(frozen=True, slots=True)
class Input:
    """A file: its path as the pattern names it, with slashes, and its bytes."""

    path: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inputs:
    """All files that a command depends on, in the order of their paths."""

    files: tuple[Input, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 over every file's path and bytes; empty without files."""
        if not self.files:
            return ""
        sha = hashlib.sha256()
        for each in self.files:
            name = os.fsencode(each.path)
            sha.update(len(name).to_bytes(8, "big") + name + hashlib.sha256(each.content).digest())
        return sha.hexdigest()


def read_inputs(root: Path, patterns: Sequence[str], max_file_bytes: int) -> Inputs:
    """Return the files below `root` that one of the patterns matches, in the order of their paths.

    `**` stands for any folders, `*`, `?` and `[abc]` for parts of a name; hidden files,
    `__pycache__` and `node_modules` count only where a pattern spells them out. A folder stands for
    all files in it.

    Raises SourcesError: with 66 for a pattern that matches no file, as a wrong working directory
    looks like that, and with 65 for what cannot be read.
    """
    problems: list[str] = []
    found: dict[str, Input] = {}
    missed = []
    for pattern in patterns:
        matching = [*_matching(root, pattern, problems)]
        missed += [] if matching or problems else [pattern]
        for path in matching:
            if path not in found and (read := _read(root / path, path, max_file_bytes, problems)):
                found[path] = read
    if problems:
        raise SourcesError(tuple(dict.fromkeys(problems)))
    if missed:
        raise SourcesError(
            tuple(_missing(root, pattern) for pattern in missed), exit_code=ExitCode.NO_INPUT
        )
    return Inputs(tuple(found[path] for path in sorted(found)))


def is_there(root: Path, pattern: str) -> bool:
    """Whether a pattern, as `read_inputs` has it, matches a file below `root` that can be found."""
    return any(_matching(root, pattern, []))


def _missing(root: Path, pattern: str) -> str:
    return (
        f"predeploy.toml: [migrate] inputs: {pattern!r} matches no file below {root}; start "
        "predeploy where the command is to run, or correct the pattern"
    )


def _matching(root: Path, pattern: str, problems: list[str]) -> Iterator[str]:
    wild = _WILD.search(pattern)
    if wild is None:
        if not (root / pattern).is_dir():
            yield from [pattern] if os.path.lexists(root / pattern) else []
            return
        pattern = f"{pattern.rstrip('/')}/**"
        wild = _WILD.search(pattern)
    assert wild is not None  # noqa: S101 - it has just got one
    start = pattern[: wild.start()].rpartition("/")[0]
    matches = re.compile(_regex(pattern), re.DOTALL).fullmatch
    for path in _below(root, start or ("/" if pattern.startswith("/") else ""), pattern, problems):
        if matches(path):
            yield path


def _regex(pattern: str) -> str:
    def translated(match: re.Match[str]) -> str:
        if match["any"]:
            return "(?:.*/)?" if match["any"].endswith("/") else ".*"
        if match["some"]:
            return "[^/]*"
        if match["one"]:
            return "[^/]"
        if match["of"]:
            inside = match["of"].replace("\\", r"\\").replace("^", r"\^")
            return f"[{'^' if match['no'] else ''}{inside}]"
        return re.escape(match["as"])

    return _PARTS.sub(translated, pattern)


def _below(root: Path, start: str, pattern: str, problems: list[str]) -> Iterator[str]:
    """Yield the files below a folder; what cannot be listed goes to `problems`."""
    if not (root / start).is_dir():
        return
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(start, frozenset())]
    entries = 0
    while waiting:
        folder, above = waiting.pop()
        try:
            status = (root / folder).stat()
            if (identity := (status.st_dev, status.st_ino)) in above:
                problems.append(f"{shown(folder)}: it is a link to a folder that holds it")
                continue
            children = sorted(child.name for child in (root / folder).iterdir())
        except OSError as error:
            problems.append(f"{shown(folder or '.')}: cannot be read: {error.strerror}")
            continue
        for name in children:
            if (name in _NEVER_MEANT or name.startswith(".")) and name not in pattern:
                continue
            path = f"{folder.rstrip('/')}/{name}" if folder else name
            if (root / path).is_dir():
                waiting.append((path, above | {identity}))
            else:
                yield path
        entries += len(children)
        if entries > _MOST_ENTRIES:
            problems.append(
                f"predeploy.toml: [migrate] inputs: there are more than {_MOST_ENTRIES:,} files "
                f"below {shown(start or '.')}; name the folders that hold migrations"
            )
            return


def _read(path: Path, name: str, most: int, problems: list[str]) -> Input | None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            problems.append(f"{shown(name)}: cannot be read: it is no regular file")
        elif status.st_size > most:
            problems.append(
                f"{shown(name)}: it is larger than {most >> 20} MB; leave it out of the inputs, or "
                "raise PREDEPLOY_MAX_FILE_SIZE"
            )
        else:
            return Input(name, path.read_bytes())
    except OSError as error:
        problems.append(f"{shown(name)}: cannot be read: {error.strerror}")
    return None
