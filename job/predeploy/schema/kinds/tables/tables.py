"""Tables, including partitioned ones and partitions, without their parts."""

from collections.abc import Iterator

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import (
    Change,
    Outcome,
    Phase,
    Report,
    Verdict,
    change,
    drift,
    not_addable,
    relation,
    warning,
)
from predeploy.schema.entry import (
    FOREIGN,
    OWN_RELATION,
    Entry,
    attributes,
    flag,
    name_of,
    order,
)
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import column_sql, settings_sql, with_options
from predeploy.schema.kinds.columns.inlined import inlined
from predeploy.schema.kinds.indexes import attaching, building, parts
from predeploy.schema.schema_pair import SchemaPair, parents
from predeploy.settings.declaration import way_to_leave

_ROW_SECURITY = (("row security", "ENABLE"), ("forced row security", "FORCE"))
_AS_A_PARTITION_HAS_IT = " ".join(
    f"INCLUDING {what}"
    for what in ("DEFAULTS", "GENERATED", "CONSTRAINTS", "STORAGE", "COMPRESSION")
)
# Attributes that can be set on a live table; any other difference is one of its shape.
_ADDED = ("options", "replica identity", *(name for name, _ in _ROW_SECURITY))


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it with its columns, or set a live one's options and row-level security."""
    if live is None:
        yield from _create(desired, pair)
        return
    differing = [name for name in live.differing(desired) if name not in _ADDED]
    if differing:
        yield _otherwise(desired, live, differing, pair)
        return
    if desired.get("options") != live.get("options"):
        yield from _options(desired, live)
    if desired.get("replica identity") not in {"", live.get("replica identity")}:
        yield change(desired, Phase.TOGETHER, *_replicated(desired))
    for name, verb in _ROW_SECURITY:
        if desired.get(name) and not live.get(name):
            yield change(desired, Phase.AFTER, _secure(desired, verb))
        elif live.get(name) and not desired.get(name):
            yield warning(
                live,
                "row-security-extra",
                f"{live.label} has {name}, which is not declared: rows may be hidden from the app",
                "declare it, or switch it off in a migration",
            )


def _otherwise(
    desired: Fact, live: Fact, differing: list[str], pair: SchemaPair
) -> Change | Report:
    """Alter what differs in a live table's shape, if that is safe; else report it."""
    if live.get("detaching"):
        return _half_detached(desired, live)
    if differing == ["of"]:
        return _of_type(desired, live, pair)
    what, why = ", ".join(differing), ""
    remedy = "change it in a migration; that takes a new table and a copy of the rows"
    attach = None
    is_apart = not live.get("partition of") and desired.get("bound")
    if is_apart and attaching.ATTRIBUTES.issuperset(differing):
        attach, why = building.attach(desired, pair), attaching.obstacle(desired, live, pair)
        what = f"it is no such partition{f' ({why})' if why else ''}"
        remedy = f"in a migration: {attach.statements[-1]}"
    told = drift(desired, live, "table-differs", what, remedy)
    return told if attach is None or why else pair.altered(told, attach)


def _half_detached(desired: Fact, live: Fact) -> Report:
    """Report a partition whose DETACH CONCURRENTLY was interrupted: queries do not see it."""
    parent = ".".join(identifier(part) for part in live.listed("partition of"))
    finish = f"ALTER TABLE {parent} DETACH PARTITION {relation(live)} FINALIZE"
    attach = f"ALTER TABLE {parent} ATTACH PARTITION {relation(live)} {live.get('bound')}"
    return drift(
        desired,
        live,
        "half-detached",
        "DETACH PARTITION CONCURRENTLY has begun and not ended, so queries do not see its rows",
        f"in a migration: {finish}; then, to have it back: {attach}",
    )


