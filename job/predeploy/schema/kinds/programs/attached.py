"""Parts of tables that act on rows: triggers, rules, policies, extended statistics."""

from dataclasses import replace

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import (
    Change,
    Outcome,
    Phase,
    Report,
    change,
    create_only,
    drift,
    relation,
)
from predeploy.schema.entry import OF_RELATION, OWN_RELATION, Entry, attributes, flag, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaPair, parents

# The state of a trigger or rule that has no attribute `enabled`.
_ON = "ENABLE"
_BY_MIGRATION = "change it in a migration, or declare it as it is"


def plan_trigger(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it, replace it, enable or disable it; a single partition's trigger, too."""
    definition = desired.get("definition")
    if desired.get("inherited"):
        yield from _of_partition(desired, live, pair)
    elif live is None:
        yield change(desired, Phase.TOGETHER, definition, *_switched(desired))
    elif definition == live.get("definition"):
        yield _otherwise_switched(desired, live, pair)
    elif desired.get("constraint") or live.get("constraint"):
        yield drift(desired, live, "trigger-differs", live.get("definition"), _BY_MIGRATION)
    else:
        # A replaced trigger is enabled again.
        anew = definition.replace("CREATE ", "CREATE OR REPLACE ", 1)
        yield change(desired, Phase.TOGETHER, anew, *_switched(desired))


def _of_partition(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Enable or disable a trigger that comes with the parent's but has another state."""
    if live is None and pair.is_new(desired):
        yield change(desired, Phase.AFTER, _switch(desired))
    else:
        yield _otherwise_switched(desired, live or _with(desired, desired.get("inherited")), pair)


def undeclared_trigger(live: Fact, pair: SchemaPair) -> Outcome:
    """Set a partition's trigger to its parent's state, unless declared otherwise."""
    table = pair.desired.get(Kind.TABLE, live.schema, live.relation)
    if not live.get("inherited") or table is None:
        return
    for schema, name in parents(table):
        above = pair.desired.get(Kind.TRIGGER, schema, name, live.name)
        switched = (above.get("enabled") or _ON) if above is not None else live.get("enabled")
        if switched != live.get("enabled"):
            yield _otherwise_switched(_with(live, switched), live, pair)


def _with(trigger: Fact, switched: str) -> Fact:
    kept = tuple(item for item in trigger.attributes if item[0] != "enabled")
    return replace(trigger, attributes=(*kept, ("enabled", switched)))


def plan_rule(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it, replace it, or enable or disable it."""
    if live is not None and desired.get("enabled") != live.get("enabled"):
        yield _otherwise_switched(desired, live, pair)
    if live is not None and desired.get("definition") == live.get("definition"):
        return
    statement = desired.get("definition").rstrip(";")
    anew = statement.replace("CREATE RULE", "CREATE OR REPLACE RULE", 1)
    switched = _switched(desired) if live is None else ()
    yield change(desired, Phase.TOGETHER, anew, *switched)


def _switched(desired: Fact) -> tuple[str, ...]:
    """Return what sets a new one's state, if creation does not."""
    return (_switch(desired),) if desired.get("enabled") else ()


def _switch(desired: Fact) -> str:
    how, what = desired.get("enabled") or _ON, desired.kind.upper()
    return f"ALTER TABLE {relation(desired)} {how} {what} {identifier(desired.name)}"


def _otherwise_switched(desired: Fact, live: Fact, pair: SchemaPair) -> Change | Report:
    told = drift(
        desired,
        live,
        f"{desired.kind}-enabled",
        f"it is {live.get('enabled') or _ON}",
        f"in a migration: {_switch(desired)}",
        names=("enabled",),
    )
    # After a parent's, which also sets the state on its partitions.
    return pair.altered(told, change(desired, Phase.AFTER, _switch(desired)))


def plan_policy(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it, or change its roles and conditions; its command and kind cannot change."""
    named = f"POLICY {identifier(desired.name)} ON {relation(desired)}"
    using = f" USING ({desired.get('using')})" if desired.get("using") else ""
    check = f" WITH CHECK ({desired.get('check')})" if desired.get("check") else ""
    to = f"TO {desired.get('roles')}{using}{check}"
    if live is None:
        restrictive = " AS RESTRICTIVE" if desired.get("restrictive") else ""
        create = f"CREATE {named}{restrictive} FOR {desired.get('command')} {to}"
        yield change(desired, Phase.TOGETHER, create)
        return
    told = drift(desired, live, "policy-differs", live.definition, _BY_MIGRATION)
    # https://www.postgresql.org/docs/current/sql-alterpolicy.html: no condition can be removed.
    is_fixed = any(desired.get(name) != live.get(name) for name in ("command", "restrictive"))
    loses_one = any(live.get(name) and not desired.get(name) for name in ("using", "check"))
    if is_fixed or loses_one:
        yield told
    else:
        yield pair.altered(told, change(desired, Phase.TOGETHER, f"ALTER {named} {to}"))


def plan_statistics(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create them; the next ANALYZE fills them."""
    schema = desired.get("in") or identifier(desired.schema)
    kinds = f" ({desired.get('kinds')})" if desired.get("kinds") else ""
    subjects = ", ".join((*desired.listed("columns"), *desired.listed("expressions")))
    return create_only(
        desired,
        live,
        "statistics-differ",
        _BY_MIGRATION,
        f"CREATE STATISTICS {schema}.{identifier(desired.name)}{kinds} ON {subjects} "
        f"FROM {relation(desired)}",
    )


_ENABLED = """case {} when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA'
    when 'A' then 'ENABLE ALWAYS' end"""

TRIGGER = Entry(
    Kind.TRIGGER,
    f"""select n.nspname, c.relname, g.tgname, {
        attributes(
            definition="pg_catalog.pg_get_triggerdef(g.oid)",
            enabled=_ENABLED.format("g.tgenabled"),
            constraint=flag("g.tgconstraint <> 0"),
        )
    }, {order("g.oid")}
        from pg_catalog.pg_trigger g {OF_RELATION.format("g.tgrelid")}
        where not g.tgisinternal and g.tgparentid = 0 and {OWN_RELATION}
          and {own("pg_trigger", "g.oid")}
        union all
        select n.nspname, c.relname, g.tgname, {
        attributes(
            enabled=f"coalesce({_ENABLED.format('g.tgenabled')}, 'ENABLE')",
            inherited=f"coalesce({_ENABLED.format('parent.tgenabled')}, 'ENABLE')",
        )
    }, {order("g.oid")}
        from pg_catalog.pg_trigger g {OF_RELATION.format("g.tgrelid")}
        join pg_catalog.pg_trigger parent on parent.oid = g.tgparentid
        where not g.tgisinternal and g.tgenabled <> parent.tgenabled""",
    plan_trigger,
    undeclared_trigger,
)

RULE = Entry(
    Kind.RULE,
    f"""select n.nspname, c.relname, r.rulename, {
        attributes(
            definition="pg_catalog.pg_get_ruledef(r.oid)",
            enabled=_ENABLED.format("r.ev_enabled"),
        )
    }, {order("r.oid")}
        from pg_catalog.pg_rewrite r {OF_RELATION.format("r.ev_class")}
        where r.rulename <> '_RETURN' and {OWN_RELATION} and {own("pg_rewrite", "r.oid")}""",
    plan_rule,
)

_ROLES = """(select pg_catalog.string_agg(case pr.role when 0 then 'PUBLIC'
        else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(pr.role)) end, ', '
        order by pg_catalog.pg_get_userbyid(pr.role))
    from pg_catalog.unnest(p.polroles) pr(role))"""

POLICY = Entry(
    Kind.POLICY,
    f"""select n.nspname, c.relname, p.polname, {
        attributes(
            command="case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' "
            "when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'ALL' end",
            restrictive=flag("not p.polpermissive"),
            roles=_ROLES,
            using="pg_catalog.pg_get_expr(p.polqual, p.polrelid)",
            check="pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)",
        )
    }, {order("p.oid")}
        from pg_catalog.pg_policy p {OF_RELATION.format("p.polrelid")}
        where {own("pg_class", "c.oid")}""",
    plan_policy,
)

_KINDS = """(select pg_catalog.string_agg(k.word, ', ')
    from (values ('d', 'ndistinct'), ('f', 'dependencies'), ('m', 'mcv')) k(code, word)
    where k.code::"char" = any (s.stxkind) and pg_catalog.array_length(s.stxkind, 1)
        < 3 + (s.stxexprs is not null)::int)"""
# By name: pg_get_statisticsobjdef lists them in the table's order, which is no difference.
_COLUMNS = """(select pg_catalog.json_agg(pg_catalog.quote_ident(a.attname) order by a.attname)
    from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attnum = any (s.stxkeys))::text"""

STATISTICS = Entry(
    Kind.STATISTICS,
    f"""select n.nspname, c.relname, s.stxname, {
        attributes(
            **{
                "in": "case when s.stxnamespace <> n.oid then s.stxnamespace::"
                "pg_catalog.regnamespace::text end"
            },
            kinds=_KINDS,
            columns=_COLUMNS,
            expressions="pg_catalog.to_json(pg_catalog.pg_get_statisticsobjdef_expressions(s.oid))"
            "::text",
        )
    }, {order("s.oid")}
        from pg_catalog.pg_statistic_ext s {OF_RELATION.format("s.stxrelid")}
        where {OWN_RELATION}
          and {own("pg_statistic_ext", "s.oid")}""",
    plan_statistics,
)
