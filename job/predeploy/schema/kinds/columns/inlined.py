"""A new table's columns: what CREATE TABLE contains of them, and what is made after it."""

from predeploy.schema.facts import Fact, Key
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import with_not_null_name
from predeploy.schema.needs import Needs
from predeploy.schema.schema_pair import SchemaPair


def inlined(table: Fact, pair: SchemaPair) -> tuple[Fact, ...]:
    """Return a new table's columns in order, in the form that CREATE TABLE can contain."""
    columns = pair.desired.on((table.schema, table.relation), Kind.COLUMN)
    own_columns = (column for column in columns if not column.get("inherited"))
    return tuple(
        with_not_null_name(_without_default(c) if default_waits(c, table, pair) else c, pair)
        for c in sorted(own_columns, key=lambda column: column.position)
        if not type_waits(c, table, pair)
    )


def _without_default(column: Fact) -> Fact:
    kept = tuple(item for item in column.attributes if item[0] != "default")
    return Fact(column.kind, column.schema, column.relation, column.name, kept, column.order)


def type_waits(column: Fact, table: Fact, pair: SchemaPair) -> bool:
    """Whether the column is added after its table, because its type needs the table.

    So does a generated column, whose expression cannot be set later.
    """
    named = f"{column.get('type')} {column.get('collation')}"
    circular = _circular(column, table, pair)
    # A match within another name makes the column wait without need, which does no harm.
    is_of_type = any((key[3] or key[2]) in named for key in circular)
    return is_of_type or (bool(circular) and bool(column.get("generated")))


def default_waits(column: Fact, table: Fact, pair: SchemaPair) -> bool:
    """Whether the default is set after the table was created, because it needs the table."""
    return bool(column.get("default")) and bool(_circular(column, table, pair))


def _circular(column: Fact, table: Fact, pair: SchemaPair) -> tuple[Key, ...]:
    """Return what a new table's column needs that itself needs the table."""
    others = (key for key in column.needs if key[1:3] != table.key[1:3])
    return tuple(key for key in others if Needs(pair).leads_to(table.key, [key]))
