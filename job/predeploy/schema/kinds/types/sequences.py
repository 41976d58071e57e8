"""Sequences, except those of identity columns, which are part of their column."""

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import (
    Change,
    Outcome,
    Phase,
    Report,
    change,
    drift,
    not_addable,
    relation,
)
from predeploy.schema.entry import (
    OF_RELATION,
    OWN_RELATION,
    Entry,
    alone,
    attributes,
    flag,
    order,
)
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.numbering import clauses, is_safe, read_numbering
from predeploy.schema.schema_pair import SchemaPair

_PARAMETERS = ("type", "options", "unlogged")


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it, alter its parameters, set its owner; never change a live one's value."""
    owner = desired.listed("owned by")
    column = pair.live.get(Kind.COLUMN, *owner) if owner else None
    if live is None and column is not None and column.get("identity"):
        return  # the column is reported as drift; it has its own sequence and takes no other
    if live is None and column is not None and not pair.can_build_at_once(column):
        yield not_addable(
            desired,
            "sequence-behind",
            f"the rows have values in {column.label}, and it would begin before them",
            "in a migration: create it, setval it to the largest value, let the column own it",
        )
        return
    if live is None:
        unlogged = "UNLOGGED " if desired.get("unlogged") else ""
        yield change(
            desired,
            Phase.TOGETHER,
            f"CREATE {unlogged}SEQUENCE {relation(desired)} AS {desired.get('type')} "
            f"{desired.get('options')}",
        )
    elif any(desired.get(name) != live.get(name) for name in _PARAMETERS):
        yield _altered(desired, live, pair)
    if (live is None and not owner) or (live is not None and live.listed("owned by") == owner):
        return
    owned_by = ".".join(identifier(part) for part in owner) or "NONE"
    statement = f"ALTER SEQUENCE {relation(desired)} OWNED BY {owned_by}"
    owning = pair.desired.get(Kind.COLUMN, *owner) if owner else None
    after = () if owning is None else (owning.key,)
    given = change(desired, Phase.TOGETHER, statement, needs=after)
    if live is not None and live.get("owned by"):
        told = drift(
            desired,
            live,
            "sequence-owner",
            f"owned by {'.'.join(live.listed('owned by'))}",
            "ALTER SEQUENCE … OWNED BY in a migration",
            names=("owned by",),
        )
        yield pair.altered(told, given)
    else:
        yield given


def _altered(desired: Fact, live: Fact, pair: SchemaPair) -> Change | Report:
    """Change its parameters, unless that would take away numbers."""
    told = drift(
        desired,
        live,
        "sequence-parameters",
        f"{live.get('type')} {live.get('options')}",
        "ALTER SEQUENCE in a migration, or declare it as it is",
        names=_PARAMETERS,
    )
    wanted, there = (read_numbering(f.get("type"), f.get("options")) for f in (desired, live))
    loses_its_log = desired.get("unlogged") and not live.get("unlogged")
    if loses_its_log or not is_safe(wanted, there):
        return told
    alter = f"ALTER SEQUENCE {relation(desired)}"
    changed = " ".join(clauses(wanted, there))
    statements = [f"{alter} {changed}"] if changed else []
    if live.get("unlogged") and not desired.get("unlogged"):
        statements.append(f"{alter} SET LOGGED")
    return pair.altered(told, change(desired, Phase.TOGETHER, *statements))


def is_twin(desired: Fact, live: Fact) -> bool:
    """Whether the same column owns both: a serial's sequence that was renamed later."""
    return desired.get("owned by") == live.get("owned by")


def twin_scope(sequence: Fact) -> tuple[str, ...]:
    """Return the column that owns it, or else its own key."""
    return sequence.listed("owned by") or sequence.key


_OWNER = """(
    select pg_catalog.json_build_array(rn.nspname, r.relname, a.attname)::text
    from pg_catalog.pg_depend d
    join pg_catalog.pg_class r on r.oid = d.refobjid
    join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
      and d.refclassid = d.classid and d.deptype = 'a')"""
_OPTIONS = """pg_catalog.format('START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s',
    s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
    case when s.seqcycle then ' CYCLE' end)"""

SEQUENCE = Entry(
    Kind.SEQUENCE,
    f"""select n.nspname, c.relname, '', {
        attributes(
            type="pg_catalog.format_type(s.seqtypid, null)",
            options=_OPTIONS,
            unlogged=flag("c.relpersistence = 'u'"),
            owned_by=_OWNER,
        )
    }, {order("c.oid")}
        from pg_catalog.pg_sequence s {OF_RELATION.format("s.seqrelid")}
        where true""",
    plan,
    is_twin=is_twin,
    twin_scope=twin_scope,
    own=f"{OWN_RELATION} and {alone('pg_class', 'c.oid')}",
)
