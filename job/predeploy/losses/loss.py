"""What a step removed: tables, columns, enum labels and rows that existed before it.

Pure: compares two views of the same transaction. Identity is PostgreSQL's (OIDs and column
numbers), never a name: a rename is not a loss, but dropping a column and adding it again is.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from predeploy.contract.step import Declaration


class Verb(Enum):
    """What a `-- predeploy: allow VERB OBJECT` may declare."""

    DROP_TABLE = "drop-table"
    DROP_COLUMN = "drop-column"
    DROP_LABEL = "drop-label"
    DELETE = "delete"
    TRUNCATE = "truncate"
    RENAME = "rename"
    REWRITE = "rewrite"  # of a table's rows, or, of a column, of its values
    DETACH = "detach"
    UNDO = "undo"  # of what the same file has made; no row, table or column of before is lost


@dataclass(frozen=True, slots=True)
class Table:
    """A table at one moment: its name, its file on disk, and, if requested, its rows.

    `rows` is an estimate if `is_about` is set. `inserted` and `deleted` count the rows that the
    transaction has inserted and deleted so far. `root` is the table that it is a partition of,
    at the top, or 0: rows may move from one partition to another, so they are the root's to lose,
    unless the partition was emptied. `was_kept` says of a new file whether it took over the rows
    of the old one. `view` names the columns of a materialized view, whose rows can be made again,
    and is None for any other. `parents` are the tables from which it has its columns, a partition's
    own among them.
    """

    name: str
    filenode: int
    rows: int | None = None
    inserted: int = 0
    deleted: int = 0
    root: int = 0
    is_about: bool = False
    was_kept: bool = False
    view: frozenset[str] | None = None
    parents: tuple[int, ...] = ()
    is_partitioned: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether the number of its rows is known exactly."""
        return self.rows is not None and not self.is_about


@dataclass(frozen=True, slots=True)
class Holdings:
    """What there is to lose: tables by OID, columns by (OID, number), labels by OID.

    The attributes of a composite type are columns, too, as long as a table holds values of it: then
    its relation is among `composites`. `enums` says which type each label belongs to.
    """

    tables: Mapping[int, Table]
    columns: Mapping[tuple[int, int], str]
    labels: Mapping[int, str]
    composites: frozenset[int] = frozenset()
    enums: Mapping[int, int] = field(default_factory=dict)

    @property
    def filled(self) -> tuple[int, ...]:
        """The tables that are known to have rows."""
        return tuple(oid for oid, table in self.tables.items() if table.rows)

    def family(self, tables: Collection[int]) -> frozenset[int]:
        """Return the tables of `tables` found here, each with all partitions of the same table.

        They belong together because rows may have moved between them.
        """
        tops = {self.tables[oid].root or oid for oid in tables if oid in self.tables}
        return frozenset(oid for oid, table in self.tables.items() if (table.root or oid) in tops)

    def above(self) -> dict[str, tuple[str, ...]]:
        """Return, by a table's name, the names of all tables from which it has its columns."""
        return {
            table.name: tuple(self.tables[parent].name for parent in self._above(oid))
            for oid, table in self.tables.items()
            if table.parents
        }

    def partitioned(self) -> frozenset[str]:
        """Return the names of the tables that have partitions, or may have."""
        return frozenset(table.name for table in self.tables.values() if table.is_partitioned)

    def partitions(self) -> frozenset[str]:
        """Return the names of the tables that are partitions."""
        return frozenset(table.name for table in self.tables.values() if table.root)

    def names_of(self, relations: Collection[int], types: Collection[int]) -> frozenset[str]:
        """Return the names of those relations that are tables or composite types, and enums."""
        columns = (n for (oid, _), n in self.columns.items() if oid in relations)
        labels = (n for oid, n in self.labels.items() if self.enums.get(oid) in types)
        return frozenset((
            *(table.name for oid, table in self.tables.items() if oid in relations),
            *(name.rpartition(".")[0] for name in columns),
            *(name.rpartition(".")[0] for name in labels),
        ))  # fmt: skip

    def _above(self, oid: int) -> list[int]:
        found, todo = dict[int, None](), [oid]
        while todo:
            for parent in self.tables[todo.pop()].parents:
                if parent in self.tables and parent not in found:
                    found[parent] = None
                    todo.append(parent)
        return list(found)


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that was lost. `target` is its name before the step; `rows` how many rows it had.

    `detail` explains what `rows` does not; for REWRITE, which values of a column were lost.
    `is_about` says that the number is an estimate. `parts` are the partitions that hold fewer rows
    than before, if a partitioned table lost rows.
    """

    verb: Verb
    target: str
    rows: int = 0
    detail: str = ""
    is_about: bool = False
    parts: tuple[str, ...] = ()

    @property
    def is_asked_about(self) -> bool:
        """Whether it has to be declared, rather than only reported."""
        is_note = self.verb in (Verb.RENAME, Verb.DETACH, Verb.UNDO)
        return not is_note and bool(self.verb is not Verb.REWRITE or self.detail)

    @property
    def declaration(self) -> Declaration:
        """The declaration for it, without a line number."""
        return Declaration(self.verb.value, self.target, 0)

    def __str__(self) -> str:
        """Return the text for a message: `delete public.users (3 rows)`."""
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        rows = f"about {rows}" if self.is_about else rows
        amount = self.detail or (rows if self.rows else "")
        is_of_values = self.verb is Verb.REWRITE and self.detail
        what = "values of" if is_of_values else self.verb.value
        return f"{what} {self.target}" + (f" ({amount})" if amount else "")


def losses(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Return what was lost; the columns of a lost table are not reported one by one.

    An object that can be recreated is not a loss if it exists again under its name.
    """
    anew = set(made_anew(before, after))
    gone = [
        Loss(Verb.DROP_TABLE, table.name, table.rows or 0, is_about=table.is_about)
        for oid, table in before.tables.items()
        if oid not in after.tables
    ]
    columns = [
        Loss(Verb.DROP_COLUMN, name)
        for (oid, number), name in before.columns.items()
        if (oid, number) not in after.columns and (oid in after.tables or oid in after.composites)
    ]
    labels = [
        Loss(Verb.DROP_LABEL, name)
        for oid, name in before.labels.items()
        if oid not in after.labels
    ]
    things = (loss for loss in (*gone, *columns, *labels) if loss not in anew)
    return (*things, *_fewer_rows(before, after))


