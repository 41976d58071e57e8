"""The input and the result of a shadow."""

from collections.abc import Mapping
from dataclasses import dataclass

from predeploy.contract.deadline import Deadline
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import literal
from predeploy.database.server.rows import Row
from predeploy.settings.endpoint import Endpoint
from predeploy.sql.schema_file.desired import Desired
from predeploy.sql.schema_file.prepared import DesiredStatement

APPLICATION = "predeploy shadow"


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of one lock wait, of all of them together, and of the whole."""

    lock_timeout_s: float
    lock_budget: Deadline
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where a shadow may be made if the schemas cannot be swapped.

    `live` is the live database, next to which one may be created; `scratch` is one that was given.
    """

    live: Endpoint
    scratch: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What to load, the query to run there with some settings, and the time limits.

    `mark` is a random word that occurs nowhere in the files. It prefixes the names of live schemas
    while a shadow exists, and is removed from the server's messages.
    """

    desired: Desired
    question: str
    read_with: Mapping[str, str]
    limits: Limits
    mark: str

    @property
    def pins(self) -> str:
        """A SELECT that applies `read_with`, local to the transaction, and leaves all else."""
        pins = (
            f"pg_catalog.set_config({literal(name)}, {literal(value)}, true)"
            for name, value in self.read_with.items()
        )
        return f"select {', '.join(pins)}"


@dataclass(frozen=True, slots=True)
class ShadowFacts:
    """A shadow's result: the question's rows, with the names of the live schemas.

    `provider` says how the shadow was made.
    """

    rows: tuple[Row, ...]
    provider: str
    findings: tuple[Finding, ...] = ()


def body_not_checked(function: DesiredStatement) -> Finding:
    """Return a warning for a function that was created although its body lacks something."""
    return Finding(
        "body-not-checked",
        f"{function.path}:{function.line}: the body of this function uses what the schema files "
        "do not declare, so it was not checked",
        "declare what it uses, or see that it is there before the function is called",
    )
