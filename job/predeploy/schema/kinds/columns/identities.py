"""Identity columns: how a live column becomes one, or is numbered differently from now on."""

import re

from predeploy.contract.quoting import identifier, literal
from predeploy.schema.ddl import Change, Phase, change, relation
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import alter_column, identity_sql, printed
from predeploy.schema.kinds.columns.numbering import Numbering, clauses, is_safe, read_numbering
from predeploy.schema.schema_pair import BIG_BYTES, SchemaPair

ATTRIBUTES = frozenset(("identity", "sequence", "sequence name"))


def obstacle(desired: Fact, live: Fact, pair: SchemaPair) -> str:
    """Return why a live column cannot become the declared identity; empty if it can."""
    if not desired.get("identity"):
        return "its sequence would be lost"
    if live.get("identity"):
        if live.get("sequence name") != desired.get("sequence name"):
            return "its sequence has another name"
        is_wide = is_safe(_numbering(desired), _numbering(live))
        return "" if is_wide else "numbers that it may have given out would be out of its range"
    if live.get("default"):
        return f"it takes its values from {live.get('default')}"
    return _obstacle_of_table(live, pair)


def is_sequence_renamed(schema: str, name: str, pair: SchemaPair) -> bool:
    """Whether the live column keeps a sequence of another name, or none, in place of this one."""
    if not pair.is_sequence_renamed(schema, name):
        return False
    column = pair.desired.numbered_by(schema, name)
    live = pair.live.facts.get(column.key) if column is not None else None
    if column is None or live is None or live.get("identity"):
        return True
    differing = {n for n in ATTRIBUTES if column.get(n) != live.get(n)}
    is_else_alike = column.get("type") == live.get("type")
    becomes_one = pair.may_alter and differing and is_else_alike
    return not becomes_one or bool(obstacle(column, live, pair))


def _obstacle_of_table(live: Fact, pair: SchemaPair) -> str:
    place = (live.schema, live.relation)
    table = pair.live.get(Kind.TABLE, *place)
    if table is None or table.get("kind") != "table" or table.get("inherits"):
        return "its table is no plain one"
    if pair.live.below(place):
        return "other tables inherit it"
    if table.get("forced row security"):
        return "policies may hide the largest value, which its numbers have to follow"
    if pair.size(live) > BIG_BYTES and not _is_indexed(live, pair):
        return "no index tells its largest value, so the table would be read under a lock"
    return ""


def become(desired: Fact, live: Fact) -> Change:
    """Return the change that makes a live column the declared identity.

    The numbers of a new identity continue after the largest existing value. All of it is one
    transaction, because an insert in between would take an existing number.
    """
    if live.get("identity"):
        parts = [*clauses(_numbering(desired), _numbering(live), "SET ")]
        if desired.get("identity") != live.get("identity"):
            parts.insert(0, f"SET GENERATED {desired.get('identity')}")
        return change(desired, Phase.TOGETHER, f"{alter_column(desired)} {' '.join(parts)}")
    add = f"{alter_column(desired)} ADD {identity_sql(desired)}"
    # After the NOT NULL that it needs, which is proved online.
    return change(desired, Phase.ONLINE, f"{add}; {_follow(desired)}")


def _follow(column: Fact) -> str:
    numbers, name = _numbering(column), identifier(column.name)
    rises = numbers.increment > 0
    last = f"pg_catalog.{'max' if rises else 'min'}({name})"
    bounds = (numbers.start, numbers.highest) if rises else (numbers.lowest, numbers.start)
    sequence = (
        f"pg_catalog.pg_get_serial_sequence({literal(relation(column))}, {literal(column.name)})"
    )
    # HAVING: an empty table yields no row, and leaves the sequence at its start.
    return (
        f"SELECT pg_catalog.setval({sequence}, {last}) FROM {relation(column)} "
        f"HAVING {last} BETWEEN {bounds[0]} AND {bounds[1]}"
    )


def _numbering(column: Fact) -> Numbering:
    return read_numbering(column.get("type"), column.get("sequence"))


def _is_indexed(column: Fact, pair: SchemaPair) -> bool:
    first = re.compile(rf"USING btree \({re.escape(printed(column.name))}[,)]")
    facts = pair.live.on((column.schema, column.relation), Kind.INDEX, Kind.CONSTRAINT)
    definitions = (fact.get("index") or fact.get("definition") for fact in facts)
    return any(first.search(text) and "WHERE" not in text for text in definitions)
