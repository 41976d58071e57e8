"""Finds the files of the SQL folder: one walk for all, so that all see the same."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file below `folder` with its relative path, in the order of the paths.

    Links are followed, because a mounted ConfigMap is made of them; a link to a folder that holds
    it is not, and one that leads nowhere is a file that cannot be read. Hidden entries don't count:
    a ConfigMap has one that is renamed with each mount.
    """
    found: list[tuple[str, Path]] = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = Path(parent)
        folders[:] = [f for f in folders if f[0] != "." and not _leads_up(here, here / f)]
        paths = (here / name for name in names if name[0] != ".")
        found += [(path.relative_to(folder).as_posix(), path) for path in paths]
    yield from sorted(found)


def read_bytes(path: Path) -> bytes:
    """Return what is in a file. Raises OSError; for a pipe, too, in which nothing may ever come."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is a pipe")
        return file.read()


def is_sql(name: str) -> bool:
    """Whether a file's name ends in .sql, in whatever case."""
    return name.lower().endswith(".sql")


def _leads_up(parent: Path, folder: Path) -> bool:
    return folder.is_symlink() and parent.resolve().is_relative_to(folder.resolve())
