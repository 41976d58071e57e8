"""A peer: a tool, how it is installed and run, and the folder layout that it expects."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness import kept
from bench.peers.install import Install


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file, in no tool's format."""

    number: int
    name: str
    sql: str


Layout = Callable[[Sequence[Migration]], Mapping[str, str]]
"""From migrations to the files, by path, of a tool's folder."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool that applies migrations.

    In commands and settings, `{home}` is where it is installed, `{folder}` the migrations, `{url}`
    the database, also available as `{host}`, `{port}`, `{user}`, `{database}`. It runs in the
    folder, with `{url}` as DATABASE_URL.
    """

    name: str
    install: Install
    layout: Layout
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    again: tuple[str, ...] = ()
    """What is run where nothing is pending, when that is another command."""
    locks: bool = False
    checksums: bool = False
    verifies: bool = False
    bulk: bool = False
    """Quick enough for a thousand migrations."""

    def does(self) -> str:
        """Return what it does besides running files."""
        named = {"lock": self.locks, "checksum": self.checksums, "verify": self.verifies}
        return ", ".join(name for name, done in named.items() if done) or "nothing"


@dataclass(frozen=True, slots=True)
class Contestant:
    """An installed peer, with a folder laid out for it."""

    peer: Peer
    home: Path
    folder: Path

    def command(self, port: int, database: str, *, again: bool = False) -> list[str]:
        """Return the command that applies the folder to a database."""
        parts = (self.peer.again if again else ()) or self.peer.command
        return [part.format(**self._values(port, database)) for part in parts]

    def environ(self, port: int, database: str) -> dict[str, str]:
        """Return its settings, and the environment variables that any process needs."""
        values = self._values(port, database)
        ours = {name: text.format(**values) for name, text in self.peer.environ.items()}
        return {**kept(), "DATABASE_URL": values["url"], **ours}

    def _values(self, port: int, database: str) -> dict[str, str]:
        return {
            "home": str(self.home),
            "folder": str(self.folder),
            "python": sys.executable,
            "user": "postgres",
            "host": "127.0.0.1",
            "port": str(port),
            "database": database,
            "url": f"postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable",
        }


def files(pattern: str, before: str = "", after: str = "", **others: str) -> Layout:
    """Return a layout with one file for each migration, between two texts, plus `others`.

    `{number}` and `{name}` in the pattern and the texts are those of the migration.
    """

    def lay(migrations: Sequence[Migration]) -> dict[str, str]:
        return others | {
            _filled(pattern, each): _filled(before, each) + each.sql + _filled(after, each)
            for each in migrations
        }

    return lay


def _filled(text: str, migration: Migration) -> str:
    return text.format(number=migration.number, name=migration.name)
