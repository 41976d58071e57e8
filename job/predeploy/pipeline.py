"""The one loop: layer by layer look, plan, gate, execute. Under the lock."""

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
from predeploy.contract.plan import (
    ABSENT,
    Failure,
    Finding,
    LayerReport,
    Mode,
    Outcome,
    Plan,
    StepResult,
)
from predeploy.contract.report import Report, as_json
from predeploy.database.catalog.advice import advised
from predeploy.database.ledger import ledger, notes, runs, settled
from predeploy.database.server import wire
from predeploy.database.server.wire import Connection
from predeploy.database.session import ledger_setup
from predeploy.database.session.blank import begins_without_rows
from predeploy.database.session.run_context import Workplace
from predeploy.database.shadow.declared import remember_sql
from predeploy.database.snapshot_reader import Sight
from predeploy.database.steps.execute import execute
from predeploy.journal import Journal
from predeploy.judgment.drift import DRIFT, tell, unaccepted
from predeploy.layers import PIPELINE, migrate, sync, verify
from predeploy.layers.migrating import asking, settling
from predeploy.layers.migrating.adoption import is_unknown
from predeploy.layers.migrating.settling import Saying
from predeploy.layers.situation.base import Layer, Situation
from predeploy.settings import Destructive, OnFailure, Settings
from predeploy.snapshot import Snapshot, View

log = structlog.get_logger()

_SHOWN_NOTICES = 5
_VIOLATION = "23"  # the class integrity_constraint_violation
# Nothing is lost by these.
_CHANGES = {"rename": "renamed", "rewrite": "rewritten", "detach": "detached"}
_UNHURRIED_S = 10
_LAST_WORD_S = 0.2  # an interrupted run has a second to end
# What rows stand in the way of is for the gate to stop, which then says all else that it finds.
_GOES_ON = (ExitCode.OK, ExitCode.NOT_VERIFIED)
_CORRECTIONS = {
    Saying.FORGET: ledger.forget_file,
    Saying.DONE: ledger.finish_file,
    Saying.AGAIN: ledger.restart_file,
}
# What the layers behind want to see, too: one look serves all of them where nothing is to be done.
# But migrations change everything.
_BEHIND = {
    layer.name: frozenset[View]().union(*(behind.sees for behind in PIPELINE[number:]))
    for number, layer in enumerate(PIPELINE)
} | {migrate.LAYER.name: frozenset()}


def run_locked(this: Journal, place: Workplace) -> Report:
    """Run the layers; the guard's transaction ends with the run's row, which frees the lock.

    Raises ConnectionLostError: the caller connects again and starts over. But a session of ours
    that was ended by hand ends the run.
    """
    return _finished(this, place, _run_layers)


def adopt_locked(this: Journal, place: Workplace) -> Report:
    """Record the files up to the baseline, and end as `run_locked` does."""
    return _finished(this, place, _record_baseline)


def settle_locked(this: Journal, place: Workplace, saying: Saying, name: str) -> Report:
    """Correct what the ledger holds of a file, and end as `run_locked` does."""
    return _finished(this, place, partial(_settle, saying=saying, name=name))


def _finished(
    this: Journal, place: Workplace, go: Callable[[Journal, Workplace], Report]
) -> Report:
    try:
        with _judging_loss(place.guard), advised(place.work, place.settings.ledger_schema):
            report = go(this, place)
    except ConnectionLostError:
        raise
    except (JobError, Interrupted) as stop:
        report = this.stopped(stop)
        _tell_left(this)
        try:
            _end_run(this, place.guard, report, _patience(stop))
        except ConnectionLostError:
            log.warning("the run's row could not be ended in the ledger: the server is silent")
            if isinstance(stop, Interrupted):
                stop.is_heard = False
                report = this.stopped(stop)
        return report
    _tell_left(this)
    _end_run(this, place.guard, report, lambda: None)
    return report


@contextmanager
def _judging_loss(guard: Connection) -> Iterator[None]:
    """Raise EndedError for a session that was ended while the lock's lives on: no restart."""
    try:
        yield
    except ConnectionLostError as lost:
        if lost.was_ended and wire.answers(guard):
            raise EndedError(lost) from None
        raise


