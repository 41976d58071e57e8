"""Each file of the folder with its rows in the ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from predeploy.contract.step import LedgerRow
from predeploy.settings.versions import version_of
from predeploy.sources import Sources
from predeploy.sources.script import Script
from predeploy.sources.squash import Squash


@dataclass(frozen=True, slots=True)
class FileHistory:
    """A file of the folder and the ledger's rows for it, in the order of their positions.

    `is_replaced` says that a squash, which is in the ledger but not in the folder, was run in its
    place. `has_changed` says that a repeatable file has another text than in the ledger,
    whose rows of it do not count then.
    """

    script: Script
    rows: tuple[LedgerRow, ...]
    is_replaced: bool = False
    has_changed: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the ledger holds any row of it, or a squash that replaces it."""
        return bool(self.rows) or self.is_replaced

    @property
    def is_whole(self) -> bool:
        """Whether every step of the file has been applied: its last row says so, or a squash."""
        return self.is_replaced or is_whole(self.rows)

    @property
    def is_untouched(self) -> bool:
        """Whether it is complete and unchanged to the byte, so that it need not be parsed."""
        return self.is_whole and all(
            r.entry.raw_hash == self.script.raw_hash for r in self.rows if r.entry.is_final
        )


def histories(
    sources: Sources, ledger: Iterable[LedgerRow], squashes: Iterable[Squash] = ()
) -> tuple[FileHistory, ...]:
    """Pair each migration with its rows, in the order of the folder.

    `squashes` are those that the ledger knows of.
    """
    by_file = rows_by_file(ledger)
    ran = _ran_in_place(sources, by_file, squashes)
    return tuple(
        _repeated(script, by_file.get(script.name, ()))
        if script.is_repeatable
        else FileHistory(
            script,
            by_file.get(script.name, ()),
            is_replaced=script.name not in by_file
            and any(squash.replaces(script.version) for squash in ran),
        )
        for script in sources.migrations
    )


def _repeated(script: Script, rows: tuple[LedgerRow, ...]) -> FileHistory:
    """Pair a repeatable file with its rows, which count as long as its text is theirs.

    A step whose end is not known is kept: it has to be settled first.
    """
    is_another = any(row.entry.raw_hash != script.raw_hash for row in rows)
    has_changed = is_another and all(row.is_done for row in rows)
    return FileHistory(script, () if has_changed else rows, has_changed=has_changed)


def is_whole(rows: Iterable[LedgerRow]) -> bool:
    """Whether a file's rows say that all of it has been applied."""
    found = tuple(rows)
    return any(r.entry.is_final and r.is_done for r in found) and all(r.is_done for r in found)


def _ran_in_place(
    sources: Sources, by_file: Mapping[str, tuple[LedgerRow, ...]], squashes: Iterable[Squash]
) -> tuple[Squash, ...]:
    """Return the squashes that were run, or recorded whole, in place of files not recorded here.

    Where the files themselves are in the ledger, it tells of each of them.
    """
    ours = {script.name for script in sources.migrations}
    known = tuple(squashes)
    own = {squash.file for squash in known}
    versions = [version_of(name) for name in by_file if name not in own]
    return tuple(
        squash
        for squash in known
        if squash.file not in ours
        and is_whole(by_file.get(squash.file, ()))
        and not any(squash.replaces(version) for version in versions)
    )


def rows_by_file(ledger: Iterable[LedgerRow]) -> dict[str, tuple[LedgerRow, ...]]:
    """Return the rows of each file, in the order of its steps; the files are sorted by name."""

    def file_of(row: LedgerRow) -> str:
        return row.entry.file

    rows = sorted(ledger, key=lambda row: (row.entry.file, row.entry.position))
    return {name: tuple(group) for name, group in groupby(rows, key=file_of)}
