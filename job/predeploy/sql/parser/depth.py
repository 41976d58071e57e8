"""Bounds the cost of parsing a text, from its tokens alone.

libpg_query returns its tree as nested protobuf messages, and measures each message once for every
message around it: a chain of n operators costs n * n, and one stack frame for each. The bound is an
upper one: a text that the parser could have read may be rejected and left to the server.
"""

from dataclasses import dataclass
from itertools import pairwise

from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.scanning import scanned

_DEEPEST = 5_000  # needs half of the usual stack of 8 MB
# A text with fewer characters can nest this deep by operators only: a keyword takes at least four.
_SHORT = 50_000
_OPERATORS = "+-*/<>=~!@#%^&|`?:"
_DEAREST = 500_000_000  # pairs of a node and an enclosing one: half a second
_OPEN = frozenset((pb.ASCII_40, pb.ASCII_91, pb.CASE))
_CLOSE = frozenset((pb.ASCII_41, pb.ASCII_93, pb.END_P))
# These separate siblings, which do not nest in each other. Any number of AND or OR is one node.
_BETWEEN_EQUALS = frozenset(
    (pb.ASCII_44, pb.ASCII_59, pb.AND, pb.OR, pb.WHEN, pb.THEN, pb.ELSE)
)  # fmt: skip
# These do nest across a comma or an AND: `select 1, 2 union select 3, 4 union ...`
_CHAINED = frozenset((pb.UNION, pb.INTERSECT, pb.EXCEPT, pb.JOIN, pb.BETWEEN))
_SILENT = frozenset((*_OPEN, *_CLOSE, pb.ASCII_46))
_LEAVES = frozenset(
    (
        *(pb.IDENT, pb.UIDENT, pb.ICONST, pb.FCONST, pb.SCONST, pb.USCONST, pb.BCONST, pb.XCONST),
        *(pb.PARAM, pb.SQL_COMMENT, pb.C_COMMENT),
    )
)
# After these a keyword is a name: `t.end`, `1 as case`.
_BEFORE_NAMES, _MAYBE_NAMES = frozenset((pb.ASCII_46, pb.AS)), frozenset((pb.CASE, pb.END_P))


@dataclass(slots=True)
class _Level:
    """The contents so far of one pair of parentheses, brackets, or CASE and END.

    Tokens that may nest are counted; `chained` counts those that nest across separators. `here`,
    `inner`, `below` and `pairs` describe what follows the last separator: its own tokens, those of
    inner levels, their depth, and their cost.
    """

    chained: int = 0
    tokens: int = 0
    depth: int = 0
    cost: int = 0
    here: int = 0
    inner: int = 0
    below: int = 0
    pairs: int = 0
    is_case: bool = False

    def count(self, kind: int) -> None:
        """Count a token of this level."""
        if kind in _BETWEEN_EQUALS:
            self.separate()
        elif kind in _CHAINED:
            self.chained += 1
        elif kind not in _SILENT:
            self.here += 1

    def separate(self) -> None:
        """Start the next sibling."""
        if not self.here and not self.inner:
            return
        nodes = self.here + self.inner
        self.cost += self.pairs + self.here * nodes
        self.tokens += nodes
        self.depth = max(self.depth, self.here + self.below)
        self.here = self.inner = self.below = self.pairs = 0

    def close_into(self, outer: "_Level") -> None:
        """Close the level and add it to the enclosing one."""
        self.separate()
        tokens = self.chained + self.tokens + 1
        outer.inner += tokens
        outer.pairs += self.cost + (self.chained + 1) * tokens
        outer.below = max(outer.below, self.chained + self.depth + 1)


def is_too_deep(text: str) -> bool:
    """Whether a text may be nested so deeply that parsing it is very slow or crashes the process.

    Takes linear time. Raises postgast.PgQueryError if the text cannot be scanned.
    """
    if len(text) < _SHORT and sum(map(text.count, _OPERATORS)) < _DEEPEST:
        return False
    levels, is_name = [_Level()], False
    for token in scanned(text):
        kind = token.token
        if kind not in _LEAVES:
            levels[-1].count(kind)
            if not (is_name and kind in _MAYBE_NAMES):
                _open_or_close(levels, kind)
            if levels[-1].here > _DEEPEST or len(levels) > _DEEPEST:
                return True
        is_name = kind in _BEFORE_NAMES
    whole = _Level()
    for level, outer in pairwise([*reversed(levels), whole]):
        level.close_into(outer)
    return whole.below > _DEEPEST or whole.pairs > _DEAREST


def _open_or_close(levels: list[_Level], kind: int) -> None:
    """Open or close a level for parentheses, brackets or a CASE."""
    if kind in _OPEN:
        levels.append(_Level(is_case=kind == pb.CASE))
    elif kind in _CLOSE and len(levels) > 1 and levels[-1].is_case == (kind == pb.END_P):
        # END also closes BEGIN ATOMIC, whose statements follow each other and do not nest.
        level = levels.pop()
        level.close_into(levels[-1])
