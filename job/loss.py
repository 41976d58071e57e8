"""What a step took away: tables, columns, labels and rows that were there before it.

Pure: two looks at the same transaction go in, losses come out. Identity is PostgreSQL's own (OIDs
and column numbers), never a name, so a rename is no loss, and a column that was dropped and added
again is one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from job.plan import Declaration


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
    """A table at one moment: its name, its file on disk, and, where counted, its rows.

    `inserted` and `deleted` count the rows that the transaction has put into it and taken out so
    far. `root` is the table that it is a partition of, at the top, or 0: rows may move from one
    partition to another, so they are the root's to lose, unless the partition was emptied.
    """

    name: str
    filenode: int
    rows: int | None = None
    inserted: int = 0
    deleted: int = 0
    root: int = 0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What there is to lose: tables by OID, columns by (OID, number), labels by OID.

    The attributes of a composite type are columns, too, as long as a table holds values of it: then
    its relation is among `composites`.
    """

    tables: Mapping[int, Table]
    columns: Mapping[tuple[int, int], str]
    labels: Mapping[int, str]
    composites: frozenset[int] = frozenset()

    @property
    def counted(self) -> tuple[int, ...]:
        """The tables whose rows are known."""
        return tuple(oid for oid, table in self.tables.items() if table.rows is not None)

    def uncounted(self, suspects: Collection[int]) -> frozenset[int]:
        """Return those of `suspects` that are tables here whose rows were not counted."""
        return frozenset(
            oid for oid in suspects if oid in self.tables and self.tables[oid].rows is None
        )

    def to_recount(self, suspects: Collection[int]) -> tuple[int, ...]:
        """Return the counted tables whose rows are suspected to be fewer by now.

        All partitions of a table belong together, as rows may have moved.
        """
        tops = {self._top(oid) for oid in suspects if oid in self.tables}
        return tuple(oid for oid in self.counted if self._top(oid) in tops)

    def _top(self, oid: int) -> int:
        return self.tables[oid].root or oid


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that is no more. `target` is its name before the step; `rows` how many went.

    `detail` says more where rows do not. Of REWRITE, it says which values of a column went.
    """

    verb: Verb
    target: str
    rows: int = 0
    detail: str = ""

    def __str__(self) -> str:
        """For a message: `delete public.users (3 rows)`."""
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        amount = self.detail or (rows if self.rows else "")
        is_of_values = self.verb is Verb.REWRITE and self.detail
        what = "values of" if is_of_values else self.verb.value
        return f"{what} {self.target}" + (f" ({amount})" if amount else "")


@dataclass(frozen=True, slots=True)
class Names:
    """What a name without schema means: `schemas` are the search_path, `tables` those there are."""

    schemas: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()

    def cover(self, declaration: Declaration, loss: Loss) -> bool:
        """Say whether the declaration means the loss.

        The text of a loss that only the file tells (IF EXISTS) may have no schema either.
        """
        if declaration.verb != loss.verb.value:
            return False
        wanted = declaration.target
        return loss.target in self._meant(wanted) or wanted in self._meant(loss.target)

    def _meant(self, name: str) -> tuple[str, ...]:
        """Return the name and what it means: in the first schema that has such a table, or in any.

        A table's columns are where it is. Of labels only the types are known that have lost some.
        """
        table = name.partition(".")[0]
        there = (s for s in self.schemas if f"{s}.{table}" in self.tables)
        first = next(there, None)
        return (name, *(f"{schema}.{name}" for schema in ([first] if first else self.schemas)))


def losses(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Compare; columns of a table that is gone are not told one by one."""
    gone = [
        Loss(Verb.DROP_TABLE, table.name, table.rows or 0)
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
    return (*gone, *columns, *labels, *_fewer_rows(before, after))


def rewrites(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Return what has been written anew, row by row: no loss, but it takes as long as that does."""
    emptied = {loss.target for loss in losses(before, after) if loss.verb is Verb.TRUNCATE}
    return tuple(
        Loss(Verb.REWRITE, table.name, table.rows)
        for oid, table in before.tables.items()
        if table.rows and oid in after.tables and table.name not in emptied
        if after.tables[oid].filenode != table.filenode
    )


def rewritten(before: Holdings, after: Holdings) -> tuple[int, ...]:
    """Return the tables whose file is another one now, and whose rows nobody has counted."""
    return tuple(
        oid
        for oid, table in before.tables.items()
        if table.rows is None and oid in after.tables
        if after.tables[oid].filenode != table.filenode
    )


def detached(before: Holdings, after: Holdings) -> tuple[int, ...]:
    """Return the tables that were detached: no loss, but few expect it."""
    return tuple(
        oid
        for oid, table in before.tables.items()
        if table.root and oid in after.tables and not after.tables[oid].root
    )


def renames(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Return what has another name now: no loss, but an app that is running may not like it."""
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


def undeclared(
    found: Iterable[Loss], declarations: Iterable[Declaration], names: Names
) -> tuple[Loss, ...]:
    """Return the losses that nobody has declared."""
    said = tuple(declarations)
    return tuple(loss for loss in found if not any(names.cover(d, loss) for d in said))


def of_rows(before: Holdings, after: Holdings) -> tuple[Loss, ...]:
    """Return what may be declared without a row of it: how many there are is not a file's to know.

    The same file runs on a new database, too, whose tables are empty by then.
    """
    names = dict.fromkeys(t.name for held in (before, after) for t in held.tables.values())
    verbs = (Verb.DELETE, Verb.TRUNCATE, Verb.REWRITE)
    return tuple(Loss(verb, name) for name in names for verb in verbs)


def unused(
    found: Iterable[Loss], declarations: Iterable[Declaration], names: Names
) -> tuple[Declaration, ...]:
    """Return the declarations of what did not happen: a misspelt object, or a forgotten line."""
    happened = tuple(found)
    unseen = (d for d in declarations if not d.is_seen)
    return tuple(d for d in unseen if not any(names.cover(d, loss) for loss in happened))


def _fewer_rows(before: Holdings, after: Holdings) -> Iterable[Loss]:
    for oid, table in before.tables.items():
        now = after.tables.get(oid)
        if now is None or table.rows is None or now.rows is None:
            continue
        is_emptied = _is_emptied(table, now)
        if table.root and not is_emptied:
            continue
        if amount := min(_lost(table, now), table.rows):
            yield Loss(Verb.TRUNCATE if is_emptied else Verb.DELETE, table.name, amount)
    for root in {table.root: None for table in before.tables.values() if table.root}:
        yield from _fewer_rows_in_all(root, before, after)


def _fewer_rows_in_all(root: int, before: Holdings, after: Holdings) -> Iterable[Loss]:
    """Compare what a table's partitions held with what they hold now, wherever they are.

    New ones count, as rows may have moved there; those that others have filled before do not.
    """
    held = {
        oid: table.rows
        for oid, table in before.tables.items()
        if table.root == root and table.rows is not None and not _is_told(oid, before, after)
    }
    now = sum(
        table.rows or 0
        for oid, table in after.tables.items()
        if oid in held or (table.root == root and oid not in before.tables)
    )
    is_known = any(oid in after.tables and after.tables[oid].rows is not None for oid in held)
    if is_known and root in after.tables and now < sum(held.values()):
        yield Loss(Verb.DELETE, before.tables[root].name, sum(held.values()) - now)


def _is_told(oid: int, before: Holdings, after: Holdings) -> bool:
    """Whether a partition is gone, or was emptied: that is told by its own name."""
    now = after.tables.get(oid)
    return now is None or _is_emptied(before.tables[oid], now)


def _is_emptied(table: Table, now: Table) -> bool:
    """Whether rows went with a table's file: what is only written anew lacks those deleted."""
    is_new_file = now.filenode != table.filenode
    return is_new_file and _lost(table, now) > now.deleted - table.deleted


def _lost(table: Table, now: Table) -> int:
    """Return how many rows are missing in a table that is counted both times."""
    # A file that was emptied and filled again holds no old row, however many new ones.
    is_new_file = now.filenode != table.filenode
    more = now.inserted - table.inserted if is_new_file else 0
    return max((table.rows or 0) + more - (now.rows or 0), 0)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
