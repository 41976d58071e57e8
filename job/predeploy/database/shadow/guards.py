"""What prevents a shadow in the live database itself, judged from a survey without I/O."""

import math

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import identifier
from predeploy.database.shadow.survey import Survey
from predeploy.sql.schema_file.desired import Desired

_LOCKS_OF_QUESTIONS = 40  # on the catalogs queried for the shadow's contents
# Shares of the lock table: when it is full, other sessions fail, too.
_WARN, _REFUSE = 0.25, 0.5
_LONGEST_NAME = 63  # bytes; the server would truncate a longer one


def rights_lacking(survey: Survey, role: str, database: str) -> tuple[Finding, ...]:
    """Return the rights needed to rename the managed schemas that the role lacks."""
    findings = [
        Finding(
            "not-owner",
            f"schema {schema.name} belongs to {schema.owner}, so {role} cannot put a shadow in "
            "its place to read schema.sql",
            f"alter schema {identifier(schema.name)} owner to {identifier(role)}",
            ExitCode.DENIED,
        )
        for schema in survey.schemas
        if not schema.is_ours
    ]
    if not survey.may_create_schemas:
        findings.append(
            Finding(
                "no-create",
                f"{role} may not create schemas in {database}, which reading schema.sql takes",
                f"grant create on database {identifier(database)} to {identifier(role)}",
                ExitCode.DENIED,
            )
        )
    return tuple(findings)


def hazards(survey: Survey, desired: Desired, mark: str) -> tuple[Finding, ...]:
    """Return what would fail, or affect other sessions, while the schemas are swapped."""
    findings = [
        Finding(
            "event-trigger",
            f"event trigger {trigger} would run while its schema is swapped away, and fail",
            "move its function to a schema that schema.sql does not manage",
            ExitCode.WRONG_ENDPOINT,
        )
        for trigger in survey.event_triggers
    ]
    findings += [
        Finding(
            "long-name",
            f"the name of schema {schema.name} is too long for it to be swapped away",
            f"shorten it to {_LONGEST_NAME - len(mark)} bytes",
            ExitCode.WRONG_ENDPOINT,
        )
        for schema in survey.schemas
        if len((mark + schema.name).encode()) > _LONGEST_NAME
    ]
    if "plpgsql" not in dict(survey.extensions):
        findings.append(
            Finding(
                "no-plpgsql",
                "the database has no PL/pgSQL, in which schema.sql is run under guard",
                "create extension plpgsql",
                ExitCode.WRONG_ENDPOINT,
            )
        )
    return (*findings, *_lock_findings(survey, desired))


def lock_estimate(desired: Desired) -> int:
    """Return how many locks the shadow's transaction will hold at its end."""
    return desired.locks + _LOCKS_OF_QUESTIONS


def _lock_findings(survey: Survey, desired: Desired) -> tuple[Finding, ...]:
    need, room = lock_estimate(desired), survey.lock_capacity
    if need <= _WARN * room:
        return ()
    is_too_much = need > _REFUSE * room
    target = math.ceil(need / (_REFUSE if is_too_much else _WARN) / survey.lock_slots)
    return (
        Finding(
            "lock-table",
            f"reading schema.sql takes about {need} of the {room} locks that the server has room "
            "for; when they run out, other sessions fail too",
            f"set max_locks_per_transaction = {target} (now {survey.locks_each}) and restart the "
            "server",
            ExitCode.WRONG_ENDPOINT if is_too_much else None,
        ),
    )
