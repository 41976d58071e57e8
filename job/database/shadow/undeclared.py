"""Finds what a shadow took from a live schema without the files declaring it."""

from job.database import wire
from job.database.wire import Connection, literal


def undeclared(conn: Connection, prefix: str) -> tuple[str, ...]:
    """Say what depends on an object of a live schema, renamed to begin with `prefix`.

    An unqualified name can mean one, since the schemas of extensions are on the search_path; the
    members of extensions are meant to be used so. In the shadow's transaction; ten at most.
    """
    live = f"left(n.nspname, {len(prefix)}) = {literal(prefix)}"
    objects = " union all ".join(
        f"select 'pg_catalog.{catalog}'::pg_catalog.regclass::oid, x.oid "
        f"from pg_catalog.{catalog} x join pg_catalog.pg_namespace n on n.oid = x.{schema} "
        f"where {live}"
        for catalog, schema in (
            ("pg_class", "relnamespace"), ("pg_type", "typnamespace"),
            ("pg_proc", "pronamespace"), ("pg_operator", "oprnamespace"),
            ("pg_opclass", "opcnamespace"), ("pg_opfamily", "opfnamespace"),
            ("pg_collation", "collnamespace"), ("pg_conversion", "connamespace"),
            ("pg_ts_config", "cfgnamespace"), ("pg_ts_dict", "dictnamespace"),
        )
    )  # fmt: skip
    # Rows of this transaction are the newest: a subtransaction's id is higher than ours.
    rows = wire.ask(
        conn,
        f"""
        with live(classid, objid) as ({objects}), extension(classid, objid) as (
            select classid, objid from pg_catalog.pg_depend where deptype = 'e')
        select distinct
            (pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0)).type,
            (pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0)).identity,
            (pg_catalog.pg_identify_object(d.classid, d.objid, 0)).identity
        from pg_catalog.pg_depend d
        join live on live.classid = d.refclassid and live.objid = d.refobjid
        where pg_catalog.age(d.xmin) <= 0
          and (d.classid, d.objid) not in (select classid, objid from live)
          and (d.refclassid, d.refobjid) not in (select classid, objid from extension)
          and not exists (
            select from pg_catalog.pg_depend i
            join extension e on e.classid = i.refclassid and e.objid = i.refobjid
            where i.classid = d.refclassid and i.objid = d.refobjid and i.deptype in ('i', 'a'))
        order by 1, 2, 3 limit 10""",
    )
    texts = [[(text or "").replace(prefix, "") for text in row] for row in rows]
    return tuple(f"{user} uses the {kind} {used}" for kind, used, user in texts)
