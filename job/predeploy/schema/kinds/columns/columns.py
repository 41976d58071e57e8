"""Columns of tables, planned one by one; those of views only for lookups."""

import re
from collections.abc import Iterator
from dataclasses import replace

from predeploy.schema.ddl import (
    Change,
    Outcome,
    Phase,
    Report,
    breaking,
    change,
    drift,
    not_addable,
    relation,
    warning,
)
from predeploy.schema.entry import (
    FOREIGN,
    OF_RELATION,
    OWN_RELATION,
    Entry,
    attributes,
    flag,
    order,
)
from predeploy.schema.facts import FLAG, Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns import identities, inherited_columns, retyped, view_columns
from predeploy.schema.kinds.columns.column_ddl import (
    add_not_null,
    alter_column,
    column_sql,
    extra_default,
    extra_not_null,
    instead,
    set_default,
    set_not_null,
    settings_sql,
    with_not_null_name,
)
from predeploy.schema.kinds.columns.inlined import default_waits, type_waits
from predeploy.schema.schema_pair import BIG_BYTES, SchemaIndex, SchemaPair, parents

_SHAPE = ("type", "collation", "generated", "expression", "identity", "sequence")
# If one of these differs, nothing else of the column is altered.
_BASIC = frozenset(("type", "generated", "identity"))
# Literals, and the modifiers of types, whose parentheses are not those of a call.
_LITERAL = re.compile(r"'(?:[^']|'')*'|::[\w\" ]+\([\d, ]+\)")
# Built-in, so without a schema in front: the same value for every row of a statement.
_STABLE = re.compile(
    r"(?<![\w.\"])(now|(transaction|statement)_timestamp|current_(time|timestamp|setting)"
    r"|local(time|timestamp)|timezone|date_trunc)\(",
    re.IGNORECASE,
)
_BEFORE_INSERT = re.compile(r" BEFORE INSERT\b.* FOR EACH ROW ", re.DOTALL)
# States in which a trigger does not fire for the app's sessions.
_SILENT = ("DISABLE", "ENABLE REPLICA")
_CALL = re.compile(r"[\w\"]+\(")


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Add it, or set a live one's default and NOT NULL; report a type that cannot change safely."""
    table = pair.desired.get(Kind.TABLE, desired.schema, desired.relation)
    if desired.get("inherited"):
        yield from inherited_columns.plan(desired, live, pair)
    elif table is None:
        yield from view_columns.plan(desired, live, pair)
    elif live is None and table.get("of") and not pair.is_new(desired):
        return  # it is added with the type's attribute
    elif live is None:
        if pair.is_new(desired):
            yield from _deferred(desired, table, pair)
        else:
            yield from _add(desired, pair)
    else:
        yield from _alter(desired, live, pair)


def undeclared(live: Fact, pair: SchemaPair) -> Iterator[Report]:
    """Report a column that the app's inserts do not know and cannot omit.

    A BEFORE INSERT trigger may give it a value.
    """
    if not _is_in_the_way(live, pair):
        return
    message = (
        f"{live.label} is not declared, and takes no NULL and has no default: inserts of an app "
        "that does not know it fail"
    )
    remedy = "give it a default, or let it take NULL, in a migration; or declare it"
    table = (live.schema, live.relation)
    if any(_BEFORE_INSERT.search(t.get("definition")) for t in _fired(table, pair)):
        unless = f"{message}, unless a trigger gives it a value"
        yield warning(live, "extra-column-not-null", unless, remedy)
    else:
        told = f"{live.get('type')} NOT NULL, not declared"
        yield breaking(live, "extra-column-not-null", message, remedy, told)


def _is_in_the_way(live: Fact, pair: SchemaPair) -> bool:
    """Whether inserts into a declared table fail if they do not mention this live column."""
    place = (Kind.TABLE, live.schema, live.relation)
    declared, table = pair.desired.get(*place), pair.live.get(*place)
    if declared is None or table is None or table.get("kind") == FOREIGN:
        return False
    domains = [*_domains(live, pair.live)]
    is_filled = any(live.get(name) for name in ("default", "generated", "identity"))
    takes_null = not any(fact.get("not null") for fact in (live, *domains))
    if takes_null or is_filled or any(domain.get("default") for domain in domains[:1]):
        return False
    # A parent's column that makes inserts fail is reported instead.
    above = (pair.live.get(Kind.COLUMN, *parent, live.name) for parent in parents(table))
    return not any(column is not None and _is_in_the_way(column, pair) for column in above)


def _fired(table: tuple[str, str], pair: SchemaPair) -> Iterator[Fact]:
    """Yield the triggers of a live table, including those of tables that it is a partition of."""
    yield from (t for t in pair.live.on(table, Kind.TRIGGER) if t.get("enabled") not in _SILENT)
    there = pair.live.get(Kind.TABLE, *table)
    if there is not None and there.get("partition of"):
        yield from _fired(parents(there)[0], pair)


