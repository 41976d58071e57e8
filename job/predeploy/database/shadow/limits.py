"""What a shadow is given, and what comes back from one."""

from dataclasses import dataclass

from predeploy.contract.deadline import Deadline
from predeploy.contract.plan import Finding
from predeploy.database.server.wire import Row
from predeploy.settings.endpoint import Endpoint
from predeploy.sql.schema_file.desired import Desired
from predeploy.sql.schema_file.prepared import DesiredStatement


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one wait for a lock, all of them, and the whole may take."""

    lock_timeout_s: float
    lock_budget: Deadline
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where a shadow may be made when the schemas cannot be swapped.

    `live` is the live database, beside which one may be created; `scratch` one that was given.
    """

    live: Endpoint
    scratch: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be loaded, the query to be asked there, and how long it may take.

    `mark` is a random word that stands nowhere in the files. It begins the names of live schemas
    while a shadow stands, and is taken out of whatever the server says.
    """

    desired: Desired
    question: str
    limits: Limits
    mark: str


@dataclass(frozen=True, slots=True)
class ShadowFacts:
    """The answer of a shadow: the question's rows, with the names that the live schemas have.

    `provider` says how the shadow was made.
    """

    rows: tuple[Row, ...]
    provider: str
    findings: tuple[Finding, ...] = ()


def body_not_checked(function: DesiredStatement) -> Finding:
    """Say that a function was made although its body lacks something."""
    return Finding(
        "body-not-checked",
        f"{function.path}:{function.line}: the body of this function uses what the schema files "
        "do not declare, so it was not checked",
        "declare what it uses, or see that it is there before the function is called",
    )
