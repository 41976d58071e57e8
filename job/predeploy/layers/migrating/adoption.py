"""A database that is older than its ledger: what may be replayed, and what counts as done.

Replaying history can undo later changes. So a file is replayed only if every statement in it is
additive, and kept only if it changed no existing object; with a baseline it is only recorded.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.step import FileStep, Record, Step
from predeploy.layers.migrating.recording import not_there
from predeploy.layers.situation.base import Situation
from predeploy.settings.versions import Version, written
from predeploy.sources.script import Script

_NEAREST = 3

WAYS_OUT = (
    'say up to which file the database is done: baseline = "VERSION" in predeploy.toml (those '
    "files are recorded, not run), or start from an empty database"
)


def judge_baseline(situation: Situation, recorded: Sequence[Step]) -> Iterator[Finding]:
    """Judge what a baseline says is done: `recorded` are the steps that would not be run.

    It must be the version of a file, and the net result of the files up to it must exist (65).
    """
    baseline, files = situation.settings.baseline, situation.sources.migrations
    if not baseline or not files or not situation.snapshot.is_unknown:
        return
    if all(script.version != baseline for script in files):
        names = ", ".join(sorted(script.name for script in _nearest(baseline, files)))
        yield Finding(
            "unknown-baseline",
            f"baseline {written(baseline)} matches no file in migrations/; the nearest are {names}",
            "make it the whole version of the last file that was run here",
            ExitCode.BAD_SOURCES,
        )
        return
    if recorded:
        yield from not_there(
            situation.snapshot,
            situation.settings.accepted_missing,
            (s.text for s in files if s.version <= baseline),
            f"baseline {written(baseline)} would record files whose work is not there",
            "make it the version of the last file that was run here; in a new database, move or "
            "drop the other tables",
        )


def _nearest(baseline: Version, files: Sequence[Script]) -> Sequence[Script]:
    """Return the files whose versions begin as the baseline does, else those around it."""
    alike = [s for s in files if written(s.version).startswith(written(baseline))]
    at = bisect_left([script.version for script in files], baseline)
    around = files[max(0, min(at - _NEAREST // 2, len(files) - _NEAREST)) :]
    return (alike or around)[:_NEAREST]


def adopt(script: Script, pending: tuple[FileStep, ...], baseline: Version) -> Plan:
    """Plan a file's pending steps on a database whose history is not known.

    With a baseline, files up to it are recorded and later ones run as usual. Without one they are
    replayed, or the plan is refused (65) at the first statement that cannot be replayed.
    """
    if baseline:
        if script.version > baseline or script.is_repeatable:
            return Plan(pending)
        return Plan(tuple(map(Record.of, pending)))
    unfit = next((s for step in pending for s in step.statements if not sql.is_additive(s)), None)
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
