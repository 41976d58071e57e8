"""How steps are delivered, decided by their text and by what is there."""

import pytest

from job.delivery import Delivery, Sought, deliveries, sought
from job.plan import Address, Creatable, Step
from job.sources.script import Script
from job.sources.steps import steps_of

ROWS = "insert into a values (1);"


def steps(*files: str) -> tuple[Step, ...]:
    scripts = [Script(f"{n}.sql", f"migrations/{n}.sql", t, "", n) for n, t in enumerate(files, 1)]
    return tuple(step for script in scripts for step in steps_of(script).steps)


def decided(*files: str, there: tuple[Sought, ...] = ()) -> Delivery:
    """How the last of these files is delivered."""
    return deliveries(steps(*files), frozenset(there))[-1]


def column(table: str, name: str, *, is_guarded: bool = False) -> Sought:
    return Sought(Address(Creatable.COLUMN, "", table, name, is_guarded), is_anywhere=False)


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
    "a delete": ("delete from s.a;", (("s", "a"),)),
    "a truncate": ("truncate a, b;", (("", "a"), ("", "b"))),
    "a delete in a WITH": (
        "with g as (delete from a returning *) insert into b select * from g;",
        (("", "a"),),
    ),
    "a merge": ("merge into a using b on true when matched then delete;", (("", "a"),)),
    "a change of type beside rows": (f"{ROWS} alter table a alter b type text;", (("", "a"),)),
    "a change of type alone": ("alter table a alter b type text;", ()),
    "a declaration": ("-- predeploy: allow truncate s.a\nselect f();", (("s", "a"),)),
    "a declared column": ("-- predeploy: allow drop-column a.b\nselect f();", ()),
}


@pytest.mark.parametrize(("text", "counted"), WATCHED.values(), ids=WATCHED)
def test_what_takes_something_away_is_watched(
    text: str, counted: tuple[tuple[str, str], ...]
) -> None:
    """From its start; rows are counted where some may go, and nowhere else."""
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
    assert sought(steps(text)) == frozenset()


def test_a_column_that_is_to_go_has_to_be_there() -> None:
    """Else its step would fail, and be run again without that."""
    text = f"{ROWS} alter table a drop column n;"

    assert decided(text).is_piecewise
    assert not decided(text, there=(column("a", "n"),)).is_piecewise


@pytest.mark.parametrize(
    "earlier",
    [
        "create table a (id int, n int);",
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
    (one,) = sought(steps(f"set search_path = x; {ROWS} create table if not exists t (id int);"))

    assert one.is_anywhere
