"""What a replayed step did to a database that was there before it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

# What may be rewritten by adding to a table: the table's own row.
_MAY_CHANGE = {"pg_class"}
_WORDS = {
    "pg_attribute": "a column",
    "pg_attrdef": "a column's default",
    "pg_class": "a table, an index, a view or a sequence",
    "pg_constraint": "a constraint",
    "pg_enum": "an enum's labels",
    "pg_index": "an index",
    "pg_policy": "a policy",
    "pg_proc": "a function",
    "pg_rewrite": "a view or a rule",
    "pg_sequence": "a sequence",
    "pg_trigger": "a trigger",
    "pg_type": "a type",
}


@dataclass(frozen=True, slots=True)
class Marks:
    """A moment: each catalog row's transaction id, and how often each table's rows were touched.

    `rows` maps (catalog, identity) to xmin; `touched` maps a table's name, of those that were
    there, to its inserted, updated and deleted rows in this transaction.
    """

    rows: Mapping[tuple[str, str], str]
    touched: Mapping[str, int]


def meddling(before: Marks, after: Marks) -> tuple[str, ...]:
    """Say what of the old was changed, dropped or written to; nothing means: only added."""
    rows = [
        f"touched {amount - before.touched.get(table, 0)} row(s) of {table}"
        for table, amount in after.touched.items()
        if table in before.touched and amount > before.touched[table]
    ]
    changed = {
        f"changed or dropped {_WORDS.get(catalog, f'a row of {catalog}')}"
        for (catalog, identity), xmin in before.rows.items()
        if (catalog, identity) not in after.rows
        or (after.rows[catalog, identity] != xmin and catalog not in _MAY_CHANGE)
    }
    return (*rows, *sorted(changed))
