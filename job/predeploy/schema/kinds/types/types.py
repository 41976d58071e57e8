"""Types: enums, domains and their constraints, composite types, ranges."""

import json
from collections.abc import Iterator

from predeploy.contract.quoting import identifier, literal
from predeploy.schema.ddl import (
    Outcome,
    Phase,
    change,
    create_only,
    drift,
    qualified,
    relation,
    warning,
)
from predeploy.schema.entry import Entry, attributes, flag, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import printed
from predeploy.schema.schema_pair import SchemaPair


def plan_enum(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it, or add missing labels before anything uses them."""
    wanted = desired.listed("labels")
    if live is None:
        labels = ", ".join(literal(label) for label in wanted)
        yield change(
            desired, Phase.TOGETHER, f"CREATE TYPE {qualified(desired)} AS ENUM ({labels})"
        )
        return
    found = live.listed("labels")
    # The labels that both sides have must be in the same order.
    if [label for label in wanted if label in found] != [x for x in found if x in wanted]:
        yield drift(
            desired,
            live,
            "enum-order",
            f"the labels stand in the order {', '.join(found)}",
            "declare that order; PostgreSQL cannot move a label",
        )
        return
    extra = [label for label in found if label not in wanted]
    if extra:
        yield warning(
            live,
            "enum-label-extra",
            f"{live.label} has labels that are not declared: {', '.join(extra)}",
            "declare them; PostgreSQL cannot remove a label",
        )
    statements = tuple(_add_labels(desired, wanted, found))
    if statements:
        yield change(desired, Phase.BEFORE, *statements)


def _add_labels(enum: Fact, wanted: tuple[str, ...], found: tuple[str, ...]) -> Iterator[str]:
    there = set(found)
    for i, label in enumerate(wanted):
        if label in there:
            continue
        following = next((other for other in wanted[i:] if other in there), None)
        place = ""
        if i:
            place = f" AFTER {literal(wanted[i - 1])}"
        elif following is not None:
            place = f" BEFORE {literal(following)}"
        there.add(label)
        yield (f"ALTER TYPE {qualified(enum)} ADD VALUE IF NOT EXISTS {literal(label)}{place}")


def plan_domain(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it; for a live one, set its default and report other differences."""
    if live is None:
        parts = [f"CREATE DOMAIN {qualified(desired)} AS {desired.get('type')}"]
        for name, words in (("collation", "COLLATE"), ("default", "DEFAULT")):
            parts += [f"{words} {desired.get(name)}"] if desired.get(name) else []
        parts += [_not_null(desired, pair)] if desired.get("not null") else []
        yield change(desired, Phase.TOGETHER, " ".join(parts))
        return
    differing = [
        name for name in ("type", "collation", "not null") if desired.get(name) != live.get(name)
    ]
    if differing:
        yield drift(
            desired,
            live,
            "domain-differs",
            ", ".join(f"{name} {live.get(name) or 'none'}" for name in differing),
            "change it in a migration, or declare it as it is",
        )
    elif desired.get("default"):
        statement = f"ALTER DOMAIN {qualified(desired)} SET DEFAULT {desired.get('default')}"
        given = change(desired, Phase.TOGETHER, statement)
        what = f"default {live.get('default')}"
        told = drift(desired, live, "domain-default", what, f"in a migration: {statement}")
        yield pair.altered(told, given) if live.get("default") else given
    else:
        yield warning(
            live,
            "live-default",
            f"{live.label} has the default {live.get('default')}, and none is declared",
            "declare it, or drop it in a migration",
        )


def _not_null(domain: Fact, pair: SchemaPair) -> str:
    named = pair.desired.on((domain.schema, domain.name), Kind.NOT_NULL)
    name = next((fact.name for fact in named if fact.get("domain")), "")
    return f"CONSTRAINT {identifier(name)} NOT NULL" if name else "NOT NULL"


def plan_domain_constraint(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Add it: at once for a new domain, else first for new values and then for existing ones."""
    alter, name = f"ALTER DOMAIN {relation(desired)}", identifier(desired.name)
    add = f"{alter} ADD CONSTRAINT {name} {desired.get('definition')}"
    if live is None:
        if pair.live.get(Kind.DOMAIN, desired.schema, "", desired.relation) is None:
            not_valid = " NOT VALID" if desired.get("not valid") else ""
            yield change(desired, Phase.TOGETHER, add + not_valid)
        else:
            yield change(
                desired, Phase.ONLINE, f"{add} NOT VALID", f"{alter} VALIDATE CONSTRAINT {name}"
            )
    elif not is_twin(desired, live):
        yield drift(
            desired,
            live,
            "constraint-definition",
            live.get("definition"),
            "change it in a migration, or declare it as it is",
        )
    elif live.get("not valid") and not desired.get("not valid"):
        yield change(desired, Phase.ONLINE, f"{alter} VALIDATE CONSTRAINT {identifier(live.name)}")


def is_twin(desired: Fact, live: Fact) -> bool:
    """Whether two constraints of a domain are the same except for the name."""
    return desired.get("definition") == live.get("definition")


def plan_composite(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it, or append attributes, which are NULL in existing rows."""
    wanted = json.loads(desired.get("attributes") or "[]")
    if live is None:
        inner = ", ".join(_attribute(*attribute) for attribute in wanted)
        yield change(desired, Phase.TOGETHER, f"CREATE TYPE {qualified(desired)} AS ({inner})")
        return
    found = json.loads(live.get("attributes") or "[]")
    if wanted[: len(found)] != found:
        yield drift(
            desired,
            live,
            "composite-attributes",
            live.get("attributes"),
            "change it in a migration, together with what uses it",
        )
        return
    # A typed table gets its columns from the type.
    printed_name = f"{printed(desired.schema)}.{printed(desired.name)}"
    tables = [t.key for t in pair.live.all(Kind.TABLE) if t.get("of") == printed_name]
    cascade = " CASCADE" if tables else ""
    added = ", ".join(f"ADD ATTRIBUTE {_attribute(*a)}{cascade}" for a in wanted[len(found) :])
    altered = f"ALTER TYPE {qualified(desired)} {added}"
    # What is declared to be of no type any more comes first, because this changes its tables.
    yield change(desired, Phase.TOGETHER, altered, needs=tables)


def _attribute(name: str, type_name: str, collation: str | None) -> str:
    collate = f" COLLATE {collation}" if collation else ""
    return f"{identifier(name)} {type_name}{collate}"


def plan_range(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it; only report one with another shape."""
    inner = ", ".join(
        f"{name.upper().replace(' ', '_')} = {value}" for name, value in desired.attributes
    )
    return create_only(
        desired,
        live,
        "range-differs",
        "PostgreSQL cannot change a range type; make another in a migration",
        f"CREATE TYPE {qualified(desired)} AS RANGE ({inner})",
    )


def _types(kind: str, attribute_sql: str, more: str = "") -> str:
    """Return the query of a kind of types."""
    return f"""select n.nspname, '', t.typname, {attribute_sql}, {order("t.oid")}
        from pg_catalog.pg_type t
        join pg_catalog.pg_namespace n on n.oid = t.typnamespace {more}
        where t.typtype = '{kind}'"""


def _collation(given: str, usual: str) -> str:
    return f"""(
        select pg_catalog.format('%I.%I', cn.nspname, co.collname)
        from pg_catalog.pg_collation co
        join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
        where co.oid = {given} and {given} <> {usual})"""


_LABELS = """(select pg_catalog.json_agg(e.enumlabel order by e.enumsortorder)
    from pg_catalog.pg_enum e where e.enumtypid = t.oid)::text"""
_BASE_COLLATION = "(select b.typcollation from pg_catalog.pg_type b where b.oid = t.typbasetype)"
_ATTRIBUTES = f"""(select pg_catalog.json_agg(pg_catalog.json_build_array(
        a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
        {_collation("a.attcollation", "at.typcollation")}) order by a.attnum)
    from pg_catalog.pg_attribute a join pg_catalog.pg_type at on at.oid = a.atttypid
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)::text"""
_OPCLASS = """(select pg_catalog.format('%I.%I', cn.nspname, oc.opcname)
    from pg_catalog.pg_opclass oc join pg_catalog.pg_namespace cn on cn.oid = oc.opcnamespace
    where oc.oid = r.rngsubopc and not oc.opcdefault)"""

_OWN = own("pg_type", "t.oid")

ENUM = Entry(Kind.ENUM, _types("e", attributes(labels=_LABELS)), plan_enum, own=_OWN)
DOMAIN = Entry(
    Kind.DOMAIN,
    _types(
        "d",
        attributes(
            type="pg_catalog.format_type(t.typbasetype, t.typtypmod)",
            collation=_collation("t.typcollation", _BASE_COLLATION),
            # typdefault is the text, with names as they were resolved when it was set
            default="pg_catalog.pg_get_expr(t.typdefaultbin, 0)",
            not_null=flag("t.typnotnull"),
        ),
    ),
    plan_domain,
    own=_OWN,
)
DOMAIN_CONSTRAINT = Entry(
    Kind.DOMAIN_CONSTRAINT,
    f"""select n.nspname, t.typname, k.conname, {
        attributes(
            definition="pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), "
            "' NOT VALID$', '')",
            not_valid=flag("not k.convalidated"),
        )
    }, {order("k.oid")}
        from pg_catalog.pg_constraint k
        join pg_catalog.pg_type t on t.oid = k.contypid
        join pg_catalog.pg_namespace n on n.oid = t.typnamespace
        where k.contype = 'c' and {own("pg_type", "t.oid")}""",
    plan_domain_constraint,
    is_twin=is_twin,
)
COMPOSITE = Entry(
    Kind.COMPOSITE,
    _types(
        "c",
        attributes(attributes=_ATTRIBUTES),
        more="join pg_catalog.pg_class tc on tc.oid = t.typrelid",
    ),
    plan_composite,
    own=f"tc.relkind = 'c' and {_OWN}",
)
RANGE = Entry(
    Kind.RANGE,
    _types(
        "r",
        attributes(
            subtype="pg_catalog.format_type(r.rngsubtype, null)",
            subtype_opclass=_OPCLASS,
            collation=_collation(
                "r.rngcollation",
                "(select b.typcollation from pg_catalog.pg_type b where b.oid = r.rngsubtype)",
            ),
            canonical="nullif(r.rngcanonical, 0)::pg_catalog.regproc::text",
            subtype_diff="nullif(r.rngsubdiff, 0)::pg_catalog.regproc::text",
            multirange_type_name="""(select pg_catalog.format('%I.%I', mn.nspname, m.typname)
                from pg_catalog.pg_type m
                join pg_catalog.pg_namespace mn on mn.oid = m.typnamespace
                where m.oid = r.rngmultitypid)""",
        ),
        more="join pg_catalog.pg_range r on r.rngtypid = t.oid",
    ),
    plan_range,
    own=_OWN,
)
