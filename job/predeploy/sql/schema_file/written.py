"""Reads what schema files contain but no catalog keeps: explicit names, and subjects of grants.

See `predeploy.schema.written` for how it is used.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.schema.facts import Key
from predeploy.schema.kind import Kind
from predeploy.schema.written import ALL, CURRENT_USER, PUBLIC, Naming, Right, Sort, Written
from predeploy.sql.parser.names import Name, name_of
from predeploy.sql.schema_file.piece import Piece
from predeploy.sql.statement.targets import constraints, made

Resolve = Callable[[Name], Name]
Arguments = tuple[str, ...] | None
Made = tuple[Sort, Name, Arguments]
Object = tuple[Name, Arguments]

_TARGETS = {
    pb.OBJECT_TABLE: Sort.RELATION,
    pb.OBJECT_SEQUENCE: Sort.SEQUENCE,
    pb.OBJECT_FUNCTION: Sort.ROUTINE,
    pb.OBJECT_PROCEDURE: Sort.ROUTINE,
    pb.OBJECT_ROUTINE: Sort.ROUTINE,
    pb.OBJECT_TYPE: Sort.TYPE,
    pb.OBJECT_DOMAIN: Sort.TYPE,
    pb.OBJECT_SCHEMA: Sort.SCHEMA,
}
_MADE = {
    **dict.fromkeys(
        ("create_stmt", "view_stmt", "create_table_as_stmt", "create_foreign_table_stmt"),
        Sort.RELATION,
    ),
    "create_function_stmt": Sort.ROUTINE,
    **dict.fromkeys(
        ("create_enum_stmt", "create_range_stmt", "create_domain_stmt", "composite_type_stmt"),
        Sort.TYPE,
    ),
}
_UNQUOTED_ROLES = (pb.ROLESPEC_CURRENT_USER, pb.ROLESPEC_SESSION_USER, pb.ROLESPEC_CURRENT_ROLE)


def read_written(found: Iterable[Piece], relations: set[Name]) -> Written:
    """Return the names and rights in the statements, which must come in the order of the files.

    `relations` are the relations that the statements create.
    """
    names: set[Key] = set()
    rights: set[Naming] = set()
    before: list[Made] = []  # what has been made so far
    coming: list[Naming] = []  # default privileges for objects made later
    for piece in found:
        node, stmt = piece.statement.node, piece.stmt

        def resolve(name: Name, piece: Piece = piece) -> Name:
            return _resolved(name, piece, relations)

        names.update(_names(node, stmt, resolve))
        if node == "grant_stmt":
            rights.update(_granted(stmt, resolve, before))
        elif node == "alter_default_privileges_stmt":
            coming += _by_default(stmt)
        elif (thing := _made(node, stmt, piece)) is not None:
            before.append(thing)
            rights.update(_applied(coming, thing))
    # The sequence of a serial or identity column is created by no statement of its own.
    return Written(frozenset(names), frozenset((*rights, *_without_place(coming))))


def _resolved(name: Name, piece: Piece, relations: set[Name]) -> Name:
    if name[0]:
        return name
    there = (schema for schema in piece.schemas if (schema, name[1]) in relations)
    return (next(there, piece.resolved(name)[0]), name[1])


def _names(node: str, stmt: Any, resolve: Resolve) -> Iterator[Key]:
    """Yield the keys of constraints, indexes and sequences that are named explicitly here."""
    if node == "index_stmt" and stmt.idxname:
        yield (Kind.INDEX.value, *resolve(name_of(stmt.relation)), stmt.idxname)
    elif node == "create_seq_stmt":
        schema, name = resolve(name_of(stmt.sequence))
        yield (Kind.SEQUENCE.value, schema, name, "")
    elif node == "create_domain_stmt":
        domain = resolve(_of_names(stmt.domainname))
        written = (n.constraint.conname for n in stmt.constraints)
        yield from ((Kind.DOMAIN_CONSTRAINT.value, *domain, name) for name in written if name)
    elif node == "alter_domain_stmt" and stmt.subtype == "C":
        name = getattr(stmt, "def").constraint.conname
        if name:
            yield (Kind.DOMAIN_CONSTRAINT.value, *resolve(_of_names(stmt.type_name)), name)
    elif node in ("create_stmt", "alter_table_stmt"):
        table = resolve(name_of(stmt.relation))
        written = (c.conname or c.indexname for c in constraints(stmt))
        yield from ((Kind.CONSTRAINT.value, *table, name) for name in written if name)


def _made(node: str, stmt: Any, piece: Piece) -> Made | None:
    name = made(node, stmt)
    if name is None or node not in _MADE:
        return None
    types = _types(stmt.parameters) if node == "create_function_stmt" else None
    return (_MADE[node], piece.resolved(name), types)


def _granted(stmt: Any, resolve: Resolve, before: Iterable[Made]) -> Iterator[Naming]:
    sort = _TARGETS[stmt.objtype]
    grantees, privileges = _grantees(stmt), _privileges(stmt)
    rights = frozenset(_rights(stmt))
    given = rights if stmt.is_grant else frozenset[Right]()
    # REVOKE GRANT OPTION FOR leaves the privilege itself.
    taken = frozenset[Right]() if stmt.is_grant or stmt.grant_option else rights
    for item in stmt.objects:
        if stmt.targtype == pb.ACL_TARGET_ALL_IN_SCHEMA:
            places = _all_in(item.string.sval, sort, before)
        else:
            places = [_object(item, resolve)]
        for (schema, name), types in places:
            yield Naming(sort, schema, name, grantees, privileges, types, given=given, taken=taken)


def _all_in(schema: str, sort: Sort, before: Iterable[Made]) -> list[Object]:
    """Return the schema's objects created so far; for sequences, all, including later ones."""
    if sort is Sort.SEQUENCE:
        return [((schema, ""), None)]
    return [(name, types) for what, name, types in before if what is sort and name[0] == schema]


