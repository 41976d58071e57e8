"""Reads the desired state: PostgreSQL itself loads the schema files into a temporary shadow.

The only entry point is `read_shadow`. The caller chooses the query and interprets its rows.
"""

import secrets
from collections.abc import Mapping
from dataclasses import replace

import structlog
import tenacity

from predeploy.contract.errors import DatabaseRefusedError, NotObtainedError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Finding
from predeploy.contract.quoting import identifier
from predeploy.database.server import wire
from predeploy.database.server.connection import connect_beside
from predeploy.database.server.failure import may_pass_again
from predeploy.database.server.wire import Connection
from predeploy.database.shadow.guards import hazards, rights_lacking
from predeploy.database.shadow.limits import Elsewhere, Limits, Request, ShadowFacts
from predeploy.database.shadow.survey import Survey, survey
from predeploy.database.shadow.swap import read_by_swap
from predeploy.database.shadow.temporary import read_in_temporary_database
from predeploy.settings.endpoint import Endpoint
from predeploy.sql.schema_file.desired import Desired

__all__ = ["Elsewhere", "Limits", "ShadowFacts", "read_shadow"]

log = structlog.get_logger()


def read_shadow(
    conn: Connection,
    desired: Desired,
    question: str,
    read_with: Mapping[str, str],
    limits: Limits,
    *,
    elsewhere: Elsewhere | None = None,
) -> ShadowFacts | Failure:
    """Load `desired` into a shadow and return the rows of `question`; `conn` must be idle.

    `question` is one query, run with the settings `read_with`. The shadow is a swap of the managed
    schemas. If rights, size or event triggers prevent that, it is a swap in the scratch database,
    if one was given, else a temporary database. A finding says which and why. A failure holds what
    the server complained of (65) or could not provide in time (75, 77).

    Raises DatabaseRefusedError (76, 77), with the reason, if no shadow can be made;
    NotObtainedError (75) if locks could not be acquired within the budget; InternalError (70) if a
    live schema is not what it was before. Nothing is left behind.
    """
    request = Request(desired, question, read_with, limits, _free_mark(desired))
    seen = survey(conn, desired.schemas)
    found = _obstacles(conn, seen, request)
    stopping = tuple(f for f in found if f.exit_code is not None)
    if not stopping:
        return _with(found, _patiently(conn, seen, request))
    if elsewhere and elsewhere.scratch:
        note = _reason("the scratch database of PREDEPLOY_SHADOW_URL", stopping)
        return _with((note,), _read_in_scratch(conn, elsewhere.scratch, request))
    if elsewhere and seen.may_create_databases:
        note = _reason("a temporary database", stopping)
        return _with((note,), read_in_temporary_database(conn, elsewhere.live, seen, request))
    raise _refused(stopping, _otherwise(conn))


def _obstacles(conn: Connection, seen: Survey, request: Request) -> tuple[Finding, ...]:
    rights = rights_lacking(seen, conn.info.user, conn.info.dbname)
    return (*rights, *hazards(seen, request.desired, request.mark))


def _read_in_scratch(
    conn: Connection, scratch: Endpoint, request: Request
) -> ShadowFacts | Failure:
    """Make the shadow in an otherwise unused database, and roll it back there."""
    with wire.closing(connect_beside(scratch)) as other:
        ours, theirs = conn.info.server_version // 10000, other.info.server_version // 10000
        if ours != theirs:
            raise DatabaseRefusedError(
                f"{scratch.target} ({scratch.variable}) is PostgreSQL {theirs} and the database "
                f"{ours}, so they print definitions differently; use a scratch database of the "
                "same version",
                exit_code=ExitCode.WRONG_ENDPOINT,
            )
        there = survey(other, request.desired.schemas)
        found = _obstacles(other, there, request)
        stopping = tuple(f for f in found if f.exit_code is not None)
        if stopping:
            raise _refused(stopping, f"name another database than {scratch.target}")
        outcome = _patiently(other, there, request)
    if isinstance(outcome, Failure):
        return outcome
    return replace(outcome, provider="scratch database")


def _patiently(conn: Connection, seen: Survey, request: Request) -> ShadowFacts | Failure:
    def log_wait(state: tenacity.RetryCallState) -> None:
        log.info("waiting for a lock to read schema.sql", attempt=state.attempt_number)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(_may_pass_later),
        stop=lambda _: request.limits.lock_budget.left_s <= 0,
        wait=tenacity.wait_random_exponential(multiplier=0.25, max=2),
        before_sleep=log_wait,
        retry_error_callback=_give_up,
    )
    return retrying(read_by_swap, conn, seen, request)


def _with(findings: tuple[Finding, ...], outcome: ShadowFacts | Failure) -> ShadowFacts | Failure:
    if isinstance(outcome, Failure):
        return outcome
    return replace(outcome, findings=(*findings, *outcome.findings))


def _reason(where: str, stopping: tuple[Finding, ...]) -> Finding:
    why = "; ".join(f.message for f in stopping)
    return Finding("shadow-elsewhere", f"schema.sql is read in {where}: {why}", is_note=True)


def _otherwise(conn: Connection) -> str:
    """Return the alternatives that need no rights on the managed schemas."""
    return (
        f"alter role {identifier(conn.info.user)} createdb; or set PREDEPLOY_SHADOW_URL to an "
        f"empty database of PostgreSQL {conn.info.server_version // 10000} whose owner is the role "
        "in that URL"
    )


def _refused(stopping: tuple[Finding, ...], otherwise: str) -> DatabaseRefusedError:
    message = "; ".join(f"{f.message}: {f.remedy}" for f in stopping)
    return DatabaseRefusedError(f"{message}; or {otherwise}", exit_code=stopping[0].exit_code)


def _free_mark(desired: Desired) -> str:
    """Return a random word that occurs nowhere in the files."""
    while True:
        mark = f"__predeploy_{secrets.token_hex(6)}_"
        # The mark is removed from the server's messages, so nothing else may contain it.
        if not any(mark.strip("_") in s.text for s in desired.statements):
            return mark


def _may_pass_later(outcome: ShadowFacts | Failure) -> bool:
    return isinstance(outcome, Failure) and may_pass_again(outcome)


def _give_up(state: tenacity.RetryCallState) -> ShadowFacts | Failure:
    failure = state.outcome.result() if state.outcome else None
    why = failure.message if isinstance(failure, Failure) else "no lock"
    raise NotObtainedError(
        f"the schemas could not be locked to read schema.sql ({why}); run again when no other "
        "session creates or changes objects in them"
    )
