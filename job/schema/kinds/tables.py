"""Tables, partitioned ones and partitions among them, without what hangs on them."""

from collections.abc import Iterator

from job.schema.ddl import (
    Change,
    Phase,
    Report,
    change,
    drift,
    identifier,
    not_addable,
    relation,
    warning,
)
from job.schema.facts import Fact
from job.schema.kind import Kind
from job.schema.kinds.column_ddl import column_sql, settings_sql
from job.schema.kinds.columns import inlined
from job.schema.kinds.entry import FOREIGN, Entry, attributes, flag, name_of, order, own
from job.schema.sides import Sides

_ROW_SECURITY = (("row security", "ENABLE"), ("forced row security", "FORCE"))
_ADDED = ("options", "replica identity", *(name for name, _ in _ROW_SECURITY))


def plan(desired: Fact, live: Fact | None, sides: Sides) -> Iterator[Change | Report]:
    """Create it with its columns, or give a live one its options and its row security."""
    if live is None:
        yield from _create(desired, sides)
        return
    differing = [
        name
        for name, value in (desired.attributes + live.attributes)
        if name not in _ADDED and desired.get(name) != live.get(name) and value
    ]
    if differing:
        yield drift(
            desired,
            live,
            "table-differs",
            ", ".join(dict.fromkeys(differing)),
            "change it by a migration; that takes a new table and a copy of the rows",
        )
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
                "declare it, or switch it off by a migration",
            )


def _create_sql(desired: Fact, columns: tuple[Fact, ...]) -> str:
    unlogged = "UNLOGGED " if desired.get("unlogged") else ""
    text = f"CREATE {unlogged}TABLE {relation(desired)} "
    if desired.get("bound"):
        parent = ".".join(identifier(part) for part in desired.listed("partition of"))
        text += f"PARTITION OF {parent} {desired.get('bound')}"
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


def _create(desired: Fact, sides: Sides) -> Iterator[Change | Report]:
    if desired.get("kind") == FOREIGN:
        yield not_addable(
            desired, "foreign-table", "sync does not make foreign tables", "make it by a migration"
        )
        return
    columns = inlined(desired, sides)
    set_apart = (statement for column in columns for statement in settings_sql(column))
    # A table is never there without its row security, not even between two phases.
    secured = (_secure(desired, verb) for name, verb in _ROW_SECURITY if desired.get(name))
    altered = (*set_apart, *_replicated(desired), *secured)
    yield change(desired, Phase.TOGETHER, _create_sql(desired, columns), *altered)
    yield from _renamed(desired, sides)


def _renamed(desired: Fact, sides: Sides) -> Iterator[Report]:
    columns = sides.desired.columns(desired)
    if len(columns) == 1:
        return  # many tables have an id and nothing else
    for extra in sides.undeclared.with_columns(desired.schema, columns):
        yield warning(
            extra,
            "looks-like-rename",
            f"{desired.label} is added empty, while {extra.label}, which is not declared, has the "
            "same columns",
            "if it was renamed, rename it by a migration, before sync comes to it",
        )
        return


def _options(desired: Fact, live: Fact) -> Iterator[Change | Report]:
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
# Those of a table's TOAST are kept with that, and given with the table's own.
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
        where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't'
          and {own("pg_class", "c.oid")}""",
    plan,
)
