"""Versioned SQL files, each run once. Only the ledger decides what runs."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.quoting import literal
from predeploy.contract.statement import Creatable
from predeploy.contract.step import FileStep, LedgerRow, Migration, OnlineMigration, Record, Step
from predeploy.layers import naming
from predeploy.layers.migrating.adoption import adopt, judge_baseline
from predeploy.layers.migrating.commanding import plan_command
from predeploy.layers.migrating.mirroring import mirror
from predeploy.layers.migrating.pending import edited_rows, former_rows, pending_steps
from predeploy.layers.migrating.squashing import squash, strays, without_header
from predeploy.layers.migrating.takeover import take_over
from predeploy.layers.migrating.undo import undone_again
from predeploy.layers.situation.base import Layer, Situation
from predeploy.layers.situation.history import FileHistory
from predeploy.layers.situation.lineage import Comparison, Lineage, tell
from predeploy.settings.versions import NO_VERSION, Version, version_of
from predeploy.snapshot import View
from predeploy.sources import filtered
from predeploy.sources.script import Script
from predeploy.sources.steps import ScriptSteps, steps_of

_RENAMED = "renamed"


def plan(situation: Situation) -> Plan:
    """Plan the pending steps, in the order of the folder; or the operator's command."""
    if situation.settings.command is not None:
        return plan_command(situation, situation.settings.command)
    snapshot = situation.snapshot
    newest = max((version_of(row.entry.file) for row in snapshot.ledger), default=NO_VERSION)
    steps: list[Step] = []
    comparison = situation.comparison
    findings: list[Finding] = []
    takeover = take_over(situation)
    findings.extend(takeover.findings)
    for history in situation.files:
        if history.is_untouched:
            continue
        if situation.is_held_back(history):
            findings.append(_held_back(history))
            continue
        cut = steps_of(history.script)
        pending = _restarting(history, pending_steps(history, cut))
        squashed = squash(history, pending, situation)
        findings.extend(_edits(history, cut, pending))
        if not history.is_whole and history.script.name not in takeover.applied:
            findings.extend(cut.findings)
            findings.extend(_not_sql(history.script))
        is_applied = history.script.name in takeover.applied and not history.is_known
        if not history.rows and squashed is None and not is_applied:
            findings.extend(_out_of_order(history, newest))
            findings.extend(_renamed(situation, comparison, history, cut))
        planned: tuple[Step, ...] = pending
        if squashed is not None:
            planned = squashed.steps
            findings.extend(squashed.findings)
        elif is_applied:
            planned = tuple(map(Record.of, pending))
        elif snapshot.is_unknown and not takeover.is_certain:
            adopted = adopt(history.script, pending, situation.settings.baseline)
            planned = adopted.steps
            findings.extend(adopted.findings)
        findings.extend(undone_again(cut, planned, situation.settings.destructive))
        steps.extend(planned)
    mirrored = mirror(situation, steps)
    findings.extend(mirrored.findings)
    steps = [*mirrored.steps]
    findings.extend(strays(situation))
    recorded = [step for step in steps if isinstance(step, Record)]
    findings.extend(_elsewhere(situation, steps))
    findings.extend(judge_baseline(situation, recorded))
    findings.extend(_stalls(steps))
    findings = [*_related(situation, comparison, findings), *findings]
    findings.extend(naming.findings(situation, steps))
    findings.extend(map(filtered.told, dict.fromkeys(_filtered(steps))))
    return Plan(tuple(steps), tuple(findings))


def judge(situation: Situation, planned: Plan) -> tuple[Finding, ...]:
    """Return the findings about the folder, given the plan: what stops the run, what is missing."""
    related = tell(situation.comparison, situation.settings.ledger_schema)
    refusals = (f for f in planned.findings if f.exit_code is not None)
    return tuple(dict.fromkeys((*refusals, *(f for f in related if f.exit_code is None))))


LAYER = Layer("migrate", frozenset({View.LEDGER}), plan, may_be_rescued=True, asks=True)


def _restarting(history: FileHistory, pending: tuple[FileStep, ...]) -> tuple[FileStep, ...]:
    """Have the first step of a repeatable file that has changed remove the file's former rows."""
    if not history.has_changed or not pending or pending[0].entry is None:
        return pending
    return (replace(pending[0], entry=replace(pending[0].entry, restarts=True)), *pending[1:])


def _held_back(history: FileHistory) -> Finding:
    return Finding(
        "held-back",
        f"{history.script.path} has another text than was applied and is not run: it is that of an "
        "older version, and may not fit what the newer one has made",
        is_note=True,
    )


def _not_sql(script: Script) -> Iterator[Finding]:
    """Refuse what only its own tool can run, unless that has applied it."""
    if script.only_by:
        yield Finding(
            "only-its-tool",
            f"{script.path} is not applied, and only {script.only_by} can run it",
            f"apply it with {script.only_by} and run again, which records it; or have "
            f"{script.only_by} run all of them: command = […] under [migrate] in predeploy.toml",
            ExitCode.BAD_SOURCES,
        )


def _elsewhere(situation: Situation, steps: Iterable[Step]) -> Iterator[Finding]:
    """Refuse to run files in another schema than their tool would."""
    schema, tool = situation.sources.tool.schema, situation.sources.format
    path = situation.snapshot.search_path.schemas
    runs = any(not isinstance(step, Record) for step in steps)
    if schema and path[:1] != (schema,) and runs:
        yield Finding(
            "another-schema",
            f"the folder's settings have {tool} run these files in the schema {schema}; on this "
            f"connection they would run in {path[0] if path else 'no schema'}",
            f"add search_path={schema} to the parameters of DATABASE_URL, behind its ? or &; the "
            "schema has to exist",
            ExitCode.BAD_SOURCES,
        )


