"""What a statement of a schema file creates, and which existing relations it locks or changes.

Names are as in the catalog: (schema, name), with an empty schema if it is left to the search_path.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement
from predeploy.sql.parser.names import Name, name_of
from predeploy.sql.parser.parsing import parse

# The field with the name, for statements that create an object in a schema.
_RANGE_VARS = {
    "create_stmt": "relation",
    "view_stmt": "view",
    "create_seq_stmt": "sequence",
    "composite_type_stmt": "typevar",
}
_NAME_LISTS = {
    "create_enum_stmt": "type_name",
    "create_range_stmt": "type_name",
    "create_domain_stmt": "domainname",
    "create_function_stmt": "funcname",
    "define_stmt": "defnames",
    "create_op_class_stmt": "opclassname",
    "create_op_family_stmt": "opfamilyname",
    "create_conversion_stmt": "conversion_name",
    "create_stats_stmt": "defnames",
}
# The field with the name, for statements that change a relation.
_CHANGED = {
    "alter_table_stmt": "relation",
    "index_stmt": "relation",
    "create_trig_stmt": "relation",
    "rule_stmt": "relation",
    "create_policy_stmt": "table",
    "alter_policy_stmt": "table",
}
_TABLES = (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_FOREIGN_TABLE)
_ON_A_RELATION = (
    pb.OBJECT_TABCONSTRAINT, pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE, pb.OBJECT_COLUMN,
)  # fmt: skip
_RELATIONS = (*_TABLES, pb.OBJECT_SEQUENCE, pb.OBJECT_INDEX)


def made(node: str, stmt: Any) -> Name | None:
    """Return the object that it creates in a schema; None if the object has no schema."""
    if node in _RANGE_VARS:
        return name_of(getattr(stmt, _RANGE_VARS[node]))
    if node == "create_foreign_table_stmt":
        return name_of(stmt.base_stmt.relation)
    if node == "create_table_as_stmt":
        return name_of(stmt.into.rel)
    if node in _NAME_LISTS:
        return _of_names([item.string.sval for item in getattr(stmt, _NAME_LISTS[node])])
    return None


def schema_made(statement: Statement) -> str:
    """Return the schema that a statement creates; empty if it names none."""
    if statement.node != "create_schema_stmt":
        return ""
    return str(parse(statement.text).stmts[0].stmt.create_schema_stmt.schemaname)


def changed(node: str, stmt: Any) -> tuple[Name, ...]:
    """Return the relations that the statement locks or changes besides those it creates."""
    if node in ("create_stmt", "create_foreign_table_stmt"):
        base = stmt if node == "create_stmt" else stmt.base_stmt
        return tuple(name_of(n.range_var) for n in base.inh_relations)
    if node == "create_stats_stmt":
        return tuple(name_of(n.range_var) for n in stmt.relations)
    if node == "alter_table_stmt" and stmt.objtype not in _TABLES:
        return tuple(name for name in (name_of(stmt.relation),) if name[0])
    if node in _CHANGED:
        first = name_of(getattr(stmt, _CHANGED[node]))
        return (first, *_joined(stmt)) if node == "alter_table_stmt" else (first,)
    if node == "alter_seq_stmt" and stmt.sequence.schemaname:
        return (name_of(stmt.sequence),)
    return ()


def described(node: str, stmt: Any) -> Iterator[str]:
    """Yield the schemas, if the statement names them, of objects that it comments or grants on."""
    if node == "comment_stmt":
        yield from _commented(stmt)
    elif node == "grant_stmt":
        for item in stmt.objects:
            yield from _granted(item, stmt)
    elif node == "alter_default_privileges_stmt":
        for option in stmt.options:
            if option.def_elem.defname == "schemas":
                yield from (n.string.sval for n in option.def_elem.arg.list.items)


def referenced(stmt: Any) -> Iterator[tuple[Any, Name]]:
    """Yield each foreign key of a CREATE TABLE or ALTER TABLE with the table it refers to."""
    for constraint in constraints(stmt):
        if constraint.contype == pb.CONSTR_FOREIGN:
            yield constraint, name_of(constraint.pktable)


def constraints(stmt: Any) -> Iterator[Any]:
    """Yield every constraint that a CREATE TABLE or ALTER TABLE writes out."""
    elements = stmt.table_elts if isinstance(stmt, pb.CreateStmt) else _definitions(stmt)
    for element in elements:
        if element.WhichOneof("node") == "constraint":
            yield element.constraint
        elif element.WhichOneof("node") == "column_def":
            yield from (n.constraint for n in element.column_def.constraints)


def _definitions(stmt: Any) -> Iterable[Any]:
    return (getattr(node.alter_table_cmd, "def") for node in stmt.cmds)


def _joined(stmt: Any) -> Iterator[Name]:
    """Yield the tables that an ALTER TABLE attaches or inherits from."""
    for definition in _definitions(stmt):
        match definition.WhichOneof("node"):
            case "partition_cmd":
                yield name_of(definition.partition_cmd.name)
            case "range_var":
                yield name_of(definition.range_var)


def _commented(stmt: Any) -> Iterator[str]:
    item = stmt.object
    kind = item.WhichOneof("node")
    if stmt.objtype == pb.OBJECT_SCHEMA:
        yield item.string.sval
    elif kind == "object_with_args":
        yield _of_names([n.string.sval for n in item.object_with_args.objname])[0]
    elif kind == "type_name":
        yield _of_names([n.string.sval for n in item.type_name.names])[0]
    elif kind == "list" and stmt.objtype in _RELATIONS + _ON_A_RELATION:
        names = [n.string.sval for n in item.list.items]
        yield _of_names(names[:-1] if stmt.objtype in _ON_A_RELATION else names)[0]


def _granted(item: Any, stmt: Any) -> Iterator[str]:
    match item.WhichOneof("node"):
        case "string":
            yield item.string.sval
        case "range_var":
            yield name_of(item.range_var)[0]
        case "object_with_args":
            yield _of_names([n.string.sval for n in item.object_with_args.objname])[0]
        case "list":
            yield _of_names([n.string.sval for n in item.list.items])[0]
        case other:
            raise ValueError(f"a grant on {other} of kind {stmt.objtype}")


def _of_names(parts: list[str]) -> Name:
    return (parts[-2] if len(parts) > 1 else "", parts[-1] if parts else "")