def _object(item: Any, resolve: Resolve) -> Object:
    match item.WhichOneof("node"):
        case "string":
            return ("", item.string.sval), None
        case "range_var":
            return resolve(name_of(item.range_var)), None
        case "list":
            return resolve(_of_names(item.list.items)), None
        case _:
            routine = item.object_with_args
            types = None if routine.args_unspecified else _types_of(routine)
            return resolve(_of_names(routine.objname)), types


def _by_default(stmt: Any) -> Iterator[Naming]:
    """Yield the default privileges that a statement sets for objects created later."""
    action = stmt.action
    options = {option.def_elem.defname: option.def_elem.arg.list.items for option in stmt.options}
    roles = [_role(item.role_spec) for item in options.get("roles", ())] or [""]
    schemas = [item.string.sval for item in options.get("schemas", ())] or [""]
    sort = _TARGETS.get(action.objtype)
    if sort is None:  # large objects, which no schema file can create
        return
    for role in roles:
        for schema in schemas:
            yield Naming(
                sort, schema, "", _grantees(action), _privileges(action), role=role, is_default=True
            )


def _applied(coming: Iterable[Naming], thing: Made) -> Iterator[Naming]:
    sort, (schema, name), types = thing
    for default in coming:
        if default.sort is sort and default.schema in ("", schema):
            yield Naming(
                sort, schema, name, default.grantees, default.privileges, types, default.role
            )


def _without_place(coming: Iterable[Naming]) -> Iterator[Naming]:
    """Yield the defaults themselves, and what they grant on sequences, created before or after."""
    for default in coming:
        yield default
        if default.sort is Sort.SEQUENCE:
            yield Naming(
                Sort.SEQUENCE, default.schema, "", default.grantees, default.privileges,
                role=default.role,
            )  # fmt: skip


def _grantees(stmt: Any) -> frozenset[str]:
    return frozenset(_role(item.role_spec) for item in stmt.grantees)


def _role(spec: Any) -> str:
    if spec.roletype == pb.ROLESPEC_PUBLIC:
        return PUBLIC
    return CURRENT_USER if spec.roletype in _UNQUOTED_ROLES else str(spec.rolename)


def _privileges(stmt: Any) -> frozenset[str]:
    return frozenset(item.access_priv.priv_name.upper() for item in stmt.privileges)


def _rights(stmt: Any) -> Iterator[Right]:
    if not stmt.privileges:
        yield ALL, ""
    for item in stmt.privileges:
        privilege = item.access_priv.priv_name.upper() or ALL
        columns = [column.string.sval for column in item.access_priv.cols]
        yield from ((privilege, column) for column in columns or [""])


def _types_of(routine: Any) -> Arguments:
    """Return the types that distinguish a routine from its overloads: those of its inputs."""
    if routine.objfuncargs:
        return _types(routine.objfuncargs)
    return tuple(_type(item.type_name) for item in routine.objargs)


def _types(parameters: Iterable[Any]) -> Arguments:
    given = [item.function_parameter for item in parameters]
    if any(parameter.arg_type.pct_type for parameter in given):
        return None  # %TYPE, which only the server can resolve
    outward = (pb.FUNC_PARAM_OUT, pb.FUNC_PARAM_TABLE)
    return tuple(_type(p.arg_type) for p in given if p.mode not in outward)


def _type(type_name: Any) -> str:
    name = str(type_name.names[-1].string.sval)
    return f"{name}[]" if type_name.array_bounds else name


def _of_names(items: Iterable[Any]) -> Name:
    parts = [item.string.sval for item in items]
    return (parts[-2] if len(parts) > 1 else "", parts[-1] if parts else "")
