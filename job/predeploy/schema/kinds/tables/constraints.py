"""Constraints of tables: added at once if there are no rows, otherwise in two steps.

NOT NULL is reported with its column, although PostgreSQL 18 stores it as a constraint, too.
"""

from dataclasses import replace

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import (
    Change,
    Outcome,
    Phase,
    Report,
    Verdict,
    change,
    drift,
    not_addable,
    relation,
    warning,
)
from predeploy.schema.entry import OF_RELATION, OWN_RELATION, Entry, attributes, flag, order, own
from predeploy.schema.facts import FLAG, Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import not_null_helper
from predeploy.schema.kinds.indexes import building, index_ddl, parts
from predeploy.schema.kinds.indexes.index_ddl import index_of, named, take_over, timing
from predeploy.schema.names import derived
from predeploy.schema.schema_pair import SchemaPair
from predeploy.schema.violating_rows import violating_rows

_FOREIGN_KEY_NOT_VALID_ON_PARTITIONED = 180000
_UNIQUE = ("primary key", "unique")
_NOT_VALID = " NOT VALID"
# Observed on 18.6: for a key with PERIOD, VALIDATE CONSTRAINT accepts rows whose range is only
# partly covered. ADD without NOT VALID refuses them.
_NOT_VALIDATED = "PostgreSQL does not validate a foreign key with PERIOD that was added NOT VALID"


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Add it, or validate a live one; report a live one with another definition.

    If nothing is reported, also set the replica identity of its table, if that is declared.
    """
    outcomes = tuple(_added_or_told(desired, live, pair))
    yield from outcomes
    if not any(isinstance(outcome, Report) for outcome in outcomes):
        yield from index_ddl.identifying(desired, live)


def _added_or_told(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    if live is not None and not is_twin(desired, live):
        yield _otherwise(desired, live, pair)
    elif live is not None:
        if live.get("not valid") and not desired.get("not valid"):
            if _is_temporal(live):
                yield _needs_lock(desired, _NOT_VALIDATED, pair, instead=live)
            else:
                yield change(desired, Phase.ONLINE, _validate(live))
        if live.get("invalid") and not desired.get("invalid"):
            yield _completed(desired, live, pair)
    elif _other_primary_key(desired, pair):
        yield not_addable(
            desired,
            "other-primary-key",
            "the table has another primary key",
            "swap the two in a migration",
        )
    elif pair.can_build_at_once(desired) and not _has_index(desired, pair):
        yield change(
            desired, Phase.TOGETHER, *parts.create_statements(desired, pair), _add(desired)
        )
    elif desired.get("type") in _UNIQUE:
        yield from _unique(desired, pair)
    elif desired.get("type") == "exclude":
        yield _needs_lock(desired, "an exclusion constraint has no online form", pair)
    else:
        yield from _checked_later(desired, pair)


def _otherwise(desired: Fact, live: Fact, pair: SchemaPair) -> Change | Report:
    """Change when a foreign key is checked, if nothing else differs; else report it."""
    told = drift(
        desired,
        live,
        "constraint-definition",
        live.get("definition"),
        "add the new one under another name and drop this one, in a migration",
    )
    shapes = {f.get("definition").removesuffix(timing(f)) for f in (desired, live)}
    if desired.get("type") != "foreign key" or len(shapes) > 1:
        return told
    when = timing(desired) or " NOT DEFERRABLE"
    statement = f"{_alter(desired)} ALTER CONSTRAINT {identifier(live.name)}{when}"
    return pair.altered(told, change(desired, Phase.TOGETHER, statement))


def undeclared(live: Fact, pair: SchemaPair) -> Outcome:
    """Drop a helper constraint that a crashed run left, once no column needs it any more."""
    columns = pair.live.on((live.schema, live.relation), Kind.COLUMN)
    idle = {not_null_helper(column) for column in columns if not _needs_proof(column, pair)}
    if live.name in idle and live.get("definition").endswith("IS NOT NULL))"):
        drop = f"{_alter(live)} DROP CONSTRAINT IF EXISTS {identifier(live.name)}"
        yield change(live, Phase.ONLINE, drop)


def _needs_proof(column: Fact, pair: SchemaPair) -> bool:
    desired = pair.desired.facts.get(column.key)
    return desired is not None and desired.get("not null") == FLAG != column.get("not null")


def is_twin(desired: Fact, live: Fact) -> bool:
    """Whether they are the same except for the name and for being validated."""
    return desired.is_alike(live, "type", "definition", "index")


def _add(constraint: Fact) -> str:
    not_valid = _NOT_VALID if constraint.get("not valid") else ""
    return f"{_alter(constraint)} ADD {named(constraint)}{not_valid}"


def _alter(constraint: Fact) -> str:
    return f"ALTER TABLE {relation(constraint)}"


def _validate(constraint: Fact) -> str:
    return f"{_alter(constraint)} VALIDATE CONSTRAINT {identifier(constraint.name)}"


def _unique(desired: Fact, pair: SchemaPair) -> Outcome:
    """Build the index first, without a lock; the constraint then takes it over instantly."""
    if "WITHOUT OVERLAPS" in desired.get("definition"):
        yield _needs_lock(desired, "with WITHOUT OVERLAPS it cannot take over an index", pair)
        return
    table = pair.table_of(desired)
    if table is not None and table.get("kind") == building.PARTITIONED:
        made = _over_partitions(desired, None, table, pair)
        if isinstance(made, Change) and _has_index(desired, pair):
            yield _behind_rename(made, desired)
            yield _doubled(desired)
        else:
            yield made
        return
    index = index_of(desired)
    there = pair.live.facts.get(index.key)
    if there is not None and not index_ddl.is_twin(index, there):
        yield not_addable(
            desired,
            "name-taken",
            f"{there.label} has that name and another definition",
            "rename or drop that index in a migration",
        )
        return
    is_built = there is not None and not there.get("invalid")
    built = () if is_built else building.build(index, there, pair).statements
    yield change(desired, Phase.ONLINE, *built, take_over(desired, desired.name))


def _behind_rename(made: Change, desired: Fact) -> Change:
    """Rename a partitioned table's index, which no constraint can take over, to free its name."""
    index = identifier(desired.schema, desired.name)
    rename = f"ALTER INDEX {index} RENAME TO {identifier(_other_name(desired))}"
    return replace(made, statements=(rename, *made.statements))


