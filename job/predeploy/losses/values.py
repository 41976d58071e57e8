"""Values lost in a change of type: fewer that are not null, or fewer distinct ones.

Pure. A cast that is known to keep every value needs no count. What UPDATE does to values is not
judged, because its text says what it writes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from predeploy.losses.loss import Loss, Verb

COUNTED_UP_TO = 100 * 1024 * 1024
"""The largest table whose values are counted, in bytes, with its partitions and TOAST data."""

ENUM = "enum"
"""The name of any enum type in a Column."""

Key = tuple[int, int]
"""A column: the OID of its table, and its number."""

# Lossless casts between built-in types, if the new type has no modifier.
_KEPT = {
    "int2": {"int4", "int8", "numeric", "float4", "float8"},
    "int4": {"int8", "numeric", "float8"},
    "int8": {"numeric"},
    "float4": {"float8"},
    "date": {"timestamp", "timestamptz"},
    "cidr": {"inet"},
    "macaddr": {"macaddr8"},
}
_WORDS = frozenset(("text", "varchar"))
_WHOLE = frozenset(("int2", "int4", "int8"))
_LENGTHS = frozenset(("varchar", "bpchar", "varbit"))
_PRECISIONS = frozenset(("timestamp", "timestamptz", "time", "timetz"))
_HEADER = 4  # of a type modifier of varchar, char and numeric
_ALL_DIGITS = 6  # of a second


@dataclass(frozen=True, slots=True)
class Column:
    """A column whose type is to change, and the size of its table (schema-qualified).

    Types are the names in pg_catalog, with `[]` behind an array's, ENUM for any enum, and empty
    where the type is no other of PostgreSQL's own. `modifier` is the old one as the catalog has it,
    -1 for none, and `enum` the old type's name with its schema, where it is an enum.
    """

    key: Key
    table: str
    column: str
    old_type: str
    modifier: int
    new_type: str
    new_modifiers: tuple[int, ...]
    is_plain: bool
    size: int = 0
    is_by_text: bool = False
    enum: str = ""

    @property
    def name(self) -> str:
        """The name for messages."""
        return f"{self.table}.{self.column}"

    @property
    def may_lose(self) -> bool:
        """Whether a value may be lost, or become equal to another one."""
        if self.new_type.removesuffix("[]") == ENUM:  # each text is another label, or an error
            return not (self.is_plain or self.is_by_text)
        return not self.is_plain or not _keeps(self)

    @property
    def is_too_large(self) -> bool:
        """Whether counting its values would take too long."""
        return self.size > COUNTED_UP_TO

    @property
    def loss(self) -> Loss:
        """What may be lost, with the size of the table, for the message that asks to declare it."""
        return Loss(Verb.REWRITE, self.name, detail=f"a table of {self.size // 1024**2} MB")


@dataclass(frozen=True, slots=True)
class Shape:
    """A column's name and type at one moment, as in Column."""

    table: str
    column: str
    type_name: str
    modifier: int


@dataclass(frozen=True, slots=True)
class Values:
    """How many values of a column are not null, and how many are distinct."""

    filled: int
    distinct: int


def lost_values(
    columns: Iterable[Column],
    before: Mapping[Key, Values],
    after: Mapping[Key, Values],
    gone: Iterable[Loss],
) -> tuple[Loss, ...]:
    """Return the columns with fewer values than before, beyond what else is gone.

    That is the values of rows, and of labels, where the new type is an enum: each of those became
    another label, as a file must say that takes a label away.
    """
    rows: dict[str, int] = {}
    labels: Counter[str] = Counter()
    for loss in gone:
        rows[loss.target] = rows.get(loss.target, 0) + loss.rows
        labels[loss.target.rpartition(".")[0]] += loss.verb is Verb.DROP_LABEL
    found = []
    for column in columns:
        was, now = before.get(column.key), after.get(column.key)
        if was is None or now is None:
            continue
        merged = labels[column.enum] if column.new_type == ENUM else 0
        if fewer := _fewer(was, now, rows.get(column.table, 0), merged):
            found.append(Loss(Verb.REWRITE, column.name, detail=fewer))
    return tuple(found)


def hidden_conversions(
    before: Mapping[Key, Shape], after: Mapping[Key, Shape], told: Iterable[Column]
) -> tuple[Loss, ...]:
    """Return the columns whose new type may lose values, although no statement's text shows it.

    A DO block or a function changed them, so nothing was counted. A partition's column is reported
    with its table's, which has the same name.
    """
    names = {column.column for column in told}
    changed = ((key, was, after[key]) for key, was in before.items() if after.get(key, was) != was)
    columns = (
        Column(key, was.table, was.column, was.type_name, was.modifier, now.type_name,
               _modifiers(now), is_plain=True)
        for key, was, now in changed
        if (was.type_name, was.modifier) != (now.type_name, now.modifier)
    )  # fmt: skip
    return tuple(
        Loss(Verb.REWRITE, c.name, detail="to another type, which its text does not show")
        for c in columns
        if c.column not in names and c.may_lose
    )


def _modifiers(shape: Shape) -> tuple[int, ...]:
    """Return a type's modifiers as they are written."""
    name, modifier = shape.type_name.removesuffix("[]"), shape.modifier
    if modifier == -1:
        return ()
    if name == "numeric":
        packed = modifier - _HEADER
        return (packed >> 16, packed & 0x7FF)
    return (modifier - _HEADER,) if name in ("varchar", "bpchar") else (modifier,)


def _fewer(was: Values, now: Values, gone: int, merged: int) -> str:
    if now.filled < was.filled - gone:
        return f"{was.filled} values that are not null before, {now.filled} after"
    if now.distinct < was.distinct - gone - merged:
        return f"{was.distinct} different values before, {now.distinct} after"
    return ""


def _keeps(column: Column) -> bool:
    old, new = column.old_type, column.new_type
    if old.endswith("[]") and new.endswith("[]"):
        old, new = old[:-2], new[:-2]
    if not new or not old:
        return False
    if not column.new_modifiers:
        return old == new or new in _WORDS or new in _KEPT.get(old, set())
    if new == "numeric":
        return _keeps_digits(column, old)
    (most, *_) = column.new_modifiers
    if new in _LENGTHS and old == new:
        return column.modifier != -1 and _length(column) <= most
    if new in _PRECISIONS and old == new:
        return (_ALL_DIGITS if column.modifier == -1 else column.modifier) <= most
    return False


def _length(column: Column) -> int:
    return column.modifier if column.old_type.startswith("varbit") else column.modifier - _HEADER


def _keeps_digits(column: Column, old: str) -> bool:
    """Whether a numeric keeps all digits behind the point; before it, PostgreSQL refuses."""
    scale = column.new_modifiers[1] if len(column.new_modifiers) > 1 else 0
    if old in _WHOLE:
        return scale >= 0
    if old != "numeric" or column.modifier == -1:
        return False
    return ((column.modifier - _HEADER) & 0x7FF) <= scale
