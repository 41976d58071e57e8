"""The DDL of one column, and reports of a column that has more than is declared."""

import re
from collections.abc import Iterable
from dataclasses import replace

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import Change, Phase, Report, change, relation, warning
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.names import derived
from predeploy.schema.schema_pair import SchemaPair

_BEFORE_INSERT = re.compile(r"\bBEFORE (?:\w+ OR )*INSERT\b")


def column_sql(column: Fact) -> str:
    """Return a column as in CREATE TABLE and ADD COLUMN."""
    parts = [identifier(column.name), column.get("type")]
    if column.get("collation"):
        parts.append(f"COLLATE {column.get('collation')}")
    if column.get("compression"):
        parts.append(f"COMPRESSION {column.get('compression')}")
    if column.get("default"):
        parts.append(f"DEFAULT {column.get('default')}")
    if column.get("generated"):
        parts.append(f"GENERATED ALWAYS AS ({column.get('expression')}) {column.get('generated')}")
    if column.get("identity"):
        parts.append(identity_sql(column))
    if column.get("not null"):
        parts.append(_not_null(column))
    return " ".join(parts)


def with_options(column: Fact) -> str:
    """Return the options of a typed table's column; empty if it has none."""
    default = f" DEFAULT {column.get('default')}" if column.get("default") else ""
    not_null = " NOT NULL" if column.get("not null") else ""
    own = default + not_null
    return f"{identifier(column.name)} WITH OPTIONS{own}" if own else ""


def identity_sql(column: Fact) -> str:
    """Return the clause that makes a column an identity, with its sequence's own options."""
    options = " ".join((*_sequence_name(column), *filter(None, [column.get("sequence")])))
    given = f" ({options})" if options else ""
    return f"GENERATED {column.get('identity')} AS IDENTITY{given}"


def printed(name: str) -> str:
    """Return a name as PostgreSQL prints it, unless it is a keyword."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else identifier(name)


def _not_null(column: Fact) -> str:
    name = column.get("not null name")
    return f"CONSTRAINT {identifier(name)} NOT NULL" if name else "NOT NULL"


def with_not_null_name(column: Fact, pair: SchemaPair) -> Fact:
    """Let a desired column know the name of its NOT NULL, where files name it."""
    there = pair.desired.on((column.schema, column.relation), Kind.NOT_NULL)
    names = (fact.name for fact in there if fact.get("column") == column.name)
    name = next(names, "")
    if not name:
        return column
    return replace(column, attributes=(*column.attributes, ("not null name", name)))


def add_not_null(column: Fact, pair: SchemaPair, how: str = "") -> str:
    """Return what makes a column NOT NULL under its name, if files name it."""
    named = with_not_null_name(column, pair)
    if how or named is not column:
        name = identifier(column.name)
        return f"ALTER TABLE {relation(column)} ADD {_not_null(named)} {name}{how}"
    return f"{alter_column(column)} SET NOT NULL"


def _sequence_name(column: Fact) -> tuple[str, ...]:
    """Return the clause that names an identity's sequence, unless it has its default name.

    pg_dump writes this clause, which is not in
    https://www.postgresql.org/docs/current/sql-createtable.html.
    """
    name = column.listed("sequence name")
    if not name or name == (column.schema, f"{column.relation}_{column.name}_seq"):
        return ()
    return (f"SEQUENCE NAME {'.'.join(map(identifier, name))}",)


def not_null_helper(column: Fact) -> str:
    """Return the name of the temporary CHECK that proves a column to be NOT NULL."""
    return derived(column.relation, column.name, "predeploy_not_null")


def settings_sql(column: Fact) -> tuple[str, ...]:
    """Return settings that a column definition cannot contain: storage before PostgreSQL 16."""
    return tuple(
        f"{alter_column(column)} SET {name.upper()} {column.get(name)}"
        for name in ("storage", "statistics")
        if column.get(name)
    )


def set_default(column: Fact) -> str:
    """Return the statement that sets a column's default."""
    return f"{alter_column(column)} SET DEFAULT {column.get('default')}"


def alter_column(column: Fact) -> str:
    """Return the beginning of a statement that alters a column."""
    return f"ALTER TABLE {relation(column)} ALTER COLUMN {identifier(column.name)}"


def instead(desired: Fact, live: Fact, names: Iterable[str]) -> str:
    """Return what a live column has instead of what is declared, in words."""
    return ", ".join(
        f"{name} {live.get(name) or 'none'} instead of {desired.get(name) or 'none'}"
        for name in names
    )


def extra_default(live: Fact) -> Report:
    """Return a warning about an undeclared default."""
    return warning(
        live,
        "live-default",
        f"{live.label} has the default {live.get('default')}, and none is declared",
        "declare it, or drop it in a migration",
    )


def extra_not_null(live: Fact, pair: SchemaPair) -> Report:
    """Return a warning about an undeclared NOT NULL, and which inserts it makes fail."""
    is_filled = _is_filled(live, pair)
    what = "a NULL that is written there fails" if is_filled else "inserts without it fail"
    return warning(
        live,
        "live-not-null",
        f"{live.label} is NOT NULL and declared nullable: {what}",
        "declare NOT NULL, or drop it in a migration",
    )


def _is_filled(live: Fact, pair: SchemaPair) -> bool:
    """Whether an insert that omits the column may still get a value for it."""
    domains = {fact.identity: fact for fact in pair.live.all(Kind.DOMAIN)}
    domain = domains.get(live.get("type").replace('"', ""))
    triggers = pair.live.on((live.schema, live.relation), Kind.TRIGGER)
    return (
        any(live.get(name) for name in ("default", "generated", "identity"))
        or (domain is not None and bool(domain.get("default")))
        or any(_BEFORE_INSERT.search(t.get("definition")) for t in triggers)
    )


def set_not_null(desired: Fact, live: Fact, pair: SchemaPair) -> Change:
    """Prove it by a CHECK first, so that SET NOT NULL need not scan the table under its lock."""
    alter, column = f"ALTER TABLE {relation(desired)}", identifier(desired.name)
    set_not_null = add_not_null(desired, pair)
    name = not_null_helper(desired)
    helper = identifier(name)
    drop = f"{alter} DROP CONSTRAINT {helper}"
    # An earlier run may have left it, because it died or because rows violated it.
    left = pair.live.get(Kind.CONSTRAINT, desired.schema, desired.relation, name)
    if pair.can_build_at_once(live):
        return change(desired, Phase.TOGETHER, set_not_null, *((drop,) if left else ()))
    add = f"{alter} ADD CONSTRAINT {helper} CHECK ({column} IS NOT NULL) NOT VALID"
    return change(
        desired,
        Phase.ONLINE,
        *(() if left is not None else (add,)),
        f"{alter} VALIDATE CONSTRAINT {helper}",
        set_not_null,
        drop,
    )
