"""The columns whose type a statement changes, and what its text says about their values."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.quoting import identifier
from predeploy.contract.statement import Statement
from predeploy.sql.outcome.story import NamedObject, Renamed, events
from predeploy.sql.parser.parsing import commands_of, node_of

_TEXTS = ('"text"', '"pg_catalog"."text"', '"pg_catalog"."varchar"', '"varchar"')
_THROUGH_TEXT = [[(text + end, ())] for text in _TEXTS for end in ("", "[]")]
_RENAMING = ("rename_stmt", "alter_object_schema_stmt")


@dataclass(frozen=True, slots=True)
class Conversion:
    """A column whose type changes. Names are as in the catalog; `schema` may be empty.

    `type_sql` is the new type without its modifiers, such as `"pg_catalog"."varchar"`; those are in
    `modifiers`. `is_plain` is set if the values are only cast to the new type: there is no USING,
    or it is just that cast. `is_by_text` is set if they are cast to text first, as tools do to
    convert one enum to another. `makes_enum` is set if the step itself creates the new type as an
    enum.
    """

    schema: str
    table: str
    column: str
    type_sql: str
    modifiers: tuple[int, ...] = ()
    is_plain: bool = True
    is_by_text: bool = False
    makes_enum: bool = False

    @property
    def type_name(self) -> str:
        """The new type's name as in the catalog, without schema; for an array, its element's."""
        return _last(self.type_sql)[1:-1].replace('""', '"')

    @property
    def is_array(self) -> bool:
        """Whether the new type is an array."""
        return self.type_sql.endswith("[]")


def conversions(statements: Iterable[Statement]) -> tuple[Conversion, ...]:
    """Return the column type changes of a step, by the names that were valid before the step."""
    names = _Names()
    enums: set[str] = set()
    found = []
    for statement in statements:
        if statement.node in _RENAMING:
            names.follow(statement)
        elif statement.node == "create_enum_stmt":
            enums.add(identifier(node_of(statement).type_name[-1].string.sval))
        else:
            found += [names.before(conversion) for conversion in _in(statement)]
    return tuple(replace(c, makes_enum=_last(c.type_sql) in enums) for c in found)


class _Names:
    """Maps table and column names to those from before the renames seen so far."""

    def __init__(self) -> None:
        self._tables: dict[str, str] = {}
        self._moved: set[str] = set()
        self._columns: dict[tuple[str, str], str] = {}

    def follow(self, statement: Statement) -> None:
        for event in events(statement.node, node_of(statement)):
            if not isinstance(event, Renamed):
                continue
            old, new = event.old, event.new
            if old.kind == "column":
                before = self._columns.pop((old.of, old.name), old.name)
                self._columns[old.of, new.name] = before
            elif old.kind == "table":
                self._rename(old, new)

    def before(self, conversion: Conversion) -> Conversion:
        table, column = conversion.table, conversion.column
        return replace(
            conversion,
            schema="" if table in self._moved else conversion.schema,
            table=self._tables.get(table, table),
            column=self._columns.get((table, column), column),
        )

    def _rename(self, old: NamedObject, new: NamedObject) -> None:
        self._tables[new.name] = self._tables.pop(old.name, old.name)
        # A name alone no longer says which schema the table was in before the step.
        if old.schema != new.schema or old.name in self._moved:
            self._moved.add(new.name)
        for table, column in [key for key in self._columns if key[0] == old.name]:
            self._columns[new.name, column] = self._columns.pop((table, column))


def _in(statement: Statement) -> tuple[Conversion, ...]:
    # The text is searched first because parsing takes far longer.
    if statement.node != "alter_table_stmt" or "type" not in statement.text.lower():
        return ()
    stmt = node_of(statement)
    if stmt.objtype != pb.OBJECT_TABLE:
        return ()
    commands = commands_of(stmt)
    return tuple(_of(stmt.relation, c) for c in commands if c.subtype == pb.AT_AlterColumnType)


def _of(relation: Any, command: Any) -> Conversion:
    definition = getattr(command, "def").column_def
    name = definition.type_name
    new = (_type_sql(name), _modifiers(name))
    casts = _casts(definition.raw_default, command.name)
    is_using = definition.HasField("raw_default")
    return Conversion(
        relation.schemaname, relation.relname, command.name, *new,
        is_plain=not is_using or casts in ([], [new]),
        is_by_text=casts is not None and casts[:1] == [new] and casts[1:] in _THROUGH_TEXT,
    )  # fmt: skip


def _casts(using: Any, column: str) -> list[tuple[str, tuple[int, ...]]] | None:
    """Return the casts that USING applies to the column, last cast first; None if it does more."""
    casts = []
    while using.WhichOneof("node") == "type_cast":
        name = using.type_cast.type_name
        casts.append((_type_sql(name), _modifiers(name)))
        using = using.type_cast.arg
    is_column = using.WhichOneof("node") == "column_ref" and _names(using, column)
    return casts if is_column else None


def _last(type_sql: str) -> str:
    """Return a type's name without its schema; for an array, its element type's."""
    name = type_sql.removesuffix("[]")
    return name[name.index('"."') + 2 :] if '"."' in name else name


def _names(node: Any, column: str) -> bool:
    return bool(node.column_ref.fields[-1].string.sval == column)


def _type_sql(name: Any) -> str:
    is_array = bool(name.array_bounds)
    return identifier(*(part.string.sval for part in name.names)) + ("[]" if is_array else "")


def _modifiers(name: Any) -> tuple[int, ...]:
    return tuple(node.a_const.ival.ival for node in name.typmods)
