"""Text search dictionaries, and configurations, which map token types to dictionaries."""

from itertools import groupby

from predeploy.contract.quoting import FIRST_USER_OID, identifier
from predeploy.schema.ddl import Outcome, create_only, qualified
from predeploy.schema.entry import Entry, attributes, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaPair

_MAPPING = "mapping for "
_BY_MIGRATION = "change it in a migration, with all that was computed by it, or declare it as it is"


def plan_dictionary(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it; only report one with another shape, because stored data depends on it."""
    given = f", {desired.get('options')}" if desired.get("options") else ""
    create = f"CREATE TEXT SEARCH DICTIONARY {qualified(desired)}"
    return create_only(
        desired,
        live,
        "dictionary-differs",
        _BY_MIGRATION,
        f"{create} (TEMPLATE = {desired.get('template')}{given})",
    )


def plan_configuration(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it; only report one with another shape, because stored data depends on it."""
    differing = live.differing(desired) if live else ()
    what = ", ".join(f"{name}: {live.get(name) or 'none'}" for name in differing if live)
    named = f"TEXT SEARCH CONFIGURATION {qualified(desired)}"
    mappings = (
        (value, identifier(name.removeprefix(_MAPPING)))
        for name, value in desired.attributes
        if name.startswith(_MAPPING)
    )
    added = (
        f"ALTER {named} ADD MAPPING FOR {', '.join(token for _, token in group)} "
        f"WITH {dictionaries}"
        for dictionaries, group in groupby(sorted(mappings), key=lambda mapping: mapping[0])
    )
    create = f"CREATE {named} (PARSER = {desired.get('parser')})"
    return create_only(
        desired, live, "configuration-differs", _BY_MIGRATION, create, *added, what=what
    )


def _named(catalog: str, prefix: str, oid: str) -> str:
    return f"""(select pg_catalog.format('%I.%I', tn.nspname, t.{prefix}name)
        from pg_catalog.{catalog} t
        join pg_catalog.pg_namespace tn on tn.oid = t.{prefix}namespace where t.oid = {oid})"""


# One attribute for each token type, so that only differing ones are reported.
_SHAPE = f"""(select pg_catalog.jsonb_build_object('parser',
            {_named("pg_ts_parser", "prs", "x.cfgparser")})
        || coalesce(pg_catalog.jsonb_object_agg('{_MAPPING}' || m.alias, m.dictionaries), '{{}}')
    from (select k.alias, pg_catalog.string_agg({_named("pg_ts_dict", "dict", "cm.mapdict")}, ', '
            order by cm.mapseqno) dictionaries
        from pg_catalog.pg_ts_config_map cm
        join pg_catalog.ts_token_type(x.cfgparser) k on k.tokid = cm.maptokentype
        where cm.mapcfg = x.oid group by k.alias) m)::json"""

TEXT_SEARCH_DICTIONARY = Entry(
    Kind.TEXT_SEARCH_DICTIONARY,
    f"""select n.nspname, '', x.dictname, {
        attributes(
            template=_named("pg_ts_template", "tmpl", "x.dicttemplate"),
            options="x.dictinitoption",
        )
    }, {order("x.oid")}
        from pg_catalog.pg_ts_dict x
        join pg_catalog.pg_namespace n on n.oid = x.dictnamespace
        where x.oid >= {FIRST_USER_OID} and {own("pg_ts_dict", "x.oid")}""",
    plan_dictionary,
)

TEXT_SEARCH_CONFIGURATION = Entry(
    Kind.TEXT_SEARCH_CONFIGURATION,
    f"""select n.nspname, '', x.cfgname, {_SHAPE}, greatest({order("x.oid")}, (
            select pg_catalog.max(cm.mapdict::bigint)
            from pg_catalog.pg_ts_config_map cm where cm.mapcfg = x.oid))
        from pg_catalog.pg_ts_config x
        join pg_catalog.pg_namespace n on n.oid = x.cfgnamespace
        where x.oid >= {FIRST_USER_OID} and {own("pg_ts_config", "x.oid")}""",
    plan_configuration,
)
