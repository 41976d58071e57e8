"""The number of locks that a transaction holds once it has made what schema files declare.

Measured on 15 and 18: one for each relation, and one for each type, constraint or other object that
gets a dependency. An object counts once, whatever the number of its lock modes.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.names import SERIALS, Name
from predeploy.sql.schema_file.piece import Piece

_TABLE = 2  # the table and its row type
_TOAST = 2  # its TOAST table, and the index of that
_KEY = 2  # the index and the constraint
_EXTENSION = 100  # an estimate: its members are unknown
_OF_OTHERS = {
    "index_stmt": 1,
    "view_stmt": 2,
    "create_table_as_stmt": 4,
    "composite_type_stmt": 2,
    "create_policy_stmt": 0,
    "rule_stmt": 0,
    "grant_stmt": 0,
    "create_extension_stmt": _EXTENSION,
}
_ON_TABLES = ("create_stmt", "alter_table_stmt", "index_stmt")
_KEYS = (pb.CONSTR_PRIMARY, pb.CONSTR_UNIQUE, pb.CONSTR_EXCLUSION)
# Types of fixed length, or too short to need a TOAST table.
_SHORT = SERIALS | {
    "bool", "int2", "int4", "int8", "float4", "float8", "money", "date", "time", "timetz",
    "timestamp", "timestamptz", "interval", "uuid", "oid", "name", "macaddr", "macaddr8",
}  # fmt: skip


def lock_count(pieces: Iterable[Piece]) -> int:
    """Return how many locks these statements take, in order.

    A partition, a child or a table made LIKE another also gets the indexes of its parents.
    """
    indexes: defaultdict[Name, int] = defaultdict(int)
    children: defaultdict[Name, int] = defaultdict(int)
    count = 0
    for piece in pieces:
        node, stmt = piece.statement.node, piece.stmt
        table = piece.resolved(_of(stmt)) if node in _ON_TABLES else ("", "")
        match node:
            case "create_stmt":
                parents = [_name(n.range_var, table) for n in stmt.inh_relations]
                parents += [
                    _name(n.table_like_clause.relation, table)
                    for n in stmt.table_elts
                    if n.WhichOneof("node") == "table_like_clause"
                ]
                for parent in parents:
                    children[parent] += 1
                    count += _KEY * indexes[parent]
                constraints = list(_constraints(stmt.table_elts))
                indexes[table] += _count_of(constraints, _KEYS)
                count += _TABLE + _parts(stmt.table_elts)
                count += _TOAST if parents or _has_long_values(stmt.table_elts) else 0
            case "alter_table_stmt":
                elements = [getattr(n.alter_table_cmd, "def") for n in stmt.cmds]
                keys = _count_of(_constraints(elements), _KEYS)
                count += _parts(elements) + keys * _KEY * children[table]
                indexes[table] += keys
            case "index_stmt":
                count += _OF_OTHERS[node] * (1 + children[table])
                indexes[table] += 1
            case _:
                count += _OF_OTHERS.get(node, 1)
    return count


def _parts(elements: Iterable[Any]) -> int:
    """Count the locks of the constraints and sequences among a table's elements."""
    found = list(elements)
    constraints = list(_constraints(found))
    keys, others = _count_of(constraints, _KEYS), _count_of(constraints, (pb.CONSTR_FOREIGN,))
    identities = _count_of(constraints, (pb.CONSTR_IDENTITY,))
    return _KEY * keys + others + identities + sum(name in SERIALS for name in _types(found))


def _constraints(elements: Iterable[Any]) -> Iterable[Any]:
    for element in elements:
        match element.WhichOneof("node"):
            case "column_def":
                yield from (each.constraint for each in element.column_def.constraints)
            case "constraint":
                yield element.constraint


def _count_of(constraints: Iterable[Any], kinds: tuple[int, ...]) -> int:
    return sum(constraint.contype in kinds for constraint in constraints)


def _types(elements: Iterable[Any]) -> Iterable[str]:
    for element in elements:
        if element.WhichOneof("node") == "column_def":
            kind = element.column_def.type_name
            # A column of a table OF a type gets its type from there.
            name = kind.names[-1].string.sval if kind.names else ""
            yield "array" if kind.array_bounds else name


def _has_long_values(elements: Iterable[Any]) -> bool:
    return any(name not in _SHORT for name in _types(elements))


def _of(stmt: Any) -> Name:
    return (stmt.relation.schemaname, stmt.relation.relname)


def _name(relation: Any, beside: Name) -> Name:
    return (relation.schemaname or beside[0], relation.relname)
