"""What a script consists of: its statements, and what each of them creates or removes. Values."""

from dataclasses import dataclass, field
from enum import Enum


class Mode(Enum):
    """How PostgreSQL lets a statement be run, and whether a step may contain it."""

    TRANSACTION = "transaction"
    OWN_TRANSACTION = "own-transaction"  # what it adds cannot be used before its commit (55P04)
    AUTOCOMMIT = "autocommit"  # refused inside a transaction block (25001)
    BEGIN = "begin"
    COMMIT = "commit"
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


class Rows(Enum):
    """What the rows of a new table draw from: `PLAIN` ones from nothing."""

    PLAIN = "plain"
    NUMBERED = "numbered"  # from sequences of the table's own: serial, identity


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script, where it stands, and what it is.

    `text` is verbatim, without its semicolon: `source`, or `length` characters of it from `at` on,
    since copies of every statement of a large file would fill the memory. `start` is its character
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
