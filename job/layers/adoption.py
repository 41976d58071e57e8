"""A database from before its ledger: what may be replayed on it, and what counts as done.

Replaying history can undo what came after it. So a file is replayed only when all that it says is
additive, and kept only when it changed nothing that was there; with a baseline it is written down.
"""

from dataclasses import replace

from job import statements
from job.exit_codes import ExitCode
from job.plan import Finding, Mode, Plan, Step
from job.snapshot import Snapshot
from job.sources.script import Script

WAYS_OUT = (
    'say up to which file the database is done: baseline = "VERSION" in predeploy.toml (those '
    "files are recorded, not run), or start from an empty database"
)


def is_unknown(snapshot: Snapshot) -> bool:
    """Whether the database has a history that its ledger does not tell, or not all of it yet."""
    return snapshot.is_adopting or (snapshot.has_tables and not snapshot.has_ledger)


def adopt(script: Script, pending: tuple[Step, ...], baseline: int | None) -> Plan:
    """Plan a file's pending steps on a database whose history is not known.

    With a baseline, files up to it are recorded and later ones run as ever. Without one they are
    replayed, or the plan is refused (65) at the first statement that cannot be.
    """
    if baseline is not None:
        if script.version > baseline:
            return Plan(pending)
        return Plan(tuple(replace(s, mode=Mode.RECORD, declarations=()) for s in pending))
    unfit = next(
        (s for step in pending for s in step.statements if not statements.is_additive(s)), None
    )
    if unfit is None:
        return Plan(tuple(replace(step, is_replay=True) for step in pending))
    return Plan(
        findings=(
            Finding(
                "unknown-database",
                f"{script.path}:{unfit.line}: {unfit.what} may have been run here before, and the "
                "database has tables but no ledger that would tell",
                WAYS_OUT,
                ExitCode.BAD_SOURCES,
            ),
        )
    )
