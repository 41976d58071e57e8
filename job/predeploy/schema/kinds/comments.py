"""Comments on all modelled objects."""

import json

from predeploy.contract.quoting import FIRST_USER_OID, literal
from predeploy.schema.ddl import Outcome, Phase, change, not_addable
from predeploy.schema.entry import Entry, attributes
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.identities import is_sequence_renamed
from predeploy.schema.kinds.programs.routines import SIGNATURE
from predeploy.schema.kinds.types.casts import PUT_ASIDE
from predeploy.schema.schema_pair import SchemaPair

_IN_SCHEMA = (
    ("pg_collation", "collnamespace", "x.collname"),
    ("pg_conversion", "connamespace"),
    ("pg_operator", "oprnamespace"),
    ("pg_opclass", "opcnamespace"),
    ("pg_opfamily", "opfnamespace"),
    ("pg_ts_config", "cfgnamespace", "x.cfgname"),
    ("pg_ts_dict", "dictnamespace", "x.dictname"),
    ("pg_ts_parser", "prsnamespace"),
    ("pg_ts_template", "tmplnamespace"),
)
# Objects without a schema that a schema file may comment on.
_OF_THE_DATABASE = ("pg_cast", "pg_transform")


def plan(desired: Fact, _live: Fact | None, pair: SchemaPair) -> Outcome:
    """Set it, replacing another if necessary; an undeclared live comment is kept."""
    what, _, name = desired.name.partition(" ")
    if what == "sequence" and is_sequence_renamed(desired.schema, desired.relation, pair):
        return  # the column takes its numbers from a sequence of another name
    if what == "column" and _is_of_another_shape(desired, name, pair):
        yield not_addable(
            desired,
            "waits",
            f"the composite type {desired.schema}.{desired.relation} has another shape, without it",
            "it is added by the run that finds the attribute",
        )
        return
    text = literal(desired.get("text"))
    yield change(desired, Phase.AFTER, f"COMMENT ON {desired.get('on')} IS {text}")


def _is_of_another_shape(comment: Fact, attribute: str, pair: SchemaPair) -> bool:
    """Whether its attribute is missing in a live type and is not added there."""
    place = (Kind.COMPOSITE, comment.schema, "", comment.relation)
    live, desired = pair.live.get(*place), pair.desired.get(*place)
    if live is None or desired is None:
        return False
    found, wanted = (json.loads(fact.get("attributes") or "[]") for fact in (live, desired))
    return wanted[: len(found)] != found and attribute not in (name for name, *_ in found)


def _hanging(catalog: str, prefix: str, word: str, where: str = "true") -> str:
    """Return a part of the query: objects of one catalog that belong to a relation by name."""
    return f"""select 'pg_catalog.{catalog}'::pg_catalog.regclass, x.oid, 0, n.nspname, c.relname,
        '{word.lower()} ' || x.{prefix}name,
        pg_catalog.format('{word} %I ON %I.%I', x.{prefix}name, n.nspname, c.relname), c.oid
        from pg_catalog.{catalog} x
        join pg_catalog.pg_class c on c.oid = x.{
        {"con": "conrelid", "tg": "tgrelid", "pol": "polrelid", "rule": "ev_class"}[prefix]
    }
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace where {where}"""


def _other(catalog: str, namespace: str = "", name: str = "i.identity") -> str:
    """Return a part of the query: objects of one catalog, in PostgreSQL's own terms."""
    schema = f"(select nspname from pg_catalog.pg_namespace where oid = x.{namespace})"
    return f"""select 'pg_catalog.{catalog}'::pg_catalog.regclass, x.oid, 0,
        {schema if namespace else "''"}, '', i.type || ' ' || {name},
        pg_catalog.upper(pg_catalog.replace(i.type, '-', ' ')) || ' '
        || pg_catalog.regexp_replace(i.identity, '^(for .*) on language ', '\\1 language '), 0::oid
        from pg_catalog.{catalog} x, pg_catalog.pg_identify_object(
            'pg_catalog.{catalog}'::pg_catalog.regclass, x.oid, 0) i
        where x.oid >= {FIRST_USER_OID} and i.identity !~ '{PUT_ASIDE.removeprefix("^")}'"""


