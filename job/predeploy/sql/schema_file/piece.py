"""One statement of a schema file, and what names mean where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from predeploy.contract.statement import Statement
from predeploy.sql.statement.targets import Name


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement that is not refused, with its node of the parser.

    `search_path` is what its file has set; None: nothing, so that it has `default`, the app's.
    """

    path: str
    statement: Statement
    stmt: Any
    search_path: tuple[str, ...] | None
    default: tuple[str, ...]

    @property
    def schemas(self) -> tuple[str, ...]:
        """Where an unqualified name is looked for, and made in the first."""
        return self.default if self.search_path is None else self.search_path

    @property
    def place(self) -> tuple[str, int, int]:
        """The file, and line and column from 1."""
        return (self.path, self.statement.line, self.statement.column)

    def resolved(self, name: Name) -> Name:
        """Give a name the schema in which it is made, where it has none."""
        return (name[0] or next(iter(self.schemas), ""), name[1])

    def surely_means(self, name: str, relations: set[Name], schemas: Sequence[str]) -> bool:
        """Whether an unqualified name can only mean one of the relations, which these schemas have.

        Any other schema may have one of that name, too, that is found before it.
        """
        for schema in self.schemas:
            if (schema, name) in relations:
                return True
            if schema not in schemas:
                return False
        return False

    def may_mean(self, name: str, relations: set[Name]) -> bool:
        """Whether an unqualified name is found among the relations, if nowhere before."""
        return any((schema, name) in relations for schema in self.schemas)