def _patience(stop: JobError | Interrupted) -> Callable[[], None]:
    return wire.patience(_LAST_WORD_S if isinstance(stop, Interrupted) else _UNHURRIED_S)


def _tell_left(this: Journal) -> None:
    for finding in (finding for left in this.left.values() for finding in left):
        _log_finding(finding)


def _end_run(this: Journal, guard: Connection, report: Report, on_tick: Callable[[], None]) -> None:
    """End the run's row, if it has one, and the guard's transaction, which frees the lock."""
    if not this.has_begun:
        return
    ending = runs.finish_sql(
        this.settings.ledger_schema,
        this.id,
        report.outcome.value,
        report.exit_code,
        wire.storable(guard, as_json(report, this.settings.secrets)),
    )
    settlement = this.settlement or "select 'nothing is settled'"
    parts = (settlement, this.remembered, ending, "commit")
    answer = wire.send(guard, ";\n".join(filter(None, parts)), on_tick=on_tick)
    if answer.error is not None:
        with wire.translated(guard):
            raise answer.error
    if not answer.rows(0):
        log.warning("the schema was changed while it was verified; the next run looks again")


def _record_baseline(this: Journal, place: Workplace) -> Report:
    """Record what migrate plans to record; what it plans to run stays pending."""
    sight = _sight(this, place)
    snapshot, plan = _look_and_plan(this, place, sight, migrate.LAYER)
    if not is_unknown(snapshot):
        raise JobError(
            "there is nothing to adopt: the database has a ledger, or no table",
            exit_code=ExitCode.BAD_SOURCES,
        )
    if plan.refusal is None:
        _begin(this, place, sight)
        recorded = tuple(step for step in plan.steps if step.mode is Mode.RECORD)
        if _is_overtaken(this, place, migrate.LAYER, Plan(recorded)):
            raise NotObtainedError("another run records at the same time; run again")
        notes.end_adoption(place.work, place.settings.ledger_schema)
        pending = len(plan.steps) - len(recorded)
        return this.report(Outcome.OK, ExitCode.OK, pending=pending)
    return this.report(Outcome.FAILED, this.layers[migrate.LAYER.name].exit_code)


def _settle(this: Journal, place: Workplace, saying: Saying, name: str) -> Report:
    sight = _sight(this, place)
    snapshot = sight.see(frozenset({View.LEDGER}))
    rows = settling.settle(saying, name, this.sources, snapshot)
    _begin(this, place, sight)
    _CORRECTIONS[saying](place.work, place.settings.ledger_schema, name)
    message = settling.told(saying, name, rows)
    this.note(LayerReport("settle", findings=(Finding("settled", message, is_note=True),)))
    return this.report(Outcome.OK, ExitCode.OK)


def _run_layers(this: Journal, place: Workplace) -> Report:
    this.settlement = ""  # a run whose connection was lost begins anew
    snapshot = Snapshot(this.server_version)
    sight = _sight(this, place)
    for layer in PIPELINE:
        snapshot = _run_layer(this, place, sight, layer)
        came = this.layers[layer.name]
        if _is_rescued(this, layer, came):
            log.warning(f"{layer.name} failed; going on, because PREDEPLOY_ON_FAILURE is rescue")
        elif came.exit_code not in _GOES_ON:
            return this.report(Outcome.FAILED, came.exit_code)
        this.is_degraded |= bool(came.failure or (layer.degrades and came.steps))
    if this.verdict is not ExitCode.OK:
        return this.report(Outcome.FAILED, this.verdict)
    return _verified(this, place, snapshot)


def _verified(this: Journal, place: Workplace, snapshot: Snapshot) -> Report:
    """End a run that came through, and write down what the next one may rely on."""
    if this.is_degraded:
        return this.report(Outcome.DEGRADED, ExitCode.OK)
    if snapshot.is_adopting and snapshot.schema and not snapshot.has_synced:
        drifts = sync.drifts(snapshot, place.settings)
        notes.accept(place.work, place.settings.ledger_schema, drifts)
    if snapshot.is_adopting and this.sources.migrations:
        notes.end_adoption(place.work, place.settings.ledger_schema)
    if _situation(this, place, snapshot).comparison.is_ahead:
        return this.report(Outcome.AHEAD, ExitCode.OK)
    if _is_let_through(this):
        return this.report(Outcome.OK, ExitCode.OK)
    key = settled.settled_key(place.settings, this.sources, this.server_version)
    standing = sync.repeated(snapshot, place.settings)
    this.settlement = settled.store_sql(place.settings, key, snapshot, this.id, standing)
    return this.report(Outcome.OK, ExitCode.OK)


