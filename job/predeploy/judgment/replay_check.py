"""What a replayed step did to a database that was there before it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

_WORDS = {
    "pg_attribute": "a column",
    "pg_attrdef": "a column's default",
    "pg_class": "what a table has beside columns, constraints and indexes",
    "pg_constraint": "a constraint",
    "pg_enum": "an enum's labels",
    "pg_index": "an index",
    "pg_policy": "a policy",
    "pg_proc": "a function",
    "pg_rewrite": "a view or a rule",
    "pg_sequence": "a sequence",
    "pg_trigger": "a trigger",
    "pg_type": "a table or a type",
}


@dataclass(frozen=True, slots=True)
class CatalogState:
    """A moment of all that is older than the ledger.

    `rows` maps (catalog, identity) of catalog rows to their xmin, or to what of them may not
    change; `touched` maps tables' names to the rows that this transaction has inserted, updated and
    deleted in them.
    """

    rows: Mapping[tuple[str, str], str]
    touched: Mapping[str, int]


def changes_of_the_old(before: CatalogState, after: CatalogState) -> tuple[str, ...]:
    """Say what of the old was changed, dropped or written to; nothing means: only added."""
    rows = [
        f"touched {amount - before.touched.get(table, 0)} row(s) of {table}"
        for table, amount in after.touched.items()
        if table in before.touched and amount > before.touched[table]
    ]
    changed = {
        f"changed or dropped {_WORDS.get(catalog, f'a row of {catalog}')}"
        for (catalog, identity), mark in before.rows.items()
        if after.rows.get((catalog, identity)) != mark
    }
    return (*rows, *sorted(changed))
