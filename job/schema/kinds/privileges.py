"""Who may do what: grants, and the grants that new objects get by default. Nothing is taken away.

What PUBLIC may do with every new routine and type is no fact, since it comes by itself; that it
may not, is one: then it is taken away from a new object as soon as that is made.
https://www.postgresql.org/docs/current/ddl-priv.html
"""

from collections.abc import Iterator

from job.schema.ddl import Change, Phase, Report, Verdict, change, not_addable
from job.schema.facts import Fact
from job.schema.kind import Kind
from job.schema.kinds.entry import Entry, attributes, flag, order, own
from job.schema.kinds.identities import is_sequence_renamed
from job.schema.kinds.routines import SIGNATURE
from job.schema.sides import Sides

_NAMED = (
    Kind.ROUTINE, Kind.AGGREGATE, Kind.ENUM, Kind.DOMAIN, Kind.COMPOSITE, Kind.RANGE,
)  # fmt: skip


def plan_grant(
    desired: Fact,
    live: Fact | None,
    sides: Sides,
) -> Iterator[Change | Report]:
    """Grant it; to whom more was granted is nobody's business here."""
    if desired.get("owned"):
        return
    if is_sequence_renamed(desired.schema, desired.relation, sides):
        yield not_addable(
            desired,
            "sequence-renamed",
            "its column takes its numbers from no sequence of that name",
            f"rename the column's sequence to {desired.relation} by a migration",
        )
        return
    if not desired.get("revoked"):
        yield from _granted(desired, live, sides)
        return
    statement = f"REVOKE {desired.get('privilege')} ON {desired.get('on')} FROM PUBLIC"
    of = desired.get("of")
    is_there = any(sides.live.get(kind, desired.schema, "", of) for kind in _NAMED)
    if not is_there:
        yield change(desired, Phase.TOGETHER, statement)
    else:
        yield Report(
            Verdict.DRIFT,
            "granted-to-public",
            desired.label,
            f"PUBLIC has {desired.get('privilege')} on {desired.get('on')}, which is declared to "
            "be revoked; it stays as it is",
            f"by a migration: {statement}",
            desired.definition,
            "granted to PUBLIC",
        )


def plan_default_privilege(
    desired: Fact,
    live: Fact | None,
    sides: Sides,  # noqa: ARG001 - every kind is asked the same way
) -> Iterator[Change | Report]:
    """Grant it to what its role will create, or let that be closed to PUBLIC."""
    if desired.get("revoked"):
        yield change(
            desired,
            Phase.AFTER,
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {desired.get('role')} REVOKE "
            f"{desired.get('privilege')} ON {desired.get('on')} FROM PUBLIC",
        )
        return
    if live is not None and not desired.get("grantable"):
        return
    option = " WITH GRANT OPTION" if desired.get("grantable") else ""
    where = f" IN SCHEMA {desired.get('in')}" if desired.get("in") else ""
    yield change(
        desired,
        Phase.AFTER,
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {desired.get('role')}{where} GRANT "
        f"{desired.get('privilege')} ON {desired.get('on')} TO {desired.get('grantee')}{option}",
    )


def _granted(desired: Fact, live: Fact | None, sides: Sides) -> Iterator[Change | Report]:
    if live is not None and not desired.get("grantable"):
        return  # with the grant option it has more than is declared
    owned = f"owned by {desired.get('grantee')}: {desired.get('on')}"
    if sides.live.get(Kind.GRANT, desired.schema, desired.relation, owned) is not None:
        return  # the owner may do everything, and a grant to it leaves no trace
    option = " WITH GRANT OPTION" if desired.get("grantable") else ""
    yield change(
        desired,
        Phase.AFTER,
        f"GRANT {desired.get('privilege')}{desired.get('columns')} ON {desired.get('on')} "
        f"TO {desired.get('grantee')}{option}",
    )


_GRANTEE = """case a.grantee when 0 then 'PUBLIC'
    else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end"""

_OWNER = "pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(o.owner))"

# Each: schema, relation, what the name tells it by, what SQL calls it, columns, acl, owner, oid.
_ON_SCHEMA = """select n.nspname, '', 'schema', pg_catalog.format('SCHEMA %I', n.nspname), '',
        n.nspacl, n.nspowner, n.oid from pg_catalog.pg_namespace n"""
_RELATION = """pg_catalog.format('%s %I.%I', case c.relkind when 'S' then 'SEQUENCE'
        else 'TABLE' end, n.nspname, c.relname)"""
_ON_RELATION = f"""select n.nspname, c.relname, '', {_RELATION}, '', c.relacl, c.relowner, c.oid
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and {own("pg_class", "c.oid")}"""
_ON_COLUMN = f"""select n.nspname, c.relname, b.attname, {_RELATION},
        pg_catalog.format(' (%I)', b.attname), b.attacl, c.relowner, c.oid
        from pg_catalog.pg_attribute b
        join pg_catalog.pg_class c on c.oid = b.attrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where b.attacl is not null and not b.attisdropped and {own("pg_class", "c.oid")}"""
