"""Inherited columns, which change with a parent's, and the little that they can have alone.

A partition's defaults and NOT NULL can differ from its parent's; but a new default of a parent
applies to all its children. https://www.postgresql.org/docs/current/ddl-partitioning.html
"""

from collections.abc import Iterator

from predeploy.schema.ddl import Change, Outcome, Phase, change
from predeploy.schema.facts import FLAG, Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import (
    add_not_null,
    alter_column,
    extra_default,
    extra_not_null,
    set_default,
    set_not_null,
)
from predeploy.schema.schema_pair import SchemaPair, parents


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Set the column's own default and NOT NULL, after those of its parents."""
    ancestors = tuple(_ancestors(desired, pair))
    if not ancestors:
        return
    parent = ancestors[0]
    comes = _is_below(desired, pair) and any(_gets_default(a, pair) for a in ancestors)
    if desired.get("default") != (parent if comes or live is None else live).get("default"):
        yield from _default(desired, live, pair)
    if desired.get("not null") == FLAG != parent.get("not null"):
        if live is None:
            set_it = add_not_null(desired, pair)
            yield change(desired, Phase.TOGETHER, set_it, needs=(a.key for a in ancestors))
        elif live.get("not null") != FLAG:
            yield set_not_null(desired, live, pair)
    elif live is not None and live.get("not null") and not desired.get("not null"):
        yield extra_not_null(live, pair)


def restored(parent: Fact, pair: SchemaPair) -> Iterator[Change]:
    """Restore the children's own defaults when the parent gets a default."""
    for table in pair.desired.below((parent.schema, parent.relation)):
        heir = pair.desired.get(Kind.COLUMN, table.schema, table.relation, parent.name)
        if heir is None or not heir.get("inherited"):
            continue
        is_as_declared = pair.live.facts.get(heir.key) == heir
        if is_as_declared and heir.get("default") != parent.get("default"):
            yield _own_default(heir, pair)
        yield from restored(heir, pair)


def _is_below(column: Fact, pair: SchemaPair) -> bool:
    """Whether a live column's table is still its parent's child, not one that was detached."""
    place = (Kind.TABLE, column.schema, column.relation)
    live, desired = pair.live.get(*place), pair.desired.get(*place)
    return live is not None and desired is not None and parents(live) == parents(desired)


def _gets_default(column: Fact, pair: SchemaPair) -> bool:
    there, default = pair.live.facts.get(column.key), column.get("default")
    return there is None or (bool(default) and default != there.get("default"))


def _default(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    if live is not None and live.get("default") and not desired.get("default"):
        yield extra_default(live)
    else:
        yield _own_default(desired, pair)


def _own_default(column: Fact, pair: SchemaPair) -> Change:
    drop = f"{alter_column(column)} DROP DEFAULT"
    statement = set_default(column) if column.get("default") else drop
    above = (ancestor.key for ancestor in _ancestors(column, pair))
    return change(column, Phase.TOGETHER, statement, needs=above)


def _ancestors(column: Fact, pair: SchemaPair) -> Iterator[Fact]:
    """Yield the desired columns that it is inherited from, the nearest first."""
    table = pair.desired.get(Kind.TABLE, column.schema, column.relation)
    for parent in parents(table) if table is not None else ():
        above = pair.desired.get(Kind.COLUMN, *parent, column.name)
        if above is not None:
            yield above
            yield from _ancestors(above, pair)
            return
