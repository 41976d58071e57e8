"""Grants, and default privileges for new objects. Nothing is revoked from live objects.

PUBLIC's built-in privileges on every new routine and type are not facts, and neither are an owner's
privileges on its object; but revoking such a privilege is a fact. Privileges beyond those declared
are reported by `predeploy.schema.comparison.rights`.
https://www.postgresql.org/docs/current/ddl-priv.html
"""

from predeploy.schema.ddl import Outcome, Phase, Report, Verdict, change, not_addable
from predeploy.schema.entry import Entry, attributes, flag, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.identities import is_sequence_renamed
from predeploy.schema.kinds.programs.routines import SIGNATURE
from predeploy.schema.schema_pair import SchemaPair
from predeploy.schema.written import target_of, unquoted

_ROWS = (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW)
_NAMED = (
    Kind.ROUTINE, Kind.AGGREGATE, Kind.ENUM, Kind.DOMAIN, Kind.COMPOSITE, Kind.RANGE,
)  # fmt: skip


def plan_grant(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Grant it, or report a privilege that should be revoked."""
    # Facts about ownership are only looked up (`_owner`, `_granted`), never planned.
    if desired.get("owned"):
        return
    if is_sequence_renamed(desired.schema, desired.relation, pair):
        yield not_addable(
            desired,
            "sequence-renamed",
            "its column takes its numbers from no sequence of that name",
            f"rename the column's sequence to {desired.relation} in a migration",
        )
        return
    if desired.get("withheld"):
        if owned(desired, pair) is None:
            yield from _withheld(desired, pair)
    elif desired.get("revoked"):
        yield from _revoked(desired, pair)
    else:
        yield from _granted(desired, live, pair)


def plan_default_privilege(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Grant it on what the role will create, or revoke that from PUBLIC."""
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


def _revoked(desired: Fact, pair: SchemaPair) -> Outcome:
    """Report what PUBLIC has on a live object; a new object revokes it when it is created."""
    statement = f"REVOKE {desired.get('privilege')} ON {desired.get('on')} FROM PUBLIC"
    if _is_there(desired, pair):
        yield Report(
            Verdict.DRIFT,
            "granted-to-public",
            desired.label,
            f"PUBLIC has {desired.get('privilege')} on {desired.get('on')}, which is declared to "
            "be revoked; it stays as it is",
            f"in a migration: {statement}",
            desired.definition,
            "granted to PUBLIC",
        )
    elif desired.get("extension"):
        yield change(desired, Phase.TOGETHER, statement)


def _withheld(desired: Fact, pair: SchemaPair) -> Outcome:
    """Revoke the owner's privilege on a new object; on a live one, only report that it is held."""
    statement = f"REVOKE {desired.get('privilege')} ON {desired.get('on')} FROM CURRENT_USER"
    if not _is_there(desired, pair):
        yield change(desired, Phase.AFTER, statement)
        return
    yield Report(
        Verdict.DRIFT,
        "owner-has",
        desired.label,
        f"its owner has {desired.get('privilege')} on {desired.get('on')}, which is declared to be "
        "revoked; it stays as it is",
        f"in a migration: {statement}",
        desired.definition,
        "held by its owner",
    )


def owned(of: Fact, pair: SchemaPair) -> Fact | None:
    """Return the fact that another role owns the live object of a grant; None if none does."""
    target = target_of(of)
    known = pair.live.rights_on(target) if target is not None else ()
    return next((fact for fact in known if fact.get("owned")), None)


def _is_there(desired: Fact, pair: SchemaPair) -> bool:
    """Whether the object exists whose privileges a fact withholds."""
    if desired.get("extension"):
        return pair.live.get(Kind.EXTENSION, "", "", desired.get("extension")) is not None
    place = (desired.schema, desired.relation)
    if desired.relation:
        identities = (pair.live.get(kind, *place) for kind in (*_ROWS, Kind.SEQUENCE))
        return any(identities) or pair.live.numbered_by(*place) is not None
    if not desired.get("of"):
        return pair.live.get(Kind.SCHEMA, desired.schema, "") is not None
    return any(pair.live.get(kind, desired.schema, "", desired.get("of")) for kind in _NAMED)


def _granted(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    if live is not None and not desired.get("grantable"):
        return  # the live grant has the grant option, which is more than is declared
    if _is_its_owners(desired, pair) and not _is_lacking(desired, pair):
        return
    option = " WITH GRANT OPTION" if desired.get("grantable") else ""
    yield change(
        desired,
        Phase.AFTER,
        f"GRANT {desired.get('privilege')}{desired.get('columns')} ON {desired.get('on')} "
        f"TO {desired.get('grantee')}{option}",
    )


def _is_its_owners(grant: Fact, pair: SchemaPair) -> bool:
    """Whether the grantee owns the live object, or will own the new one."""
    other = owned(grant, pair)
    if other is not None:
        return other.get("owner") == grant.get("grantee")
    return unquoted(grant.get("grantee")) == pair.role and not grant.get("extension")


def _is_lacking(grant: Fact, pair: SchemaPair) -> bool:
    """Whether the privilege was revoked from the owner, who has all others without a grant."""
    target = target_of(grant)
    known = pair.live.rights_on(target) if target is not None else ()
    withheld = (fact.get("privilege") for fact in known if fact.get("withheld"))
    return not grant.get("columns") and grant.get("privilege") in withheld


_GRANTEE = """case a.grantee when 0 then 'PUBLIC'
    else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end"""

_OWNER = "pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(o.owner))"

# Each: schema, relation, its part of the fact's name, name in SQL, columns, ACL, owner, OID, and
# the extension that it belongs to. For extension members only privileges changed since the
# extension's creation count.
_IN = "join pg_catalog.pg_namespace n on n.oid"
_ON_SCHEMA = """select n.nspname, '', 'schema', pg_catalog.format('SCHEMA %I', n.nspname), '',
        n.nspacl, n.nspowner, n.oid, null from pg_catalog.pg_namespace n"""
_RELATION = """pg_catalog.format('%s %I.%I', case c.relkind when 'S' then 'SEQUENCE'
        else 'TABLE' end, n.nspname, c.relname)"""
_ROUTINE = f"pg_catalog.format('ROUTINE %I.%s', n.nspname, {SIGNATURE})"
_TYPE = "pg_catalog.format('TYPE %I.%I', n.nspname, t.typname)"
_RELATIONS = f"pg_catalog.pg_class c {_IN} = c.relnamespace"
_ROUTINES = f"pg_catalog.pg_proc p {_IN} = p.pronamespace"
_TYPES = f"pg_catalog.pg_type t {_IN} = t.typnamespace"
_ON_RELATION = f"""select n.nspname, c.relname, '', {_RELATION}, '', c.relacl, c.relowner, c.oid,
        null from {_RELATIONS}
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and {own("pg_class", "c.oid")}"""
_ON_COLUMN = f"""select n.nspname, c.relname, b.attname, {_RELATION},
        pg_catalog.format(' (%I)', b.attname), b.attacl, c.relowner, c.oid, null
        from pg_catalog.pg_attribute b
        join pg_catalog.pg_class c on c.oid = b.attrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where b.attacl is not null and not b.attisdropped and {own("pg_class", "c.oid")}"""
_ON_ROUTINE = f"""select n.nspname, '', {SIGNATURE}, {_ROUTINE}, '', p.proacl, p.proowner, p.oid,
        null from {_ROUTINES} where {own("pg_proc", "p.oid")}"""
_ON_TYPE = f"""select n.nspname, '', t.typname, {_TYPE}, '', t.typacl, t.typowner, t.oid, null
        from {_TYPES} where {own("pg_type", "t.oid")}"""
_COLUMNS = "o(schema, relation, part, target, columns, acl, owner, oid, extension)"


def _of_members(catalog: str, prefix: str, target: str, source: str) -> str:
    """Return a query of extension members whose ACL differs from the one set by their script."""
    alias = source.split()[1]
    acl, owner = f"{alias}.{prefix}acl", f"{alias}.{prefix}owner"
    name = f"pg_catalog.substr({target}, pg_catalog.strpos({target}, ' ') + 1)"
    of_one = f"= ('pg_catalog.{catalog}'::pg_catalog.regclass, {alias}.oid)"
    return f"""select '', '', {name}, {target}, '', {acl}, {owner}, {alias}.oid, e.extname
        from {source}
        join pg_catalog.pg_depend d on (d.classid, d.objid) {of_one} and d.deptype = 'e'
        join pg_catalog.pg_extension e on e.oid = d.refobjid
        left join pg_catalog.pg_init_privs i on (i.classoid, i.objoid) {of_one} and i.objsubid = 0
        where {acl} is not null and n.nspname <> 'pg_catalog'
          and {acl} is distinct from i.initprivs"""


_MEMBER_ROUTINES = _of_members("pg_proc", "pro", _ROUTINE, _ROUTINES)
_MEMBERS = " union all ".join(
    (
        _of_members("pg_class", "rel", _RELATION, _RELATIONS),
        _MEMBER_ROUTINES,
        _of_members("pg_type", "typ", _TYPE, _TYPES),
    )
)
_ALL = f"""(({_ON_SCHEMA}) union all ({_ON_RELATION}) union all ({_ON_COLUMN})
    union all ({_ON_ROUTINE}) union all ({_ON_TYPE}) union all {_MEMBERS}) {_COLUMNS}"""
_OPEN_TO_ALL = f"""(({_ON_ROUTINE}) union all ({_ON_TYPE}) union all {_MEMBER_ROUTINES})
    {_COLUMNS}"""
_USUAL = """pg_catalog.acldefault((case pg_catalog.split_part(o.target, ' ', 1)
    when 'SCHEMA' then 'n' when 'ROUTINE' then 'f' when 'TYPE' then 'T' when 'SEQUENCE' then 's'
    else 'r' end)::"char", o.owner)"""

_RIGHTS_OF_OWNER = """(select pg_catalog.json_agg(distinct a.privilege_type)
    from pg_catalog.aclexplode({}) a where a.grantee = o.owner)::text"""

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
            extension="o.extension",
        )
    }, {order("o.oid")}
        from {_ALL}, pg_catalog.aclexplode(o.acl) a
        where a.grantee <> o.owner and not ({_BY_ITSELF})
        group by o.schema, o.relation, o.part, o.target, o.columns, o.oid, o.extension,
            a.privilege_type, a.grantee
        union all
        select o.schema, o.relation, pg_catalog.concat_ws(' ', 'on', o.part, 'not to PUBLIC'), {
        attributes(
            revoked="'true'",
            privilege="case when o.target like 'TYPE %' then 'USAGE' else 'EXECUTE' end",
            on="o.target",
            of="o.part",
            extension="o.extension",
        )
    }, {order("o.oid")} + 1
        from {_OPEN_TO_ALL} where o.acl is not null
          and not exists (select from pg_catalog.aclexplode(o.acl) a where a.grantee = 0)
        union all
        select o.schema, o.relation, pg_catalog.concat_ws(' ', a.privilege_type,
            'on ' || nullif(o.part, ''), 'not to its owner'), {
        attributes(
            withheld="'true'",
            privilege="a.privilege_type",
            on="o.target",
            of="nullif(o.part, 'schema')",
        )
    }, {order("o.oid")}
        from {_ALL}, pg_catalog.aclexplode({_USUAL}) a
        where o.acl is not null and o.columns = '' and o.extension is null
          and a.grantee = o.owner and not exists (
            select from pg_catalog.aclexplode(o.acl) h
            where h.grantee = o.owner and h.privilege_type = a.privilege_type)
        union all
        select o.schema, o.relation, pg_catalog.format('owned by %s: %s', {_OWNER}, o.target),
            {
        attributes(
            owned="'true'",
            owner=_OWNER,
            on="o.target",
            of="nullif(o.part, '')",
            usual=_RIGHTS_OF_OWNER.format(_USUAL),
            held=_RIGHTS_OF_OWNER.format(f"coalesce(o.acl, {_USUAL})"),
        )
    }, {order("o.oid")}
        from {_ALL} where o.columns = '' and o.extension is null
          and o.owner <> pg_catalog.quote_ident(current_user)::pg_catalog.regrole""",
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
