"""Whether a step that has run may be kept: by what it removed, changed or found. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import ABSENT, Ask, Drift, Failure
from predeploy.contract.statement import Statement
from predeploy.contract.step import Addition, CommandStep, Declaration, Step
from predeploy.judgment.drift import tell, unaccepted, way_to_accept
from predeploy.losses.allowlist import Names, to_ask, to_declare, undeclared, unused
from predeploy.losses.loss import Loss
from predeploy.settings import Destructive, OnDrift, Settings

_SHOWN = 3


def judge_losses(
    step: Step,
    found: tuple[Loss, ...],
    declarable: tuple[Loss, ...],
    settings: Settings,
    names: Names | None = None,
) -> Failure | None:
    """Refuse losses that nobody declared (84), and what no text of the step could ever use (65).

    What is declared counts as done when it was done before, or there was no row to do it to. A
    declaration without schema means what `names` say; what they know as made on a database without
    rows is nobody's loss.
    """
    names = names or Names()
    surprising = undeclared(to_ask(found, names), step.declarations, names)
    idle = unused(declarable, step.declarations, names)
    said = step.statements
    for line in idle:
        if not sql.may_use(said, line, names.tables, names.parents):
            return _idle_declaration(step, line, to_declare(surprising, names))
    if surprising and settings.destructive is Destructive.REFUSE:
        return _loss(step, surprising, names, idle)
    return None


def asked_elsewhere(step: Step, found: Iterable[Loss], names: Names) -> tuple[Loss, ...]:
    """Return the losses that were allowed only because this ledger created what was lost."""
    made = (loss for loss in found if loss.is_asked_about and names.is_made(loss))
    return undeclared(made, step.declarations, names)


def judge_uncounted(
    step: Step, at_stake: Iterable[Loss], settings: Settings, names: Names
) -> Failure | None:
    """Refuse a possible loss that is too large to count (84), unless it is declared."""
    surprising = undeclared(to_ask(at_stake, names), step.declarations, names)
    if surprising and settings.destructive is Destructive.REFUSE:
        failure = _loss(step, surprising, names)
        what = _listed(surprising)
        return replace(failure, message=f"may lose what is too much to count: {what}")
    return None


def judge_command(
    step: CommandStep, found: Iterable[Loss], settings: Settings
) -> tuple[Failure | None, tuple[Loss, ...]]:
    """Refuse the losses that a command has caused undeclared (84); return them, too.

    They cannot be taken back, because the command has committed them.
    """
    asked = [loss for loss in found if loss.is_asked_about]
    missing = undeclared(asked, step.declarations, Names(step.schemas))
    if not missing or settings.destructive is Destructive.ALLOW:
        return None, ()
    lines = ", ".join(f'"{loss.verb.value} {loss.target}"' for loss in missing)
    failure = Failure(
        ExitCode.REFUSED,
        step.path,
        line=0,
        column=0,
        sqlstate="",
        message=f"took away what nobody had declared: {', '.join(map(str, missing))}",
        remains="the command has committed that",
        remedy=f"restore it where it is needed; then accept it: allow = [{lines}] under [migrate] "
        "in predeploy.toml, and run again",
        is_final=True,
    )
    return failure, missing


def judge_replay(step: Step, changed: tuple[str, ...]) -> Failure | None:
    """Refuse a replayed step that changed something older than the ledger (65)."""
    if not changed:
        return None
    return _refusal(
        step,
        step.statements[0].line,
        ExitCode.BAD_SOURCES,
        "replayed on a database that was there before its ledger, it "
        f"{'; '.join(changed[:_SHOWN])}",
        'if the file was run here before, say so: baseline = "VERSION" in predeploy.toml',
    )


def judge_drifts(
    step: Step, statement: Statement, drifts: tuple[Drift, ...], settings: Settings
) -> Failure | None:
    """Refuse existing objects of another shape (84), unless accepted or the policy is to warn.

    On a database that is being adopted, they are older than the ledger. An incomplete object that
    IF NOT EXISTS skips may be completed by a later file, so that is left to verify.
    """
    if step.is_replay or settings.on_drift is OnDrift.WARN:
        return None
    is_guarded = any(address.is_guarded for address in statement.creates)
    judged = [d for d in drifts if not (is_guarded and d.live == ABSENT)]
    blocking = unaccepted(judged, dict(settings.accepted))
    if not blocking:
        return None
    more = f" (and {len(blocking) - _SHOWN} more)" if len(blocking) > _SHOWN else ""
    return _refusal(
        step,
        statement.line,
        ExitCode.REFUSED,
        f"{'; '.join(tell(drift) for drift in blocking[:_SHOWN])}{more}",
        f"fix the file or the table; or accept it {way_to_accept(blocking)}",
    )


def refuse_gap(step: Step, gap: str) -> Failure:
    """Refuse a step that depends on numbers that a sequence has skipped (84)."""
    return _refusal(
        step,
        step.statements[0].line,
        ExitCode.REFUSED,
        f"has ids written out, and {gap}: its rows may belong to others than it means",
        "compare its ids with the rows that are there, and write the right ones; where they are "
        "right, add a comment that says so: the edited file is run",
    )


def _loss(
    step: Step, surprising: Sequence[Loss], names: Names, idle: Sequence[Declaration] = ()
) -> Failure:
    """Name what would be lost and the lines that declare it: all in `asks`, a few in the text.

    A seed or a fallback cannot declare anything.
    """
    asked = to_declare(surprising, names)
    line = step.statements[0].line
    ask = Ask(step.path, line, tuple(loss.declaration for loss in asked), step.allow_key)
    lines = "; ".join(ask.lines[:_SHOWN])
    left_out = len(ask.lines) - _SHOWN
    more = f"; and {left_out} more, listed in the report" if left_out > 0 else ""
    beside = "".join(f"; allow {d.verb} {d.target} means none of it" for d in idle[:_SHOWN])
    message = f"would lose what its file does not declare: {_listed(surprising)}{beside}"
    if isinstance(step, Addition):
        remedy = "take it out: what is made or inserted here only adds"
        return _refusal(step, line, ExitCode.REFUSED, message, remedy)
    failure = _refusal(
        step,
        line,
        ExitCode.REFUSED,
        message,
        f"if it is meant, declare it {ask.where}: {lines}{more}{_pattern(ask, asked)}",
    )
    return replace(failure, asks=(ask,))


def _listed(found: Sequence[Loss]) -> str:
    more = f" and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
    return ", ".join(str(loss) for loss in found[:_SHOWN]) + more


def _pattern(ask: Ask, asked: Sequence[Loss]) -> str:
    """Return one line that covers the same loss in the schemas of several tenants."""
    alike = Counter((loss.verb, loss.target.partition(".")[2]) for loss in asked)
    (verb, rest), schemas = alike.most_common(1)[0]
    if schemas == 1:
        return ""
    everywhere = replace(ask, declarations=(Declaration(verb.value, f"*.{rest}", 0),))
    return f"; or in all schemas alike: {everywhere.lines[0]}"


def _idle_declaration(step: Step, idle: Declaration, surprising: tuple[Loss, ...]) -> Failure:
    """Name what the step does instead: by its name from before the step, as a declaration must."""
    done = "; ".join(f"{s.verb.value} {s.target}" for s in surprising[:_SHOWN])
    more = f" and {len(surprising) - _SHOWN} more" if surprising[_SHOWN:] else ""
    does = f"; the step does, by the names from before it: {done}{more}" if done else ""
    return _refusal(
        step,
        idle.line,
        ExitCode.BAD_SOURCES,
        f"allow {idle.verb} {idle.target} declares what the step does not do{does}",
        "correct the name (as in the catalog), or remove the line",
    )


def _refusal(step: Step, line: int, exit_code: ExitCode, message: str, remedy: str) -> Failure:
    return Failure(exit_code, step.path, line, 1, "", message, remedy=remedy)
