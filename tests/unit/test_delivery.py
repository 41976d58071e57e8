"""How steps are delivered, decided by their text and by what is there."""

import pytest

from predeploy.contract.statement import Address, Creatable
from predeploy.contract.step import Step
from predeploy.judgment.delivery import NameLookup, deliveries, lookups, uses_of
from predeploy.judgment.ways import Delivery
from predeploy.sources.script import Script
from predeploy.sources.steps import steps_of

ROWS = "insert into a values (1);"


def steps(*files: str) -> tuple[Step, ...]:
    scripts = [
        Script(f"{n}.sql", f"migrations/{n}.sql", t, "", (n,)) for n, t in enumerate(files, 1)
    ]
    return tuple(step for script in scripts for step in steps_of(script).steps)


def decided(*files: str, there: tuple[NameLookup, ...] = ()) -> Delivery:
    """How the last of these files is delivered."""
    found = steps(*files)
    return deliveries(found, uses_of(found), frozenset(there))[-1]


def column(table: str, name: str, *, is_guarded: bool = False) -> NameLookup:
    return NameLookup(Address(Creatable.COLUMN, "", table, name, is_guarded), is_anywhere=False)


PLAIN = {
    "a new table": "create table a (id serial);",
    "a new table with rows": f"create table a (id serial); {ROWS}",
    "a column beside rows": f"alter table a add column n int default 1; {ROWS}",
    "the time of the deploy": f"alter table a add column at timestamptz default now(); {ROWS}",
    "a backfill": "alter table a add column n int; update a set n = 1;",
    "a check beside rows": f"{ROWS} alter table a add constraint c check (id > 0);",
    "a new column": "create table a (n int); select 1; alter table a alter n set not null;",
    "a function": "drop function f(); select g();",
    "an index of a name that is free": f"{ROWS} create index i on a (id);",
    "a label": "alter type m add value 'x';",
    "a DO that nobody can judge": "do $$ begin delete from a; end $$;",
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_what_takes_nothing_away_and_meets_nothing_goes_in_one_message(text: str) -> None:
    """As before: most steps cost one round trip."""
    assert decided(text).is_plain


WATCHED = {
    "a rename": ("alter table a rename column b to c;", ()),
    "a dropped column": (f"{ROWS} alter table a drop column if exists b;", ()),
    "a dropped index": (f"{ROWS} drop index i;", ()),
    "a default": (f"{ROWS} alter table a alter b set default 1;", ()),
    "a primary key": (f"{ROWS} alter table a add primary key (b);", ()),
    "an enum's label": ("alter type m rename value 'a' to 'b';", ()),
    "a delete": ("delete from s.a;", ()),
    "a truncate": ("truncate a, b;", (("", "a"), ("", "b"))),
    "a delete in a WITH": (
        "with g as (delete from a returning *) insert into b select * from g;",
        (),
    ),
    "a merge": ("merge into a using b on true when matched then delete;", ()),
    "a change of type beside rows": (f"{ROWS} alter table a alter b type text;", (("", "a"),)),
    "a change of type alone": ("alter table a alter b type text;", (("", "a"),)),
    "a declaration": ("-- predeploy: allow truncate s.a\nselect f();", (("s", "a"),)),
    "a declared delete": ("-- predeploy: allow delete s.a\nselect f();", ()),
    "a declared column": ("-- predeploy: allow drop-column a.b\nselect f();", ()),
}


@pytest.mark.parametrize(("text", "counted"), WATCHED.values(), ids=WATCHED)
def test_what_takes_something_away_is_watched(
    text: str, counted: tuple[tuple[str, str], ...]
) -> None:
    """From its start; counted is what may get a new file: the server counts what is deleted."""
    found = decided(text)

    assert found.is_watched
    assert found.counted == counted


def test_rows_beside_a_name_that_is_there_go_statement_by_statement() -> None:
    """So that the rows are not inserted twice."""
    text = f"{ROWS} alter table a add column if not exists n int;"

    assert decided(text, there=(column("a", "n", is_guarded=True),)).is_piecewise
    assert not decided(text).is_piecewise


def test_what_only_writes_the_catalog_is_tried_first() -> None:
    """A rollback leaves nothing of it."""
    text = "alter table a add column n int;"

    assert decided(text, there=(column("a", "n"),)).is_plain
    assert lookups(steps(text), uses_of(steps(text))) == frozenset()


def test_a_column_that_is_to_go_has_to_be_there() -> None:
    """Else its step would fail, and be run again without that."""
    text = f"{ROWS} alter table a drop column n;"

    assert decided(text).is_piecewise
    assert not decided(text, there=(column("a", "n"),)).is_piecewise


@pytest.mark.parametrize(
    "earlier",
    [
        "create table a (id serial, n int);",
        "alter table a add column n int;",
        "create table a (like b);",
        "alter table a rename column m to n;",
        "do $$ begin execute 'alter table a add n int'; end $$;",
    ],
)
def test_an_earlier_file_that_is_pending_too_may_have_made_it(earlier: str) -> None:
    """Though nothing is there when everybody looks."""
    text = f"{ROWS} alter table a add column if not exists n int;"

    assert decided(earlier, text).is_piecewise
    other = "create table b (n int, a int references a);"
    assert not decided(other, "create table a (id int);", text).is_piecewise


def test_the_same_file_may_have_made_it() -> None:
    """A file that guards against itself."""
    assert decided(
        f"alter table a add n int; {ROWS} alter table a add if not exists n int;"
    ).is_piecewise


def test_a_file_that_moves_the_search_path_is_looked_for_everywhere() -> None:
    """Its names may be in any schema."""
    found = steps(f"set search_path = x; {ROWS} create table if not exists t (id int);")
    (one,) = lookups(found, uses_of(found))

    assert one.is_anywhere


TABLE = "create table t (id serial primary key, kind text not null, at timestamptz default now());"
CODES = "create table code (code text primary key);"
ROW = "insert into t (kind) values ('x');"
NOT_READ = {
    "a serial": (f"{TABLE} {ROW}",),
    "an identity": ("create table t (id int generated always as identity, kind text);" + ROW,),
    "guarded": (f"{TABLE.replace('table', 'table if not exists')} {ROW}",),
    "an index between": (f"{TABLE} create index on t (kind); {ROW}",),
    "a constraint between": (f"{TABLE} alter table t add check (kind <> ''); {ROW}",),
    "rows of functions that are known": (
        f"{TABLE} insert into t (kind) select lower('X') from generate_series(1, 3);",
    ),
    "rows of another": (f"{CODES} {TABLE} insert into t (kind) select code from code;",),
    "no conflict": (f"{TABLE} insert into t (kind) values ('x') on conflict do nothing;",),
    "copied rows": (f"{TABLE}\ncopy t (kind) from stdin;\nx\n\\.\n",),
    "codes of an earlier file": (CODES, "insert into code values ('x');"),
    "codes beside other files": (CODES, TABLE + ROW, "insert into code values ('x');"),
}
READ = {
    "a serial of an earlier file": (TABLE, ROW),
    "a table that no file makes": (ROW,),
    "a sequence of its own": (
        "create table t (id int default nextval('numbers'), kind text);" + ROW,
    ),
    "a default by a function": ("create table t (id int default f(), kind text);" + ROW,),
    "a domain": ("create table t (id number, kind text);" + ROW,),
    "defaults of another": ("create table t (like b including all);" + ROW,),
    "a parent's": ("create table t () inherits (b);" + ROW,),
    "a value by a function": (TABLE + "insert into t (kind) values (f());",),
    "a value that is drawn": (TABLE + "insert into t (id) values (nextval('numbers'));",),
    "rows of a view": (TABLE + "insert into t (kind) select x from v;",),
    "rows of another's insert": (
        TABLE + "with a as (insert into b values (1) returning 1) insert into t select * from a;",
    ),
    "a trigger": (
        TABLE + "create trigger g before insert on t for each row execute function f();" + ROW,
    ),
    "a rule": (TABLE + "create rule r as on insert to t do also select f();" + ROW,),
    "a default that is changed": (TABLE + "alter table t alter kind set default f();" + ROW,),
    "a DO between": (TABLE + "do $$ begin end $$;" + ROW,),
    "a path between": (TABLE + "set search_path = b;" + ROW,),
    "a temporary table over it": (CODES + "create temp table code (code int default f());"
                                  "insert into code default values;",),
    "a trigger on an earlier file's": (
        CODES, "create trigger g before insert on code for each row execute function f();",
        "insert into code values ('x');",
    ),
    "an earlier file's that is dropped": (
        CODES, "drop table code;", "insert into code values (1);",
    ),
    "an earlier file's under a path": (
        "set search_path = b;" + CODES, "insert into code values (1);",
    ),
    "a conflict that updates": (
        TABLE + "insert into t (id) values (1) on conflict (id) do update set kind = 'x';",
    ),
}  # fmt: skip


@pytest.mark.parametrize("files", NOT_READ.values(), ids=NOT_READ)
def test_what_draws_only_from_what_it_makes_needs_no_look_at_sequences(
    files: tuple[str, ...],
) -> None:
    """A rollback takes those sequences with it; the question is a third of a small file's time."""
    assert not decided(*files).moves_sequences


@pytest.mark.parametrize("files", READ.values(), ids=READ)
def test_what_may_draw_from_another_sequence_asks_where_it_stands(files: tuple[str, ...]) -> None:
    """Else a second try would give its rows other ids than psql does."""
    assert decided(*files).moves_sequences


def test_a_table_that_is_there_already_is_none_that_the_step_makes() -> None:
    """Found out by the first try, or, of an earlier file's table, by the look before all."""
    own = decided(TABLE + ROW)
    assert own.in_pieces().moves_sequences
    assert own.reached == {"t"}
    table = NameLookup(Address(Creatable.TABLE, "", "code", "code"), is_anywhere=False)
    assert decided(CODES, "insert into code values (1);", there=(table,)).moves_sequences
