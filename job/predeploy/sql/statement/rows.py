"""Which sequences the new rows of a table draw from, as far as the text shows."""

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Rows, Statement
from predeploy.sql.parser.names import SERIALS, Name
from predeploy.sql.parser.parsing import node_of
from predeploy.sql.parser.tree import below

# Built-in types and functions that neither draw from a sequence nor run text that could.
_TYPES = frozenset((
    "bool", "boolean", "int2", "int4", "int8", "smallint", "int", "integer", "bigint", "numeric",
    "decimal", "real", "float4", "float8", "money", "text", "varchar", "bpchar", "char", "name",
    "bytea", "bit", "varbit", "date", "time", "timetz", "timestamp", "timestamptz", "interval",
    "uuid", "json", "jsonb", "jsonpath", "xml", "inet", "cidr", "macaddr", "macaddr8", "tsvector",
    "tsquery", "point", "line", "lseg", "box", "path", "polygon", "circle", "int4range",
    "int8range", "numrange", "tsrange", "tstzrange", "daterange", "oid",
))  # fmt: skip
_FUNCTIONS = frozenset((
    "now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timezone",
    "date_trunc", "date_part", "extract", "to_timestamp", "make_date", "make_interval", "age",
    "gen_random_uuid", "uuidv4", "uuidv7", "random", "md5", "lower", "upper", "initcap", "length",
    "char_length", "octet_length", "btrim", "ltrim", "rtrim", "substring", "replace", "repeat",
    "concat", "concat_ws", "format", "left", "right", "lpad", "rpad", "abs", "round", "floor",
    "ceil", "mod", "power", "encode", "decode", "chr", "ascii", "position", "strpos",
    "jsonb_build_object", "jsonb_build_array", "json_build_object", "json_build_array",
    "jsonb_typeof", "to_jsonb", "array_length", "cardinality", "generate_series", "unnest",
    "to_tsvector", "count", "min", "max", "sum", "row_number",
))  # fmt: skip
_NAME = r'(?:"(?:[^"]|"")+"|[a-z_][\w$]*)'
_RELATION = rf"(?:(?P<schema>{_NAME})\s*\.\s*)?(?P<name>{_NAME})"
_CONSTANT = (
    r"'(?:[^']|'')*'|[\d.]+|null\b|true\b|false\b|default\b|current_(?:date|timestamp)\b"
    r"|(?:now|gen_random_uuid)\s*\(\s*\)"
)
# The usual data of a migration, recognized without the far slower parser.
_ROWS_OF_CONSTANTS = re.compile(
    rf"insert\s+into\s+{_RELATION}\s*(?:\([^()]*\)\s*)?"
    rf"(?:default\s+values|values(?:[\s(),+-]|{_CONSTANT})*)(?:on\s+conflict\s+do\s+nothing)?\s*",
    re.IGNORECASE | re.ASCII,
)
_ADDS_CONSTRAINT = re.compile(
    rf"alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?{_RELATION}\s+add\s+"
    rf"(?:constraint\s+{_NAME}\s+)?(?:check|unique|primary|foreign)\b"
    r"(?!.*\b(?:add|alter|attach|inherit|enable)\b)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_CALL = re.compile(rf"({_NAME})\s*\(", re.IGNORECASE | re.ASCII)
# Words before a parenthesis that do not call a function.
_NO_CALLS = frozenset((
    "check", "unique", "key", "include", "in", "and", "or", "not", "where", "any", "references",
    "btree", "hash", "gin", "gist", "brin", "coalesce", "nullif",
))  # fmt: skip


def rows_of(node: str, stmt: Any) -> Rows | None:
    """Return which sequences the rows of a table draw from, for a CREATE TABLE.

    None for other statements, and if the rows may draw from a sequence that is not the table's own:
    by a default, a domain, a function, or what is inherited or copied from another table.
    """
    if node != "create_stmt" or stmt.inh_relations:
        return None
    if any(stmt.HasField(field) for field in ("partbound", "partspec", "of_typename")):
        return None
    found = Rows.PLAIN
    constraints: list[Any] = []
    for element in stmt.table_elts:
        match element.WhichOneof("node"):
            case "column_def":
                column = element.column_def
                names = [name.string.sval for name in column.type_name.names]
                if names[-1] in SERIALS:
                    found = Rows.NUMBERED
                elif not _is_known(names, _TYPES):
                    return None
                constraints += (each.constraint for each in column.constraints)
            case "constraint":
                constraints.append(element.constraint)
            case _:
                return None
    if any(constraint.contype == pb.CONSTR_IDENTITY for constraint in constraints):
        found = Rows.NUMBERED
    expressions = (each.raw_expr for each in constraints if each.HasField("raw_expr"))
    return found if _is_closed(below(*expressions)) else None


def keeps_rows_alike(statement: Statement) -> bool:
    """Whether rows draw from the same sequences after an ALTER TABLE or CREATE INDEX as before."""
    text = statement.text
    if statement.node == "alter_table_stmt":
        constraint = _ADDS_CONSTRAINT.match(text)
        if constraint is None:
            return False
        calls = _CALL.findall(text, constraint.end())
    else:
        calls = _CALL.findall(text, text.find("("))
    return all(name.lower() in _FUNCTIONS or name.lower() in _NO_CALLS for name in calls)


def filled(statement: Statement) -> frozenset[Name] | None:
    """Return the tables that an INSERT, or a COPY with its data in the file, reads and fills.

    None if it may draw from sequences that do not belong to those tables.
    """
    if plain := _ROWS_OF_CONSTANTS.fullmatch(statement.text):
        return frozenset([(_folded(plain["schema"] or ""), _folded(plain["name"]))])
    stmt = node_of(statement)
    if statement.node == "copy_stmt":
        name = (stmt.relation.schemaname, stmt.relation.relname)
        return frozenset([name]) if statement.data is not None else None
    nodes = list(below(stmt))
    if stmt.on_conflict_clause.action == pb.ONCONFLICT_UPDATE or not _is_closed(nodes):
        return None
    return frozenset((n.schemaname, n.relname) for n in nodes if isinstance(n, pb.RangeVar))


def _is_closed(nodes: Iterable[Any]) -> bool:
    """Whether these nodes name only built-in functions and types that are known."""
    return all(
        _is_known([name.string.sval for name in node.funcname], _FUNCTIONS)
        if isinstance(node, pb.FuncCall)
        else _is_known([name.string.sval for name in node.names], _TYPES)
        for node in nodes
        if isinstance(node, pb.FuncCall | pb.TypeName)
    )


def _is_known(names: list[str], known: AbstractSet[str]) -> bool:
    *schema, name = names
    return name in known and schema in ([], ["pg_catalog"])


def _folded(name: str) -> str:
    """Return a name of the text as in the catalog."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
