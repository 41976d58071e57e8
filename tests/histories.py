"""Histories like those of apps: files that create, fill, rename, rebuild, drop and empty objects.

A history depends only on its seed, and on the clock only in the names of some partitions. The files
declare nothing of what they remove.
"""

import random
from collections.abc import Callable, Iterator
from itertools import count, islice


class History:
    """Writes files, and keeps track of the tables, columns, types and partitions they leave."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._columns: dict[str, list[str]] = {}
        self._children: dict[str, str] = {}  # a table that refers to another one, which it is
        self._labels: dict[str, list[str]] = {}
        self._parts: dict[str, list[str]] = {}
        self._used: set[str] = set()  # by this file, which may not undo what it has created
        self._names = count()
        self._plain: set[str] = set()  # tables whose sequences have their generated names
        self._views: list[str] = []
        self._schema_before = ""
        self._going = self._files()

    def files(self, number: int) -> list[str]:
        """Return the next files of the history."""
        return list(islice(self._going, number))

    def rows(self) -> str:
        """Return the INSERTs of an app: some rows into each table that exists now."""
        into = [self._insert(table, 5) for table in self._columns]
        return "\n".join((*into, *map(self._measure, self._parts), "select 1;"))

    def _files(self) -> Iterator[str]:
        yield f"{self._table()}\n{self._table()}\n{self._enum()}\n{self._partitioned()}"
        while True:
            self._used = set()
            makers = self._random.sample(self._makers(), k=self._random.randint(1, 3))
            yield "\n".join(filter(None, (make() for make in makers))) or "select 1;"

    def _makers(self) -> list[Callable[[], str]]:
        return [
            self._table, self._child, self._enum, self._partitioned, self._partition,
            self._add_column, self._backfill, self._backfill_in_do, self._some_rows, self._copy,
            self._rename_column, self._rename_table, self._rename_and_drop, self._drop_column,
            self._guarded_drop, self._drop_columns, self._drop_table, self._drop_in_do,
            self._relabel, self._lose_label, self._drop_type, self._drop_partition,
            self._detach_partition, self._drop_part_column, self._drop_partitioned, self._delete,
            self._truncate, self._narrow, self._swap, self._schema, self._drop_view,
        ]  # fmt: skip

    def _new(self, kind: str) -> str:
        name = f"{kind}{next(self._names)}"
        self._used.add(name)
        return name

    def _pick(self, names: object) -> str:
        """Choose a name that the file has not used yet; an empty string if there is none."""
        free = sorted({*names} - self._used)  # type: ignore[misc]
        chosen = self._random.choice(free) if free else ""
        self._used.add(chosen)
        return chosen

    def _parentless(self) -> list[str]:
        return [table for table in self._columns if table not in self._children.values()]

    # files that add something

    def _table(self) -> str:
        name = self._new("t")
        self._columns[name] = [self._new("c") for _ in range(3)]
        self._plain.add(name)
        columns = ", ".join(f"{column} text" for column in self._columns[name])
        return f"create table {name} (id serial primary key, {columns});\n{self._insert(name, 2)}"

    def _child(self) -> str:
        parent = self._pick(self._columns)
        if not parent:
            return ""
        name = self._new("t")
        self._columns[name], self._children[name] = [self._new("c")], parent
        return (
            f"create table {name} (id serial primary key, {self._columns[name][0]} text,"
            f" parent int references {parent} on delete cascade);\n"
            f"insert into {name} (parent) select id from {parent} order by id;"
        )

    def _insert(self, table: str, many: int) -> str:
        columns = self._columns[table]
        values = ", ".join(f"'{c}' || g" for c in columns) or "default"
        if not columns:
            return f"insert into {table} default values;"
        into = ", ".join(columns)
        return f"insert into {table} ({into}) select {values} from generate_series(1, {many}) g;"

    def _some_rows(self) -> str:
        table = self._pick(self._columns)
        return self._insert(table, self._random.randint(1, 4)) if table else ""

    def _copy(self) -> str:
        source, target = self._pick(self._columns), self._pick(self._columns)
        if not (source and target and self._columns[source] and self._columns[target]):
            return ""
        into, of = self._columns[target][0], self._columns[source][0]
        return f"insert into {target} ({into}) select {of} from {source} order by id limit 3;"

    def _add_column(self) -> str:
        table = self._pick(self._columns)
        if not table:
            return ""
        self._columns[table].append(self._new("c"))
        return f"alter table {table} add column {self._columns[table][-1]} text default 'new';"

    def _backfill(self) -> str:
        table = self._pick(self._columns)
        if not table or not self._columns[table]:
            return ""
        return f"update {table} set {self._columns[table][0]} = 'filled ' || id where id % 2 = 0;"

    def _backfill_in_do(self) -> str:
        text = self._backfill()
        return f"do $$ begin {text} exception when division_by_zero then null; end $$;"

    # files that remove something

    def _drop_column(self) -> str:
        table = self._pick(self._columns)
        if not table or not self._columns[table]:
            return ""
        return f"alter table {table} drop column {self._columns[table].pop()};"

    def _drop_columns(self) -> str:
        table = self._pick(self._columns)
        gone = self._columns.get(table, [])
        if gone:
            self._columns[table] = []
        return f"alter table {table} {', '.join(f'drop {c}' for c in gone)};" if gone else ""

    def _guarded_drop(self) -> str:
        table = self._pick(self._columns)
        if not table or not self._columns[table]:
            return ""
        column = self._columns[table].pop()
        return (
            "do $$ begin if exists (select from information_schema.columns where table_name ="
            f" '{table}' and column_name = '{column}') then alter table {table} drop column"
            f" {column}; end if; end $$;\nalter table {table} drop column if exists gone;"
        )

    def _drop_in_do(self) -> str:
        table = self._pick(self._parentless())
        return f"do $$ begin execute 'drop table {table}'; end $$;" if self._gone(table) else ""

    def _drop_table(self) -> str:
        table = self._pick(self._parentless())
        return f"drop table if exists {table};" if self._gone(table) else ""

    def _gone(self, table: str) -> bool:
        """Forget a table, unless only two are left; return whether it is to be dropped."""
        if not table or len(self._columns) < 3:
            return False
        del self._columns[table]
        self._children.pop(table, None)
        return True

    def _delete(self) -> str:
        table = self._pick(self._columns)
        return f"delete from {table} where id % 3 = 1;" if table else ""

    def _truncate(self) -> str:
        table = self._pick(self._columns)
        return f"truncate {table} cascade;" if table else ""

    def _narrow(self) -> str:
        table = self._pick(self._columns)
        if not table or not self._columns[table]:
            return ""
        column = self._columns[table][-1]
        return (
            f"alter table {table} alter column {column} type varchar(2) using left({column}, 2);\n"
            f"alter table {table} alter column {column} type text;"
        )

    def _view(self) -> str:
        self._views.append(self._new("v"))
        return f"create materialized view {self._views[-1]} as select 1 as n;"

    def _drop_view(self) -> str:
        view = self._pick(self._views)
        if not view:
            return self._view()
        self._views.remove(view)
        return f"drop materialized view {view};"

    # files that rename something

    def _rename_column(self) -> str:
        table = self._pick(self._columns)
        if not table or not self._columns[table]:
            return ""
        old, new = self._columns[table][0], self._new("c")
        self._columns[table][0] = new
        return f"alter table {table} rename column {old} to {new};"

    def _rename_table(self) -> str:
        table = self._pick(self._columns)
        return f"alter table {table} rename to {self._renamed(table)};" if table else ""

    def _renamed(self, table: str) -> str:
        new = self._new("t")
        self._columns[new] = self._columns.pop(table)
        self._plain.discard(table)
        self._children = {
            new if child == table else child: new if parent == table else parent
            for child, parent in self._children.items()
        }
        return new

    def _rename_and_drop(self) -> str:
        table = self._pick(self._columns)
        if not table or not self._columns[table]:
            return ""
        column = self._columns[table].pop()
        new = self._renamed(table)
        return f"alter table {table} rename to {new};\nalter table {new} drop column {column};"

    def _swap(self) -> str:
        table = self._pick({*self._parentless()} & self._plain)
        if not table or not self._columns[table]:
            return ""
        new = self._new("t")
        self._plain.discard(table)
        return (
            f"create table {new} (like {table} including all);\n"
            f"insert into {new} select * from {table} order by id;\n"
            f"alter sequence {table}_id_seq owned by {new}.id;\n"
            f"drop table {table};\nalter table {new} rename to {table};"
        )

    # types

    def _enum(self) -> str:
        name, table, column = self._new("e"), self._pick(self._columns), self._new("m")
        self._labels[name] = [f"l{n}" for n in range(4)]
        labels = ", ".join(f"'{label}'" for label in self._labels[name])
        made = f"create type {name} as enum ({labels});"
        return made + (
            f"\ncreate table {column} (id serial primary key, m {name});" if table else ""
        )

    def _relabel(self) -> str:
        return self._made_anew(lost=0)

    def _lose_label(self) -> str:
        return self._made_anew(lost=1)

    def _made_anew(self, lost: int) -> str:
        name = self._pick(self._labels)
        if not name or len(self._labels[name]) < 3:
            return ""
        kept = self._labels[name][: len(self._labels[name]) - lost]
        self._labels[name] = [*kept, self._new("l")]
        labels = ", ".join(f"'{label}'" for label in self._labels[name])
        return (
            f"alter type {name} rename to {name}_old;\ncreate type {name} as enum ({labels});\n"
            "do $$ declare c record; begin for c in select attrelid::regclass as t, attname as a"
            f" from pg_attribute where atttypid = '{name}_old'::regtype and attnum > 0 loop"
            f" execute format('alter table %s alter %I type {name} using %I::text::{name}',"
            f" c.t, c.a, c.a); end loop; end $$;\ndrop type {name}_old;"
        )

    def _drop_type(self) -> str:
        name = self._pick(self._labels)
        if not name:
            return ""
        del self._labels[name]
        return f"drop type {name} cascade;"

    def _schema(self) -> str:
        """Create a schema, and drop the previous one with everything in it."""
        schema, table, enum = self._new("s"), self._new("x"), self._new("y")
        old = self._schema_before
        dropped = f"drop schema if exists {old} cascade;\n" if old else ""
        self._schema_before = schema
        return (
            f"{dropped}create schema {schema};\n"
            f"create type {schema}.{enum} as enum ('a', 'b');\n"
            f"create table {schema}.{table} (id int, e {schema}.{enum});\n"
            f"insert into {schema}.{table} values (1, 'a'), (2, 'b');"
        )

    # partitions

    def _partitioned(self) -> str:
        name = self._new("p")
        self._parts[name] = []
        return (
            f"create table {name} (at int not null, a text, b text) partition by range (at);\n"
            f"create table {name}_rest partition of {name} default;\n"
            "do $$ begin execute format('create table %I partition of"
            f" {name} for values from (0) to (10)', '{name}_' || to_char(now(), 'YYYYMMDD'));"
            f" end $$;\n{self._measure(name)}"
        )

    def _measure(self, name: str) -> str:
        return f"insert into {name} (at) select g from generate_series(0, 90, 7) g;"

    def _partition(self) -> str:
        name = self._pick(self._parts)
        if not name:
            return ""
        low = 100 + 10 * next(self._names)
        part = self._new(f"{name}_")
        self._parts[name].append(part)
        return (
            f"create table {part} partition of {name} for values from ({low}) to ({low + 10});\n"
            f"insert into {name} (at) values ({low}), ({low + 1});"
        )

    def _drop_partition(self) -> str:
        name = self._pick(self._parts)
        return f"drop table {self._parts[name].pop()};" if name and self._parts[name] else ""

    def _detach_partition(self) -> str:
        name = self._pick(self._parts)
        if not name or not self._parts[name]:
            return ""
        part = self._parts[name].pop()
        return f"alter table {name} detach partition {part};\ndrop table {part};"

    def _drop_part_column(self) -> str:
        name = self._pick(self._parts)
        return f"alter table {name} drop column if exists b;" if name else ""

    def _drop_partitioned(self) -> str:
        name = self._pick(self._parts)
        if not name:
            return ""
        del self._parts[name]
        return f"drop table {name};"
