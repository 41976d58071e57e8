"""Functions, procedures and aggregates."""

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import Outcome, Phase, change, create_only, drift
from predeploy.schema.entry import Entry, alone, attributes, flag, order, own
from predeploy.schema.facts import FLAG, Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaPair

_FIXED = ("kind", "result")
_OTHER_MODES = ("OUT ", "INOUT ", "VARIADIC ")
# An aggregate's functions: the attribute, which is also the keyword, and its pg_aggregate column.
_FUNCTIONS = (
    ("finalfunc", "aggfinalfn"),
    ("combinefunc", "aggcombinefn"),
    ("serialfunc", "aggserialfn"),
    ("deserialfunc", "aggdeserialfn"),
    ("msfunc", "aggmtransfn"),
    ("minvfunc", "aggminvtransfn"),
    ("mfinalfunc", "aggmfinalfn"),
)


def plan_routine(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it, or replace it if its signature stays compatible with its callers."""
    # CREATE OR REPLACE can change neither the result type nor argument names, nor remove defaults.
    replaceable = live is None or (
        all(desired.get(name) == live.get(name) for name in _FIXED)
        and _calls_alike(desired.get("arguments"), live.get("arguments"))
        and int(desired.get("defaults")) >= int(live.get("defaults"))
    )
    if live is None or replaceable:
        yield change(desired, Phase.TOGETHER, desired.get("definition").rstrip())
    else:
        yield drift(
            desired,
            live,
            "routine-signature",
            f"({live.get('arguments')}) returning {live.get('result') or 'nothing'}",
            "PostgreSQL cannot replace it: drop it and create it anew, in a migration",
        )


def _calls_alike(desired: str, live: str) -> bool:
    """Whether the arguments are the same, except for new names of unnamed ones.

    https://www.postgresql.org/docs/current/sql-createfunction.html: a name cannot be changed.
    """
    wanted, found = desired.split(", "), live.split(", ")
    return len(wanted) == len(found) and all(
        one == other or (one.endswith(f" {other}") and not other.startswith(_OTHER_MODES))
        for one, other in zip(wanted, found, strict=True)
    )


def plan_aggregate(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it; only report one with another shape."""
    parts = ", ".join(
        name.upper().replace(" ", "_") + ("" if value == FLAG else f" = {value}")
        for name, value in desired.attributes
        if name not in {"arguments", "name"}
    )
    name = f"{identifier(desired.schema)}.{desired.get('name')}"
    return create_only(
        desired,
        live,
        "aggregate-differs",
        "replace it in a migration, or declare it as it is",
        f"CREATE AGGREGATE {name}({desired.get('arguments')}) ({parts})",
    )


# Quoted, with its argument types, which distinguish a routine from its overloads.
SIGNATURE = (
    "pg_catalog.quote_ident(p.proname) || '(' || pg_catalog.oidvectortypes(p.proargtypes) || ')'"
)


# How a final function may modify the state; by default an ordered-set aggregate's may do so fully.
_MODIFIES = """case when {0} <> case g.aggkind when 'n' then 'r' else 'w' end
    then case {0} when 'r' then 'read_only' when 's' then 'shareable' else 'read_write' end end"""


def _routines(where: str, attribute_sql: str, more: str = "") -> str:
    return f"""select n.nspname, '', {SIGNATURE}, {attribute_sql}, {order("p.oid")}
        from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace {more}
        where {where} and {own("pg_proc", "p.oid")} and {alone("pg_proc", "p.oid")}"""


ROUTINE = Entry(
    Kind.ROUTINE,
    # The CASE keeps pg_get_functiondef from being called for aggregates, for which it fails.
    _routines(
        "p.prokind in ('f', 'p', 'w')",
        attributes(
            kind="case p.prokind when 'p' then 'procedure' when 'w' then 'window function' "
            "else 'function' end",
            arguments="pg_catalog.pg_get_function_identity_arguments(p.oid)",
            result="pg_catalog.pg_get_function_result(p.oid)",
            defaults="p.pronargdefaults::text",
            definition="case when p.prokind <> 'a' then pg_catalog.pg_get_functiondef(p.oid) end",
        ),
    ),
    plan_routine,
)

AGGREGATE = Entry(
    Kind.AGGREGATE,
    _routines(
        "true",
        attributes(
            name="pg_catalog.quote_ident(p.proname)",
            hypothetical=flag("g.aggkind = 'h'"),
            arguments="case pg_catalog.pg_get_function_identity_arguments(p.oid) when '' then '*' "
            "else pg_catalog.pg_get_function_identity_arguments(p.oid) end",
            sfunc="g.aggtransfn::text",
            stype="pg_catalog.format_type(g.aggtranstype, null)",
            sspace="nullif(g.aggtransspace, 0)::text",
            initcond="pg_catalog.quote_literal(g.agginitval)",
            **{
                name: f"nullif(g.{column}::oid, 0)::pg_catalog.regproc::text"
                for name, column in _FUNCTIONS
            },
            mstype="case when g.aggmtranstype <> 0 then "
            "pg_catalog.format_type(g.aggmtranstype, null) end",
            msspace="nullif(g.aggmtransspace, 0)::text",
            minitcond="pg_catalog.quote_literal(g.aggminitval)",
            finalfunc_extra=flag("g.aggfinalextra"),
            mfinalfunc_extra=flag("g.aggmfinalextra"),
            finalfunc_modify=_MODIFIES.format("g.aggfinalmodify"),
            mfinalfunc_modify=f"case when g.aggmtransfn <> 0 then "
            f"{_MODIFIES.format('g.aggmfinalmodify')} end",
            sortop="""(select pg_catalog.format('operator(%I.%s)', sn.nspname, o.oprname)
                from pg_catalog.pg_operator o
                join pg_catalog.pg_namespace sn on sn.oid = o.oprnamespace
                where o.oid = g.aggsortop)""",
            parallel="case p.proparallel when 's' then 'safe' when 'r' then 'restricted' end",
        ),
        "join pg_catalog.pg_aggregate g on g.aggfnoid = p.oid",
    ),
    plan_aggregate,
)
