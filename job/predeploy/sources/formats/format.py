"""A tool's way of keeping migrations: how its folder is read, and how its history is understood."""

from collections.abc import Callable
from dataclasses import dataclass

from predeploy.contract.errors import SourcesError
from predeploy.sources.formats.history import History
from predeploy.sources.layout import shown
from predeploy.sources.script import Script
from predeploy.sources.walk import File, Folder


@dataclass(frozen=True, slots=True)
class Format:
    """One format of folders.

    `read` returns the migrations in the order in which the tool runs them; what is wrong with them
    goes to its second argument, with file and line. `history` is where the tool records what it has
    applied, if it does.
    """

    read: Callable[[Folder, list[str]], tuple[Script, ...]]
    history: History | None = None


def stray(file: File, tool: str, wanted: str) -> SourcesError:
    """Return the refusal of a file that the tool would pass over; `wanted` is what it runs."""
    what = f"{shown(file.name)}: is not run by {tool}; call it {wanted}, or move it"
    return SourcesError((f"{what} out of the migrations",))