def _of_type(desired: Fact, live: Fact, pair: SchemaPair) -> Change | Report:
    """Make it a typed table, or an untyped one; its columns must be those of the type."""
    wanted = desired.get("of")
    statement = f"ALTER TABLE {relation(desired)} {f'OF {wanted}' if wanted else 'NOT OF'}"
    what = f"it is {'OF ' + live.get('of') if live.get('of') else 'of no type'}"
    told = drift(desired, live, "table-of-type", what, f"in a migration: {statement}")
    columns = (pair.live.columns_in_order(live), pair.desired.columns_in_order(desired))
    if wanted and columns[0] != columns[1]:
        return told
    return pair.altered(told, change(desired, Phase.TOGETHER, statement))


def _created(desired: Fact, columns: tuple[Fact, ...], pair: SchemaPair) -> Iterator[str]:
    """Yield the statements that create it.

    A partition with named parts is created as a separate table, gets its parts, and is then
    attached: creating it with PARTITION OF would generate their names.
    """
    if not desired.get("bound"):
        yield _create_sql(desired, columns)
        return
    parent, bound = ".".join(map(identifier, desired.listed("partition of"))), desired.get("bound")
    own_parts = [
        parts.create_part_sql(part)
        for part, root in parts.missing_on(desired, pair)
        if parts.is_there(root, pair)
    ]
    not_nulls = [
        (identifier(fact.name), identifier(fact.get("column")))
        for fact in pair.desired.on((desired.schema, desired.relation), Kind.NOT_NULL)
        if fact.get("name of its own")
    ]
    if not own_parts:
        names = ", ".join(f"CONSTRAINT {name} NOT NULL {column}" for name, column in not_nulls)
        inner = f"({names}) " if names else ""
        yield _create_sql(desired, (), f"PARTITION OF {parent} {inner}{bound}")
        return
    yield _create_sql(desired, (), f"(LIKE {parent} {_AS_A_PARTITION_HAS_IT})")
    for name, column in not_nulls:
        drop, add = (
            f"ALTER COLUMN {column} DROP NOT NULL",
            f"ADD CONSTRAINT {name} NOT NULL {column}",
        )
        yield f"ALTER TABLE {relation(desired)} {drop}, {add}"
    yield from own_parts
    yield f"ALTER TABLE {parent} ATTACH PARTITION {relation(desired)} {bound}"


def _create_sql(desired: Fact, columns: tuple[Fact, ...], like: str = "") -> str:
    unlogged = "UNLOGGED " if desired.get("unlogged") else ""
    text = f"CREATE {unlogged}TABLE {relation(desired)} "
    if like:
        text += like
    elif desired.get("of"):
        inner = ", ".join(filter(None, map(with_options, columns)))
        text += f"OF {desired.get('of')}" + (f" ({inner})" if inner else "")
    else:
        inner = ",".join(f"\n    {column_sql(column)}" for column in columns)
        text += f"({inner}\n)"
    if desired.get("inherits"):
        text += f" INHERITS ({', '.join(desired.listed('inherits'))})"
    if desired.get("partition key"):
        text += f" PARTITION BY {desired.get('partition key')}"
    if desired.get("method"):
        text += f" USING {desired.get('method')}"
    if desired.get("options"):
        text += f" WITH ({', '.join(desired.listed('options'))})"
    return text


def _create(desired: Fact, pair: SchemaPair) -> Outcome:
    if desired.get("kind") == FOREIGN:
        yield not_addable(
            desired, "foreign-table", "sync does not make foreign tables", "make it in a migration"
        )
        return
    columns = inlined(desired, pair)
    set_apart = (statement for column in columns for statement in settings_sql(column))
    # A table never exists without its row-level security, not even between two phases.
    secured = (_secure(desired, verb) for name, verb in _ROW_SECURITY if desired.get(name))
    altered = (*set_apart, *_replicated(desired), *secured)
    yield change(desired, Phase.TOGETHER, *_created(desired, columns, pair), *altered)
    yield from _renamed(desired, pair)
    yield from _made_again(desired, pair)


