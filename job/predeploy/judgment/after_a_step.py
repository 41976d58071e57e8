"""What a reader has to know of a step that has run: its losses, gaps and drifts. Pure."""

from collections.abc import Iterator

from predeploy.contract.plan import ABSENT, Failure, Finding, StepResult
from predeploy.judgment.drift import tell, unaccepted
from predeploy.settings import Settings

_SHOWN_NOTICES = 5
_VIOLATION = "23"  # the class integrity_constraint_violation
# Changes that lose nothing.
_CHANGES = {"rename": "renamed", "rewrite": "rewritten", "detach": "detached"}


def findings_of(result: StepResult, settings: Settings) -> Iterator[Finding]:
    """Yield the findings about a completed step."""
    for loss in result.losses:
        code = _CHANGES.get(loss.partition(" ")[0], "taken-away")
        yield Finding(code, f"{result.label}: {loss}", is_note=True)
    if result.changes:
        yield Finding("changed", f"{result.label} {result.changes}", is_note=True)
    if result.unread:
        yield Finding("not-compared", result.unread)
    for duplicate in result.duplicates:
        yield Finding(
            "duplicate", f"{duplicate}; skipped", "guard it with IF NOT EXISTS, or remove it"
        )
    if result.notices:
        yield Finding("already-there", _notices(result), is_note=True)
    for gap in result.gaps:
        remedy = "nothing, unless something counts on its numbers without a gap"
        yield Finding("sequence-gap", f"{result.label}: {gap}", remedy)
    for ungranted in result.ungranted:
        remedy = f"where they are still meant, write a migration: {ungranted.remedy}"
        yield Finding("lost-grants", f"{result.label}: {ungranted}", remedy)
    # Drift from before the ledger that is not accepted is reported by verify.
    for drift in unaccepted(result.drifts, dict(settings.accepted)):
        if drift.is_adopted and drift.live != ABSENT:
            what = f"{result.label}: {tell(drift)}; it was there before predeploy, and is accepted"
            yield Finding("adopted-drift", what)


def violation(failure: Failure) -> Finding:
    """Return the finding about an object that rows, or the server, keep from being created."""
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
