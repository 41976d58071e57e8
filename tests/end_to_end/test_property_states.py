"""Whatever a database holds already: nothing of it is lost, and nothing declared is passed over.

The oracle reads the catalogs by itself, and knows no more of the job's own proofs than their names.
"""

import json
import re
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Database
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from production import environ, run_here
from tiers import FULL

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.report import Report


@dataclass(frozen=True)
class Thing:
    """Something to be declared: how it is created, and what a database may hold instead.

    `on` names the tables that it needs, with the variants of them that it does not fit.
    """

    sql: str
    guarded: str = ""
    others: tuple[str, ...] = ()
    on: Mapping[str, tuple[str, ...]] | None = None


def _table(name: str) -> Thing:
    create, more = f"create table {name}", "if not exists"
    return Thing(
        f"{create} (id int primary key, n int, s varchar(20))",
        f"create table {more} {name} (id int primary key, n int, s varchar(20))",
        (
            f"{create} (id int primary key, n text, s varchar(20))",
            f"{create} (id int primary key, n int)",
            f"{create} (extra text, s varchar(20), id int primary key, n int)",
            f"create view {name} as select 1 as id, 2 as n, 'x'::varchar(20) as s",
        ),
    )


def _parts(table: str) -> dict[str, Thing]:
    alter = f"alter table {table} add"
    anywhere = {table: ("view",)}
    return {
        f"{table}.c": Thing(
            f"{alter} column c bigint",
            f"{alter} column if not exists c bigint",
            (f"{alter} column c text default 'x'", f"{alter} column c bigint default 7"),
            anywhere,
        ),
        f"{table}_k": Thing(
            f"{alter} constraint {table}_k check (id > 0)",
            others=(
                f"{alter} constraint {table}_k check (id > -5)",
                f"{alter} constraint {table}_k check (id > 0) not valid",
            ),
            on=anywhere,
        ),
        f"{table}_i": Thing(
            f"create index {table}_i on {table} (n)",
            f"create index if not exists {table}_i on {table} (n)",
            (f"create unique index {table}_i on {table} (id)",),
            anywhere,
        ),
    }


# In the order in which they can be created.
THINGS = {
    "q": Thing(
        "create sequence q increment 5",
        "create sequence if not exists q increment 5",
        ("create sequence q increment 3", "create table q (id int)"),
    ),
    "m": Thing(
        "create type m as enum ('a', 'b')",
        others=(
            "create type m as enum ('b', 'a')",
            "create type m as enum ('a', 'x', 'b')",
            "create domain m as text",
        ),
    ),
    "t0": _table("t0"),
    "t1": _table("t1"),
    **_parts("t0"),
    **_parts("t1"),
    "t1_f": Thing(
        "alter table t1 add constraint t1_f foreign key (n) references t0 (id)",
        others=("alter table t1 add constraint t1_f foreign key (n) references t0 match full",),
        on={"t0": ("view",), "t1": ("view", "n text")},
    ),
}
TABLES = ("t0", "t1")
# One ALTER TABLE about two things.
BOTH = "alter table t0 add constraint t0_k check (id > 0), add column {}c bigint"
NOISE = (
    "insert into t0 (id) values (100)",
    "update t0 set nothing = 1",
    "create index on t1 (nothing)",
    "alter table t0 add column c bigint, drop column nothing",
    "select 1 / 0",
)
# Each with what it takes away, which is nobody's loss if the folder itself has made it just before.
DESTRUCTIVE = {
    "delete from t0": (),
    "truncate t1": (),
    "drop table t0 cascade": ("t0", "t0.c", "t0_k", "t0_i", "t1_f"),
    "drop type m": ("m",),
}
SHAPES = """
    select 'relation public.' || c.relname, c.relkind::text from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'S')
    union all
    select format('column public.%s.%s', c.relname, a.attname), format_type(atttypid, atttypmod)
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
      and a.attnum > 0 and not a.attisdropped
    union all
    select format('constraint public.%s.%s', c.relname, k.conname), pg_get_constraintdef(k.oid)
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where k.connamespace = 'public'::regnamespace and k.contype in ('c', 'f')
    union all
    select 'index public.' || indexname, indexdef from pg_indexes
    where schemaname = 'public' and indexname !~ '_pkey$'
    union all
    select 'sequence public.' || sequencename, increment_by::text from pg_sequences
    where schemaname = 'public'
    union all
    select 'type public.' || t.typname,
           coalesce((select string_agg(enumlabel, ',' order by enumsortorder) from pg_enum
                     where enumtypid = t.oid), 'a domain')
    from pg_type t where t.typnamespace = 'public'::regnamespace and t.typtype in ('e', 'd')"""

