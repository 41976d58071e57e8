"""The dependencies of declared objects, from PostgreSQL's own records.

https://www.postgresql.org/docs/current/catalog-pg-depend.html. They include neither what a
function's quoted body uses, nor what uses a cast without a function.
"""

from collections.abc import Sequence

from predeploy.contract.quoting import FIRST_USER_OID, literal
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.programs.routines import SIGNATURE
from predeploy.schema.kinds.types.casts import CAST_NAME
from predeploy.schema.kinds.unmodelled import OTHERS

# User objects have OIDs from here on (FirstNormalObjectId in access/transam.h).
_RELATION = "join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
_KIND_OF_RELATION = f"""case c.relkind when 'v' then {literal(Kind.VIEW.value)}
    when 'm' then {literal(Kind.MATERIALIZED_VIEW.value)}
    when 'S' then {literal(Kind.SEQUENCE.value)}
    when 'c' then {literal(Kind.COMPOSITE.value)} else {literal(Kind.TABLE.value)} end"""


def _hanging(catalog: str, relation: str, name: str, kind: Kind, where: str = "true") -> str:
    return f"""select 'pg_catalog.{catalog}'::pg_catalog.regclass, x.oid, {literal(kind.value)},
            n.nspname, c.relname, x.{name}::text
        from pg_catalog.{catalog} x join pg_catalog.pg_class c on c.oid = x.{relation}
        {_RELATION} where {where}"""


def _named(catalog: str, prefix: str, kind: Kind) -> str:
    return f"""select 'pg_catalog.{catalog}'::pg_catalog.regclass, x.oid, {literal(kind.value)},
            n.nspname, '', x.{prefix}name::text
        from pg_catalog.{catalog} x
        join pg_catalog.pg_namespace n on n.oid = x.{prefix}namespace"""


# Each: catalog, OID, and the key of the fact about it. A constraint's index, a row type or a
# default counts as the object that it belongs to; a partition's index as its parent's.
_OBJECTS = (
    f"""select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, {_KIND_OF_RELATION}, n.nspname,
            case c.relkind when 'c' then '' else c.relname end::text,
            case c.relkind when 'c' then c.relname else '' end::text
        from pg_catalog.pg_class c {_RELATION}
        where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S', 'c')""",
    f"""select 'pg_catalog.pg_class'::pg_catalog.regclass, i.oid,
            case when k.oid is null then {literal(Kind.INDEX.value)}
            else {literal(Kind.CONSTRAINT.value)} end,
            n.nspname, c.relname, coalesce(k.conname, r.relname)::text
        from pg_catalog.pg_class i
        join pg_catalog.pg_class r on r.oid = case when i.relispartition
            then coalesce(pg_catalog.pg_partition_root(i.oid), i.oid) else i.oid end
        join pg_catalog.pg_index x on x.indexrelid = r.oid
        join pg_catalog.pg_class c on c.oid = x.indrelid {_RELATION}
        left join pg_catalog.pg_constraint k
          on k.conrelid = c.oid and k.conindid = r.oid and k.contype in ('p', 'u', 'x')
        where i.relkind in ('i', 'I')""",
    f"""select 'pg_catalog.pg_attrdef'::pg_catalog.regclass, x.oid, {literal(Kind.COLUMN.value)},
            n.nspname, c.relname, a.attname::text
        from pg_catalog.pg_attrdef x join pg_catalog.pg_class c on c.oid = x.adrelid {_RELATION}
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = x.adnum""",
    _hanging("pg_constraint", "conrelid", "conname", Kind.CONSTRAINT, "x.contype <> 'n'"),
    f"""select 'pg_catalog.pg_constraint'::pg_catalog.regclass, x.oid,
            {literal(Kind.DOMAIN_CONSTRAINT.value)}, n.nspname, t.typname, x.conname::text
        from pg_catalog.pg_constraint x join pg_catalog.pg_type t on t.oid = x.contypid
        join pg_catalog.pg_namespace n on n.oid = t.typnamespace""",
    f"""select 'pg_catalog.pg_rewrite'::pg_catalog.regclass, x.oid, {_KIND_OF_RELATION},
            n.nspname, c.relname, ''
        from pg_catalog.pg_rewrite x join pg_catalog.pg_class c on c.oid = x.ev_class {_RELATION}
        where x.rulename = '_RETURN'""",
    _hanging("pg_rewrite", "ev_class", "rulename", Kind.RULE, "x.rulename <> '_RETURN'"),
    _hanging("pg_trigger", "tgrelid", "tgname", Kind.TRIGGER, "not x.tgisinternal"),
    _hanging("pg_policy", "polrelid", "polname", Kind.POLICY),
    _hanging("pg_statistic_ext", "stxrelid", "stxname", Kind.STATISTICS),
    f"""select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid,
            case when t.oid is not null then {literal(Kind.RANGE.value)}
            when p.prokind = 'a' then {literal(Kind.AGGREGATE.value)}
            else {literal(Kind.ROUTINE.value)} end,
            n.nspname, '', coalesce(t.typname, {SIGNATURE})::text
        from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        left join pg_catalog.pg_depend d
          on d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid
          and d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.deptype = 'i'
        left join pg_catalog.pg_type t on t.oid = d.refobjid and t.typtype = 'r'""",
    f"""select 'pg_catalog.pg_type'::pg_catalog.regclass, x.oid,
            case t.typtype when 'e' then {literal(Kind.ENUM.value)}
            when 'd' then {literal(Kind.DOMAIN.value)} when 'r' then {literal(Kind.RANGE.value)}
            when 'c' then {_KIND_OF_RELATION}
            else {literal(Kind.UNMODELLED.value)} end,
            n.nspname, case when t.typtype = 'c' and c.relkind <> 'c' then c.relname else '' end,
            case when t.typtype = 'c' and c.relkind <> 'c' then ''
            when t.typtype = 'b' then 'type ' || pg_catalog.format_type(t.oid, null)
            else t.typname end::text
        from pg_catalog.pg_type x
        left join pg_catalog.pg_range m on m.rngmultitypid = x.oid
        left join pg_catalog.pg_type e on e.typarray = x.oid
        left join pg_catalog.pg_range em on em.rngmultitypid = e.oid
        join pg_catalog.pg_type t on t.oid = coalesce(em.rngtypid, e.oid, m.rngtypid, x.oid)
        join pg_catalog.pg_namespace n on n.oid = t.typnamespace
        left join pg_catalog.pg_class c on c.oid = t.typrelid
        where t.typtype in ('e', 'd', 'r', 'c', 'b')""",
    _named("pg_collation", "coll", Kind.COLLATION),
    _named("pg_ts_dict", "dict", Kind.TEXT_SEARCH_DICTIONARY),
    _named("pg_ts_config", "cfg", Kind.TEXT_SEARCH_CONFIGURATION),
    f"""select 'pg_catalog.pg_cast'::pg_catalog.regclass, x.oid, {literal(Kind.CAST.value)}, '', '',
            {CAST_NAME}
        from pg_catalog.pg_cast x""",
    *(
        f"""select q.classid, q.oid, {literal(Kind.UNMODELLED.value)}, q.schema, '', q.name
        from ({other}) q(classid, oid, schema, name)"""
        for other in OTHERS
    ),
)
_EXTENSIONS = f"""select m.classid, m.objid, {literal(Kind.EXTENSION.value)}, '', '',
        e.extname::text
    from pg_catalog.pg_depend m join pg_catalog.pg_extension e on e.oid = m.refobjid
    where m.deptype = 'e'
      and m.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass"""
