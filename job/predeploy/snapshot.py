"""Everything that a planner may know about the database: one immutable snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from predeploy.contract.plan import Finding
from predeploy.contract.step import LedgerRow
from predeploy.judgment.drift import Standing
from predeploy.losses.loss import Loss
from predeploy.schema.facts import Fact
from predeploy.schema.written import NOTHING_WRITTEN, Written
from predeploy.sources.formats.format import Records
from predeploy.sources.squash import Squash

Row = tuple[str | None, ...]
Name = tuple[str, str, str, str]
"""Kind, schema, table of which the object is a part or on which it is (or ''), and name."""


class View(Enum):
    """A part of the database that a layer asks to see; reading costs time, so none sees all."""

    LEDGER = auto()
    CRITICAL = auto()
    SEEDED = auto()
    CHECKS = auto()
    DRIFTS = auto()
    SCHEMA = auto()


@dataclass(frozen=True, slots=True)
class Response:
    """The result of one of the operator's queries: rows, or why it could not be run.

    `rows` holds the first few rows, `count` counts all; `sqlstate` and `message` are empty unless
    it failed. `remedy`, which says what to do, is empty unless the role lacked a privilege.
    """

    path: str
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    count: int = 0
    sqlstate: str = ""
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class PathView:
    """The schemas in which the server resolves and creates unqualified names of the operator's SQL.

    `schemas` are the schemas of the search_path that exist and may be used, in order: objects are
    created in the first. `text` is the server's text of them. `said_by` says what has set the
    search_path (`search_path of the role`). Of the names in the connection string, `absent` do not
    exist, and `closed` are those without USAGE for this role. `names` are `schemas` with the absent
    ones in their places: the schema files may create these.
    """

    schemas: tuple[str, ...] = ()
    text: str = ""
    said_by: str = ""
    absent: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SchemaView:
    """The declared and the live objects, both in the `schemas` that the schema files manage.

    `live` also holds the partitions that managed tables have elsewhere, with their indexes.
    `is_new` says that the declared side comes from a shadow, and not from the ledger; the files
    were read under that `search_path`. `sizes` are
    the bytes of the live tables by identity (`public.users`), with those of its partitions
    and of the tables that inherit from it. `users` are what keeps the type of a live column from
    being changed (views, say, for people), by the column's identity. `lock_capacity` is how many
    locks the server has room for, of all sessions together; 0: unknown. `role` is the role that
    creates missing objects, and `written` what the files say that no catalog keeps. A finding with
    an exit code says why the files could not be read; both sides are then empty.
    """

    schemas: tuple[str, ...] = ()
    declared: frozenset[Fact] = frozenset()
    live: frozenset[Fact] = frozenset()
    sizes: Mapping[str, int] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    lock_capacity: int = 0
    role: str = ""
    written: Written = NOTHING_WRITTEN
    findings: tuple[Finding, ...] = ()
    is_new: bool = False
    search_path: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The warnings about the files themselves, which every reading repeats."""
        return tuple(f for f in self.findings if f.exit_code is None and not f.is_note)

    @property
    def is_unread(self) -> bool:
        """Whether the files could not be read."""
        return any(finding.exit_code is not None for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read in one transaction. Parts that no layer asked for are empty.

    `ledger` is in the order of application, and `squashes` say which files its files replace.
    `has_ledger` is False on a database that we never touched, and where our ledger was restored
    without a row; `has_tables` says whether there are tables in the schemas that the folder uses.
    `is_adopting` says that the ledger is there and the adoption of what was there before it has not
    come to an end. `facts` tell of the
    critical tables, `seeded` holds the answers to the seeds' presence questions, `checks` those of
    `sql/verify/`. `drifts` are those that the ledger holds. `has_synced` says that what was not
    as `schema.sql` declares it at adoption has been accepted, and `adopted` what: (object, shape).
    `names` holds what is there by kind and name where a baseline is about to be recorded, or where
    not one file of the folder is in the ledger.
    `mirrored` names the files that were written to their tool's table. `lost` is what the
    operator's command has taken away although nobody had declared it.
    `histories` are what tools that keep migrations as the folder does have recorded here.
    `schema` is None where nobody asked for it or no file declares one. `fingerprint` changes with
    every DDL. `search_path` is that of the operator's own text.
    """

    server_version: int
    ledger: tuple[LedgerRow, ...] = ()
    squashes: tuple[Squash, ...] = ()
    has_ledger: bool = False
    has_tables: bool = False
    is_adopting: bool = False
    has_synced: bool = False
    names: frozenset[Name] = frozenset()
    histories: tuple[Records, ...] = ()
    lost: tuple[Loss, ...] = ()
    mirrored: frozenset[str] = frozenset()
    facts: frozenset[Fact] = frozenset()
    seeded: tuple[Response, ...] = ()
    checks: tuple[Response, ...] = ()
    drifts: tuple[Standing, ...] = ()
    adopted: tuple[tuple[str, str], ...] = ()
    search_path: PathView = PathView()
    schema: SchemaView | None = None
    fingerprint: str = ""

    @property
    def is_unknown(self) -> bool:
        """Whether the database has a history that is not, or not yet fully, in its ledger."""
        return self.is_adopting or (self.has_tables and not self.has_ledger)