Shapes = dict[str, str]
Folder = list[tuple[list[str], list[str]]]
"""For each file its statements, and what is declared by them."""


@st.composite
def states(draw: st.DrawFn) -> list[str]:
    """The statements that make what is there already, with rows in its tables."""
    made: dict[str, str] = {}
    for name, thing in THINGS.items():
        needs = thing.on or {}
        if any(t not in made or any(m in made[t] for m in bad) for t, bad in needs.items()):
            continue
        made[name] = draw(st.sampled_from(("", *[thing.sql] * 3, *thing.others)))
        if not made[name]:
            del made[name]
        elif name in TABLES and "view" not in made[name]:
            made[f"rows of {name}"] = (
                f"insert into {name} (id, n) select g, g from generate_series(1, 3) g"
            )
    return list(made.values())


@st.composite
def folders(draw: st.DrawFn) -> Folder:
    """Files that create things, each guarded or not, now and then with something that is wrong."""
    files: Folder = [([], [])]
    names = draw(st.lists(st.sampled_from(list(THINGS)), min_size=1, max_size=10))
    if draw(st.sampled_from((True, True, False))):  # a whole one, as an app would have it
        names += list(THINGS)
    fault = draw(st.sampled_from((*[""] * 20, *NOISE, *DESTRUCTIVE)))
    at_fault = draw(st.sampled_from(names))
    for name in sorted(names, key=list(THINGS).index):
        thing = THINGS[name]
        if draw(st.integers(0, 3)) == 0:
            files.append(([], []))
        is_guarded = draw(st.booleans())
        if name == "t0.c" and draw(st.booleans()):
            files[-1][0].append(BOTH.format("if not exists " if is_guarded else ""))
            files[-1][1].extend(["t0.c", "t0_k"])
        else:
            files[-1][0].append(thing.guarded if is_guarded and thing.guarded else thing.sql)
            files[-1][1].append(name)
        if name == at_fault and fault in NOISE:
            files[-1][0].append(fault)
    if fault in DESTRUCTIVE:
        files.append(([fault], []))
    return files


def shapes(database: Database) -> Shapes:
    return dict(database.rows(SHAPES))


def rows(database: Database, like: Shapes) -> dict[str, list[str]]:
    """Each row of the tables of `like`, by the columns that they have there."""
    found = {}
    for table in [k.rpartition(".")[2] for k, kind in like.items() if kind == "r"]:
        prefix = f"column public.{table}."
        columns = sorted(k.removeprefix(prefix) for k in like if k.startswith(prefix))
        found[table] = [
            row
            for (row,) in database.rows(
                f"select jsonb_build_array({', '.join(columns)})::text from {table} order by 1"
            )
        ]
    return found


def fits(declared: str, live: str | None) -> bool:
    """Whether it is the same, or an enum with more labels."""
    if live is None or "," not in declared or "(" in declared:
        return live == declared
    there = iter(live.split(","))
    return all(label in there for label in declared.split(","))


@pytest.fixture(scope="module")
def declared(superuser_url: str) -> dict[str, Shapes]:
    """What each thing adds to an empty database, made by plain psycopg in their order."""
    database = Database("postgres", superuser_url)
    found: dict[str, Shapes] = {}
    with database.connect() as conn, conn.transaction(force_rollback=True):
        conn.execute("drop schema public cascade; create schema public")
        before: Shapes = {}
        for name, thing in THINGS.items():
            conn.execute(thing.sql)  # type: ignore[call-overload]
            now = dict(conn.execute(SHAPES).fetchall())
            found[name] = {key: shape for key, shape in now.items() if key not in before}
            before = now
    return found


@dataclass
class World:
    """A database with something in it, a folder for it, and the runs on it."""

    database: Database
    tmp_path: Path
    folder: Folder
    environ: dict[str, str]
    accepted: dict[str, str]

    def run(self) -> Report:
        files = {f"migrations/{n}_x.sql": self._text(n) for n in range(1, len(self.folder) + 1)}
        lines = "".join(f'"{name}" = {_quoted(shape)}\n' for name, shape in self.accepted.items())
        files |= {"migrations/0_base.sql": "", "predeploy.toml": f"[accept]\n{lines}"}
        return run_here(environ(self.database, _write(self.tmp_path, files), **self.environ))

    def _text(self, number: int) -> str:
        statements = [f"create table mark_{number} ()", *self.folder[number - 1][0]]
        return ";\n".join(statements) + ";\n"


def told(report: Report, *codes: str) -> str:
    """The messages and remedies of findings and of the failure, for searching."""
    findings = [f for layer in report.layers for f in layer.findings if f.code in codes]
    failures = [layer.failure for layer in report.layers if layer.failure]
    return "\n".join(f"{f.message}\n{f.remedy}" for f in (*findings, *failures))