def made_anew(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Return what looks lost but exists again under its name, so that nothing is lost.

    A materialized view with the same columns, whose rows PostgreSQL can compute again; an enum
    label whose type was dropped and recreated, as tools that change enums do. Declaring it is not
    an error.
    """
    views = {table.name: table.view for table in after.tables.values() if table.view is not None}
    labels = frozenset(after.labels.values())
    return (
        *(
            Loss(Verb.DROP_TABLE, table.name)
            for oid, table in before.tables.items()
            if oid not in after.tables and table.view is not None
            if table.view <= views.get(table.name, frozenset())
        ),
        *(
            Loss(Verb.DROP_LABEL, name)
            for oid, name in before.labels.items()
            if oid not in after.labels and name in labels
        ),
    )


def rewrites(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Return the tables that were rewritten row by row: not a loss, but it takes its time."""
    emptied = {loss.target for loss in losses(before, after) if loss.verb is Verb.TRUNCATE}
    return tuple(
        Loss(Verb.REWRITE, table.name, table.rows, is_about=table.is_about)
        for oid, table in before.tables.items()
        if table.rows and oid in after.tables and table.name not in emptied
        if after.tables[oid].filenode != table.filenode
    )


def rewritten(before: Holdings, after: Holdings) -> tuple[int, ...]:
    """Return the tables that have a new file on disk and whose rows were not counted before."""
    return tuple(
        oid
        for oid, table in before.tables.items()
        if table.rows is None and table.view is None and oid in after.tables
        if after.tables[oid].filenode != table.filenode
    )


def doubtful(before: Holdings, after: Holdings, suspects: Collection[int]) -> Mapping[int, Loss]:
    """Return what the `suspects` whose counters cannot be trusted may have lost.

    They stay in doubt until their rows have been counted both before and after.
    """
    found: dict[int, Loss] = {}
    for oid in suspects:
        table, now = before.tables.get(oid), after.tables.get(oid)
        if table is None or now is None or table.view is not None:
            continue
        if table.is_counted and now.is_counted:
            continue
        is_new_file = now.filenode != table.filenode
        whole = before.tables.get(table.root, table)
        removed = now.deleted - table.deleted
        most = f"at most {removed} row{'' if removed == 1 else 's'}"
        told = Loss(Verb.TRUNCATE, table.name) if is_new_file else Loss(Verb.DELETE, whole.name)
        found[oid] = replace(told, detail=most if removed else "rows that were not counted")
    return found


def detached(before: Holdings, after: Holdings) -> tuple[int, ...]:
    """Return the tables that were detached: not a loss, but often unexpected."""
    return tuple(
        oid
        for oid, table in before.tables.items()
        if table.root and oid in after.tables and not after.tables[oid].root
    )


def renames(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Return what was renamed: not a loss, but it may break a running app."""
    tables = {oid: table.name for oid, table in before.tables.items()}
    now = {oid: table.name for oid, table in after.tables.items()}
    return (
        *(Loss(Verb.RENAME, name) for oid, name in tables.items() if now.get(oid, name) != name),
        *(
            Loss(Verb.RENAME, name)
            for key, name in before.columns.items()
            if _last(after.columns.get(key, name)) != _last(name)
        ),
        *(
            Loss(Verb.RENAME, name)
            for oid, name in before.labels.items()
            if _last(after.labels.get(oid, name)) != _last(name)
        ),
    )


def of_rows(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Return what may be declared without a row of it: how many there are is not a file's to know.

    The same file runs on a new database, too, whose tables are empty by then.
    """
    names = dict.fromkeys(t.name for held in (before, after) for t in held.tables.values())
    verbs = (Verb.DELETE, Verb.TRUNCATE, Verb.REWRITE)
    return tuple(Loss(verb, name) for name in names for verb in verbs)


def _fewer_rows(before: Holdings, after: Holdings) -> Iterable[Loss]:
    for oid, table in before.tables.items():
        now = after.tables.get(oid)
        if now is None or table.view is not None:
            continue
        if _is_emptied(table, now):
            yield Loss(Verb.TRUNCATE, table.name, table.rows or 0, is_about=table.is_about)
        elif not table.root and (amount := _lost(table, now)):
            yield Loss(Verb.DELETE, table.name, amount)
    for root in {table.root: None for table in before.tables.values() if table.root}:
        yield from _fewer_rows_in_all(root, before, after)


def _fewer_rows_in_all(root: int, before: Holdings, after: Holdings) -> Iterable[Loss]:
    """Compare what a table's partitions held with what they hold now, wherever they are.

    New partitions count, because rows may have moved there; tables filled before do not.
    """
    if root not in after.tables:
        return
    pairs = [
        (table, after.tables[oid])
        for oid, table in before.tables.items()
        if table.root == root and not _is_told(oid, before, after)
    ]
    # What the transaction has put into a partition that it has made; all of it, where counted.
    new = [t for oid, t in after.tables.items() if t.root == root and oid not in before.tables]
    if all(table.is_counted and now.is_counted for table, now in pairs):
        fewer = sum((table.rows or 0) - (now.rows or 0) for table, now in pairs)
        more = sum(table.rows or 0 for table in new)
    else:
        fewer = sum(_removed(table, now) for table, now in pairs)
        more = sum(table.inserted - table.deleted for table in new)
    if pairs and fewer > more:
        parts = tuple(table.name for table, now in pairs if _removed(table, now) > 0)
        yield Loss(Verb.DELETE, before.tables[root].name, fewer - more, parts=parts)


def _is_told(oid: int, before: Holdings, after: Holdings) -> bool:
    """Whether a partition is gone or was emptied, which is reported under its own name."""
    now = after.tables.get(oid)
    return now is None or _is_emptied(before.tables[oid], now)


def _is_emptied(table: Table, now: Table) -> bool:
    """Whether rows were lost with a table's file; a rewritten table still holds old rows."""
    if now.filenode == table.filenode or table.rows == 0:
        return False
    if table.is_counted and now.is_counted:
        return _lost(table, now) > now.deleted - table.deleted
    return not now.was_kept


def _lost(table: Table, now: Table) -> int:
    """Return how many rows are missing: by both counts, or by what the transaction deleted."""
    if not (table.is_counted and now.is_counted):
        return max(_removed(table, now), 0)
    # A file that was truncated and refilled holds no old row, however many new ones it has.
    is_new_file = now.filenode != table.filenode
    more = now.inserted - table.inserted if is_new_file else 0
    was = table.rows or 0
    return min(max(was + more - (now.rows or 0), 0), was)


def _removed(table: Table, now: Table) -> int:
    """Return how many more rows the transaction has deleted from a table than inserted."""
    return (now.deleted - table.deleted) - (now.inserted - table.inserted)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
