"""How folder and ledger are related: the same history, a newer one, or one that has diverged."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.step import LedgerRow
from predeploy.layers.situation.history import FileHistory, histories, is_whole
from predeploy.settings.versions import NO_VERSION, Version, version_of
from predeploy.sources import Sources
from predeploy.sources.squash import Squash, header_for, squash_of

_SHOWN_NAMES = 20


class Lineage(Enum):
    """How the folder's history and the ledger's are related; the value is the word for people."""

    CURRENT = "current"  # the ledger holds no file that is not in the folder, except older ones
    AHEAD = "ahead"  # a newer version of the app has been here
    DIVERGED = "diverged"  # a branch that was given up, a gap, a rewritten history
    UNRELATED = "unrelated"  # not one file in common


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result, with the names of the files that the ledger holds and the folder does not.

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
        """Whether the ledger holds files of a history that has diverged."""
        return self.lineage is Lineage.DIVERGED


def compare(
    sources: Sources, ledger: Iterable[LedgerRow], squashes: Iterable[Squash] = ()
) -> Comparison:
    """Compare the folder with the ledger's rows, which are in the order of their application.

    `squashes` are those that the ledger knows of. One stands for the files that it replaces, and so
    does one of the folder.
    """
    rows, known = tuple(ledger), {squash.file: squash for squash in squashes}
    absent = _absent(sources, rows, known)
    if not absent:
        return Comparison(Lineage.CURRENT)
    ours = [squash for script in sources.migrations if (squash := squash_of(script))]
    versions = {n: v for n, v in absent.items() if not any(s.replaces(v) for s in ours)}
    if not sources.migrations:
        return Comparison(Lineage.CURRENT, pruned=tuple(versions))
    found = [script.version for script in sources.migrations if not script.is_repeatable]
    oldest, newest = min(found, default=NO_VERSION), max(found, default=NO_VERSION)
    pruned = tuple(name for name, version in versions.items() if version < oldest)
    # A squash that ends where the folder does, or before, stands for no file beyond the folder.
    covered = {
        name
        for name, version in versions.items()
        if name in known and oldest <= version <= newest and is_whole(_rows_of(name, rows))
    }
    missing = {n: v for n, v in versions.items() if n not in covered and v >= oldest}
    files = histories(sources, rows, known.values())
    if missing and versions == absent and not any(file.is_known for file in files):
        return Comparison(Lineage.UNRELATED, pruned, tuple(missing))
    return Comparison(_lineage(files, rows, missing, covered), pruned, tuple(missing))


def tell(comparison: Comparison, ledger_schema: str) -> Iterator[Finding]:
    """Report which files are not in the folder, what follows from that, and what to do."""
    missing = named(comparison.missing)
    held = (*comparison.pruned, *comparison.missing)
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
                f"its own; for a squash of those files, start it with `{header_for(held)}`; else "
                "put the old files back",
                ExitCode.BAD_SOURCES,
            )


def named(names: tuple[str, ...]) -> str:
    """Return the names for a message: at most twenty, then how many more there are."""
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _rows_of(file: str, rows: Iterable[LedgerRow]) -> tuple[LedgerRow, ...]:
    """Return the rows of a file."""
    return tuple(row for row in rows if row.entry.file == file)


def _lineage(
    files: tuple[FileHistory, ...],
    rows: tuple[LedgerRow, ...],
    missing: Mapping[str, Version],
    covered: AbstractSet[str],
) -> Lineage:
    if not missing:
        return Lineage.CURRENT
    files = tuple(file for file in files if not file.script.is_repeatable)
    newest = max((file.script.version for file in files), default=NO_VERSION)
    later = _recorded_later({file.script.name for file in files} | covered, rows)
    are_newer = all(version > newest or name in later for name, version in missing.items())
    is_done = all(file.is_whole for file in files)
    return Lineage.AHEAD if is_done and are_newer else Lineage.DIVERGED


def _absent(
    sources: Sources, rows: tuple[LedgerRow, ...], known: Mapping[str, Squash]
) -> dict[str, Version]:
    """Return what the ledger holds and the folder does not, by version; a squash by its newest."""
    present = {script.name for script in sources.migrations}
    absent = {row.entry.file for row in rows} - present
    versions = {n: known[n].reach if n in known else version_of(n) for n in absent}
    return dict(sorted(versions.items(), key=lambda item: (item[1], item[0])))


def _recorded_later(ours: AbstractSet[str], rows: tuple[LedgerRow, ...]) -> set[str]:
    """Return the files that runs have recorded which came after those of the folder's files."""
    runs = {row.run_id for row in rows if row.entry.file in ours}
    last = max((at for at, row in enumerate(rows) if row.entry.file in ours), default=len(rows))
    before = {row.entry.file for row in rows[:last] if row.entry.file not in ours}
    with_them = {row.entry.file for row in rows if row.run_id in runs}
    return {row.entry.file for row in rows} - ours - before - with_them
