"""What a command has changed, by the catalog before it and after it.

Rows are not counted, because the app changes them meanwhile: of a table it is only known whether it
holds any.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from predeploy.contract.quoting import identifier
from predeploy.database.catalog.names import names_sql, parse_names
from predeploy.database.sentinel.holdings import read_holdings
from predeploy.database.server import wire
from predeploy.database.server.transaction import settings_sql
from predeploy.database.server.wire import Connection
from predeploy.losses.loss import Holdings, Loss, Table, Verb, losses
from predeploy.snapshot import Name

_TOGETHER = 200  # tables; each that is read is locked until the end of the message
_PATIENCE = {"lock_timeout": "500ms", "statement_timeout": "30s"}
_SHOWN = 12
_PARTS = ("index", "column", "constraint", "trigger", "policy", "rule")

NOTHING = Holdings({}, {}, {})
"""What there is to lose where nothing is."""


@dataclass(frozen=True, slots=True)
class State:
    """What there is at one moment. A table in `unread` could not be looked into.

    The `rows` of a table in `holdings` are 0 if it holds none, and None if it holds some.
    """

    holdings: Holdings
    names: frozenset[Name]
    unread: frozenset[str] = frozenset()


def at_stake(state: State) -> Holdings:
    """Return what there is to lose, as far as it is known: an unread table may have been empty."""
    tables = {
        oid: replace(table, rows=0) if table.name in state.unread else table
        for oid, table in state.holdings.tables.items()
    }
    return replace(state.holdings, tables=tables)


def read_state(conn: Connection, schema: str) -> State:
    """Return what there is outside the ledger's `schema`. No transaction is left open."""
    wire.ask_plainly(conn, "begin isolation level repeatable read read only")
    wire.ask_plainly(conn, settings_sql({}))
    holdings = read_holdings(conn, schema, ())
    names = parse_names(wire.ask(conn, names_sql("true")))
    wire.roll_back(conn)
    stored = [oid for oid, table in holdings.tables.items() if _holds_rows_itself(table)]
    tables = dict(holdings.tables)
    unread: list[str] = []
    for first in range(0, len(stored), _TOGETHER):
        some = stored[first : first + _TOGETHER]
        filled = _filled(conn, [tables[oid] for oid in some])
        if filled is None:  # one of them is locked, or may not be read
            singly = [(oid, _filled(conn, [tables[oid]])) for oid in some]
            unread += [tables[oid].name for oid, found in singly if found is None]
            filled = {name for _, found in singly for name in found or ()}
        for oid in some:
            if tables[oid].name not in filled and tables[oid].name not in unread:
                tables[oid] = replace(tables[oid], rows=0)
    return State(replace(holdings, tables=tables), names, frozenset(unread))


def _holds_rows_itself(table: Table) -> bool:
    return table.view is None and not table.is_partitioned and "pg_catalog." not in table.name


def _filled(conn: Connection, tables: Sequence[Table]) -> set[str] | None:
    """Return the names of those tables that hold a row; None if not all could be read."""
    alone = [f"only {identifier(*table.name.split('.', 1))}" for table in tables]
    queries = " union all ".join(
        f"select {number}, exists (select from {table})" for number, table in enumerate(alone)
    )
    reply = wire.send_named(
        conn,
        {
            "begin": "begin read only",
            "settings": settings_sql(_PATIENCE),
            "query": queries,
            "end": "rollback",
        },
    )
    wire.roll_back(conn)
    if reply.answer.error is not None:
        return None
    return {tables[int(number or 0)].name for number, has in reply.rows("query") if has == "t"}


def lost_between(before: Holdings, after: State) -> tuple[Loss, ...]:
    """Return what was taken away: tables, columns, labels, and all rows of a table."""
    now = after.holdings
    kept = {
        oid: replace(table, was_kept=table.rows is None)
        for oid, table in now.tables.items()
        if oid in before.tables
    }
    now = replace(now, tables={**now.tables, **kept})
    emptied = (
        Loss(Verb.DELETE, table.name, detail="all rows")
        for oid, table in before.tables.items()
        if oid in kept and _holds_rows_itself(table)
        if table.rows is None and kept[oid].rows == 0 and kept[oid].filenode == table.filenode
    )
    return (*losses(before, now), *emptied)


def told(before: State, after: State) -> str:
    """Say what has been added, and what is gone; empty if nothing is."""
    added = [*_listed(after.names - before.names)]
    gone = [*_listed(before.names - after.names)]
    parts = (("added", added), ("has taken away", gone))
    return "; ".join(f"{verb} {_shortened(names)}" for verb, names in parts if names)


def _listed(names: Iterable[Name]) -> Iterator[str]:
    """Name each thing; what came or went with its table is not named apart."""
    by_kind = defaultdict[str, list[Name]](list)
    for name in sorted(names):
        by_kind[name[0]].append(name)
    tables = {(schema, name) for _, schema, _, name in by_kind["table"]}
    types = {(schema, f"_{name}") for _, schema, _, name in (*by_kind["table"], *by_kind["type"])}
    for kind, found in by_kind.items():
        for _, schema, of, thing in found:
            if kind == "type" and (schema, thing) in types:
                continue  # the arrays of what is named already
            if kind not in _PARTS:
                yield f"{kind} {schema}.{thing}" if schema else f"{kind} {thing}"
            elif (schema, of) not in tables:
                yield f"{kind} {schema}.{of}.{thing}"


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def as_text(holdings: Holdings) -> str:
    """Return holdings as JSON, for the ledger."""
    return json.dumps({
        "tables": [
            [
                oid, t.name, t.filenode, t.rows, t.root, t.is_partitioned, list(t.parents),
                None if t.view is None else sorted(t.view),
            ]
            for oid, t in holdings.tables.items()
        ],
        "columns": [[*key, name] for key, name in holdings.columns.items()],
        "labels": list(holdings.labels.items()),
        "composites": sorted(holdings.composites),
        "enums": list(holdings.enums.items()),
    })  # fmt: skip


def from_text(text: str) -> Holdings:
    """Return the holdings that `as_text` has written."""
    said = json.loads(text)
    return Holdings(
        {
            oid: Table(
                name, filenode, rows, root=root, is_partitioned=is_partitioned,
                parents=tuple(parents), view=None if view is None else frozenset(view),
            )
            for oid, name, filenode, rows, root, is_partitioned, parents, view in said["tables"]
        },
        {(oid, number): name for oid, number, name in said["columns"]},
        dict(said["labels"]),
        frozenset(said["composites"]),
        dict(said["enums"]),
    )  # fmt: skip
