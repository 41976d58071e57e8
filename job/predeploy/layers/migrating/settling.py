"""What an operator records about a file by hand, because no run can know it. Pure."""

from enum import Enum

from predeploy.contract.errors import JobError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.step import LedgerRow
from predeploy.snapshot import Snapshot
from predeploy.sources import Sources


class Correction(Enum):
    """What `predeploy settle FILE` may say; the value is its option."""

    FORGET = "forget"  # the file is not coming back: a branch that was given up
    DONE = "done"  # the step that was started, and whose end was not recorded, was done
    AGAIN = "again"  # it was not, and is to be run again


def settle(
    correction: Correction, name: str, sources: Sources, snapshot: Snapshot
) -> tuple[LedgerRow, ...]:
    """Return the ledger rows of the file to correct.

    Raises JobError (65) if the ledger has nothing to correct, or if a file would run twice.
    """
    rows = tuple(row for row in snapshot.ledger if row.entry.file == name)
    unfinished = tuple(row for row in rows if not row.is_done)
    if not rows:
        raise _refused(f"the ledger holds no file {name}; `predeploy status` shows what it holds")
    if correction is not Correction.FORGET:
        if not unfinished:
            raise _refused(f"no step of {name} is unfinished; there is nothing to settle")
        return unfinished
    if any(script.name == name for script in sources.migrations):
        raise _refused(
            f"{name} is in this folder: forgotten, it would run again; take it out of the folder "
            "first"
        )
    return rows


def told(correction: Correction, name: str, rows: tuple[LedgerRow, ...]) -> str:
    """Return what to report once the ledger is corrected."""
    steps = "1 step" if len(rows) == 1 else f"{len(rows)} steps"
    match correction:
        case Correction.FORGET:
            return f"{steps} of {name} forgotten; what they made stays in the database"
        case Correction.DONE:
            return f"{steps} of {name} recorded as done"
        case Correction.AGAIN:
            return f"{steps} of {name} will be run again by the next run"


def _refused(why: str) -> JobError:
    return JobError(why, exit_code=ExitCode.BAD_SOURCES)