def _doubled(desired: Fact) -> Report:
    index = Fact(Kind.INDEX.value, desired.schema, desired.relation, desired.name)
    report = warning(
        index,
        "index-set-aside",
        f"{index.label} is renamed to {_other_name(desired)}: on a partitioned table a constraint "
        "cannot take it over, and builds its own",
        "drop it in a migration when the constraint is there",
    )
    return replace(report, verdict=Verdict.NOTE)  # reported when it happens, and not again


def _other_name(desired: Fact) -> str:
    return derived(desired.relation, desired.name, "index")


def _over_partitions(
    desired: Fact, live: Fact | None, table: Fact, pair: SchemaPair
) -> Change | Report:
    if building.has_foreign(table, pair):
        why = "a partition is a foreign table, over which PostgreSQL has no keys"
        return not_addable(desired, "key-over-foreign-table", why, "declare it on the others")
    return change(desired, Phase.ONLINE, *building.built(desired, live, table, pair))


def _completed(desired: Fact, live: Fact, pair: SchemaPair) -> Change | Report:
    """Complete a key whose index is invalid and so covers only a part of the rows."""
    named_so = replace(desired, name=live.name)
    table = pair.table_of(desired)
    if desired.get("type") not in _UNIQUE or "WITHOUT OVERLAPS" in desired.get("definition"):
        drop = f"{_alter(live)} DROP CONSTRAINT {identifier(live.name)}"
        why = "its index is invalid: it was built for a part of the rows only"
        return not_addable(
            desired, "half-built", why, f"in a quiet hour, in a migration: {drop}; {_add(named_so)}"
        )
    if table is not None and table.get("kind") == building.PARTITIONED:
        return _over_partitions(named_so, live, table, pair)
    index = identifier(live.schema, live.name)
    return change(desired, Phase.ONLINE, f"REINDEX INDEX CONCURRENTLY {index}")


def _checked_later(desired: Fact, pair: SchemaPair) -> Outcome:
    """Add it NOT VALID, which is instant; then validate it, which blocks no reads or writes."""
    table = pair.table_of(desired)
    is_partitioned = table is not None and table.get("kind") == "partitioned table"
    if (
        desired.get("type") == "foreign key"
        and is_partitioned
        and pair.server_version < _FOREIGN_KEY_NOT_VALID_ON_PARTITIONED
    ):
        why = "before PostgreSQL 18 a partitioned table takes no NOT VALID"
        yield _needs_lock(desired, why, pair)
        return
    if "NOT ENFORCED" in desired.get("definition"):
        yield change(desired, Phase.ONLINE, _add(desired))
        return
    if _is_temporal(desired) and not desired.get("not valid"):
        yield _needs_lock(desired, _NOT_VALIDATED, pair)
        return
    added = _add(replace(desired, attributes=(*desired.attributes, ("not valid", "true"))))
    validated = () if desired.get("not valid") else (_validate(desired),)
    own = parts.create_statements(desired, pair, _NOT_VALID)
    yield change(desired, Phase.ONLINE, *own, added, *validated)