def _edits(
    history: FileHistory, cut: ScriptSteps, pending: tuple[FileStep, ...]
) -> Iterator[Finding]:
    """Report applied steps that the file no longer holds; a complete file may not grow either."""
    path = history.script.path
    yield from (_changed_side(step) for step in pending if _has_changed_side(step))
    for row in edited_rows(history, cut):
        if not row.is_done:
            yield _unsettled(history, row)
            continue
        now = cut.steps[row.entry.position - 1 : row.entry.position]
        where = f" (now {now[0].lines})" if now else ""
        yield Finding(
            "edited",
            f"{path}: step {row.entry.position}{where} was applied at {row.applied_at} and has "
            "been edited since",
            "put the old text back and write the change as a new migration",
            ExitCode.BAD_SOURCES,
        )
    if history.is_whole and pending and not edited_rows(history, cut):
        yield Finding(
            "edited",
            f"{path}: {pending[0].lines} were added after the file was applied as a whole",
            "move them to a new migration",
            ExitCode.BAD_SOURCES,
        )


def _has_changed_side(step: FileStep) -> bool:
    return step.is_resumed and not isinstance(step, OnlineMigration)


def _changed_side(step: FileStep) -> Finding:
    return Finding(
        "unsettled",
        f"{step.label} was started outside a transaction, its end was not recorded, and the "
        "file now has it inside one",
        "put `-- predeploy: autocommit` back; or, if it was not done, run `predeploy settle "
        f"{step.entry.file if step.entry else step.path} --again`",
        ExitCode.PARTIAL,
    )


def _unsettled(history: FileHistory, row: LedgerRow) -> Finding:
    return Finding(
        "unsettled",
        f"{history.script.path}: step {row.entry.position} was started at {row.applied_at}, its "
        "end was not recorded, and the file no longer holds it",
        "look at what it left, then put its text back; or, if it was not done, run `predeploy "
        f"settle {row.entry.file} --again`",
        ExitCode.PARTIAL,
    )


def _related(
    situation: Situation, comparison: Comparison, findings: Iterable[Finding]
) -> Iterator[Finding]:
    """Report how folder and ledger are related, unless a renamed file explains the problem."""
    is_renamed = any(finding.code == _RENAMED for finding in findings)
    if not is_renamed and comparison.lineage is not Lineage.UNRELATED:
        yield from without_header(situation)
    if not (comparison.lineage is Lineage.UNRELATED and is_renamed):
        yield from tell(comparison, situation.settings.ledger_schema)


def _renamed(
    situation: Situation, comparison: Comparison, history: FileHistory, cut: ScriptSteps
) -> Iterator[Finding]:
    """Refuse to run a file again that was applied under another name."""
    former = former_rows(comparison.missing, situation.snapshot.ledger, cut)
    if former:
        name = former[0].entry.file
        told = (
            f"update {situation.settings.ledger_schema}.migration "
            f"set file = {literal(history.script.name)} where file = {literal(name)}"
        )
        yield Finding(
            _RENAMED,
            f"{history.script.path} does what {name} did, which was applied at "
            f"{former[0].applied_at} and is not in the folder: it would run a second time",
            f"call it {name} again, or record its new name in the ledger ({told}); if it is to run "
            f"once more, put {name} back next to it",
            ExitCode.BAD_SOURCES,
        )


def _out_of_order(history: FileHistory, newest: Version) -> Iterator[Finding]:
    if history.script.version < newest and not history.script.is_repeatable:
        yield Finding(
            "out-of-order",
            f"{history.script.path} is older than the newest applied migration and runs after it",
        )


def _filtered(steps: Iterable[Step]) -> Iterator[str]:
    """Yield the files that let row-level security filter what they read and write."""
    for step in steps:
        if any(
            filtered.says_so(s.text) for s in step.statements if s.node != "create_function_stmt"
        ):
            yield step.path


def _stalls(steps: Iterable[Step]) -> Iterator[Finding]:
    """Warn if a step locks a table that is in use and then does something that may take long."""
    made: set[str] = set()
    for step in steps:
        creates = (address for s in step.statements for address in s.creates)
        made.update(a.name for a in creates if a.kind is Creatable.TABLE)
        found = sql.stall(step.statements, made) if isinstance(step, Migration) else None
        if found and found.locking is found.slow:
            yield _writes_anew(step, found)
        elif found:
            locking, slow = (" ".join(s.text.split()[:3]) for s in (found.locking, found.slow))
            yield Finding(
                "holds-lock",
                f"{step.path}:{found.locking.line}: {locking!r} keeps others from {found.table} "
                f"until its step ends, and {slow!r} (line {found.slow.line}) may take long",
                "put BEGIN and COMMIT around each, or a file of its own, so that the lock is brief",
            )


def _writes_anew(step: Step, found: sql.Stall) -> Finding:
    words = " ".join(found.slow.text.split()[:3])
    return Finding(
        "holds-lock",
        f"{step.path}:{found.slow.line}: {words!r} writes every row of {found.table} anew, as each "
        "may get another value, and keeps everybody from it until its step ends",
        "add the column without that, fill it in batches in a migration of its own, and then set "
        "its default",
    )
