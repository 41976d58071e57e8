"""Reads the desired state: PostgreSQL loads the schema files itself, into a shadow that vanishes.

The one way in is `read_shadow`. What is asked there, and what the rows mean, is the caller's.
"""

import secrets
from dataclasses import replace

import structlog
import tenacity

from job.database.failure import is_lock_failure
from job.database.shadow.guards import hazards, rights_lacking
from job.database.shadow.limits import Limits, ShadowFacts
from job.database.shadow.survey import survey
from job.database.shadow.swap import PINNED, Swap, read_by_swap
from job.database.wire import Connection
from job.errors import DatabaseRefusedError, NotObtainedError
from job.plan import Failure, Finding
from job.statements.desired import Desired

__all__ = ["PINNED", "Limits", "ShadowFacts", "read_shadow"]

log = structlog.get_logger()


def read_shadow(
    conn: Connection, desired: Desired, question: str, limits: Limits
) -> ShadowFacts | Failure:
    """Load `desired` into a shadow on an idle connection and return the rows of `question`.

    `question` is one query; it is run with the settings of `PINNED`. A failure says what the
    server complained of (65) or lacked (75, 77). Raises DatabaseRefusedError (76, 77) when no
    shadow can be made here, naming why; NotObtainedError (75) when locks could not be had within
    the budget; InternalError (70) when a live schema is not what it was. Nothing is left behind.
    """
    seen = survey(conn, desired.schemas)
    swap = Swap(desired, seen, _free_prefix(desired), seen.dressings)
    database, role = conn.info.dbname, conn.info.user
    found = (*rights_lacking(seen, role, database), *hazards(seen, desired, swap.prefix))
    _raise_first(found)

    def log_wait(state: tenacity.RetryCallState) -> None:
        log.info("waiting for a lock to read schema.sql", attempt=state.attempt_number)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(_may_pass_later),
        stop=lambda _: limits.lock_budget.left_s <= 0,
        wait=tenacity.wait_random_exponential(multiplier=0.25, max=2),
        before_sleep=log_wait,
        retry_error_callback=_give_up,
    )
    outcome = retrying(read_by_swap, conn, swap, question, limits)
    if isinstance(outcome, ShadowFacts):
        return replace(outcome, findings=(*found, *outcome.findings))
    return outcome


def _free_prefix(desired: Desired) -> str:
    """Return a prefix for the live schemas that stands nowhere in the files."""
    while True:
        prefix = f"__live_{secrets.token_hex(6)}_"
        if not any(prefix.strip("_") in s.text for s in desired.statements):
            return prefix


def _raise_first(findings: tuple[Finding, ...]) -> None:
    stopping = [f for f in findings if f.exit_code is not None]
    if stopping:
        first = stopping[0]
        message = "; ".join(f"{f.message}: {f.remedy}" for f in stopping)
        raise DatabaseRefusedError(message, exit_code=first.exit_code)


def _may_pass_later(outcome: ShadowFacts | Failure) -> bool:
    return isinstance(outcome, Failure) and is_lock_failure(outcome)


def _give_up(state: tenacity.RetryCallState) -> ShadowFacts | Failure:
    failure = state.outcome.result() if state.outcome else None
    why = failure.message if isinstance(failure, Failure) else "no lock"
    raise NotObtainedError(
        f"the schemas could not be locked to read schema.sql ({why}); run again when no other "
        "session creates or changes objects in them"
    )
