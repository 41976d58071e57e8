"""The vocabulary: what a script contains, what a layer plans, and the results.

Values only. Nothing here does I/O or makes a decision.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.grants import Ungranted
from predeploy.contract.secret import Secret


class Mode(Enum):
    """How PostgreSQL lets a statement be run, and whether a step may hold it."""

    TRANSACTION = "transaction"
    OWN_TRANSACTION = "own-transaction"  # what it adds cannot be used before its commit (55P04)
    AUTOCOMMIT = "autocommit"  # refused inside a transaction block (25001)
    BEGIN = "begin"
    COMMIT = "commit"
    RECORD = "record"  # what a baseline says was done already
    REFUSED = "refused"  # would break a step open, or leave the connection in COPY mode


class Creatable(Enum):
    """What a statement may create; the value is how people and predeploy.toml name it."""

    TABLE = "table"
    COLUMN = "column"
    CONSTRAINT = "constraint"
    INDEX = "index"
    SEQUENCE = "sequence"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class Address:
    """The object that a statement would create; names as in the catalog, not quoted.

    `relation` is the table that a column, a constraint or an index belongs to; for an object that
    belongs to no table it is the object itself, and equals `name`. `schema` is empty if the
    statement leaves it to the search_path. `is_guarded` says that IF NOT EXISTS skips an existing
    object.
    """

    kind: Creatable
    schema: str
    relation: str
    name: str
    is_guarded: bool = False


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


class Rows(Enum):
    """What the rows of a new table draw from: `PLAIN` ones from nothing."""

    PLAIN = "plain"
    NUMBERED = "numbered"  # from sequences of the table's own: serial, identity


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script, where it stands, and what it is.

    `text` is verbatim, without its semicolon: `source`, or `length` characters of it from `at` on,
    since copies of all that a large file says would fill the memory. `start` is its character
    offset in the script; `line` and `column` count from 1. `node` is the parser's name for it
    (`insert_stmt`), empty where the parser could not read it. `what` is for people
    (`CREATE INDEX CONCURRENTLY`).
    `data` is what follows a COPY … FROM STDIN up to its end mark, from line `data_line` on.
    `creates` names what it creates of tables, columns, constraints, indexes, sequences and types;
    `removes` the columns that it drops or renames, and that have to be there for that. `rows` is
    what the rows of a table draw from that it makes; None where that is not known.
    """

    source: str = field(repr=False)
    start: int
    line: int
    column: int
    node: str
    mode: Mode
    what: str
    data: str | None = None
    data_line: int = 0
    creates: tuple[Address, ...] = ()
    removes: tuple[Address, ...] = ()
    rows: Rows | None = None
    at: int = 0
    length: int | None = None

    @property
    def text(self) -> str:
        """What it says."""
        return self.source if self.length is None else self.source[self.at : self.at + self.length]

    @property
    def end(self) -> int:
        """The character offset behind it, before its semicolon."""
        return self.start + (len(self.source) if self.length is None else self.length)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger keeps of a step: (`file`, `step_hash`, `occurrence`) is its identity.

    `occurrence` counts from 1 and exceeds 1 only if a file repeats a step's text. `position` is
    the step's place in its file, from 1. `is_final` says that this row completes the file.
    `raw_hash` is the SHA-256 of the file's bytes, including comments. `replaces` says which
    versions the file replaces, such as `1..50`; entries read from the ledger do not set it.
    """

    file: str
    step_hash: str
    occurrence: int
    position: int
    is_final: bool
    raw_hash: str
    replaces: str = ""

    @property
    def identity(self) -> tuple[str, int]:
        """What distinguishes it from the file's other steps."""
        return (self.step_hash, self.occurrence)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A step that the ledger holds: the entry, when it was applied (ISO 8601) and by which run.

    `is_done` is False for a step outside a transaction that was started but whose end was never
    recorded: the job was killed, or its connection was lost.
    """

    entry: LedgerEntry
    applied_at: str
    run_id: str
    is_done: bool = True


@dataclass(frozen=True, slots=True)
class Declaration:
    """A line `-- predeploy: allow VERB TARGET`: a loss that the file means, such as `drop-table t`.

    `target` is a name as the catalog has it: `table`, `table.column`, with or without schema.
    `is_seen` says that the file's text shows it: what it means is made and taken away in the file.
    """

    verb: str
    target: str
    line: int
    is_seen: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """The purpose of a generated statement, such as `constraint public.users.users_age_check`.

    `violating_rows` is a query for the rows that violate the constraint.
    """

    about: str
    violating_rows: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of atomicity, retry and reporting: statements that hold together or not at all.

    `path` names the file for people. `text` runs from the first statement to the last, verbatim,
    so that the server's error positions can be traced back to the file: it is `source`, or what of
    it is in `span`. `entry` is the ledger row
    that the step writes first; None for a step that keeps none. With `binds` (one tuple of values
    for each statement, `$1` first) the statements are sent one by one; without, as one message.
    In `mode` AUTOCOMMIT it is one statement outside a transaction; `is_resumed` then says that the
    ledger knows of an earlier start. In mode RECORD it is written down and not run. With
    `is_replay` the database was there before the ledger, and what was there must not change.
    `preamble` are the SETs of the file's earlier steps, which count to the end of the file.
    With a `fingerprint` it was planned for a catalog that had that one, and runs on no other.
    `parts` say of a step that is ours what each of its statements is for; see `is_ours`.
    With `is_brief` it writes the catalog alone, so that all of its time is waiting. One lock
    timeout then bounds each statement: who queues at its first lock waits for the others, too.
    With `is_ours` we have written it, so that it takes nothing away, and that the server refuses it
    is no mistake of the file's: what it is for is left out then, and all else is done.
    `isolation` is what its BEGIN has to say, such as `isolation level serializable`.
    """

    path: str
    source: str = field(repr=False)
    statements: tuple[Statement, ...]
    entry: LedgerEntry | None = None
    binds: tuple[tuple[str | Secret, ...], ...] = ()
    holds_ddl: bool = True
    mode: Mode = Mode.TRANSACTION
    is_resumed: bool = False
    is_replay: bool = False
    declarations: tuple[Declaration, ...] = ()
    preamble: tuple[str, ...] = ()
    fingerprint: str = ""
    parts: tuple[Part, ...] = ()
    is_brief: bool = False
    is_ours: bool = False
    isolation: str = ""
    span: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """What it says, from the first statement to the last."""
        return self.source if self.span is None else self.source[slice(*self.span)]

    @property
    def length(self) -> int:
        """How many characters its text has."""
        return len(self.source) if self.span is None else self.span[1] - self.span[0]

    @property
    def texts(self) -> Iterator[str]:
        """What each statement says; one copy at a time, where that of all would be large."""
        return (statement.text for statement in self.statements)

    @property
    def label(self) -> str:
        """How logs and reports name it."""
        if self.entry is None or (self.entry.position == 1 and self.entry.is_final):
            return self.path
        return f"{self.path} step {self.entry.position}"

    @property
    def how(self) -> str:
        """How it will be run, in one word for a plan."""
        if self.is_replay:
            return "replayed"
        words = {Mode.RECORD: "recorded, not run", Mode.AUTOCOMMIT: "outside a transaction"}
        return words.get(self.mode, "one transaction")

    @property
    def lines(self) -> str:
        """The lines of the file that it covers, such as `lines 3-17`; empty if there are none."""
        if not self.statements:
            return "no statement"
        if not self.statements[0].line:
            return ""
        last = self.statements[-1]
        return f"lines {self.statements[0].line}-{last.line + last.text.count(chr(10))}"


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

    They may be placed anywhere before the step's first statement, which is on line `line`.
    """

    path: str
    line: int
    declarations: tuple[Declaration, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines to paste: `-- predeploy: allow drop-column public.users.note`."""
        return tuple(f"-- predeploy: allow {d.verb} {d.target}" for d in self.declarations)


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed: where, and what the server said.

    `line` and `column` count from 1 in the file at `path`; 0 where nothing is known. `remains`
    says what is left of the step: nothing, but where it ran outside a transaction. `about` is what
    the step makes, such as `constraint public.users.users_age_check`, where it tells. `is_race`
    says that another session has changed the same row of the catalog meanwhile, `is_filtered` that
    row-level security would have hidden rows from it. `asks` are the declarations that it lacks.
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
    database but will not be on others.
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
