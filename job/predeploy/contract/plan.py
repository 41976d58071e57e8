"""What a layer plans, what was found, and the results. Values only: no I/O, no decision."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.grants import Ungranted
from predeploy.contract.step import Declaration, Step


@dataclass(frozen=True, slots=True, order=True)
class Drift:
    """An object whose shape differs from what a file declares, both as PostgreSQL prints them.

    `name` is, for example, `public.users.credits`; `live` is ABSENT if the object exists but a part
    of it does not. `is_adopted` says that it existed before the ledger and counts as accepted.
    `key` and `shape` are how `[accept]` names the live object if not by `object` and `live`.
    """

    kind: str
    name: str
    declared: str
    live: str
    is_adopted: bool = False
    key: str = ""
    shape: str = ""

    @property
    def object(self) -> str:
        """The name for messages."""
        return f"{self.kind} {self.name}"

    @property
    def kept(self) -> dict[str, str | bool]:
        """What the ledger records of it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "declared": self.declared,
            "live": self.live,
            "is_adopted": self.is_adopted,
        }

    @property
    def line(self) -> tuple[str, str]:
        """Key and value of the line that accepts it."""
        return (self.key, self.shape) if self.key else (self.object, self.live)

    def is_accepted_by(self, accepted: Mapping[str, str]) -> bool:
        """Whether a line of `[accept]` covers it: as `line` gives it, or by `object` and `live`."""
        ways = (self.line, (self.object, self.live))
        return any(accepted.get(key) == shape for key, shape in ways)


ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the reader has to know: the consequence, then the remedy.

    `code` is stable and kebab-case. `exit_code` is set if the finding stops the run; without
    one the finding is a warning, or a note if `is_note` is set.
    """

    code: str
    message: str
    remedy: str = ""
    exit_code: ExitCode | None = None
    is_note: bool = False

    @property
    def level(self) -> str:
        """`error`, `warn` or `info`, as logs call it."""
        if self.exit_code is not None:
            return "error"
        return "info" if self.is_note else "warn"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that a layer wants to run, in order, and its findings.

    `left` is what it cannot do and for which the last layer stops the run; it is reported from here
    only if that layer does not run. `compared` says what the last layer compared the database with;
    no other layer sets it.
    """

    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    left: tuple[Finding, ...] = ()
    compared: str = ""

    @property
    def refusal(self) -> Finding | None:
        """The first finding that stops the run; with one, no step of the plan may run."""
        return next((f for f in self.findings if f.exit_code is not None), None)


@dataclass(frozen=True, slots=True)
class Ask:
    """The declarations that a step of the file at `path` needs if its tables hold rows.

    They may be placed anywhere before the step's first statement, which is on line `line`. A file
    that must not be edited has an `allow_key`: they go into predeploy.toml, under that name.
    """

    path: str
    line: int
    declarations: tuple[Declaration, ...]
    allow_key: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines to paste: `-- predeploy: allow drop-column public.users.note`.

        Or the one line for predeploy.toml: `"0007_notes" = ["drop-column public.users.note"]`.
        """
        said = [f"{d.verb} {d.target}" for d in self.declarations]
        if self.allow_key:
            return (f"{_toml(self.allow_key)} = [{', '.join(map(_toml, said))}]",)
        return tuple(f"-- predeploy: allow {each}" for each in said)

    @property
    def where(self) -> str:
        """Where to paste them, said of the file."""
        if self.allow_key:
            return "under [allow] in predeploy.toml"
        return f"before line {self.line}"


def _toml(text: str) -> str:
    # Every JSON string is a basic string of TOML.
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed: where, and what the server said.

    `line` and `column` count from 1 in the file at `path`; 0 where nothing is known. `remains`
    says what is left of the step: nothing, but where it ran outside a transaction. `about` is what
    the step makes, such as `constraint public.users.users_age_check`, where it tells. `is_race`
    says that another session has changed the same row of the catalog meanwhile, `is_filtered` that
    row-level security would have hidden rows from it. `asks` are the declarations that it lacks.
    `is_final` says that no policy may go on behind it.
    """

    exit_code: ExitCode
    path: str
    line: int
    column: int
    sqlstate: str
    message: str
    detail: str = ""
    remedy: str = ""
    statement: str = ""
    remains: str = "nothing of that step remains"
    about: str = ""
    is_race: bool = False
    is_filtered: bool = False
    asks: tuple[Ask, ...] = ()
    is_final: bool = False

    @property
    def is_violation(self) -> bool:
        """Whether existing rows or objects block a generated statement.

        Everything that does not depend on the statement can continue.
        """
        return self.exit_code is ExitCode.NOT_VERIFIED

    @property
    def place(self) -> str:
        """`migrations/0003_tags.sql:12:5`; only the path if the line is unknown."""
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path

    @property
    def said(self) -> str:
        """Place, SQLSTATE and message on one line; predeploy's own refusals have no SQLSTATE."""
        return " ".join(filter(None, (self.place, self.sqlstate, self.message)))


@dataclass(frozen=True, slots=True)
class StepResult:
    """A completed step. `rows` counts the rows that its statements inserted, updated or deleted.

    `losses` lists what it removed, `duplicates` what was proved to exist already, `notices` what
    PostgreSQL reported as skipped, `drifts` the objects of another shape, `gaps` the sequences that
    skipped numbers because an attempt of the step was rolled back, `ungranted` the grants that were
    lost when objects were recreated. `asks` are the declarations for what was allowed on this
    database but will not be on others. `changes` says what a command has changed, which nobody knew
    beforehand, and `unread` what could not be examined.
    """

    label: str
    duration_s: float
    statements: int
    rows: int
    losses: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    drifts: tuple[Drift, ...] = ()
    gaps: tuple[str, ...] = ()
    ungranted: tuple[Ungranted, ...] = ()
    asks: tuple[Ask, ...] = ()
    changes: str = ""
    unread: str = ""


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What came of one layer: the steps that are done, what was found, and at most one failure.

    `not_run` names the steps behind the one that failed. `asks` are the declarations that files
    lack: those of the one that was refused, and of all others.
    """

    name: str
    steps: tuple[StepResult, ...] = ()
    findings: tuple[Finding, ...] = ()
    failure: Failure | None = None
    not_run: tuple[str, ...] = ()
    asks: tuple[Ask, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """OK, or what the failure or the first stopping finding says."""
        if self.failure is not None:
            return self.failure.exit_code
        stopping = (f.exit_code for f in self.findings if f.exit_code is not None)
        return next(stopping, ExitCode.OK)

    def with_more(self, later: "LayerReport") -> "LayerReport":
        """Put together what came of the layer so far and what came after."""
        return LayerReport(
            self.name,
            steps=self.steps + later.steps,
            findings=tuple(dict.fromkeys(self.findings + later.findings)),
            failure=later.failure or self.failure,
            not_run=later.not_run or self.not_run,
            asks=later.asks or self.asks,
        )


class Outcome(Enum):
    """How a run ended, in a word. Only OK lets the next run be settled."""

    OK = "ok"
    SETTLED = "settled"
    AHEAD = "ahead"
    DEGRADED = "degraded"
    FAILED = "failed"
