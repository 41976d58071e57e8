"""Tools whose folders are not read: known by their marks, and refused by name.

Run as plain SQL such a folder ends green and means something else: Liquibase leaves out changesets
by context and database, graphile-migrate stops for a broken chain, yoyo and Sqitch have an order of
their own.
"""

import re
from collections.abc import Iterable

from predeploy.sources.layout import Role, shown
from predeploy.sources.walk import File, Folder

_HEAD = 1 << 16  # bytes of a file in which a mark is looked for
# Tool, a word in the mark (in lower case), the mark. A pattern is compiled where its word is there.
_MARKS = (
    ("Liquibase", b"liquibase", rb"^[ \t]*--[ \t]*liquibase[ \t]+formatted[ \t]+sql\b"),
    ("Liquibase", b"changeset", rb"^[ \t]*--[ \t]*changeset[ \t]+\S+:\S+"),
    ("graphile-migrate", b"--!", rb"^--![ \t]*(?:previous|hash):"),
    ("tern", b"drop below", rb"^[ \t]*---- create above / drop below"),
)
_NAMES = {"sqitch.plan": "Sqitch", "tern.conf": "tern", "yoyo.ini": "yoyo"}
_DEPENDS = rb"^[ \t]*--[ \t]*depends:[ \t]*(\S[^\r\n]*)"
_ROLLBACK = ".rollback.sql"
_COMMANDS = {
    "Liquibase": '["liquibase", "update"]',
    "Sqitch": '["sqitch", "deploy"]',
    "graphile-migrate": '["npx", "graphile-migrate", "migrate"]',
    "tern": '["tern", "migrate"]',
    "yoyo": '["yoyo", "apply", "--batch"]',
}


def refusal(folder: Folder) -> str:
    """Return why the folder is not read, and the way out; empty if it is no such tool's."""
    tool, name = _found(folder)
    if not tool:
        return ""
    is_a_file_of_its_own = name.rpartition("/")[2] in _NAMES
    left_over = "; if it is only left over, remove it" if is_a_file_of_its_own else ""
    return (
        f"{shown(name)}: is {tool}'s, and as plain SQL it would not mean the same; have {tool} run "
        f"it: write command = {_COMMANDS[tool]} under [migrate] into a predeploy.toml in a folder "
        f"of its own, and name that folder in PREDEPLOY_SQL_DIR{left_over}"
    )


def _found(folder: Folder) -> tuple[str, str]:
    """Return the tool and the file that shows it; both empty if none does."""
    for name in folder.names:
        if tool := _NAMES.get(name.rpartition("/")[2]):
            return tool, name
    files = [file for file in folder.files if file.role in (Role.MIGRATION, Role.UNREAD)]
    for file in files:
        head = file.content[:_HEAD].lower()
        for tool, word, mark in _MARKS:
            if word in head and re.search(mark, head, re.MULTILINE):
                return tool, file.name
    return "yoyo" if (name := _of_yoyo(files)) else "", name


def _of_yoyo(files: Iterable[File]) -> str:
    """Return a file that rolls another one back, or that depends on another one by its name."""
    stems = {file.name.removesuffix(".sql"): file for file in files if file.name.endswith(".sql")}
    bases = {stem.rpartition("/")[2].encode(errors="surrogateescape") for stem in stems}
    for stem, file in stems.items():
        if file.name.endswith(_ROLLBACK) and stem.removesuffix(".rollback") in stems:
            return file.name
        head = file.content[:_HEAD]
        words = re.search(_DEPENDS, head, re.MULTILINE) if b"depends:" in head else None
        if words and not bases.isdisjoint(words[1].split()):
            return file.name
    return ""
