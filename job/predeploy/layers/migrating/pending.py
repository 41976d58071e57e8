"""A file's steps beside its rows in the ledger: which are pending, and which were edited."""

from collections.abc import Iterable
from dataclasses import replace

from predeploy import sql
from predeploy.contract.step import FileStep, LedgerRow, Migration
from predeploy.layers.situation.history import FileHistory, rows_by_file
from predeploy.sources.steps import ScriptSteps


def former_rows(
    missing: Iterable[str], ledger: Iterable[LedgerRow], cut: ScriptSteps
) -> tuple[LedgerRow, ...]:
    """Return the rows of a file that is missing and whose steps are those of this one.

    Returns none for a file without statements, because all of these look alike.
    """
    hashes = [step.entry.step_hash for step in cut.steps if step.entry]
    nothing = sql.digest(())
    by_file = rows_by_file(ledger)
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
