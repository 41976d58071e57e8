"""A tool's way of keeping migrations: how its folder is read, and how its history is understood."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from predeploy.contract.errors import SourcesError
from predeploy.sources.formats.history import History
from predeploy.sources.layout import shown
from predeploy.sources.script import Script
from predeploy.sources.walk import File, Folder

_DIGITS = re.compile(r"\d+")
_TIMESTAMP = 14  # digits of YYYYMMDDHHMMSS
_WIDTH = 4  # of the first file's number


def next_version(names: Iterable[str], now: datetime) -> str:
    """Return a timestamp if the newest of these names has one, else the number behind the last.

    It is never below a version that is there: a clock may be behind the one that made the last.
    """
    found = [match[0] for name in names if (match := _DIGITS.match(name))]
    newest = max(found, key=int, default="")
    if len(newest) != _TIMESTAMP:
        return str(int(newest or 0) + 1).zfill(len(newest) or _WIDTH)
    return max(f"{now:%Y%m%d%H%M%S}", str(int(newest) + 1))


def timestamp(names: Iterable[str], now: datetime) -> str:
    """Return a version for a tool that always takes the time."""
    return next_version([*names, "0" * _TIMESTAMP], now)


def _plain(names: tuple[str, ...], name: str, now: datetime) -> Mapping[str, str]:
    """Return a file `<version>_<name>.sql` without a statement."""
    return {f"{next_version(names, now)}_{name}.sql": ""}


@dataclass(frozen=True, slots=True)
class Format:
    """One format of folders.

    `read` returns the migrations in the order in which the tool runs them; what is wrong with them
    goes to its second argument, with file and line. `history` is where the tool records what it has
    applied, if it does. `new` returns the next migration's files, by path below the migrations; it
    is given the paths that are there, a name and the time. It raises SourcesError (65) with the
    tool's own command if only that can make one.
    """

    read: Callable[[Folder, list[str]], tuple[Script, ...]]
    history: History | None = None
    new: Callable[[tuple[str, ...], str, datetime], Mapping[str, str]] = _plain


def stray(file: File, tool: str, wanted: str) -> SourcesError:
    """Return the refusal of a file that the tool would pass over; `wanted` is what it runs."""
    what = f"{shown(file.name)}: is not run by {tool}; call it {wanted}, or move it"
    return SourcesError((f"{what} out of the migrations",))


def only_by(command: str) -> Callable[[tuple[str, ...], str, datetime], Mapping[str, str]]:
    """Return the refusal to make a file for which the tool keeps more than the file."""

    def refuse(_: tuple[str, ...], name: str, __: datetime) -> Mapping[str, str]:
        raise SourcesError((f"the tool keeps more than the file: run `{command} {name}`",))

    return refuse
