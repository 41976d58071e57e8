"""Reads the SQL folder into bytes, from which scripts, declaration and digest are made."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from predeploy.sources.layout import BELOW, Role, home_of, role_of, shown

# A mounted ConfigMap is swapped about once a minute: the next reading sees one state of it.
_READINGS = 5
# The first is at the root of a volume, for the file system itself, and only root may list it; the
# second holds what others have written, templates of migrations among it.
_NEVER_MEANT = ("lost+found", "node_modules")
_MOST_CIRCLES = 10  # among n folders with links to each other there are more than n! of them
_MOST_ENTRIES = 50_000  # files and folders; a link to / or to /proc/self leads to more
VARIABLES = "variables of the environment"
# Of all tools' variables only these, Flyway's, say what files mean; another one may be a secret.
_SAYING = ("FLYWAY_PLACEHOLDER", "FLYWAY_TABLE", "FLYWAY_DEFAULT_SCHEMA", "FLYWAY_SCHEMAS")
"""The name, below the migrations, of what stands for the variables of a tool."""
_CHUNK = 1 << 20  # bytes that are read at once
_NOWHERE = {errno.ENOENT: "does not exist", errno.ENOTDIR: "is not a folder"}


@dataclass(frozen=True, slots=True)
class File:
    """A file: its path below the SQL folder with slashes, its bytes, and their SHA-256.

    The bytes of a file that nothing runs (`Role.OTHER`) are not kept.
    """

    name: str
    role: Role
    content: bytes
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Folder:
    """The SQL folder at one moment; everything in the order of the paths.

    `files` are those that were read, `names` the paths of all files, `folders` those of the folders
    below it. `problems` say what could not be read: path and reason. `is_there` is False if the
    folder does not exist. `home` is where the migrations are, as a prefix of the paths:
    `migrations/`, or empty.
    """

    path: Path
    files: tuple[File, ...] = ()
    names: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    is_there: bool = True
    home: str = BELOW

    def knowing(self, environ: Mapping[str, str]) -> "Folder":
        """Return the folder with a tool's variables as one file of it more, if there are some."""
        found = sorted(name for name in environ if name.startswith(_SAYING))
        if not found:
            return self
        text = "".join(f"{name}={environ[name]}\n" for name in found)
        content = text.encode(errors="surrogateescape")
        sha = hashlib.sha256(content).digest()
        said = File(f"{self.home}{VARIABLES}", Role.TOOL, content, sha)
        return replace(self, files=(*self.files, said))

    def having(self, role: Role) -> tuple[File, ...]:
        """Return the files of one role that were read."""
        return tuple(file for file in self.files if file.role is role)


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """What could not be read: a file, a folder, or the SQL folder itself (an empty name)."""

    name: str
    number: int
    reason: str
    is_file: bool


@dataclass(frozen=True, slots=True)
class _Subfolder:
    name: str


_Entry = File | _Subfolder | _Unreadable
_Identity = tuple[int, int]


class _EndlessError(Exception):
    """The search was given up; no file was read."""

    def __init__(self, entries: Iterable[_Entry | str]) -> None:
        """Keep the unreadable ones among the entries, which say why."""
        super().__init__()
        self.unreadable = tuple(entry for entry in entries if isinstance(entry, _Unreadable))


def read_folder(path: Path, max_file_bytes: int = 256 << 20) -> Folder:
    """Read every file below `path`. Never raises: what cannot be read is among the problems.

    Problems include a file of more than `max_file_bytes`, of which no more is read, and circular
    links; after some of those, and after 50,000 files, the search stops and no file is read.

    Links are followed, because a mounted ConfigMap is made of them. Hidden entries are ignored: a
    ConfigMap has one that is renamed with each mount. The folder is read until two consecutive
    readings are equal, so that files of two states are never mixed if one replaces the other during
    a reading.
    """
    for _ in range(_READINGS):
        try:
            entries = tuple(_entries(path, max_file_bytes))
        except _EndlessError as endless:
            return _folder(path, endless.unreadable)
        again = _entries(path, max_file_bytes)
        with suppress(_EndlessError):
            if all(one == other for one, other in zip_longest(entries, again)):
                return _folder(path, entries)
    changes = f"the SQL folder {path} changes while it is read; run again when nothing writes to it"
    return Folder(path, problems=(changes,))


