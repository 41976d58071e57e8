"""The steps of a plan, one class for each kind, and what the ledger keeps of them. Values."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from predeploy.contract.secret import Secret
from predeploy.contract.statement import Statement

MIRRORED = "mirrored "
"""How the ledger's note begins that a file was written to its tool's table; its name follows."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger keeps of a step: (`file`, `step_hash`, `occurrence`) is its identity.

    `occurrence` counts from 1 and exceeds 1 only if a file repeats a step's text. `position` is
    the step's place in its file, from 1. `is_final` says that this row completes the file.
    `raw_hash` is the SHA-256 of the file's bytes, including comments. `replaces` says which
    versions the file replaces, such as `1..50`; entries read from the ledger do not set it.
    With `restarts` the rows of the file's former text are removed with this row's insertion.
    """

    file: str
    step_hash: str
    occurrence: int
    position: int
    is_final: bool
    raw_hash: str
    replaces: str = ""
    restarts: bool = False

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
class Purpose:
    """What a generated statement is for, such as `constraint public.users.users_age_check`.

    `violating_rows` is a query for the rows that violate the constraint.
    """

    about: str
    violating_rows: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of atomicity, retry and reporting: statements that take effect together or not.

    `path` names the file for people. `text` runs from the first statement to the last, verbatim,
    so that the server's error positions can be traced back to the file: it is `source`, or the part
    of it in `span`. `entry` is the ledger row that the step writes first; None if it keeps none.
    `preamble` are statements sent before its own: a file's earlier SETs, which count to the end of
    the file, or predeploy's own settings.
    """

    path: str
    source: str = field(repr=False)
    statements: tuple[Statement, ...]
    entry: LedgerEntry | None = None
    preamble: tuple[str, ...] = ()
    span: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """Its text, from the first statement to the last."""
        return self.source if self.span is None else self.source[slice(*self.span)]

    @property
    def length(self) -> int:
        """How many characters its text has."""
        return len(self.source) if self.span is None else self.span[1] - self.span[0]

    @property
    def texts(self) -> Iterator[str]:
        """The text of each statement, one copy at a time: together they may be large."""
        return (statement.text for statement in self.statements)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The losses that it means; only a file can declare any."""
        return ()

    @property
    def allow_key(self) -> str:
        """The name under [allow] in predeploy.toml of a file that must not be edited; or empty."""
        return ""

    @property
    def mirror(self) -> tuple[str, ...]:
        """The statements that record a file in its tool's own table, when the step completes it."""
        return ()

    @property
    def is_replay(self) -> bool:
        """Whether the database existed before the ledger, so that a file may only add to it."""
        return False

    @property
    def label(self) -> str:
        """How logs and reports name it."""
        if self.entry is None or (self.entry.position == 1 and self.entry.is_final):
            return self.path
        return f"{self.path} step {self.entry.position}"

    @property
    def how(self) -> str:
        """How it will be run, in a few words for a plan."""
        return "one transaction"

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
class FileStep(Step):
    """A step of a migration file.

    `is_resumed` says that the ledger knows of an earlier start outside a transaction whose end it
    does not know.
    """

    is_resumed: bool = False
    is_replay: bool = False
    allow_key: str = ""
    mirror: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Migration(FileStep):
    """Statements of a file in one transaction.

    `isolation` is what its BEGIN has to say, such as `isolation level serializable`.
    """

    declarations: tuple[Declaration, ...] = ()
    isolation: str = ""

    @property
    def how(self) -> str:
        """How it will be run, in a few words for a plan."""
        return "replayed" if self.is_replay else "one transaction"


@dataclass(frozen=True, slots=True)
class OnlineMigration(FileStep):
    """One statement of a file outside a transaction."""

    @property
    def how(self) -> str:
        """How it will be run, in a few words for a plan."""
        return "replayed" if self.is_replay else "outside a transaction"


@dataclass(frozen=True, slots=True)
class Record(FileStep):
    """A step that is written to the ledger and not run: a baseline or a squash says it was done."""

    @classmethod
    def of(cls, step: FileStep) -> "Record":
        """Return the record of a step that would be run otherwise."""
        own = (step.path, step.source, step.statements, step.entry)
        return cls(*own, span=step.span, is_resumed=step.is_resumed)

    @property
    def how(self) -> str:
        """How it will be run, in a few words for a plan."""
        return "recorded, not run"


@dataclass(frozen=True, slots=True)
class LateMirror(Step):
    """What records files in their tool's own table that were applied before that was asked for."""

    mirror: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """How it will be run, in a few words for a plan."""
        return "recorded in the tool's own table"

    @property
    def lines(self) -> str:
        """Nothing: it is in no file."""
        return ""


@dataclass(frozen=True, slots=True)
class SyncStep(Step):
    """A step that predeploy has written, so that it takes nothing away.

    If the server refuses a statement, that is no mistake of a file's: what it is for is left out,
    and everything that does not need it is done. `purposes` say what each statement is for. With a
    `fingerprint` it was planned for a catalog that had that one, and runs on no other.
    """

    purposes: tuple[Purpose, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class SchemaChange(SyncStep):
    """Statements of sync in one transaction.

    With `is_brief` they only write the catalog, so that all of their time is waiting. One lock
    timeout then bounds each statement: who queues at its first lock waits for the others, too.
    """

    is_brief: bool = False


@dataclass(frozen=True, slots=True)
class OnlineSchemaChange(SyncStep):
    """One statement of sync outside a transaction."""

    @property
    def how(self) -> str:
        """How it will be run, in a few words for a plan."""
        return "outside a transaction"


@dataclass(frozen=True, slots=True)
class CommandStep(Step):
    """The operator's own command, which migrates in sessions of its own.

    `path` is the command as people know it. `may_retry` says that it leaves nothing behind if it is
    cancelled, so that it may run again. `declarations` are the losses that it may cause; names
    without schema are looked for in `schemas`.
    """

    may_retry: bool = False
    declarations: tuple[Declaration, ...] = ()
    schemas: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """How it will be run, in a few words for a plan."""
        return "a command of yours"

    @property
    def lines(self) -> str:
        """Nothing: it is in no file."""
        return ""


Online = OnlineMigration | OnlineSchemaChange
"""The steps that run outside a transaction, on a separate connection."""


@dataclass(frozen=True, slots=True)
class Addition(Step):
    """What a seed or a fallback adds, in one transaction, sent statement by statement.

    `binds` holds the values of each statement's parameters, `$1` first.
    """

    binds: tuple[tuple[str | Secret, ...], ...] = ()