def _is_let_through(this: Journal) -> bool:
    """Whether a policy has let something pass: such a run does not settle, the next one looks."""
    losses = any(step.losses for layer in this.layers.values() for step in layer.steps)
    drifts = any(f.code == DRIFT for f in this.layers[verify.LAYER.name].findings)
    return drifts or (losses and this.settings.destructive is Destructive.ALLOW)


def _is_rescued(this: Journal, layer: Layer, came: LayerReport) -> bool:
    """Whether the run goes on behind a failed step. What the plan refused is never rescued.

    Nor what is to be tried again, which an exit 0 would keep everybody from, or the wrong server.
    """
    wants = this.settings.on_failure is OnFailure.RESCUE
    if not wants or not layer.may_be_rescued or came.failure is None:
        return False
    return not (came.exit_code.is_retryable or came.exit_code is ExitCode.WRONG_ENDPOINT)


def _run_layer(this: Journal, place: Workplace, sight: Sight, layer: Layer) -> Snapshot:
    """Look, plan, gate, execute; once more when another run was faster or something violated."""
    while True:
        snapshot, plan = _look_and_plan(this, place, sight, layer)
        if plan.refusal:
            return snapshot
        _begin(this, place, sight)
        if plan.steps:
            sight.forget()
        if not _is_overtaken(this, place, layer, plan):
            if layer is migrate.LAYER and plan.steps:
                _tell_asks(this, _situation(this, place, snapshot), plan)
            return snapshot
        log.info("the plan does not fit any more; looking again")


def _tell_asks(this: Journal, situation: Situation, plan: Plan) -> None:
    """Say what the files have to declare where there are rows: on this database, or on another.

    Of those that were not asked, what they did is known; of those behind a refusal, only the text.
    """
    came = this.layers[migrate.LAYER.name]
    lacking = came.failure.asks if came.failure else ()
    if not lacking and not this.is_blank:
        return
    is_done = {step.label for step in came.steps}
    behind = [step for step in plan.steps if this.is_blank or step.label not in is_done]
    told = asking.expected(situation, behind)
    known = (*(ask for step in came.steps for ask in step.asks), *lacking)
    asks = asking.with_expected(known, told, situation.snapshot.search_path.schemas)
    this.note(LayerReport(migrate.LAYER.name, asks=asks))
    for ask in asks:
        where = "" if lacking else " where tables hold rows"
        many = f"{len(ask.lines)} declaration(s) before line {ask.line}"
        log.info(f"{ask.path} needs {many}{where}", code="to-declare", lines=ask.lines)


def _sight(this: Journal, place: Workplace) -> Sight:
    return Sight(place.work, place.settings, this.sources, place.deadline, place.premises)


def _situation(this: Journal, place: Workplace, snapshot: Snapshot) -> Situation:
    migrated = this.layers.get(migrate.LAYER.name)
    return Situation(
        place.settings,
        this.sources,
        snapshot,
        frozenset(this.violated),
        has_migrated=migrated is not None and bool(migrated.steps),
    )


def _look_and_plan(
    this: Journal, place: Workplace, sight: Sight, layer: Layer
) -> tuple[Snapshot, Plan]:
    snapshot = sight.see(layer.sees, _BEHIND[layer.name])
    if layer is sync.LAYER and snapshot.schema is not None and snapshot.schema.is_new:
        schema = place.settings.ledger_schema
        this.remembered = remember_sql(schema, this.sources, snapshot.schema)
    situation = _situation(this, place, snapshot)
    plan = layer.plan(situation)
    known = this.layers.get(layer.name)
    for finding in plan.findings:
        if known is None or finding not in known.findings:  # it is planned anew
            _log_finding(finding)
    this.note(LayerReport(layer.name, findings=plan.findings))
    # They stop the run at the gate only: before it they explain why it ended.
    this.left[layer.name] = tuple(replace(finding, exit_code=None) for finding in plan.left)
    if layer is verify.LAYER:
        this.left.clear()  # it has just said all that
        this.compared = verify.compared(situation)
    return snapshot, plan


