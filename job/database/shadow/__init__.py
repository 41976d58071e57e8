"""Reads the desired state: PostgreSQL loads the schema files itself, into a shadow that vanishes.

The one way in is `read_shadow`. What is asked there, and what the rows mean, is the caller's.
"""

import secrets
from dataclasses import replace

import structlog
import tenacity

from job.database import wire
from job.database.connection import connect_beside
from job.database.failure import may_pass_again
from job.database.shadow.guards import NOT_OWNER, hazards, rights_lacking
from job.database.shadow.limits import Elsewhere, Limits, Question, Request, ShadowFacts
from job.database.shadow.new_names import beside, renamed, uncertain
from job.database.shadow.rolled_back import Shadow, read_rolled_back
from job.database.shadow.survey import Survey, survey
from job.database.shadow.swap import swapped
from job.database.shadow.temporary import read_in_temporary_database
from job.database.wire import Connection
from job.endpoint import Endpoint
from job.errors import DatabaseRefusedError, NotObtainedError
from job.exit_codes import ExitCode
from job.plan import Failure, Finding
from job.statements.desired import Desired

__all__ = ["Elsewhere", "Limits", "Question", "ShadowFacts", "read_shadow"]

log = structlog.get_logger()


def read_shadow(
    conn: Connection,
    desired: Desired,
    question: Question,
    limits: Limits,
    elsewhere: Elsewhere | None = None,
) -> ShadowFacts | Failure:
    """Load `desired` into a shadow and return the rows of `question`; `conn` is idle.

    `question` gives one query, run with the settings of READ_WITH. The shadow is a swap of the
    managed schemas. Where rights, size or event triggers speak against it, it is a scratch database
    that was given; else, where the schemas are only not ours to rename, it is made under new names
    beside them; else in a temporary database. A finding says which and why. A failure says what the
    server complained of (65) or lacked (75, 77).

    Raises DatabaseRefusedError (76, 77) when no shadow can be made, naming why; NotObtainedError
    (75) when locks could not be had within the budget; InternalError (70) when a live schema is
    not what it was. Nothing is left behind.
    """
    request = Request(desired, question, limits)
    seen = survey(conn, desired.schemas)
    prefix = _free_prefix(desired)
    found = _obstacles(conn, seen, desired, prefix)
    stopping = tuple(f for f in found if f.exit_code is not None)
    if not stopping:
        return _with(found, _patiently(conn, swapped(desired, seen, prefix), request))
    if elsewhere and elsewhere.scratch:
        note = _reason("the scratch database of PREDEPLOY_SHADOW_URL", stopping)
        outcome = _read_in_scratch(conn, elsewhere.scratch, seen, request)
        return _with((note,), outcome)
    shadow = _in_place(desired, seen, prefix, stopping)
    if isinstance(shadow, Shadow):
        note = _reason("schemas of other names, beside the live ones", stopping)
        passing = tuple(f for f in found if f not in stopping)
        return _with((*passing, note), _patiently(conn, shadow, request))
    stopping = (*stopping, *shadow)
    if elsewhere and seen.may_create_databases:
        note = _reason("a temporary database", stopping)
        outcome = read_in_temporary_database(conn, elsewhere.live, seen, request, prefix)
        return _with((note,), outcome)
    raise _refused(stopping, "let the role create databases, or set PREDEPLOY_SHADOW_URL")


def _in_place(
    desired: Desired, seen: Survey, prefix: str, stopping: tuple[Finding, ...]
) -> Shadow | tuple[Finding, ...]:
    """Return a swap, or new names where only the right to rename lacks; else what lacks, too."""
    if not stopping:
        return swapped(desired, seen, prefix)
    if any(finding.code != NOT_OWNER for finding in stopping):
        return ()
    places = renamed(desired, seen, prefix)
    return uncertain(places) or beside(places)


def _obstacles(
    conn: Connection, seen: Survey, desired: Desired, prefix: str
) -> tuple[Finding, ...]:
    rights = rights_lacking(seen, conn.info.user, conn.info.dbname)
    return (*rights, *hazards(seen, desired, prefix))


def _read_in_scratch(
    conn: Connection, scratch: Endpoint, seen: Survey, request: Request
) -> ShadowFacts | Failure:
    """Make the shadow in a database that nobody else uses, and roll it back there."""
    desired = request.desired
    with wire.closing(connect_beside(scratch)) as other:
        ours, theirs = conn.info.server_version // 10000, other.info.server_version // 10000
        if ours != theirs:
            raise DatabaseRefusedError(
                f"{scratch.target} ({scratch.variable}) is PostgreSQL {theirs} and the database "
                f"{ours}, so they print definitions differently; use a scratch database of the "
                "same version",
                exit_code=ExitCode.WRONG_ENDPOINT,
            )
        there = survey(other, desired.schemas)
        prefix = _free_prefix(desired)
        found = _obstacles(other, there, desired, prefix)
        stopping = tuple(f for f in found if f.exit_code is not None)
        here = replace(there, dressings=seen.dressings)
        shadow = _in_place(desired, here, prefix, stopping)
        if not isinstance(shadow, Shadow):
            raise _refused((*stopping, *shadow), f"name another database than {scratch.target}")
        return _patiently(other, replace(shadow, provider="scratch database"), request)


def _patiently(conn: Connection, shadow: Shadow, request: Request) -> ShadowFacts | Failure:
    def log_wait(state: tenacity.RetryCallState) -> None:
        log.info("waiting for a lock to read schema.sql", attempt=state.attempt_number)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(_may_pass_later),
        stop=lambda _: request.limits.lock_budget.left_s <= 0,
        wait=tenacity.wait_random_exponential(multiplier=0.25, max=2),
        before_sleep=log_wait,
        retry_error_callback=_give_up,
    )
    return retrying(read_rolled_back, conn, shadow, request.question, request.limits)


def _with(findings: tuple[Finding, ...], outcome: ShadowFacts | Failure) -> ShadowFacts | Failure:
    if isinstance(outcome, Failure):
        return outcome
    return replace(outcome, findings=(*findings, *outcome.findings))


def _reason(where: str, stopping: tuple[Finding, ...]) -> Finding:
    why = "; ".join(f.message for f in stopping)
    return Finding("shadow-elsewhere", f"schema.sql is read in {where}: {why}", is_note=True)


def _refused(stopping: tuple[Finding, ...], otherwise: str) -> DatabaseRefusedError:
    message = "; ".join(f"{f.message}: {f.remedy}" for f in stopping)
    return DatabaseRefusedError(f"{message}; or {otherwise}", exit_code=stopping[0].exit_code)


def _free_prefix(desired: Desired) -> str:
    """Return a prefix for the schemas to be renamed that stands nowhere in the files."""
    while True:
        prefix = f"__predeploy_{secrets.token_hex(6)}_"
        if not any(prefix.strip("_") in s.text for s in desired.statements):
            return prefix


def _may_pass_later(outcome: ShadowFacts | Failure) -> bool:
    return isinstance(outcome, Failure) and may_pass_again(outcome)


def _give_up(state: tenacity.RetryCallState) -> ShadowFacts | Failure:
    failure = state.outcome.result() if state.outcome else None
    why = failure.message if isinstance(failure, Failure) else "no lock"
    raise NotObtainedError(
        f"the schemas could not be locked to read schema.sql ({why}); run again when no other "
        "session creates or changes objects in them"
    )
