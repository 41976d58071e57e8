"""What a shadow is given, and what comes back from one."""

from dataclasses import dataclass

from job.database.wire import Row
from job.deadline import Deadline
from job.plan import Finding


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one wait for a lock, all of them, and the whole may take."""

    lock_timeout_s: float
    lock_budget: Deadline
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class ShadowFacts:
    """The answer of a shadow: the question's rows, with the names that the live schemas have.

    `origin` is the OID of the first shadow schema: objects were made in the order of
    (oid - origin) mod 2^32. `provider` says how the shadow was made.
    """

    rows: tuple[Row, ...]
    origin: int
    provider: str
    findings: tuple[Finding, ...] = ()
