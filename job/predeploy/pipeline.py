"""The main loop, under the lock: for each layer look, plan, gate, execute."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import dropwhile, islice

import structlog

from predeploy.contract.errors import (
    ConnectionLostError,
    EndedError,
    Interrupted,
    JobError,
    NotObtainedError,
)
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Finding, LayerReport, Outcome, Plan, StepResult
from predeploy.contract.report import Report, as_json
from predeploy.contract.step import Record
from predeploy.database.catalog.advice import advised
from predeploy.database.ledger import ledger, notes, runs, settled
from predeploy.database.server import wire
from predeploy.database.server.wire import Connection
from predeploy.database.session import ledger_setup
from predeploy.database.session.blank import begins_without_rows
from predeploy.database.session.run_context import RunContext
from predeploy.database.shadow.declared import remember_sql
from predeploy.database.snapshot_reader import SnapshotReader
from predeploy.database.steps.execute import execute
from predeploy.journal import Journal
from predeploy.judgment.after_a_step import findings_of, violation
from predeploy.judgment.drift import DRIFT
from predeploy.layers import PIPELINE, migrate, sync, verify
from predeploy.layers.migrating import asking, settling
from predeploy.layers.migrating.settling import Correction
from predeploy.layers.situation.base import Layer, Situation
from predeploy.settings import Destructive, OnFailure
from predeploy.snapshot import Snapshot, View

log = structlog.get_logger()

_UNHURRIED_S = 10
_LAST_WORD_S = 0.2  # an interrupted run has a second to end
# If existing rows block a statement, the gate stops the run, and reports its other findings too.
_GOES_ON = (ExitCode.OK, ExitCode.NOT_VERIFIED)
_CORRECTIONS = {
    Correction.FORGET: ledger.forget_file,
    Correction.DONE: ledger.finish_file,
    Correction.AGAIN: ledger.restart_file,
}
# The views that later layers need, too: if nothing has to be done, one look serves all layers.
# A layer that runs files of the folder gets none of them, because its files may change everything.
_LATER_VIEWS = {
    layer.name: frozenset[View]().union(*(behind.sees for behind in PIPELINE[number:]))
    if not layer.asks
    else frozenset[View]()
    for number, layer in enumerate(PIPELINE)
}


def run_locked(journal: Journal, context: RunContext) -> Report:
    """Run the layers; the guard's transaction ends with the run's row, which frees the lock.

    Raises ConnectionLostError, after which the caller reconnects and starts over, and EndedError
    if one of the run's sessions was terminated by hand, which ends the run.
    """
    return _finished(journal, context, _run_layers)


def adopt_locked(journal: Journal, context: RunContext) -> Report:
    """Record the files up to the baseline, and end as `run_locked` does."""
    return _finished(journal, context, _record_baseline)


def settle_locked(
    journal: Journal, context: RunContext, correction: Correction, name: str
) -> Report:
    """Correct the ledger's rows of a file, and end as `run_locked` does."""
    return _finished(journal, context, partial(_settle, correction=correction, name=name))


def _finished(
    journal: Journal, context: RunContext, go: Callable[[Journal, RunContext], Report]
) -> Report:
    try:
        with _judging_loss(context.guard), advised(context.work, context.settings.ledger_schema):
            report = go(journal, context)
    except ConnectionLostError:
        raise
    except (JobError, Interrupted) as stop:
        report = journal.stopped(stop)
        _tell_left(journal)
        try:
            _end_run(journal, context.guard, report, _patience(stop))
        except ConnectionLostError:
            if isinstance(stop, Interrupted):  # there is no time for another connection
                log.warning("the run's row could not be ended in the ledger: the server is silent")
                journal.has_ended = True
                stop.is_heard = False
                report = journal.stopped(stop)
        return report
    _tell_left(journal)
    _end_run(journal, context.guard, report, lambda: None)
    return report


@contextmanager
def _judging_loss(guard: Connection) -> Iterator[None]:
    """Raise EndedError if a session was terminated, but not by a restart: the lock's is alive."""
    try:
        yield
    except ConnectionLostError as lost:
        if lost.was_ended and wire.answers(guard):
            raise EndedError(lost) from None
        raise