# What uses a cast's function may do so through the cast, which the catalog does not record.
_BY_CAST = """select d.classid, d.objid, d.objsubid,
        'pg_catalog.pg_cast'::pg_catalog.regclass, k.oid, 0, 'n'::"char"
    from pg_catalog.pg_cast k
    join pg_catalog.pg_depend d
      on d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.refobjid = k.castfunc
    where d.classid <> 'pg_catalog.pg_cast'::pg_catalog.regclass"""
# A partition's index has dependencies that its parent's does not have.
_IS_OF_PARTITION = """exists (select from pg_catalog.pg_class i
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and i.oid = d.objid
      and i.relispartition and i.relkind in ('i', 'I'))"""
# A part's dependency on its table is known from its key.
_IS_TOLD_BY_KEY = f"""d.deptype = 'a' and d.refobjsubid = 0 and r.relation = o.relation
    and r.schema = o.schema and o.kind <> {literal(Kind.TABLE.value)}"""


def needs_sql(schemas: Sequence[str]) -> str:
    """Return one query of the dependencies among the facts in `schemas` and those in none.

    Its only row is a JSON object, which distinguishes it from the facts: see `parse_facts`.
    """
    names = ", ".join(literal(name) for name in ("", *sorted(set(schemas))))
    objects = " union all ".join(
        f"""select * from ({part}) q(classid, objid, kind, schema, relation, name)
        where q.schema in ({names}) and q.objid >= {FIRST_USER_OID}"""
        for part in _OBJECTS
    )
    return f"""select pg_catalog.json_build_object('needs', (
        with object(classid, objid, kind, schema, relation, name) as materialized (
            {objects} union all {_EXTENSIONS}
        ), edge(classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype) as (
            select d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid,
                d.deptype
            from pg_catalog.pg_depend d where d.deptype not in ('e', 'x')
              and d.refobjid >= {FIRST_USER_OID}
            union all {_BY_CAST}
        ), named(of, needed) as (
            select {_key("o", "d.objsubid", "da")}, {_key("r", "d.refobjsubid", "ra")}
            from edge d
            join object o on o.classid = d.classid and o.objid = d.objid
            join object r on r.classid = d.refclassid and r.objid = d.refobjid
            left join pg_catalog.pg_attribute da on d.objsubid > 0
              and da.attrelid = d.objid and da.attnum = d.objsubid
            left join pg_catalog.pg_attribute ra on d.refobjsubid > 0
              and ra.attrelid = d.refobjid and ra.attnum = d.refobjsubid
            where o.kind <> {literal(Kind.EXTENSION.value)} and not ({_IS_TOLD_BY_KEY})
              and not {_IS_OF_PARTITION})
        select pg_catalog.json_agg(pg_catalog.json_build_array(of, needed))
        from (select distinct of, needed from named where of <> needed) told))::text"""


def _key(side: str, part: str, attribute: str) -> str:
    """Return an SQL expression for a fact's key; a part of a relation is its column's fact."""
    composite = literal(Kind.COMPOSITE.value)
    is_column = f"{part} > 0 and {side}.kind not in ({composite}, 'extension')"
    return f"""array[case when {is_column} then 'column' else {side}.kind end, {side}.schema,
        {side}.relation, case when {is_column} then {attribute}.attname::text
        else {side}.name end]::text[]"""
