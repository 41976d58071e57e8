"""Each file of the folder with its rows in the ledger: what is pending, and what was edited."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from predeploy import sql
from predeploy.contract.step import FileStep, LedgerRow, Migration
from predeploy.settings.versions import version_of
from predeploy.sources import Sources
from predeploy.sources.script import Script
from predeploy.sources.squash import Squash
from predeploy.sources.steps import ScriptSteps


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
    by_file = _by_file(ledger)
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


def former_rows(
    missing: Iterable[str], ledger: Iterable[LedgerRow], cut: ScriptSteps
) -> tuple[LedgerRow, ...]:
    """Return the rows of a file that is missing and whose steps are those of this one.

    Returns none for a file without statements, because all of these look alike.
    """
    hashes = [step.entry.step_hash for step in cut.steps if step.entry]
    nothing = sql.digest(())
    by_file = _by_file(ledger)
    for name in missing:
        theirs = [row.entry.step_hash for row in by_file[name]]
        if theirs == hashes[: len(theirs)] and set(theirs) != {nothing}:
            return by_file[name]
    return ()


def pending_steps(history: FileHistory, cut: ScriptSteps) -> tuple[FileStep, ...]:
    """Return the steps of a file that are not in the ledger, in file order.

    A step that was started but never recorded as done is among them, marked as resumed. If the
    file's last step was applied when others followed it (they have been removed since), an empty
    step follows, so that a final row can say that the file is complete.
    """
    done = {row.entry.identity for row in history.rows if row.is_done}
    started = {row.entry.identity for row in history.rows if not row.is_done}
    pending = tuple(
        replace(step, is_resumed=step.entry.identity in started)
        for step in cut.steps
        if step.entry and step.entry.identity not in done
    )
    last = cut.steps[-1].entry if cut.steps else None
    if history.is_whole or last is None or (pending and pending[-1].entry == last):
        return pending
    position = 1 + max(last.position, *(row.entry.position for row in history.rows))
    nothing = sql.digest(())
    closing = replace(last, step_hash=nothing, occurrence=1, position=position, is_final=True)
    return (*pending, Migration(history.script.path, "", (), closing))


def edited_rows(history: FileHistory, cut: ScriptSteps) -> tuple[LedgerRow, ...]:
    """Return the applied steps that the file no longer holds as they were.

    The empty step that made a shortened file whole is no part of its text; that of a file that
    was empty is all of it.
    """
    present = {step.entry.identity for step in cut.steps if step.entry}
    nothing = sql.digest(())
    return tuple(
        row
        for row in history.rows
        if row.entry.identity not in present
        and (row.entry.step_hash != nothing or len(history.rows) == 1)
    )


def _by_file(ledger: Iterable[LedgerRow]) -> dict[str, tuple[LedgerRow, ...]]:
    def file_of(row: LedgerRow) -> str:
        return row.entry.file

    rows = sorted(ledger, key=lambda row: (row.entry.file, row.entry.position))
    return {name: tuple(group) for name, group in groupby(rows, key=file_of)}