_ON_ROUTINE = f"""select n.nspname, '', {SIGNATURE}, pg_catalog.format('ROUTINE %I.%s', n.nspname,
        {SIGNATURE}), '', p.proacl, p.proowner, p.oid
        from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where {own("pg_proc", "p.oid")}"""
_ON_TYPE = f"""select n.nspname, '', t.typname, pg_catalog.format('TYPE %I.%I', n.nspname,
        t.typname), '', t.typacl, t.typowner, t.oid
        from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
        where {own("pg_type", "t.oid")}"""
_COLUMNS = "o(schema, relation, part, target, columns, acl, owner, oid)"
_ALL = f"""(({_ON_SCHEMA}) union all ({_ON_RELATION}) union all ({_ON_COLUMN})
    union all ({_ON_ROUTINE}) union all ({_ON_TYPE})) {_COLUMNS}"""
_OPEN_TO_ALL = f"(({_ON_ROUTINE}) union all ({_ON_TYPE})) {_COLUMNS}"

_BY_ITSELF = """a.grantee = 0 and o.relation = ''
    and (o.target like 'ROUTINE %' or o.target like 'TYPE %')"""

GRANT = Entry(
    Kind.GRANT,
    f"""select o.schema, o.relation, pg_catalog.concat_ws(' ', a.privilege_type,
            'on ' || nullif(o.part, ''), 'to', {_GRANTEE}), {
        attributes(
            privilege="a.privilege_type",
            columns="nullif(o.columns, '')",
            on="o.target",
            grantee=_GRANTEE,
            grantable=flag("pg_catalog.bool_or(a.is_grantable)"),
        )
    }, {order("o.oid")}
        from {_ALL}, pg_catalog.aclexplode(o.acl) a
        where a.grantee <> o.owner and not ({_BY_ITSELF})
        group by o.schema, o.relation, o.part, o.target, o.columns, o.oid, a.privilege_type,
            a.grantee
        union all
        select o.schema, o.relation, pg_catalog.concat_ws(' ', 'on', o.part, 'not to PUBLIC'), {
        attributes(
            revoked="'true'",
            privilege="case when o.target like 'TYPE %' then 'USAGE' else 'EXECUTE' end",
            on="o.target",
            of="o.part",
        )
    }, {order("o.oid")} + 1
        from {_OPEN_TO_ALL} where o.acl is not null
          and not exists (select from pg_catalog.aclexplode(o.acl) a where a.grantee = 0)
        union all
        select o.schema, o.relation, pg_catalog.format('owned by %s: %s', {_OWNER}, o.target),
            {attributes(owned="'true'")}, {order("o.oid")}
        from {_ALL} where o.columns = ''
          and o.owner not in (current_user::pg_catalog.regrole,
                              'pg_database_owner'::pg_catalog.regrole)""",
    plan_grant,
)

_ROLE = "pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.defaclrole))"

DEFAULT_PRIVILEGE = Entry(
    Kind.DEFAULT_PRIVILEGE,
    f"""select coalesce(n.nspname, ''), '', pg_catalog.concat_ws(' ', a.privilege_type, 'on',
            k.words, 'to', {_GRANTEE}, 'for', {_ROLE}), {
        attributes(
            role=_ROLE,
            **{"in": "pg_catalog.quote_ident(n.nspname)"},
            privilege="a.privilege_type",
            on="k.words",
            grantee=_GRANTEE,
            grantable=flag("pg_catalog.bool_or(a.is_grantable)"),
        )
    }, {order("d.oid")}
        from pg_catalog.pg_default_acl d
        join (values ('r', 'TABLES'), ('S', 'SEQUENCES'), ('f', 'ROUTINES'), ('T', 'TYPES'),
              ('n', 'SCHEMAS'), ('L', 'LARGE OBJECTS')) k(objtype, words)
          on k.objtype = d.defaclobjtype::text
        left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace,
        pg_catalog.aclexplode(d.defaclacl) a
        where a.grantee <> d.defaclrole
          and not (a.grantee = 0 and d.defaclobjtype in ('f', 'T') and d.defaclnamespace = 0)
        group by n.nspname, d.oid, d.defaclrole, k.words, a.privilege_type, a.grantee
        union all
        select '', '', pg_catalog.concat_ws(' ', 'on', k.words, 'not to PUBLIC for', {_ROLE}), {
        attributes(
            revoked="'true'",
            role=_ROLE,
            privilege="k.privilege",
            on="k.words",
        )
    }, {order("d.oid")}
        from pg_catalog.pg_default_acl d
        join (values ('f', 'ROUTINES', 'EXECUTE'), ('T', 'TYPES', 'USAGE'))
            k(objtype, words, privilege) on k.objtype = d.defaclobjtype::text
        where d.defaclnamespace = 0
          and not exists (select from pg_catalog.aclexplode(d.defaclacl) a where a.grantee = 0)""",
    plan_default_privilege,
)
