"""Finds what a shadow used or changed in a live schema without the files declaring it."""

from collections.abc import Iterable

from predeploy.contract.quoting import literal
from predeploy.database.server.rows import Row, typed
from predeploy.database.shadow.survey import IN_SCHEMAS

# The survey does not look for conversions.
_CATALOGS = (
    *((catalog, schema) for catalog, _, schema in IN_SCHEMAS),
    ("pg_conversion", "connamespace"),
)


class Undeclared(tuple[str, ...]):
    """Descriptions of what uses, changes or makes an object of a live schema; ten at most."""

    __slots__ = ()


def told_in(rows: Iterable[Row]) -> Undeclared:
    """Convert the rows of the query."""
    return Undeclared(text for (text,) in typed(tuple[str], rows))


def undeclared_sql(schemas: Iterable[str]) -> str:
    """Return the query of what uses the live `schemas`, by their current names, after the pins.

    An unqualified name can refer to one, since extensions' schemas are on the search_path; only
    extension members are meant to be used that way. Runs in the shadow's transaction.
    """
    names = ", ".join(map(literal, ("", *schemas)))
    objects = " union all ".join(
        f"select 'pg_catalog.{catalog}'::pg_catalog.regclass::oid, x.oid, x.xmin "
        f"from pg_catalog.{catalog} x join pg_catalog.pg_namespace n on n.oid = x.{schema} "
        f"where n.nspname in ({names})"
        for catalog, schema in _CATALOGS
    )
    return f"""with live(classid, objid, xmin) as ({objects}), extension(classid, objid) as (
            select classid, objid from pg_catalog.pg_depend where deptype = 'e'
        ), own(classid, objid, xmin) as (
            select * from live l
            where (classid, objid) not in (select classid, objid from extension)
              and not exists (
                select from pg_catalog.pg_depend i
                join extension e on e.classid = i.refclassid and e.objid = i.refobjid
                where i.classid = l.classid and i.objid = l.objid and i.deptype in ('i', 'a')))
        select distinct pg_catalog.format('%s uses the %s %s',
            (pg_catalog.pg_identify_object(d.classid, d.objid, 0)).identity, r.type, r.identity)
        from pg_catalog.pg_depend d
        join own on own.classid = d.refclassid and own.objid = d.refobjid
        cross join pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0) r
        where (d.classid, d.objid) not in (select classid, objid from live)
          and {_is_of_this_transaction("d.xmin")}
        union
        select pg_catalog.format('the %s %s is changed', r.type, r.identity)
        from own cross join pg_catalog.pg_identify_object(own.classid, own.objid, 0) r
        where {_is_of_this_transaction("own.xmin")} or exists (
            select from pg_catalog.pg_description c
            where c.classoid = own.classid and c.objoid = own.objid
              and {_is_of_this_transaction("c.xmin")}) or exists (
            select from pg_catalog.pg_enum e
            where own.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
              and e.enumtypid = own.objid and {_is_of_this_transaction("e.xmin")})
        order by 1 limit 10"""


def _is_of_this_transaction(xmin: str) -> str:
    """Return an SQL expression: this transaction or a subtransaction of it wrote the row.

    Subtransactions have higher ids than the transaction, but so do other sessions' transactions
    that have committed meanwhile; only its own rows are both visible and in progress.
    """
    own = "pg_catalog.pg_current_xact_id()::text::bigint"
    return (
        f"case when pg_catalog.age({xmin}) <= 0 then pg_catalog.pg_xact_status("
        f"({own} - pg_catalog.age({xmin}))::text::xid8) = 'in progress' else false end"
    )