def _made_again(desired: Fact, pair: SchemaPair) -> Iterator[Report]:
    """Report how to keep a partition from being created again after maintenance dropped it.

    Only if there is a default partition: without one, the app needs this partition for its rows.
    """
    for parent in parents(desired) if desired.get("partition of") else ():
        if any(other.get("bound") == "DEFAULT" for other in pair.live.below(parent)):
            name = ".".join(parent)
            yield Report(
                Verdict.NOTE,
                "partition-made",
                desired.label,
                f"{desired.label} is made, since it is declared and not there",
                f"if the maintenance of {name} has dropped it, leave its partitions to that in "
                f"{way_to_leave(name)}",
                desired.definition,
            )


def _renamed(desired: Fact, pair: SchemaPair) -> Iterator[Report]:
    columns = pair.desired.columns(desired)
    if len(columns) == 1:
        return  # many tables have an id and nothing else
    for extra in pair.undeclared.with_columns(desired.schema, columns):
        yield warning(
            extra,
            "looks-like-rename",
            f"{desired.label} is added empty, while {extra.label}, which is not declared, has the "
            "same columns",
            "if it was renamed, rename it in a migration, before sync adds it",
        )
        return


def _options(desired: Fact, live: Fact) -> Outcome:
    has = dict(option.split("=", 1) for option in live.listed("options"))
    wants = dict(option.split("=", 1) for option in desired.listed("options"))
    lacking = [f"{name}={value}" for name, value in wants.items() if has.get(name) != value]
    if lacking:
        yield change(
            desired, Phase.TOGETHER, f"ALTER TABLE {relation(desired)} SET ({', '.join(lacking)})"
        )


def _replicated(table: Fact) -> tuple[str, ...]:
    how = table.get("replica identity")
    return (f"ALTER TABLE {relation(table)} REPLICA IDENTITY {how}",) if how else ()


def _secure(table: Fact, verb: str) -> str:
    return f"ALTER TABLE {relation(table)} {verb} ROW LEVEL SECURITY"


_PARENTS = f"""(select pg_catalog.json_agg({name_of("i.inhparent")} order by i.inhseqno)
    from pg_catalog.pg_inherits i where i.inhrelid = c.oid and not c.relispartition)::text"""
_PARENT = """(select pg_catalog.json_build_array(pn.nspname, p.relname)
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class p on p.oid = i.inhparent
    join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
    where i.inhrelid = c.oid and c.relispartition)::text"""
_DETACHING = """(select 'true' from pg_catalog.pg_inherits i
    where i.inhrelid = c.oid and i.inhdetachpending)"""
# The options of a table's TOAST table are stored with that, but set on the table.
_OPTIONS = """pg_catalog.to_json(c.reloptions || (
    select pg_catalog.array_agg('toast.' || o) from pg_catalog.unnest(oc.reloptions) o))::text"""

TABLE = Entry(
    Kind.TABLE,
    f"""select n.nspname, c.relname, '', {
        attributes(
            kind="case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' "
            "else 'foreign table' end",
            unlogged=flag("c.relpersistence = 'u'"),
            partition_key="pg_catalog.pg_get_partkeydef(c.oid)",
            partition_of=_PARENT,
            of="pg_catalog.format_type(nullif(c.reloftype, 0), null)",
            detaching=_DETACHING,
            bound="pg_catalog.pg_get_expr(c.relpartbound, c.oid)",
            inherits=_PARENTS,
            method="case when m.amname <> 'heap' then m.amname end",
            options=_OPTIONS,
            replica_identity="case c.relreplident when 'f' then 'FULL' when 'n' then 'NOTHING' end",
            row_security=flag("c.relrowsecurity"),
            forced_row_security=flag("c.relforcerowsecurity"),
        )
    }, {order("c.oid")}
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        left join pg_catalog.pg_am m on m.oid = c.relam
        left join pg_catalog.pg_class oc on oc.oid = c.reltoastrelid
        where c.relkind in ('r', 'p', 'f')""",
    plan,
    own=OWN_RELATION,
)