def _folder(path: Path, entries: tuple[_Entry, ...]) -> Folder:
    unreadable = [entry for entry in entries if isinstance(entry, _Unreadable)]
    files = tuple(entry for entry in entries if isinstance(entry, File))
    names = tuple(sorted([f.name for f in files] + [u.name for u in unreadable if u.is_file]))
    return Folder(
        path,
        files,
        names,
        folders=tuple(entry.name for entry in entries if isinstance(entry, _Subfolder)),
        problems=tuple(_problem(path, entry) for entry in unreadable),
        is_there=not any(not u.name and u.number in _NOWHERE for u in unreadable),
        home=home_of(names),
    )


def _problem(path: Path, entry: _Unreadable) -> str:
    if entry.name:
        return f"{shown(entry.name)}: cannot be read: {entry.reason}"
    if what := _NOWHERE.get(entry.number):
        return f"the SQL folder {path} {what}; mount it or set PREDEPLOY_SQL_DIR"
    return f"the SQL folder {path} cannot be read: {entry.reason}"


def _entries(root: Path, most: int) -> Iterator[_Entry]:
    """Yield every entry below `root`, in the order of their paths; files are read one at a time.

    Raises _EndlessError, before the first entry, if the search is given up.
    """
    found: list[tuple[str, str | _Entry]] = []
    waiting: list[tuple[str, str, frozenset[_Identity]]] = [("", os.fspath(root), frozenset())]
    circles = 0
    while waiting:
        name, path, above = waiting.pop()
        try:
            here = _identity(path, above)
            with os.scandir(path) as listing:
                children = [child for child in listing if _counts(child.name)]
        except OSError as error:
            found.append((name, _unreadable(name, error)))
            circles += error.errno == errno.ELOOP
            if circles == _MOST_CIRCLES:
                raise _EndlessError(entry for _, entry in found) from None
            continue
        if name:
            found.append((name, _Subfolder(name)))
        for child in children:
            label = f"{name}/{child.name}" if name else child.name
            try:
                is_folder = child.is_dir()
            except OSError as error:
                found.append((label, _unreadable(label, error, is_file=True)))
                continue
            if is_folder:
                waiting.append((label, child.path, above | {here}))
            else:
                found.append((label, child.path))
        if len(found) + len(waiting) > _MOST_ENTRIES:
            raise _EndlessError([entry for _, entry in found] + [_too_many(name)])
    home = home_of([name for name, entry in found if _is_of_a_file(entry)])
    for name, entry in sorted(found, key=lambda pair: pair[0]):
        yield _read(name, entry, role_of(name, home), most) if isinstance(entry, str) else entry


def _is_of_a_file(entry: str | _Entry) -> bool:
    return isinstance(entry, str) or (isinstance(entry, _Unreadable) and entry.is_file)


def _identity(folder: str, above: frozenset[_Identity]) -> _Identity:
    """Return the identity of a folder. Raises OSError if it is also one of those above it."""
    status = os.stat(folder)  # noqa: PTH116 - a Path would be parsed again for each folder
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise OSError(errno.ELOOP, "it is a link to a folder that holds it")
    return identity


def _counts(name: str) -> bool:
    return name[0] != "." and name not in _NEVER_MEANT


def _read(name: str, path: str, role: Role, most: int) -> File | _Unreadable:
    sha, kept = hashlib.sha256(), bytearray()
    left = most
    try:
        # O_NONBLOCK: opening a named pipe would otherwise wait for a writer
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
            _demand_regular(file.fileno(), most)
            while chunk := file.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise _too_large(most)
                sha.update(chunk)
                if role is not Role.OTHER:
                    kept += chunk
    except OSError as error:
        return _unreadable(name, error, is_file=True)
    return File(name, role, bytes(kept), sha.digest())


def _demand_regular(descriptor: int, most: int) -> None:
    status = os.fstat(descriptor)
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {'a pipe' if stat.S_ISFIFO(mode) else 'a device'}")
    if status.st_size > most:
        raise _too_large(most)


def _too_large(most: int) -> OSError:
    limit = f"{most >> 20} MB" if most >> 20 else f"{most >> 10} kB"
    remedy = "take it out of the SQL folder, or raise PREDEPLOY_MAX_FILE_SIZE"
    return OSError(errno.EFBIG, f"it is larger than {limit}; {remedy}")


def _too_many(name: str) -> _Unreadable:
    remedy = "take out the link that leads out of the SQL folder, or mount a smaller one"
    why = f"there are more than {_MOST_ENTRIES:,} files and folders up to here; {remedy}"
    return _Unreadable(name, errno.E2BIG, why, is_file=False)


def _unreadable(name: str, error: OSError, *, is_file: bool = False) -> _Unreadable:
    return _Unreadable(name, error.errno or 0, error.strerror or "unknown error", is_file)