def _deferred(desired: Fact, table: Fact, pair: SchemaPair) -> Outcome:
    """Yield what CREATE TABLE had to leave out."""
    if type_waits(desired, table, pair):
        yield change(
            desired,
            Phase.TOGETHER,
            _add_sql(desired, pair),
            *settings_sql(desired),
        )
    elif default_waits(desired, table, pair):
        yield change(desired, Phase.TOGETHER, set_default(desired))


def _add(desired: Fact, pair: SchemaPair) -> Outcome:
    is_filled = any((desired.get("generated"), desired.get("identity"), _default(desired, pair)))
    takes_no_null = any(f.get("not null") for f in (desired, *_domains(desired, pair.desired)))
    if takes_no_null and not is_filled and not pair.can_build_at_once(desired):
        yield not_addable(
            desired,
            "not-null-without-default",
            "it is NOT NULL and existing rows would have no value",
            "declare a default; or add it nullable, fill it in a migration, then declare NOT NULL",
        )
        return
    if pair.size(desired) > BIG_BYTES and (why := _rewrites(desired, pair)):
        yield not_addable(
            desired,
            "rewrite",
            f"{why}, so all {pair.size(desired) // 2**20} MB of the table would be rewritten "
            "while nobody can read it",
            f"by migrations: add {desired.identity} without default and nullable, fill it in "
            "batches, then set its default and NOT NULL; declared in schema.sql it then counts as "
            "there",
        )
        return
    added = change(desired, Phase.TOGETHER, _add_sql(desired, pair), *settings_sql(desired))
    yield replace(added, is_brief=not _rewrites(desired, pair))
    others = pair.undeclared.on((desired.schema, desired.relation), Kind.COLUMN)
    for other in (other for other in others if other.get("type") == desired.get("type")):
        yield warning(
            other,
            "looks-like-rename",
            f"{desired.label} is added, while {other.label}, which is not declared, has the same "
            "type",
            "if it was renamed, rename it in a migration, before sync adds it",
        )
        return


def _add_sql(column: Fact, pair: SchemaPair) -> str:
    named = with_not_null_name(column, pair)
    return f"ALTER TABLE {relation(column)} ADD COLUMN {column_sql(named)}"


def _rewrites(column: Fact, pair: SchemaPair) -> str:
    """Return why adding the column rewrites every row; empty if only the catalog changes."""
    if column.get("generated") == "STORED":
        return "it is generated and stored"
    if column.get("identity"):
        return "each row takes a number from its sequence"
    default = _default(column, pair)
    if _CALL.search(_STABLE.sub("", _LITERAL.sub("", default))):
        return f"its default {default} may differ from row to row"
    constrained = {f"{f.schema}.{f.relation}" for f in pair.desired.all(Kind.DOMAIN_CONSTRAINT)}
    if any(f.get("not null") or f.identity in constrained for f in _domains(column, pair.desired)):
        return "its domain has constraints"
    return ""


def _default(column: Fact, pair: SchemaPair) -> str:
    """Return the default that rows get: the column's own, or that of its domain."""
    domain = next(_domains(column, pair.desired), None)
    return column.get("default") or (domain.get("default") if domain is not None else "")


def _domains(column: Fact, side: SchemaIndex) -> Iterator[Fact]:
    """Yield the domain that is its type, and the domains that this one is based on."""
    known = {fact.identity: fact for fact in side.all(Kind.DOMAIN)}
    domain = known.get(column.get("type").replace('"', ""))
    while domain is not None:
        yield domain
        domain = known.get(domain.get("type").replace('"', ""))


def _alter(desired: Fact, live: Fact, pair: SchemaPair) -> Outcome:
    differing = [name for name in _SHAPE if desired.get(name) != live.get(name)]
    outcome = _otherwise(desired, live, differing, pair) if differing else None
    if isinstance(outcome, Report):
        yield outcome
        if not _BASIC.isdisjoint(differing):
            return
    elif outcome is not None and differing == ["type"]:
        yield outcome
    if desired.get("default") != live.get("default") and not _counts_alike(desired, live, pair):
        yield from _other_default(desired, live, pair)
    # The attribute `not null` is FLAG, `not valid` or absent.
    if desired.get("not null") == FLAG != live.get("not null"):
        yield set_not_null(desired, live, pair)
    elif desired.get("not null") and not live.get("not null"):
        yield change(desired, Phase.TOGETHER, add_not_null(desired, pair, " NOT VALID"))
    elif live.get("not null") and not desired.get("not null"):
        yield extra_not_null(live, pair)
    if isinstance(outcome, Change) and differing != ["type"]:
        yield outcome  # an identity must be NOT NULL first
    yield from _stored(desired, live)


def _stored(desired: Fact, live: Fact) -> Iterator[Change]:
    for name in ("storage", "compression", "statistics"):
        if desired.get(name) and desired.get(name) != live.get(name):
            how = f"{alter_column(desired)} SET {name.upper()} {desired.get(name)}"
            yield change(desired, Phase.TOGETHER, how)


