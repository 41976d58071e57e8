"""Reads drifted objects as facts, so that `[accept]` uses the same terms as for `schema.sql`.

A migration finds a drift by comparison with a probe; these facts play no part in that.
"""

from collections.abc import Iterable
from dataclasses import replace

from psycopg import pq

from predeploy.contract.plan import ABSENT, Drift
from predeploy.contract.quoting import literal
from predeploy.database.server import wire
from predeploy.database.server.rows import Row
from predeploy.database.server.transaction import settings_sql
from predeploy.database.server.wire import Connection
from predeploy.schema.described import described
from predeploy.schema.facts import parse_facts
from predeploy.schema.kind import Kind
from predeploy.schema.kinds import KINDS, READ_WITH, gathered

_SAVEPOINT = "predeploy_described"
_RELATIONS = (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW, Kind.SEQUENCE)
# By a migration's word for it: the possible kinds of facts, and the prefixes of their keys.
_MAY_BE: dict[str, tuple[tuple[Kind, ...], tuple[str, ...]]] = {
    "relation": (_RELATIONS, tuple(kind.value for kind in _RELATIONS)),
    "partition": (_RELATIONS, tuple(kind.value for kind in _RELATIONS)),
    "column": ((Kind.COLUMN,), ("column",)),
    "constraint": ((Kind.CONSTRAINT,), ("constraint",)),
    "index": ((Kind.INDEX,), ("index",)),
    "sequence": ((Kind.SEQUENCE,), ("sequence",)),
    "type": ((Kind.ENUM, Kind.DOMAIN, Kind.COMPOSITE, Kind.RANGE), ("type",)),
}


def named(conn: Connection, drifts: Iterable[Drift]) -> tuple[Drift, ...]:
    """Return the drifts with the key and shape of the live object, if that is a fact.

    Runs in the open transaction, which it leaves unchanged, or else in a transaction of its own.
    """
    found = tuple(drifts)
    there = [d for d in found if d.live != ABSENT and d.kind in _MAY_BE]
    if not there:
        return found
    shapes = dict(described(fact) for fact in parse_facts(_read(conn, there)))
    return tuple(_named(drift, shapes) for drift in found)


def _named(drift: Drift, shapes: dict[str, str]) -> Drift:
    _, words = _MAY_BE.get(drift.kind, ((), ()))
    keys = [f"{word} {drift.name}" for word in words] if drift.live != ABSENT else []
    key = next((key for key in keys if key in shapes), "")
    return replace(drift, key=key, shape=shapes[key]) if key else drift


def _read(conn: Connection, drifts: Iterable[Drift]) -> list[Row]:
    names = ", ".join(sorted({literal(drift.name) for drift in drifts}))
    kinds = {kind: None for drift in drifts for kind in _MAY_BE[drift.kind][0]}
    path = "concat_ws('.', q.schema, nullif(q.relation, ''), nullif(q.name, ''))"
    condition = f"({path} in ({names}) or concat_ws('.', q.schema, q.name) in ({names}))"
    is_idle = conn.pgconn.transaction_status == pq.TransactionStatus.IDLE
    # Rolled back, so that the settings for reading facts do not stay in effect.
    if is_idle:
        begin, end = "begin", ["rollback"]
    else:
        begin = f"savepoint {_SAVEPOINT}"
        end = [f"rollback to savepoint {_SAVEPOINT}", f"release savepoint {_SAVEPOINT}"]
    query = gathered((KINDS[kind] for kind in kinds), condition)
    (rows,) = wire.ask_all(conn, [query], opening=[begin, settings_sql(READ_WITH)], closing=end)
    return rows
