"""How a step reaches the server: the value that `delivery` decides, and a try may change. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

Name = tuple[str, str]
"""A schema, empty if it is left to the search_path, and a relation."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a step reaches the server.

    By default it is sent in one message, with the guard in it. `is_piecewise`: statement by
    statement, because something that it makes is there already, or what it removes is not.
    `is_watched`: between two full looks, because it takes something away; before it, the rows of
    `counted` tables, which it may write anew, and of those with the OIDs in `suspects` are counted.
    `doubtful` are the OIDs of tables that are locked against writers, and counted before and after:
    of them the transaction's counters do not tell what it has deleted. `moves_sequences`: it
    may do what a rollback does not take back; then its first try notes where the sequences stand
    that it may draw from: `reached` names the relations in its text. `moves_in_pieces`: it does so
    only where a table that it makes is there already. `has_own_path` says that the file sets the
    search_path.
    """

    is_piecewise: bool = False
    is_watched: bool = False
    counted: tuple[Name, ...] = ()
    suspects: frozenset[int] = frozenset()
    doubtful: frozenset[int] = frozenset()
    moves_sequences: bool = False
    moves_in_pieces: bool = False
    reached: frozenset[str] = frozenset()
    has_own_path: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether one message is enough."""
        return not self.is_piecewise and not self.is_watched

    def in_pieces(self) -> "Delivery":
        """Return the delivery to use after an object turned out to exist already."""
        moves = self.moves_sequences or self.moves_in_pieces
        return replace(self, is_piecewise=True, moves_sequences=moves)

    def watching(self, suspects: Iterable[int]) -> "Delivery":
        """Return the delivery to use after rows of these tables are suspected to be lost."""
        return replace(self, is_watched=True, suspects=self.suspects | set(suspects))

    def counting(self, doubtful: Iterable[int]) -> "Delivery":
        """Return the delivery to use if only counting can show what these tables have lost."""
        return replace(self, is_watched=True, doubtful=self.doubtful | set(doubtful))


PLAIN = Delivery()
