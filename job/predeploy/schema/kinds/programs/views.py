"""Views and materialized views."""

import json
from collections.abc import Container, Iterable
from dataclasses import replace

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import Outcome, Phase, change, drift, relation
from predeploy.schema.entry import OWN_RELATION, Entry, attributes, flag, order
from predeploy.schema.facts import FLAG, Fact, Key
from predeploy.schema.kind import Kind
from predeploy.schema.needs import Needs
from predeploy.schema.schema_pair import SchemaPair


def plan_view(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it, or replace it if it keeps its existing columns.

    A placeholder comes first if something that the view needs uses the view's row type.
    """
    if live is not None and not is_replaceable(desired, live):
        yield drift(
            desired,
            live,
            "view-columns",
            "a replaced view has to keep its columns, their order and their types",
            "drop it and create it anew, in a migration",
        )
        return
    circular = _circular(desired, pair)
    if circular:
        yield change(desired, Phase.TOGETHER, _create(desired, _of_nothing(desired, pair)))
    created = _create(desired, desired.get("definition"))
    yield change(desired, Phase.TOGETHER, created, needs=circular)


def _circular(view: Fact, pair: SchemaPair) -> tuple[Key, ...]:
    """Return what the view needs, if some of that needs the view itself."""
    others = tuple(key for key in view.needs if key[1:3] != view.key[1:3])
    return others if Needs(pair).leads_to(view.key, others) else ()


def _create(view: Fact, query: str) -> str:
    return f"CREATE OR REPLACE VIEW {relation(view)}{_options(view)} AS\n{query}"


def _of_nothing(view: Fact, pair: SchemaPair) -> str:
    """Return a query of no table with a view's columns, so that their types can be used."""
    columns = pair.desired.on((view.schema, view.relation), Kind.COLUMN)
    texts = (
        f"NULL::{column.get('type')}{' COLLATE ' * bool(column.get('collation'))}"
        f"{column.get('collation')} AS {identifier(column.name)}"
        for column in sorted(columns, key=lambda column: column.position)
    )
    return f"SELECT {', '.join(texts)}"


def is_replaceable(desired: Fact, live: Fact) -> bool:
    """Whether it keeps the columns of the live view, and at most appends to them."""
    wanted, found = (json.loads(fact.get("columns") or "[]") for fact in (desired, live))
    return bool(wanted[: len(found)] == found)


def plan_materialized_view(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it empty and fill it afterwards; only report one with another definition."""
    refresh = f"REFRESH MATERIALIZED VIEW {relation(desired)}"
    if live is None:
        yield change(
            desired,
            Phase.TOGETHER,
            f"CREATE MATERIALIZED VIEW {relation(desired)}{_options(desired)} AS\n"
            f"{desired.get('definition')}\nWITH NO DATA",
        )
    elif _shape(desired) != _shape(live):
        yield drift(
            desired,
            live,
            "materialized-view-differs",
            live.get("definition"),
            "drop it and create it anew, in a migration; nothing replaces it",
        )
        return
    if desired.get("populated") and (live is None or not live.get("populated")):
        yield change(desired, Phase.ONLINE, refresh)


def filled(facts: Iterable[Fact], names: Container[tuple[str, str]]) -> frozenset[Fact]:
    """Return the facts with the materialized views that are declared WITH DATA as populated.

    A shadow creates them without data, because their queries may take long.
    """
    populated = ("populated", FLAG)
    return frozenset(
        replace(fact, attributes=(*fact.attributes, populated))
        if fact.kind == Kind.MATERIALIZED_VIEW.value and (fact.schema, fact.relation) in names
        else fact
        for fact in facts
    )


def _shape(view: Fact) -> tuple[tuple[str, str], ...]:
    return tuple(item for item in view.attributes if item[0] != "populated")


def _options(view: Fact) -> str:
    options = ", ".join(view.listed("options"))
    return f" WITH ({options})" if options else ""


# A view's _RETURN rule keeps the OID from the view's creation, even after a replacement.
_COLUMNS = """(select pg_catalog.json_agg(pg_catalog.json_build_array(
        a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)) order by a.attnum)
    from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0)::text"""


def _query(relkind: str, populated: str) -> str:
    return f"""select n.nspname, c.relname, '', {
        attributes(
            definition="pg_catalog.rtrim(pg_catalog.pg_get_viewdef(c.oid), ';')",
            columns=_COLUMNS,
            options="pg_catalog.to_json(c.reloptions)::text",
            populated=populated,
        )
    }, {order("r.oid")}
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
        where c.relkind = '{relkind}'"""


VIEW = Entry(Kind.VIEW, _query("v", "null"), plan_view, own=OWN_RELATION)
MATERIALIZED_VIEW = Entry(
    Kind.MATERIALIZED_VIEW,
    _query("m", flag("c.relispopulated")),
    plan_materialized_view,
    own=OWN_RELATION,
)
