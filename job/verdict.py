"""Whether a step that has run may be kept: by what it took away, changed, or found. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from job.drift import tell, unaccepted, way_to_accept
from job.exit_codes import ExitCode
from job.loss import Loss, Names, Verb, undeclared, unused
from job.plan import ABSENT, Declaration, Drift, Failure, Statement, Step
from job.settings import Destructive, OnDrift, Settings
from job.values import Column

_SHOWN = 3


def judge_losses(
    step: Step,
    found: tuple[Loss, ...],
    declarable: tuple[Loss, ...],
    settings: Settings,
    names: Names | None = None,
) -> Failure | None:
    """Refuse losses that nobody declared (84), and a declaration of none (65).

    What is declared counts as done when it was done before, or there was no row to do it to. A
    declaration without schema means what `names` say.
    """
    names = names or Names()
    surprising = undeclared(found, step.declarations, names)
    if idle := unused(declarable, step.declarations, names):
        return _idle_declaration(step, idle[0], surprising)
    if surprising and settings.destructive is Destructive.REFUSE:
        return _loss(step, surprising)
    return None


def judge_uncounted(
    step: Step, columns: Iterable[Column], settings: Settings, names: Names
) -> Failure | None:
    """Refuse to convert a column that may lose values, where there are too many to count (84)."""
    at_stake = [Loss(Verb.REWRITE, c.name, detail=_size(c)) for c in columns if c.is_too_large]
    surprising = undeclared(at_stake, step.declarations, names)
    if surprising and settings.destructive is Destructive.REFUSE:
        failure = _loss(step, surprising)
        what = ", ".join(str(loss) for loss in surprising)
        return replace(failure, message=f"may lose what is too much to count: {what}")
    return None


def _size(column: Column) -> str:
    return f"a table of {column.size // 1024**2} MB"


def judge_meddling(step: Step, meddled: tuple[str, ...]) -> Failure | None:
    """Refuse a replayed step that changed what was there before the ledger (65)."""
    if not meddled:
        return None
    return _refusal(
        step,
        step.statements[0].line,
        ExitCode.BAD_SOURCES,
        "replayed on a database that was there before its ledger, it "
        f"{'; '.join(meddled[:_SHOWN])}",
        'if the file was run here before, say so: baseline = "VERSION" in predeploy.toml',
    )


def judge_drifts(
    step: Step, statement: Statement, drifts: tuple[Drift, ...], settings: Settings
) -> Failure | None:
    """Refuse what is there in another shape (84), unless it is accepted, or the policy is to warn.

    On a database that is being adopted, it was there before us. What IF NOT EXISTS skips and is not
    whole may be completed by a later file: verify asks for it.
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
    """Refuse a step that counts on numbers which a sequence has skipped (84)."""
    return _refusal(
        step,
        step.statements[0].line,
        ExitCode.REFUSED,
        f"has ids written out, and {gap}: its rows may belong to others than it means",
        "compare its ids with the rows that are there, and write the right ones; where they are "
        "right, add a comment that says so: the edited file is run",
    )


def _loss(step: Step, surprising: tuple[Loss, ...]) -> Failure:
    lines = "; ".join(f"-- predeploy: allow {s.verb.value} {s.target}" for s in surprising[:_SHOWN])
    line = step.statements[0].line
    return _refusal(
        step,
        line,
        ExitCode.REFUSED,
        f"would lose what its file does not declare: {', '.join(str(loss) for loss in surprising)}",
        f"if it is meant, declare it before line {line}: {lines}",
    )


def _idle_declaration(step: Step, idle: Declaration, surprising: tuple[Loss, ...]) -> Failure:
    """Name what the step does instead: by its name from before the step, as a declaration must."""
    done = "; ".join(f"{s.verb.value} {s.target}" for s in surprising[:_SHOWN])
    does = f"; the step does, by the names from before it: {done}" if done else ""
    return _refusal(
        step,
        idle.line,
        ExitCode.BAD_SOURCES,
        f"allow {idle.verb} {idle.target} declares what the step does not do{does}",
        "fix the name (as the catalog has it), or take the line out",
    )


def _refusal(step: Step, line: int, exit_code: ExitCode, message: str, remedy: str) -> Failure:
    return Failure(exit_code, step.path, line, 1, "", message, remedy=remedy)