def _patience(stop: JobError | Interrupted) -> Callable[[], None]:
    return wire.patience(_LAST_WORD_S if isinstance(stop, Interrupted) else _UNHURRIED_S)


def _tell_left(journal: Journal) -> None:
    for finding in (finding for left in journal.left.values() for finding in left):
        _log_finding(finding)


def _end_run(
    journal: Journal, guard: Connection, report: Report, on_tick: Callable[[], None]
) -> None:
    """End the run's row, if it has one, and the guard's transaction, which frees the lock."""
    if not journal.has_begun:
        return
    ending = _ending(journal, guard, report)
    settlement = journal.settlement or "select 'nothing is settled'"
    parts = (settlement, journal.remembered, ending, "commit")
    answer = wire.send(guard, ";\n".join(filter(None, parts)), on_tick=on_tick)
    if answer.error is not None:
        with wire.translated(guard):
            raise answer.error
    journal.has_ended = True
    if not answer.rows(0):
        log.warning("the schema was changed while it was verified; the next run looks again")


def end_without_lock(journal: Journal, conn: Connection, report: Report) -> None:
    """End the run's row, unless it was ended before the lock was lost, and store nothing else.

    Raises ConnectionLostError and ServerError.
    """
    wire.ask(
        conn,
        f"{_ending(journal, conn, report)} and finished_at is null",
        on_tick=wire.patience(_UNHURRIED_S),
    )


def _ending(journal: Journal, conn: Connection, report: Report) -> str:
    return runs.finish_sql(
        journal.settings.ledger_schema,
        journal.id,
        report.outcome.value,
        report.exit_code,
        wire.storable(conn, as_json(report, journal.settings.secrets)),
    )


def _record_baseline(journal: Journal, context: RunContext) -> Report:
    """Record what migrate plans to record; what it plans to run stays pending."""
    reader = _reader(journal, context)
    snapshot, plan = _look_and_plan(journal, context, reader, migrate.LAYER)
    if not snapshot.is_unknown:
        raise JobError(
            "there is nothing to adopt: the database has a ledger, or no table",
            exit_code=ExitCode.BAD_SOURCES,
        )
    if plan.refusal is None:
        _begin(journal, context, reader)
        recorded = tuple(step for step in plan.steps if isinstance(step, Record))
        if _is_overtaken(journal, context, migrate.LAYER, Plan(recorded)):
            raise NotObtainedError("another run records at the same time; run again")
        notes.end_adoption(context.work, context.settings.ledger_schema)
        pending = len(plan.steps) - len(recorded)
        return journal.report(Outcome.OK, ExitCode.OK, pending=pending)
    return journal.report(Outcome.FAILED, journal.layers[migrate.LAYER.name].exit_code)


def _settle(journal: Journal, context: RunContext, correction: Correction, name: str) -> Report:
    reader = _reader(journal, context)
    snapshot = reader.read(frozenset({View.LEDGER}))
    rows = settling.settle(correction, name, journal.sources, snapshot)
    _begin(journal, context, reader)
    _CORRECTIONS[correction](context.work, context.settings.ledger_schema, name)
    message = settling.told(correction, name, rows)
    journal.note(LayerReport("settle", findings=(Finding("settled", message, is_note=True),)))
    return journal.report(Outcome.OK, ExitCode.OK)


def _run_layers(journal: Journal, context: RunContext) -> Report:
    # A run whose connection was lost starts over.
    journal.settlement = journal.remembered = ""
    snapshot = Snapshot(journal.server_version)
    reader = _reader(journal, context)
    for layer in PIPELINE:
        snapshot = _run_layer(journal, context, reader, layer)
        came = journal.layers[layer.name]
        if _is_rescued(journal, layer, came):
            log.warning(f"{layer.name} failed; going on, because PREDEPLOY_ON_FAILURE is rescue")
        elif came.exit_code not in _GOES_ON:
            return journal.report(Outcome.FAILED, came.exit_code)
        journal.is_degraded |= bool(came.failure or (layer.degrades and came.steps))
    if journal.verdict is not ExitCode.OK:
        return journal.report(Outcome.FAILED, journal.verdict)
    return _verified(journal, context, snapshot)