def _begin(this: Journal, place: Workplace, sight: Sight) -> None:
    """Make the ledger, unless it is there, and begin the run in it, once."""
    if not this.has_begun:
        ledger_setup.ensure(place, is_adopting=sight.has_tables)
        this.is_blank = begins_without_rows(place, this.sources, sight.search_path)
        this.has_begun = True
        sight.forget()


def _is_overtaken(this: Journal, place: Workplace, layer: Layer, plan: Plan) -> bool:
    """Execute the plan; say whether it has to be planned anew.

    Somebody else may have applied a step of it, or something stood in the way of one.
    """
    is_overtaken = False
    place = replace(place, is_blank=this.is_blank)
    with closing(execute(place, plan, layer.failed, this.works_on)) as outcomes:
        for outcome in outcomes:
            is_overtaken = outcome is None
            came = None if outcome is None else _came_of(this, layer, plan, outcome)
            if came is not None:
                this.note(came)
                if came.failure is not None:
                    break
    this.current = None
    return is_overtaken


def _came_of(this: Journal, layer: Layer, plan: Plan, outcome: StepResult | Failure) -> LayerReport:
    if isinstance(outcome, StepResult):
        findings = tuple(_told(outcome, this.settings))
        for finding in findings:
            _log_finding(finding)
        return LayerReport(layer.name, steps=(outcome,), findings=findings)
    if outcome.is_violation and outcome.about not in this.violated:
        violated = _violated(outcome)
        _log_finding(violated)
        this.violated.add(outcome.about)
        return LayerReport(layer.name, findings=(violated,))
    # Two steps may be called the same, where their statements are too long for a label.
    behind = dropwhile(lambda step: step is not this.current, plan.steps)
    not_run = tuple(step.label for step in islice(behind, 1, None))
    return LayerReport(layer.name, failure=outcome, not_run=not_run)


def _told(result: StepResult, settings: Settings) -> Iterator[Finding]:
    """Say what came of a step beside its rows."""
    for loss in result.losses:
        code = _CHANGES.get(loss.partition(" ")[0], "taken-away")
        yield Finding(code, f"{result.label}: {loss}", is_note=True)
    for duplicate in result.duplicates:
        yield Finding("duplicate", f"{duplicate}; skipped", "guard it, or take it out")
    if result.notices:
        yield Finding("already-there", _notices(result), is_note=True)
    for gap in result.gaps:
        remedy = "nothing, unless something counts on its numbers without a gap"
        yield Finding("sequence-gap", f"{result.label}: {gap}", remedy)
    for ungranted in result.ungranted:
        remedy = f"where they are still meant, write a migration: {ungranted.remedy}"
        yield Finding("lost-grants", f"{result.label}: {ungranted}", remedy)
    # What we do not accept as it was before us, verify tells.
    for drift in unaccepted(result.drifts, dict(settings.accepted)):
        if drift.is_adopted and drift.live != ABSENT:
            what = f"{result.label}: {tell(drift)}; it was there before us, and is accepted"
            yield Finding("adopted-drift", what)


def _violated(failure: Failure) -> Finding:
    is_rows = failure.sqlstate.startswith(_VIOLATION)
    who = "rows violate it" if is_rows else "PostgreSQL refuses it"
    why = " ".join(filter(None, (failure.sqlstate, failure.message)))
    detail = f" ({failure.detail})" if failure.detail and not is_rows else ""
    what = f"{failure.about} is not there as schema.sql declares it, because {who}: {why}{detail}"
    code = "violated" if is_rows else "refused-by-server"
    return Finding(code, what, failure.remedy, failure.exit_code)


def _notices(result: StepResult) -> str:
    shown = "; ".join(result.notices[:_SHOWN_NOTICES])
    more = len(result.notices) - _SHOWN_NOTICES
    return f"{result.label}: {shown}{f' (and {more} more)' if more > 0 else ''}"


def _log_finding(finding: Finding) -> None:
    say = {"error": log.error, "warn": log.warning, "info": log.info}[finding.level]
    say(finding.message, code=finding.code, **({"next": finding.remedy} if finding.remedy else {}))
