"""The kinds of object that we know: one entry each, with the catalog query that reads it.

A query yields (relation's schema, relation's name, identity, definition), extension members left
out. It is read with an empty search_path, so that PostgreSQL prints every name with its schema
(https://www.postgresql.org/docs/current/functions-info.html, pg_get_*def).
"""

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Kind(Enum):
    """What a fact is about; the value is the fact's `kind`."""

    TABLE = "table"
    COLUMN = "column"
    CONSTRAINT = "constraint"
    INDEX = "index"
    SEQUENCE = "sequence"


@dataclass(frozen=True, slots=True)
class Catalog:
    """How a kind is read: a query with the four columns named in this module's first paragraph."""

    query: str


_NOT_OF_AN_EXTENSION = """
    not exists (
        select from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
          and d.objid = c.oid and d.deptype = 'e'
    )"""

CATALOGS = MappingProxyType(
    {
        Kind.TABLE: Catalog(f"""
            select n.nspname, c.relname, concat_ws('.', n.nspname, c.relname),
                   case c.relkind when 'r' then 'table' when 'p' then 'partitioned table'
                                  when 'f' then 'foreign table' else 'view' end
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p', 'f', 'v', 'm') and {_NOT_OF_AN_EXTENSION}"""),
        Kind.COLUMN: Catalog(f"""
            select n.nspname, c.relname, concat_ws('.', n.nspname, c.relname, a.attname),
                   concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
                             case when a.attnotnull then 'not null' end,
                             'default ' || pg_catalog.pg_get_expr(ad.adbin, ad.adrelid))
            from pg_catalog.pg_attribute a
            join pg_catalog.pg_class c on c.oid = a.attrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            left join pg_catalog.pg_attrdef ad on ad.adrelid = c.oid and ad.adnum = a.attnum
            where c.relkind in ('r', 'p', 'f', 'v', 'm') and a.attnum > 0
              and not a.attisdropped and {_NOT_OF_AN_EXTENSION}"""),
        Kind.CONSTRAINT: Catalog(f"""
            select n.nspname, c.relname, concat_ws('.', n.nspname, c.relname, k.conname),
                   pg_catalog.pg_get_constraintdef(k.oid)
            from pg_catalog.pg_constraint k
            join pg_catalog.pg_class c on c.oid = k.conrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where k.contype in ('p', 'u', 'f', 'c', 'x') and k.conparentid = 0
              and {_NOT_OF_AN_EXTENSION}"""),
        Kind.INDEX: Catalog(f"""
            select n.nspname, c.relname, concat_ws('.', n.nspname, i.relname),
                   concat_ws(' ', pg_catalog.pg_get_indexdef(i.oid),
                             case when not x.indisvalid then 'invalid' end)
            from pg_catalog.pg_index x
            join pg_catalog.pg_class i on i.oid = x.indexrelid
            join pg_catalog.pg_class c on c.oid = x.indrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where not i.relispartition and {_NOT_OF_AN_EXTENSION}"""),
        Kind.SEQUENCE: Catalog(f"""
            select n.nspname, c.relname, concat_ws('.', n.nspname, c.relname),
                   concat_ws(' ', pg_catalog.format_type(s.seqtypid, null),
                             'start', s.seqstart, 'increment', s.seqincrement,
                             'owned by ' || (
                                 select d.refobjid::pg_catalog.regclass || '.' || a.attname
                                 from pg_catalog.pg_depend d
                                 join pg_catalog.pg_attribute a
                                   on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                                 where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                   and d.objid = c.oid and d.deptype in ('a', 'i')))
            from pg_catalog.pg_sequence s
            join pg_catalog.pg_class c on c.oid = s.seqrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where {_NOT_OF_AN_EXTENSION}"""),
    }
)
