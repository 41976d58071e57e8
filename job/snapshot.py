"""Everything that a planner may know of the database: one immutable look at it."""

from dataclasses import dataclass
from enum import Enum, auto

from job.drift import Standing
from job.plan import LedgerRow
from job.schema.facts import Fact

Row = tuple[str | None, ...]


class View(Enum):
    """A part of the database that a layer asks to see; looking costs, so none sees all."""

    LEDGER = auto()
    CRITICAL = auto()
    SEEDED = auto()
    CHECKS = auto()
    DRIFTS = auto()


@dataclass(frozen=True, slots=True)
class Response:
    """What a query of the operator's returned: rows, or why it could not be asked.

    `rows` holds the first few, `count` all; `sqlstate` and `message` are empty unless it failed.
    """

    path: str
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    count: int = 0
    sqlstate: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look, taken in one transaction. Parts that nobody asked for are empty.

    `ledger` is in the order of application. `has_ledger` is False on a database that we never
    touched, and `has_tables` whether somebody else has. `is_adopting` says that the ledger is there
    and the adoption of what was there before it has not come to an end. `facts` tell of the
    critical tables, `seeded` holds the answers to the seeds' presence questions, `checks` those of
    `sql/verify/`. `drifts` are those that the ledger holds. `fingerprint` changes with every DDL.
    """

    server_version: int
    ledger: tuple[LedgerRow, ...] = ()
    has_ledger: bool = False
    has_tables: bool = False
    is_adopting: bool = False
    facts: frozenset[Fact] = frozenset()
    seeded: tuple[Response, ...] = ()
    checks: tuple[Response, ...] = ()
    drifts: tuple[Standing, ...] = ()
    fingerprint: str = ""