# Each: catalog, OID, number of the part, schema, relation, name, name in SQL, OID of the relation.
_PARTS = (
    """select 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, 0, n.nspname, '', 'schema',
        pg_catalog.format('SCHEMA %I', n.nspname), 0::oid from pg_catalog.pg_namespace n""",
    """select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0, n.nspname, c.relname,
        pg_catalog.lower(k.word), pg_catalog.format('%s %I.%I', k.word, n.nspname, c.relname), c.oid
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join (values ('r', 'TABLE'), ('p', 'TABLE'), ('v', 'VIEW'), ('m', 'MATERIALIZED VIEW'),
              ('f', 'FOREIGN TABLE'), ('S', 'SEQUENCE'), ('i', 'INDEX'), ('I', 'INDEX'))
          k(relkind, word) on k.relkind = c.relkind::text""",
    """select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, a.attnum::int, n.nspname,
        c.relname, 'column ' || a.attname,
        pg_catalog.format('COLUMN %I.%I.%I', n.nspname, c.relname, a.attname), c.oid
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where a.attnum > 0 and not a.attisdropped""",
    _hanging("pg_constraint", "con", "CONSTRAINT"),
    """select 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0, n.nspname, t.typname,
        'constraint ' || k.conname,
        pg_catalog.format('CONSTRAINT %I ON DOMAIN %I.%I', k.conname, n.nspname, t.typname), 0::oid
        from pg_catalog.pg_constraint k
        join pg_catalog.pg_type t on t.oid = k.contypid
        join pg_catalog.pg_namespace n on n.oid = t.typnamespace
        where k.contype in ('c', 'n')""",
    _hanging("pg_trigger", "tg", "TRIGGER", "not x.tgisinternal and x.tgparentid = 0"),
    _hanging("pg_policy", "pol", "POLICY"),
    _hanging("pg_rewrite", "rule", "RULE", "x.rulename <> '_RETURN'"),
    """select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0, n.nspname, '',
        case t.typtype when 'd' then 'domain ' else 'type ' end || t.typname,
        pg_catalog.format('%s %I.%I', case t.typtype when 'd' then 'DOMAIN' else 'TYPE' end,
            n.nspname, t.typname), 0::oid
        from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace""",
    f"""select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0, n.nspname, '',
        'routine ' || {SIGNATURE},
        pg_catalog.format('ROUTINE %I.%s', n.nspname, {SIGNATURE}), 0::oid
        from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace""",
    """select 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, 0, n.nspname, '',
        'statistics ' || s.stxname,
        pg_catalog.format('STATISTICS %I.%I', n.nspname, s.stxname), s.stxrelid
        from pg_catalog.pg_statistic_ext s
        join pg_catalog.pg_namespace n on n.oid = s.stxnamespace""",
    *(_other(*where) for where in _IN_SCHEMA),
    *(_other(catalog) for catalog in _OF_THE_DATABASE),
)

COMMENT = Entry(
    Kind.COMMENT,
    f"""select o.schema, o.relation, o.name, {attributes(on="o.target", text="d.description")},
            o.oid::bigint
        from ({" union all ".join(_PARTS)}) o(catalog, oid, part, schema, relation, name, target,
            owner)
        join pg_catalog.pg_description d
          on d.classoid = o.catalog and d.objoid = o.oid and d.objsubid = o.part
        where not exists (
            select from pg_catalog.pg_depend m
            where m.deptype = 'e' and ((m.classid = o.catalog and m.objid = o.oid)
              or (m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                and m.objid = o.owner)))""",
    plan,
)
