"""One file of SQL: its name, its text, its hash."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from predeploy.contract.errors import SourcesError
from predeploy.settings.versions import NO_VERSION, Version
from predeploy.sources.layout import shown
from predeploy.sources.walk import File

_CONFLICT = re.compile(r"^<{7} [^\n]*\n(?:.*\n)*?={7}\r?\n(?:.*\n)*?>{7} ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A file as the operator wrote it.

    `name` is what the ledger keeps: the file's name alone, or that of its folder where a tool gives
    each file one. `path` is relative to the SQL folder, for people. `raw_hash` is the SHA-256 of
    its bytes. Only migrations have a `version`; `recorded_as` is how its tool's history table
    knows it, where that is not the name. With `commits_each` its tool runs it without a
    transaction: each statement is committed by itself. `only_by` names the tool if nothing else
    can run it, as it is written in Go, for instance; then there is no text. A repeatable one has no
    version and runs whenever its hash is another than at its last application. `tool` is the format
    whose file it is, and which must not be edited; empty if it is predeploy's own. `allows` is what
    predeploy.toml lets it do, such as `drop-table old`.
    """

    name: str
    path: str
    text: str
    raw_hash: str
    version: Version = NO_VERSION
    recorded_as: str = ""
    commits_each: bool = False
    only_by: str = ""
    is_repeatable: bool = False
    tool: str = ""
    allows: tuple[str, ...] = ()


def script_of(
    file: File,
    *,
    name: str = "",
    version: Version = NO_VERSION,
    recorded_as: str = "",
    commits_each: bool = False,
) -> Script:
    """Decode a file's bytes as UTF-8, without a byte order mark; its name is its own unless given.

    Raises SourcesError if its name or its text is not UTF-8, or if it contains a NUL byte: psycopg
    and libpg_query would silently cut the text there.
    """
    label = file.name
    if shown(label) != label:
        raise SourcesError((f"{shown(label)}: its name is not UTF-8; rename it",))
    try:
        text = file.content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        problem = f"{label}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        raise SourcesError((problem,)) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SourcesError((f"{label}:{line}: holds a NUL byte; PostgreSQL takes no such text",))
    if conflict := _CONFLICT.search(text):
        line = text[: conflict.start()].count("\n") + 1
        raise SourcesError((f"{label}:{line}: holds a merge conflict; resolve it",))
    name = name or label.rsplit("/", 1)[-1]
    return Script(name, label, text, file.sha256.hex(), version, recorded_as, commits_each)


def scripts_of(
    files: Iterable[File], read: Callable[[File], Script | None], problems: list[str]
) -> list[Script]:
    """Read files one by one; what `read` refuses goes to `problems`, and its None is left out."""
    scripts = []
    for file in files:
        try:
            script = read(file)
        except SourcesError as error:
            problems.extend(error.problems)
        else:
            scripts += [script] if script is not None else []
    return scripts
