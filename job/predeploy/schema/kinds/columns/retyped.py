"""Type changes of live columns: which ones change only the catalog, and what prevents them.

https://www.postgresql.org/docs/current/sql-altertable.html, notes: no row is rewritten if the old
type is binary coercible to the new one, or only its limit grows.
"""

import re

from predeploy.schema.ddl import Change, Phase, change
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import alter_column, printed
from predeploy.schema.schema_pair import BIG_BYTES, SchemaPair

_LIMITED = re.compile(r"(character varying|bit varying|numeric|interval|timestamp|time)"
                      r"(?:\((\d+)(?:,(-?\d+))?\))?((?: with(?:out)? time zone)?)")  # fmt: skip
_TEXTS = ("text", "character varying")
# Occurs only in the definition of an index with an expression or a predicate.
_EXPRESSION = re.compile(r"\(\(|\w\(|WHERE")
# Casts that PostgreSQL prints, or not, depending on the type of the column.
_CASTS = re.compile(r"::(?:text|character varying(?:\(\d+\))?|numeric(?:\(\d+,\d+\))?)|[()]")


def is_wider(desired: str, live: str) -> bool:
    """Whether every value of the live type is one of the desired type, as it is stored."""
    wanted, there = _LIMITED.fullmatch(desired), _LIMITED.fullmatch(live)
    if desired in _TEXTS:
        return live in _TEXTS or (there is not None and there[1] == "character varying")
    if wanted is None or there is None or (wanted[1], wanted[4]) != (there[1], there[4]):
        return False
    if wanted[2] is None:
        return True
    is_as_long = there[2] is not None and int(wanted[2]) >= int(there[2])
    return is_as_long and wanted[3] == there[3]


def obstacle(desired: Fact, live: Fact, pair: SchemaPair) -> str:
    """Return what prevents another type for a live column; empty if nothing does."""
    if not is_wider(desired.get("type"), live.get("type")):
        return "its rows would be rewritten, or might not fit"
    table_of = pair.table_of(live)
    if table_of is not None and table_of.get("of"):
        return f"it comes with the type {table_of.get('of')}"
    for table in _family(live, pair):
        users = pair.users.get(f"{table}.{live.name}")
        if users:
            return f"{users} would have to be recreated"
    if pair.size(live) > BIG_BYTES and (reread := _rereads(live, pair)):
        return f"{reread.label} would be checked or rebuilt while nobody can use the table"
    return ""


def retype(desired: Fact) -> Change:
    """Return the change that sets a live column's type."""
    statement = f"{alter_column(desired)} TYPE {desired.get('type')}"
    return change(desired, Phase.TOGETHER, statement)


def is_only_printed_otherwise(desired: Fact, live: Fact, pair: SchemaPair) -> bool:
    """Whether a table's part differs only in casts, because a column has another type there.

    Once the column has the declared type, it is printed as declared.
    """
    table = (desired.schema, desired.relation)
    if not any(_is_retyped(c, pair) for c in pair.desired.on(table, Kind.COLUMN)):
        return False
    names = live.differing(desired)
    return all(_bare(desired.get(name)) == _bare(live.get(name)) for name in names)


def _is_retyped(column: Fact, pair: SchemaPair) -> bool:
    live = pair.live.facts.get(column.key)
    return live is not None and live.get("type") != column.get("type")


def _bare(definition: str) -> str:
    return " ".join(_CASTS.sub(" ", definition).split())


def _family(column: Fact, pair: SchemaPair) -> list[str]:
    """Return the table, and those below it, whose columns change with its own."""
    found, todo = [], [(column.schema, column.relation)]
    while todo:
        table = todo.pop()
        found.append(".".join(table))
        todo += [(below.schema, below.relation) for below in pair.live.below(table)]
    return found


def _rereads(column: Fact, pair: SchemaPair) -> Fact | None:
    """Return a CHECK that is checked again, or an expression index that is rebuilt, with it."""
    name = re.compile(rf"(?<![\w\"]){re.escape(printed(column.name))}(?![\w\"])")
    for fact in pair.live.on((column.schema, column.relation), Kind.CONSTRAINT, Kind.INDEX):
        definition = fact.get("definition")
        is_index = fact.kind == Kind.INDEX.value
        if is_index and not _EXPRESSION.search(definition):
            continue
        if not is_index and fact.get("type") not in ("check", "exclude"):
            continue
        if name.search(definition):
            return fact
    return None


# What prevents a change of a column's type: the column's identity, and words for people.
COLUMN_USERS_SQL = """
    select concat_ws('.', n.nspname, c.relname, a.attname),
        pg_catalog.string_agg(distinct u.who, ', ')
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.refobjid = c.oid and d.refobjsubid = a.attnum
    left join pg_catalog.pg_rewrite r
      on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.objid
    left join pg_catalog.pg_attrdef ad
      on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and ad.oid = d.objid
    cross join lateral (select case
        when r.rulename = '_RETURN' then pg_catalog.pg_describe_object(
            'pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class, 0)
        else pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) end) u(who)
    where c.relkind in ('r', 'p') and (
        d.classid in ('pg_catalog.pg_rewrite'::pg_catalog.regclass,
          'pg_catalog.pg_policy'::pg_catalog.regclass, 'pg_catalog.pg_trigger'::pg_catalog.regclass,
          'pg_catalog.pg_proc'::pg_catalog.regclass,
          'pg_catalog.pg_publication_rel'::pg_catalog.regclass)
        or ad.adnum <> d.refobjsubid
        or (d.classid = d.refclassid and d.objid = c.oid and d.objsubid > 0))
      and n.nspname !~ '^pg_'
    group by 1
    union all
    select concat_ws('.', n.nspname, c.relname, a.attname), 'its partition key'
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.objid = c.oid and d.objsubid > 0 and d.refclassid = d.classid
      and d.refobjid = c.oid and d.refobjsubid = 0 and d.deptype = 'i'
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid
    where c.relkind = 'p'
    union all
    select concat_ws('.', n.nspname, c.relname, a.attname),
        pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) || ', which holds its rows,'
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type t on t.oid = c.reltype
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
      and d.refobjid in (t.oid, t.typarray)
      and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objsubid > 0
    where c.relkind in ('r', 'p') and n.nspname !~ '^pg_'"""
