"""A tool's way of keeping migrations: how its folder is read, and how its history is understood."""

from collections.abc import Callable
from dataclasses import dataclass

from predeploy.sources.formats.history import History
from predeploy.sources.script import Script
from predeploy.sources.walk import Folder


@dataclass(frozen=True, slots=True)
class Format:
    """One format of folders.

    `read` returns the migrations in the order in which the tool runs them; what is wrong with them
    goes to its second argument, with file and line. `history` is where the tool records what it has
    applied, if it does.
    """

    read: Callable[[Folder, list[str]], tuple[Script, ...]]
    history: History | None = None