def _verified(journal: Journal, context: RunContext, snapshot: Snapshot) -> Report:
    """End a run that succeeded, and record what the next one may rely on."""
    if journal.is_degraded:
        return journal.report(Outcome.DEGRADED, ExitCode.OK)
    if snapshot.is_adopting and snapshot.schema and not snapshot.has_synced:
        drifts = sync.drifts(snapshot, context.settings)
        notes.accept(context.work, context.settings.ledger_schema, drifts)
    if snapshot.is_adopting and journal.sources.migrations:
        notes.end_adoption(context.work, context.settings.ledger_schema)
    if _situation(journal, context, snapshot).comparison.is_ahead:
        return journal.report(Outcome.AHEAD, ExitCode.OK)
    if _is_let_through(journal) or _may_have_more(journal):
        return journal.report(Outcome.OK, ExitCode.OK)
    key = settled.settled_key(context.settings, journal.sources, journal.server_version)
    standing = tuple(snapshot.schema.warnings if snapshot.schema else ())
    standing += tuple(f for f in journal.layers[verify.LAYER.name].findings if f.level == "warn")
    journal.settlement = settled.store_sql(context.settings, key, snapshot, journal.id, standing)
    return journal.report(Outcome.OK, ExitCode.OK)


def _is_let_through(journal: Journal) -> bool:
    """Whether a policy allowed something: the run does not settle, so the next one looks again."""
    losses = any(step.losses for layer in journal.layers.values() for step in layer.steps)
    drifts = any(f.code == DRIFT for f in journal.layers[verify.LAYER.name].findings)
    return drifts or (losses and journal.settings.destructive is Destructive.ALLOW)


def _may_have_more(journal: Journal) -> bool:
    """Whether a command has to be asked again: nobody knows its inputs, or all that it did."""
    command = journal.settings.command
    if command is None:
        return False
    steps = journal.layers[migrate.LAYER.name].steps
    return not command.inputs or any(step.unread for step in steps)


def _is_rescued(journal: Journal, layer: Layer, came: LayerReport) -> bool:
    """Whether the run continues after a failed step. What the plan refused is never rescued.

    Neither is a failure that should be retried, which an exit code of 0 would prevent, or a wrong
    server.
    """
    wants = journal.settings.on_failure is OnFailure.RESCUE
    if not wants or not layer.may_be_rescued or came.failure is None or came.failure.is_final:
        return False
    return not (came.exit_code.is_retryable or came.exit_code is ExitCode.WRONG_ENDPOINT)


def _run_layer(
    journal: Journal, context: RunContext, reader: SnapshotReader, layer: Layer
) -> Snapshot:
    """Look, plan, gate, execute; repeat if another run was faster or rows violated a constraint."""
    while True:
        snapshot, plan = _look_and_plan(journal, context, reader, layer)
        if plan.refusal:
            return snapshot
        _begin(journal, context, reader)
        if plan.steps:
            reader.invalidate()
        if not _is_overtaken(journal, context, layer, plan):
            if layer.asks and plan.steps:
                _tell_asks(journal, _situation(journal, context, snapshot), layer, plan)
            return snapshot
        log.info("the plan no longer fits; looking again")


def _tell_asks(journal: Journal, situation: Situation, layer: Layer, plan: Plan) -> None:
    """Log what the files have to declare if tables hold rows, here or on another database.

    For files that ran, what they did is known; for files after a refusal, only their text.
    """
    came = journal.layers[layer.name]
    lacking = came.failure.asks if came.failure else ()
    if not lacking and not journal.is_blank:
        return
    is_done = {step.label for step in came.steps}
    behind = [step for step in plan.steps if journal.is_blank or step.label not in is_done]
    told = asking.expected(situation, behind)
    known = (*(ask for step in came.steps for ask in step.asks), *lacking)
    asks = asking.with_expected(known, told, situation.snapshot.search_path.schemas)
    journal.note(LayerReport(layer.name, asks=asks))
    for ask in asks:
        where = "" if lacking else " where tables hold rows"
        many = f"{len(ask.declarations)} declaration(s) {ask.where}"
        log.info(f"{ask.path} needs {many}{where}", code="to-declare", lines=ask.lines)