def _is_temporal(constraint: Fact) -> bool:
    return constraint.get("type") == "foreign key" and ", PERIOD " in constraint.get("definition")


def _needs_lock(
    desired: Fact, because: str, pair: SchemaPair, *, instead: Fact | None = None
) -> Report:
    query = violating_rows(desired, pair.live)
    first = f"fix the rows that this finds, if any: {query}; then, " if query else ""
    drop = f"{_alter(instead)} DROP CONSTRAINT {identifier(instead.name)}; " if instead else ""
    added = "; ".join((*parts.create_statements(desired, pair), _add(desired)))
    return not_addable(
        desired,
        "constraint-needs-lock",
        f"the table has rows, and {because}",
        f"{first}in a quiet hour, in a migration: {drop}{added}",
    )


def _has_index(desired: Fact, pair: SchemaPair) -> bool:
    """Whether its table has an index of the same name, which it can take over."""
    return (Kind.INDEX.value, *desired.key[1:]) in pair.live.facts


def _other_primary_key(desired: Fact, pair: SchemaPair) -> bool:
    place = (desired.schema, desired.relation)
    there = pair.live.on(place, Kind.CONSTRAINT, Kind.PARTITION_CONSTRAINT)
    return desired.get("type") == "primary key" and any(
        fact.get("type") == "primary key" for fact in there
    )


# pg_get_constraintdef includes NOT VALID, which is an attribute here: it is not part of the shape.
_DEFINITION = """pg_catalog.regexp_replace(
    pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '')"""
_REFERENCES = """(select pg_catalog.json_build_array(rn.nspname, r.relname)
    from pg_catalog.pg_class r join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
    where r.oid = k.confrelid)::text"""

_TYPE = """case k.contype when 'p' then 'primary key' when 'u' then 'unique'
    when 'f' then 'foreign key' when 'c' then 'check' else 'exclude' end"""
_INDEX = f"case when k.contype in ('p', 'u') then {index_ddl.DEFINITION} end"
_IDENTIFIES = flag("k.contype in ('p', 'u') and x.indisreplident")
_WHEN = {"deferrable": flag("k.condeferrable"), "deferred": flag("k.condeferred")}
_SOURCE = f"""from pg_catalog.pg_constraint k {OF_RELATION.format("k.conrelid")}
    left join pg_catalog.pg_index x on x.indexrelid = k.conindid
    left join pg_catalog.pg_class i on i.oid = x.indexrelid"""
_IS_OURS = f"""{OWN_RELATION}
    and {own("pg_constraint", "k.oid")}"""

CONSTRAINT = Entry(
    Kind.CONSTRAINT,
    f"""select n.nspname, c.relname, k.conname, {
        attributes(
            type=_TYPE,
            definition=_DEFINITION,
            index=_INDEX,
            invalid=flag("k.contype in ('p', 'u', 'x') and not x.indisvalid"),
            attached=f"case when k.contype in ('p', 'u', 'x') then {building.ATTACHED} end",
            replica_identity=_IDENTIFIES,
            **_WHEN,
            references=_REFERENCES,
            not_valid=flag(
                "not k.convalidated and "
                "coalesce(pg_catalog.to_jsonb(k) ->> 'conenforced', 'true') = 'true'"
            ),
        )
    }, {order("k.oid")} {_SOURCE}
        where true""",
    plan,
    undeclared,
    is_twin=is_twin,
    own=f"""k.contype in ('p', 'u', 'f', 'c', 'x') and k.conparentid = 0 and k.conislocal
        and {_IS_OURS}""",
)

# A foreign key also has a child constraint for each partition of the table that it references;
# those are not parts of partitions and are left out.
PARTITION_CONSTRAINT = Entry(
    Kind.PARTITION_CONSTRAINT,
    f"""select n.nspname, c.relname, k.conname, {
        attributes(
            of="pg_catalog.json_build_array(wn.nspname, wc.relname, w.conname)::text",
            type=_TYPE,
            definition=_DEFINITION,
            index=_INDEX,
            replica_identity=_IDENTIFIES,
            **_WHEN,
            references=_REFERENCES,
        )
    }, {order("k.oid")} {_SOURCE}
        join pg_catalog.pg_constraint w on w.oid = k.conparentid
          and w.conrelid <> k.conrelid and w.confrelid = k.confrelid
        join pg_catalog.pg_class wc on wc.oid = w.conrelid
        join pg_catalog.pg_namespace wn on wn.oid = wc.relnamespace
        where k.contype in ('p', 'u', 'f', 'x') and {_IS_OURS}""",
    parts.plan,
    is_twin=parts.is_twin,
)
