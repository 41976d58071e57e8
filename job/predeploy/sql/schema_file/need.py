"""The order in which statements find the objects that others make, judged by parsed names."""

from collections.abc import Iterator, Sequence
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.parsing import parse
from predeploy.sql.parser.tree import nodes_of
from predeploy.sql.statement.targets import made


def by_need(texts: Sequence[str]) -> tuple[int, ...]:
    """Return the indexes of the statements, each after those it uses, else in their given order.

    Names are compared by their last part. A cycle is cut where it is entered.
    """
    makers: dict[str, int] = {}
    used: list[set[str]] = []
    for place, text in enumerate(texts):
        used.append(set(_used(text)))
        if name := _made(text):
            makers.setdefault(name, place)
    order: dict[int, None] = {}
    for place in range(len(texts)):
        _put(place, makers, used, order)
    return tuple(order)


def _put(
    start: int, makers: dict[str, int], used: Sequence[set[str]], order: dict[int, None]
) -> None:
    """Place a statement after all those that it needs, without recursion."""
    todo, begun = [start], set[int]()
    while todo:
        place = todo[-1]
        needed = sorted(makers[name] for name in used[place] if name in makers)
        missing = [p for p in needed if p not in order and p not in begun and p != place]
        if place in begun or not missing:
            order.setdefault(place)
            todo.pop()
        else:
            todo.extend(reversed(missing))
        begun.add(place)


def _made(text: str) -> str:
    raw = parse(text).stmts[0].stmt
    node = str(raw.WhichOneof("node"))
    name = made(node, getattr(raw, node))
    return name[1] if name else ""


def _used(text: str) -> Iterator[str]:
    for node in nodes_of(text):
        if isinstance(node, pb.RangeVar):
            yield node.relname
        elif isinstance(node, pb.TypeName) and node.names:
            yield _last(node.names)
        elif isinstance(node, (pb.FuncCall, pb.CreateTrigStmt)) and node.funcname:
            yield _last(node.funcname)


def _last(names: Any) -> str:
    return str(names[-1].string.sval)