def _otherwise(
    desired: Fact, live: Fact, differing: list[str], pair: SchemaPair
) -> Change | Report:
    """Alter what differs in a live column's shape, if that is safe; else report it."""
    made, why = None, ""
    if differing == ["type"]:
        made, why = retyped.retype(desired), retyped.obstacle(desired, live, pair)
    elif identities.ATTRIBUTES.issuperset(differing):
        made, why = identities.become(desired, live), identities.obstacle(desired, live, pair)
    what = instead(desired, live, differing)
    told = drift(
        desired,
        live,
        f"column-{differing[0].replace(' ', '-')}",
        f"{what} ({why})" if why else what,
        "change it in a migration, or declare it as it is",
        names=differing,
    )
    return told if made is None or why else pair.altered(told, made)


def _counts_alike(desired: Fact, live: Fact, pair: SchemaPair) -> bool:
    """Whether both take the next number of the sequence that the column owns, by any name."""
    owner = (desired.schema, desired.relation, desired.name)
    is_renamed = any(s.listed("owned by") == owner for s in pair.renamed.all(Kind.SEQUENCE))
    return is_renamed and all(f.get("default").startswith("nextval(") for f in (desired, live))


def _other_default(desired: Fact, live: Fact, pair: SchemaPair) -> Outcome:
    if desired.get("default"):
        yield change(desired, Phase.TOGETHER, set_default(desired))
        yield from inherited_columns.restored(desired, pair)
    else:
        yield extra_default(live)


_SEQUENCE_OPTIONS = """(
    select nullif(pg_catalog.concat_ws(' ',
        case when s.seqstart <> s.seqmin then 'START WITH ' || s.seqstart end,
        case when s.seqincrement <> 1 then 'INCREMENT BY ' || s.seqincrement end,
        case when s.seqmin <> 1 then 'MINVALUE ' || s.seqmin end,
        case when s.seqmax <> (case s.seqtypid::int when 21 then 32767 when 23 then 2147483647
                               else 9223372036854775807 end) then 'MAXVALUE ' || s.seqmax end,
        case when s.seqcache <> 1 then 'CACHE ' || s.seqcache end,
        case when s.seqcycle then 'CYCLE' end), '')
    from pg_catalog.pg_depend d join pg_catalog.pg_sequence s on s.seqrelid = d.objid
    where a.attidentity <> '' and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.refclassid = d.classid and d.refobjid = c.oid and d.refobjsubid = a.attnum
      and d.deptype = 'i')"""
_SEQUENCE_NAME = """(
    select pg_catalog.json_build_array(sn.nspname, sc.relname)::text
    from pg_catalog.pg_depend d join pg_catalog.pg_class sc on sc.oid = d.objid
    join pg_catalog.pg_namespace sn on sn.oid = sc.relnamespace
    where a.attidentity <> '' and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.refclassid = d.classid and d.refobjid = c.oid and d.refobjsubid = a.attnum
      and d.deptype = 'i')"""
_COLLATION = """(
    select pg_catalog.format('%I.%I', cn.nspname, co.collname) from pg_catalog.pg_collation co
    join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
    where co.oid = a.attcollation and a.attcollation <> t.typcollation)"""
_STORAGE = """case when a.attstorage <> t.typstorage then
    case a.attstorage when 'p' then 'PLAIN' when 'e' then 'EXTERNAL' when 'm' then 'MAIN'
    else 'EXTENDED' end end"""
# Since PostgreSQL 18 NOT NULL can be NOT VALID, and then applies only to new rows.
_UNPROVEN = """exists (
    select from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'n'
      and k.conkey = array[a.attnum] and not k.convalidated)"""
_EXPRESSION = "pg_catalog.pg_get_expr(ad.adbin, ad.adrelid)"

COLUMN = Entry(
    Kind.COLUMN,
    f"""select n.nspname, c.relname, a.attname, {
        attributes(
            type="pg_catalog.format_type(a.atttypid, a.atttypmod)",
            collation=_COLLATION,
            not_null=f"case when a.attnotnull then case when {_UNPROVEN} then 'not valid' "
            "else 'true' end end",
            default=f"case when a.attgenerated = '' then {_EXPRESSION} end",
            generated="case a.attgenerated when 's' then 'STORED' when 'v' then 'VIRTUAL' end",
            expression=f"case when a.attgenerated <> '' then {_EXPRESSION} end",
            identity="case a.attidentity when 'a' then 'ALWAYS' when 'd' then 'BY DEFAULT' end",
            sequence=_SEQUENCE_OPTIONS,
            sequence_name=_SEQUENCE_NAME,
            storage=_STORAGE,
            compression="case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end",
            statistics="nullif(a.attstattarget, -1)::text",
            inherited=flag("c.relispartition or not a.attislocal"),
        )
    }, pg_catalog.json_build_array({order("c.oid", "t.oid", "ad.oid", "a.attcollation")}, a.attnum)
        from pg_catalog.pg_attribute a {OF_RELATION.format("a.attrelid")}
        join pg_catalog.pg_type t on t.oid = a.atttypid
        left join pg_catalog.pg_attrdef ad on ad.adrelid = c.oid and ad.adnum = a.attnum
        where a.attnum > 0 and not a.attisdropped""",
    plan,
    undeclared,
    own=f"c.relkind in ('r', 'p', 'f', 'v', 'm') and {OWN_RELATION}",
)
