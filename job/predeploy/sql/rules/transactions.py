"""Transactions: what keeps a lock for longer than its own statement."""

from collections.abc import Iterator

from predeploy.contract.quoting import literal
from predeploy.sql.rules.rule import Hit, Rule, Severity, Subject, quoted
from predeploy.sql.statement.stall import is_slow, tables_locked

_TIMEOUTS = ("lock_timeout", "statement_timeout")
_LONG_MS = 30_000
_HELD = "lock-held"
_APART = "-- COMMIT before it, or put it into a migration of its own"


def _held(subject: Subject) -> Iterator[Hit]:
    table = next(iter(subject.past.locked), "")
    is_told = _HELD in subject.past.told
    if table and not is_told and is_slow(subject.statement, subject.past.made):
        yield Hit(table, _APART)


def _several(subject: Subject) -> Iterator[Hit]:
    mine = [name for name in tables_locked(subject.statement) if subject.is_old(name)]
    earlier = subject.past.locked
    if len(earlier) == 1 and not set(mine) <= set(earlier):
        yield Hit(f"{', '.join(earlier)} and {', '.join(mine)}", _APART)


def _unguarded(subject: Subject) -> Iterator[Hit]:
    if subject.kind == "variable_set_stmt" and subject.node.name.lower() in _TIMEOUTS:
        said = [each.a_const for each in subject.node.args]
        value = said[0] if said else None
        is_off = value is not None and (
            (value.WhichOneof("val") == "ival" and not 0 < value.ival.ival <= _LONG_MS)
            or (value.WhichOneof("val") == "sval" and value.sval.sval.strip() in ("0", "0s"))
        )
        if is_off:
            yield Hit(subject.node.name.lower())


def _without_order(subject: Subject) -> Iterator[Hit]:
    if subject.kind != "alter_enum_stmt" or not subject.node.new_val:
        return
    if not subject.node.old_val and not subject.node.new_val_neighbor:
        names = ".".join(quoted(part.string.sval) for part in subject.node.type_name)
        value = literal(subject.node.new_val)
        yield Hit(
            f"{names}.{subject.node.new_val}", f"ALTER TYPE {names} ADD VALUE {value} AFTER '…';"
        )


RULES = (
    Rule(
        _HELD,
        "an earlier statement of the same transaction has locked the table, and this one may take "
        "long",
        "ALTER TABLE orders ADD COLUMN total int;\nUPDATE orders SET total = 0;",
        "ALTER TABLE orders ADD COLUMN total int;",
        _held,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
    ),
    Rule(
        "several-tables-locked",
        "a transaction of the app that takes the tables in another order deadlocks with it, and "
        "the first one stays locked while it waits for the next",
        "ALTER TABLE orders ADD COLUMN a int;\nALTER TABLE users ADD COLUMN b int;",
        "ALTER TABLE orders ADD COLUMN a int;\nALTER TABLE orders ADD COLUMN b int;",
        _several,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        severity=Severity.NOTE,
    ),
    Rule(
        "timeout-off",
        "predeploy sets a lock_timeout and tries again, so that nobody waits for long; this turns "
        "it off",
        "SET lock_timeout = 0;",
        "SET lock_timeout = '2s';",
        _unguarded,
        waits="whoever uses a table that it waits for",
    ),
    Rule(
        "enum-value-appended",
        "it sorts behind all others, and no later statement can move it",
        "ALTER TYPE mood ADD VALUE 'calm';",
        "ALTER TYPE mood ADD VALUE 'calm' BEFORE 'wild';",
        _without_order,
        severity=Severity.NOTE,
        aliases=("require-enum-value-ordering", "ban-add-enum-value"),
    ),
)