_ACCEPTED = re.compile(r'"(?:[^"\\]|\\.)*" = "(?:[^"\\]|\\.)*"')


def ways_out(report: Report) -> dict[str, str]:
    """The lines for [accept] that a report prints."""
    found: dict[str, str] = {}
    for line in told(report, "drift", "missing").splitlines():
        text = line.rpartition("under [accept] in predeploy.toml: ")[2]
        if part := _ACCEPTED.match(text):
            found |= tomllib.loads(part[0])
    return found


@pytest.mark.parametrize("origin", ["ledger", "none"])
@settings(
    max_examples=20 if FULL else 5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(state=states(), folder=folders(), policy=st.sampled_from(["block", "warn", "accept"]))
def test_what_is_there_is_kept_and_what_is_declared_is_there(
    database: Database,
    declared: dict[str, Shapes],
    tmp_path: Path,
    *,
    origin: str,
    state: list[str],
    folder: Folder,
    policy: str,
) -> None:
    """After exit 0 all that the folder declares is there, but for what was let through by name.

    After any code nothing that was there is gone or changed, the ledger agrees with the catalog,
    and the next run ends in the same way.
    """
    for schema in ("predeploy", "public"):
        database.execute(f"drop schema if exists {schema} cascade")
    database.execute("create schema public")
    policies = {"PREDEPLOY_ON_DRIFT": "warn"} if policy == "warn" else {}
    world = World(database, tmp_path, folder, policies, {})
    if origin == "ledger":
        run_here(environ(database, _write(tmp_path, {"migrations/0_base.sql": ""})))
    for statement in state:
        database.execute(statement)
    before = shapes(database)
    is_adoption = origin == "none" and "r" in before.values()
    rows_before = rows(database, before)

    report = first = world.run()
    while policy == "accept" and (more := ways_out(report).items() - world.accepted.items()):
        world.accepted |= dict(more)
        report = world.run()
    second = world.run()

    event(f"{origin} {policy}: {report.exit_code.name}")
    _assert_kept(before, rows_before, folder, database)
    _assert_recorded(world, report)
    allowed = {ExitCode.OK, ExitCode.FAILED, ExitCode.NOT_VERIFIED, ExitCode.REFUSED}
    if is_adoption:
        allowed = allowed - {ExitCode.REFUSED} | {ExitCode.BAD_SOURCES}
    assert {first.exit_code, report.exit_code} <= allowed
    assert second.exit_code is report.exit_code
    if report.exit_code is ExitCode.OK:
        lacking = set(_lacking(declared, folder, shapes(database)))
        event(f"lacking: {bool(lacking)}")
        if is_adoption:
            adopted = told(first, "adopted-drift")
            assert all(f"{name} is there as" in adopted for name in lacking - world.accepted.keys())
        elif policy == "warn":
            assert all(f"{name} is there as" in told(second, "drift") for name in lacking)
        else:
            assert lacking <= world.accepted.keys()


def _assert_kept(
    before: Shapes, rows_before: dict[str, list[str]], folder: Folder, database: Database
) -> None:
    """A domain that no column has may be dropped: it holds nothing, unlike an enum's labels."""
    now = shapes(database)
    drops_type = any(text == "drop type m" for texts, _ in folder for text in texts)
    kept = {k: s for k, s in before.items() if not (drops_type and s == "a domain")}
    assert {key: now.get(key) for key in kept} == kept
    for table, old in rows_before.items():
        assert [row for row in rows(database, before)[table] if row in old] == old


def _assert_recorded(world: World, report: Report) -> None:
    """Each file's own table is there if and only if the ledger says that the file is applied."""
    is_there = world.database.value("select to_regclass('predeploy.migration') is not null")
    whole = set(
        world.database.rows("select file from predeploy.migration where is_done and is_final")
        if is_there
        else []
    )
    for number in range(1, len(world.folder) + 1):
        has_mark = world.database.value("select to_regclass(%s) is not null", f"mark_{number}")
        assert has_mark == ((f"{number}_x.sql",) in whole)
        assert has_mark or report.exit_code is not ExitCode.OK


def _lacking(declared: dict[str, Shapes], folder: Folder, live: Shapes) -> Iterator[str]:
    taken = {name for texts, _ in folder for text in texts for name in DESTRUCTIVE.get(text, ())}
    names = {name for _, declares in folder for name in declares} - taken
    for key, shape in (pair for name in names for pair in declared[name].items()):
        if not fits(shape, live.get(key)):
            yield key


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _write(tmp_path: Path, files: Mapping[str, Any]) -> Path:
    root = tmp_path / uuid.uuid4().hex
    for name, text in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root
