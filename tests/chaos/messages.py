"""The messages of a run, and at which of them to disturb another."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from proxy import Direction

# https://www.postgresql.org/docs/current/protocol-message-formats.html
_READY_FOR_QUERY = ord("Z")
# Of a statement that is sent in parts these do nothing yet: it runs when it is executed.
_PREPARES = b"PBD"

Place = tuple[Direction, int]
"""A message, from 1, of one direction."""


class Depth(Enum):
    """Which messages are tried one by one."""

    # All that the server acts on, and the end of each answer: where somebody begins to act.
    TURNS = "turns"
    EVERY = "every"


@dataclass(frozen=True)
class Messages:
    """The messages of an undisturbed run; the first byte of each tells its kind."""

    kinds: Mapping[Direction, bytes]

    def places(self, depth: Depth) -> list[Place]:
        """Return what to disturb."""
        every = [(way, at) for way, kinds in self.kinds.items() for at in range(1, len(kinds) + 1)]
        return every if depth is Depth.EVERY else [place for place in every if self._is_turn(place)]

    def _is_turn(self, place: Place) -> bool:
        way, at = place
        kind = self.kinds[way][at - 1]
        if way is Direction.TO_SERVER:
            return kind not in _PREPARES
        return kind == _READY_FOR_QUERY
