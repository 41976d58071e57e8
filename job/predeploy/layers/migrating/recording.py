"""Whether what files make is there, before they are recorded without being run."""

import json
from collections.abc import Container, Iterable, Iterator, Sequence

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.snapshot import Snapshot
from predeploy.sql import NamedObject

_SHOWN = 5
_WHOLES = ("table", "view", "materialized view")
_WITHOUT_SCHEMA = ("schema", "extension")


def not_there(
    snapshot: Snapshot, accepted: Container[str], texts: Iterable[str], what: str, remedy: str
) -> Iterator[Finding]:
    """Refuse (65) to record files, given as `texts` in their order, whose net result is missing.

    `accepted` are the labels of what may be missing. `what` and `remedy` begin the message and what
    to do; accepting the absence ends it.
    """
    done = sql.net_result(texts)
    absent = tuple(_absent(done.things, snapshot))
    home = next(iter(snapshot.search_path.schemas), "public")
    labels = [label for t in absent if (label := _label(t, home)) not in accepted]
    if done.unseen:
        yield Finding(
            "not-judged",
            f"what {done.unseen} statement(s) of the recorded files (DO, CALL, SELECT, or not "
            "readable) may have made was not checked",
            is_note=True,
        )
    if labels:
        more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
        listed = ", ".join(json.dumps(label, ensure_ascii=False) for label in labels)
        yield Finding(
            "not-there",
            f"{what}: {', '.join(labels[:_SHOWN])}{more}",
            f"{remedy}; or accept it under [accept] in predeploy.toml: missing = [{listed}]",
            ExitCode.BAD_SOURCES,
        )


def _absent(things: Iterable[NamedObject], snapshot: Snapshot) -> Iterator[NamedObject]:
    """Yield the missing objects, but not the parts of missing objects.

    Unqualified names are looked up in the search_path: a part in the schema of its table, the first
    that has one, anything else in any of them. Another schema's `users` is not the folder's.
    """
    exact = {(kind, schema, _of(kind, of), name) for kind, schema, of, name in snapshot.names}
    wholes = {(schema, name) for kind, schema, _, name in snapshot.names if kind in _WHOLES}
    path = snapshot.search_path.schemas

    def homes(thing: NamedObject) -> Sequence[str]:
        if thing.schema or thing.kind in _WITHOUT_SCHEMA:
            return (thing.schema,)
        return [schema for schema in path if (schema, thing.of) in wholes][:1] or path

    gone: set[tuple[str, str]] = set()
    for thing in things:
        named = (_of(thing.kind, thing.of), thing.name)
        is_there = any((thing.kind, home, *named) in exact for home in homes(thing))
        if is_there or (thing.of and (thing.schema, thing.of) in gone):
            continue
        if thing.kind in _WHOLES:
            gone.add((thing.schema, thing.name))
        yield thing


def _of(kind: str, table: str) -> str:
    """Return the table that qualifies a part's name; an index is named within its schema."""
    return "" if kind == "index" else table


def _label(thing: NamedObject, home: str) -> str:
    schema = "" if thing.kind in _WITHOUT_SCHEMA else thing.schema or home
    parts = (schema, _of(thing.kind, thing.of), thing.name)
    return f"{thing.kind}:{'.'.join(filter(None, parts))}"
