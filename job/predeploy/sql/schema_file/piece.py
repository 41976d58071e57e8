"""One statement of a schema file, and how names resolve at that point."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from predeploy.contract.statement import Statement
from predeploy.sql.parser.names import Name


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement that is not refused, with the parser's node.

    `search_path` is the one that its file has set; None if none was set and `default`, the app's,
    applies.
    """

    path: str
    statement: Statement
    stmt: Any
    search_path: tuple[str, ...] | None
    default: tuple[str, ...]

    @property
    def schemas(self) -> tuple[str, ...]:
        """The schemas searched for an unqualified name; a new object is created in the first."""
        return self.default if self.search_path is None else self.search_path

    @property
    def place(self) -> tuple[str, int, int]:
        """The file, and line and column from 1."""
        return (self.path, self.statement.line, self.statement.column)

    def resolved(self, name: Name) -> Name:
        """Return the name with the schema in which it would be created, if it has none."""
        return (name[0] or next(iter(self.schemas), ""), name[1])

    def surely_means(self, name: str, relations: set[Name], schemas: Sequence[str]) -> bool:
        """Whether an unqualified name can only mean one of the relations in these schemas.

        Any other schema earlier in the path may hold a relation of the same name.
        """
        for schema in self.schemas:
            if (schema, name) in relations:
                return True
            if schema not in schemas:
                return False
        return False

    def may_mean(self, name: str, relations: set[Name]) -> bool:
        """Whether an unqualified name resolves to one of the relations, if to nothing before."""
        return any((schema, name) in relations for schema in self.schemas)
