"""Columns of views: they change with the view, and only a default is their own."""

from predeploy.schema.ddl import Outcome, Phase, change, drift
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import extra_default, instead, set_default
from predeploy.schema.kinds.programs.views import is_replaceable
from predeploy.schema.schema_pair import SchemaPair

_OF_A_VIEW = ("type", "collation")


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Leave it to the view's own fact, except for its default and if only the column differs."""
    view = (desired.schema, desired.relation)
    is_same = all(
        pair.desired.get(kind, *view) == pair.live.get(kind, *view)
        for kind in (Kind.VIEW, Kind.MATERIALIZED_VIEW)
    )
    differing = [name for name in _OF_A_VIEW if live and desired.get(name) != live.get(name)]
    if live is not None and differing and is_same:
        yield drift(
            desired,
            live,
            f"view-column-{differing[0]}",
            instead(desired, live, differing),
            "change what the view selects from in a migration",
            names=differing,
        )
    if not desired.get("default"):
        if live is not None and live.get("default") and is_same:
            yield extra_default(live)
    elif (live is None or desired.get("default") != live.get("default")) and _will_be(
        desired, live, pair
    ):
        yield change(desired, Phase.TOGETHER, set_default(desired))


def _will_be(column: Fact, live: Fact | None, pair: SchemaPair) -> bool:
    """Whether a view's column exists once the view has been created or replaced."""
    view = (Kind.VIEW, column.schema, column.relation)
    wanted, there = pair.desired.get(*view), pair.live.get(*view)
    if there is None or wanted is None:
        return pair.is_new(column)
    return live is not None or is_replaceable(wanted, there)