def _reader(journal: Journal, context: RunContext) -> SnapshotReader:
    return SnapshotReader(
        context.work, context.settings, journal.sources, context.deadline, context.initial
    )


def _situation(journal: Journal, context: RunContext, snapshot: Snapshot) -> Situation:
    migrated = journal.layers.get(migrate.LAYER.name)
    return Situation(
        context.settings,
        journal.sources,
        snapshot,
        frozenset(journal.violated),
        has_migrated=migrated is not None and bool(migrated.steps),
    )


def _look_and_plan(
    journal: Journal, context: RunContext, reader: SnapshotReader, layer: Layer
) -> tuple[Snapshot, Plan]:
    snapshot = reader.read(layer.sees, _LATER_VIEWS[layer.name])
    if snapshot.schema is not None and snapshot.schema.is_new and not journal.remembered:
        schema = context.settings.ledger_schema
        journal.remembered = remember_sql(schema, journal.sources, snapshot.schema)
    situation = _situation(journal, context, snapshot)
    plan = layer.plan(situation)
    known = journal.layers.get(layer.name)
    for finding in plan.findings:
        if known is None or finding not in known.findings:  # the layer may be planned again
            _log_finding(finding)
    journal.note(LayerReport(layer.name, findings=plan.findings))
    # Only the gate stops the run for these; before it they explain why the run ended.
    journal.left[layer.name] = tuple(replace(finding, exit_code=None) for finding in plan.left)
    if plan.compared:
        journal.left.clear()  # the gate has just reported all of it
        journal.compared = plan.compared
    return snapshot, plan


def _begin(journal: Journal, context: RunContext, reader: SnapshotReader) -> None:
    """Create the ledger unless it exists, and record the start of the run in it, once."""
    if not journal.has_begun:
        ledger_setup.ensure(context, is_adopting=reader.has_tables)
        journal.is_blank = begins_without_rows(context, journal.sources, reader.search_path)
        journal.has_begun = True
        reader.invalidate()


def _is_overtaken(journal: Journal, context: RunContext, layer: Layer, plan: Plan) -> bool:
    """Execute the plan; return whether the layer has to be planned again.

    Another run may have applied one of its steps, or something may have blocked one.
    """
    is_overtaken = False
    context = replace(context, is_blank=journal.is_blank)
    with closing(execute(context, plan, layer.failed, journal.works_on)) as outcomes:
        for outcome in outcomes:
            is_overtaken = outcome is None
            came = None if outcome is None else _came_of(journal, layer, plan, outcome)
            if came is not None:
                journal.note(came)
                if came.failure is not None:
                    break
    journal.current = None
    return is_overtaken


def _came_of(
    journal: Journal, layer: Layer, plan: Plan, outcome: StepResult | Failure
) -> LayerReport:
    if isinstance(outcome, StepResult):
        findings = tuple(findings_of(outcome, journal.settings))
        for finding in findings:
            _log_finding(finding)
        return LayerReport(layer.name, steps=(outcome,), findings=findings)
    if outcome.is_violation and outcome.about not in journal.violated:
        violated = violation(outcome)
        _log_finding(violated)
        journal.violated.add(outcome.about)
        return LayerReport(layer.name, findings=(violated,))
    # Compared by identity: two steps have the same label if their statements are too long for it.
    behind = dropwhile(lambda step: step is not journal.current, plan.steps)
    not_run = tuple(step.label for step in islice(behind, 1, None))
    return LayerReport(layer.name, failure=outcome, not_run=not_run)


def _log_finding(finding: Finding) -> None:
    say = {"error": log.error, "warn": log.warning, "info": log.info}[finding.level]
    say(finding.message, code=finding.code, **({"next": finding.remedy} if finding.remedy else {}))
