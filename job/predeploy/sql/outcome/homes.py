"""The schemas in which a folder creates objects: an earlier run left its tables only there."""

from collections.abc import Iterable, Iterator
from typing import Any

from predeploy.contract.words import named
from predeploy.sql.outcome.story import Made, events, path_of
from predeploy.sql.parser.unparsed import UnreadableError
from predeploy.sql.script.reading import read


def homes(texts: Iterable[str], candidates: Iterable[str]) -> frozenset[str]:
    """Return the candidate schemas in which the files create anything.

    A foreign key, a trigger or a policy on a table of another schema does not count, nor do rows
    written there.
    """
    wanted = frozenset(candidates)
    if not wanted:
        return frozenset()
    # Parsing takes a thousand times as long as checking whether the text contains a name at all.
    found = (name for text in texts if named([text], wanted) for name in _made_in(text))
    return wanted & frozenset(found)


def _made_in(text: str) -> Iterator[str]:
    nodes: list[Any] = []
    try:
        statements = read(text, nodes).statements
    except UnreadableError:
        return
    # A file that the parser gave up on has statements, but no nodes.
    for statement, stmt in zip(statements, nodes, strict=False):
        if statement.node == "variable_set_stmt" and stmt.name.lower() == "search_path":
            yield from path_of(stmt)
        for event in events(statement.node, stmt):
            if isinstance(event, Made) and not event.thing.of:
                is_schema = event.thing.kind == "schema"
                yield event.thing.name if is_schema else event.thing.schema
