"""The folder and the ledger compared: one history, a newer one, or one that went another way."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from job.exit_codes import ExitCode
from job.layers.history import FileHistory, histories
from job.plan import Finding, LedgerRow
from job.sources import Sources
from job.sources.native import version_of

_SHOWN_NAMES = 20


class Lineage(Enum):
    """How the folder's history and the ledger's are related; the value is the word for people."""

    CURRENT = "current"  # the ledger holds nothing that the folder lacks, older files apart
    AHEAD = "ahead"  # a newer version of the app has been here
    DIVERGED = "diverged"  # a branch that was given up, a hole, a rewritten history
    UNRELATED = "unrelated"  # not one file in common


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it, with the names of files that the ledger holds and the folder lacks.

    `pruned` are older than the folder's oldest file, or the folder has no migrations. `missing` are
    the others: there are none where the lineage is CURRENT. Both are sorted by version.
    """

    lineage: Lineage
    pruned: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_ahead(self) -> bool:
        """Whether a newer version of the app has been here, which this one must not undo."""
        return self.lineage is Lineage.AHEAD

    @property
    def has_diverged(self) -> bool:
        """Whether the ledger holds files of a history that went another way."""
        return self.lineage is Lineage.DIVERGED


def compare(sources: Sources, ledger: Iterable[LedgerRow]) -> Comparison:
    """Compare the folder with the ledger's rows, which are in the order of their application."""
    rows = tuple(ledger)
    absent = _absent(sources, rows)
    if not sources.migrations:
        return Comparison(Lineage.CURRENT, pruned=absent)
    oldest = sources.migrations[0].version
    pruned = tuple(name for name in absent if _version(name) < oldest)
    missing = absent[len(pruned) :]
    return Comparison(_lineage(sources, rows, missing), pruned, missing)


def tell(comparison: Comparison, ledger_schema: str) -> Iterator[Finding]:
    """Say which files the folder lacks, what follows from that, and what to do."""
    missing = named(comparison.missing)
    forget = f"`predeploy settle {comparison.missing[0]} --forget`" if missing else ""
    if comparison.pruned:
        message = f"applied, but not in this folder: {named(comparison.pruned)}"
        yield Finding("not-in-folder", message, is_note=True)
    match comparison.lineage:
        case Lineage.AHEAD:
            yield Finding(
                "ahead",
                f"a newer version has been here: the ledger holds {missing}, not in this folder",
                f"nothing, after a rollback; {forget} forgets the file of a branch that was given "
                "up",
                is_note=True,
            )
        case Lineage.DIVERGED:
            yield Finding(
                "diverged",
                f"the ledger has diverged from this folder: it holds {missing}, not in this folder",
                f"put back what is missing; or, where its branch was given up, run {forget}",
            )
        case Lineage.UNRELATED:
            yield Finding(
                "unrelated",
                f"the ledger {ledger_schema} holds {missing}, and not one file of this folder",
                "for another app in the same database, set PREDEPLOY_LEDGER_SCHEMA to a ledger of "
                "its own; for this app, put the old files back",
                ExitCode.BAD_SOURCES,
            )


def named(names: tuple[str, ...]) -> str:
    """Return the names for a message; beyond twenty, how many more there are."""
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _lineage(sources: Sources, rows: tuple[LedgerRow, ...], missing: tuple[str, ...]) -> Lineage:
    if not missing:
        return Lineage.CURRENT
    files = histories(sources, rows)
    if not any(file.rows for file in files):
        return Lineage.UNRELATED
    newest = sources.migrations[-1].version
    later = _recorded_later(files, rows)
    are_newer = all(_version(name) > newest or name in later for name in missing)
    is_done = all(file.is_whole for file in files)
    return Lineage.AHEAD if is_done and are_newer else Lineage.DIVERGED


def _absent(sources: Sources, rows: tuple[LedgerRow, ...]) -> tuple[str, ...]:
    present = {script.name for script in sources.migrations}
    absent = {row.entry.file for row in rows} - present
    return tuple(sorted(absent, key=lambda name: (_version(name), name)))


def _recorded_later(files: tuple[FileHistory, ...], rows: tuple[LedgerRow, ...]) -> set[str]:
    """Return the files that runs have recorded which came after those of the folder's files."""
    ours = {file.script.name for file in files}
    runs = {row.run_id for row in rows if row.entry.file in ours}
    last = max(at for at, row in enumerate(rows) if row.entry.file in ours)
    before = {row.entry.file for row in rows[:last] if row.entry.file not in ours}
    with_them = {row.entry.file for row in rows if row.run_id in runs}
    return {row.entry.file for row in rows} - ours - before - with_them


def _version(name: str) -> int:
    return version_of(name) or 0
