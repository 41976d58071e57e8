"""The loss sentinel: whatever takes something away is refused unless the file says so."""

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import contents
from tiers import sampled

SETUP = """
create schema attic;
create table parents (id int primary key, name text);
create table items (id int primary key, parent int references parents (id), n int, t text);
create table measures (at int, v int) partition by range (at);
create table measures_low partition of measures for values from (0) to (100);
create table measures_high partition of measures for values from (100) to (200);
create table full_one (id int not null, parent int, n int, t text);
create table "Old  items" (id int);
create table knob (is_off boolean);
create materialized view seen as select at from measures where not exists (select from knob);
create type mood as enum ('good', 'bad');
insert into parents select g, 'p' || g from generate_series(1, 5) g;
insert into items select g, 1 + g % 5, g, 'x' from generate_series(1, 20) g;
insert into measures select g, g from generate_series(0, 199, 10) g;
insert into full_one select g, 1, g, 'x' from generate_series(31, 40) g;
refresh materialized view seen;
create table trees (id int primary key);
create table leaves (tree int references trees on delete cascade);
create table boxes (id int, note text);
create table crates () inherits (boxes);
create domain colour as text;
create table paints (id int, colour colour);
create type sheet as (a int, b int);
create table sheets of sheet;
create type street as (name text, number int);
create type address as (streets street[], town text);
create domain home as address;
create table people (id int, home home);
create type answer as (code int, text text);
select lo_from_bytea(g, 'x') from generate_series(70001, 70003) g;
insert into people values (1, row (array[row ('Rue', 1)::street], 'Paris'));
insert into trees select g from generate_series(1, 3) g;
insert into leaves select 1 + g % 3 from generate_series(1, 6) g;
insert into crates select g, 'x' from generate_series(1, 4) g;
create function wipe() returns void language sql as 'delete from items where id > 10';
create function wipe_at_commit() returns trigger language plpgsql as
    $$ begin delete from items where id = 1; return null; end $$;
create constraint trigger late after update on parents deferrable initially deferred
    for each row execute function wipe_at_commit();
"""
IDENTITIES = """
select c.oid::text, c.relname::text, array(
    select a.attnum || a.attname from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum)
from pg_class c where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
union all select oid::text, enumlabel::text, null from pg_enum order by 1
"""
LARGE_OBJECTS = "select oid::int, lo_get(oid) from pg_largeobject_metadata order by oid"


def everything(database: Database) -> tuple:
    """All there is to lose: every row, and what tables, columns and labels there are."""
    return contents(database), database.rows(IDENTITIES), database.rows(LARGE_OBJECTS)


# What the file says, what the report must call it, and the declaration that lets it pass.
LOSSES = {
    "drop-table-in-do": (
        "do $$ begin drop table items; end $$",
        "drop-table public.items",
        ["drop-table items"],
    ),
    "large-object": (
        "select lo_unlink(70001), lo_unlink(70003)",
        "delete pg_catalog.pg_largeobject_metadata (2 rows)",
        ["delete pg_catalog.pg_largeobject_metadata"],
    ),
    "delete-in-function": ("select wipe()", "delete public.items (10 rows)", ["delete items"]),
    "delete-at-commit": (
        "update parents set name = 'y' where id = 2",
        "delete public.items (1 row)",
        ["delete public.items"],
    ),
    "truncate": ("truncate items", "truncate public.items (20 rows)", ["truncate items"]),
    "truncate-then-insert": (
        "truncate items; insert into items select g, 1, g, 'new' from generate_series(1, 20) g",
        "truncate public.items (20 rows)",
        ["truncate items"],
    ),
    "truncate-then-insert-more": (
        "truncate items; insert into items select g, 1, g, 'new' from generate_series(1, 90) g",
        "truncate public.items (20 rows)",
        ["truncate items"],
    ),
    "replace-by-another": (
        (
            "create table items2 (like items); insert into items2 select * from items;"
            " drop table items; alter table items2 rename to items"
        ),
        "drop-table public.items",
        ["drop-table items"],
    ),
    "drop-column-add-column": (
        "alter table items drop column n, add column n int",
        "drop-column public.items.n",
        ["drop-column items.n"],
    ),
    "drop-column-by-cascade": (
        "drop type mood",
        "drop-label public.mood.good",
        ["drop-label mood.good", "drop-label mood.bad"],
    ),
    "delete-from-a-partition": (
        "delete from measures where at < 50",
        "delete public.measures (5 rows)",
        ["delete measures"],
    ),
    "refill-a-partition": (
        "truncate measures_low; insert into measures select g, 0 from generate_series(0, 99, 10) g",
        "truncate public.measures_low (10 rows)",
        ["truncate measures_low"],
    ),
    "delete-from-a-detached-partition": (
        "alter table measures detach partition measures_low; delete from measures_low",
        "delete public.measures (10 rows)",
        ["delete measures"],
    ),
    "delete-beside-a-detached-partition": (
        ("alter table measures detach partition measures_low; delete from measures where at = 150"),
        "delete public.measures (1 row)",
        ["delete measures"],
    ),
    "delete-from-a-partition-elsewhere": (
        (
            "create table others (at int, v int) partition by range (at);"
            " alter table measures detach partition measures_low;"
            " alter table others attach partition measures_low for values from (0) to (100);"
            " delete from others"
        ),
        "delete public.measures (10 rows)",
        ["delete measures"],
    ),
    "delete-behind-a-full-partition": (
        (
            "create table more (at int, v int); insert into more select 210, 0;"
            " alter table measures attach partition more for values from (200) to (300);"
            " alter table full_one inherit items;"
            " delete from only items where id < 4"
        ),
        "delete public.items (3 rows)",
        ["delete items"],
    ),
    "delete-then-rewrite": (
        "delete from items where id > 10; alter table items alter column n type bigint",
        "delete public.items (10 rows)",
        ["delete items"],
    ),
    "truncate-then-delete": (
        (
            "truncate items; insert into items select g, 1, g, 'new' from generate_series(1, 20) g;"
            " delete from items where id > 15"
        ),
        "truncate public.items (20 rows)",
        ["truncate items"],
    ),
    "delete-then-rewrite-partitions": (
        "delete from measures where at < 50; alter table measures alter column v type bigint",
        "delete public.measures (5 rows)",
        ["delete measures"],
    ),
    "delete-uncounted": (
        "set local track_counts = off; delete from items where id = 3",
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-uncounted-for-a-while": (
        (
            "set local track_counts = off; delete from items where id = 3;"
            " set local track_counts = on"
        ),
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-in-a-function-that-counts-nothing": (
        (
            "create function quietly() returns void language sql set track_counts = off"
            " as 'delete from items where id = 3'; select quietly()"
        ),
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-by-cascade": (
        "delete from trees where id = 1",
        "delete public.leaves (2 rows)",
        ["delete trees", "delete leaves"],
    ),
    "truncate-by-cascade": (
        "truncate trees cascade",
        "truncate public.leaves (6 rows)",
        ["truncate trees", "truncate leaves"],
    ),
    "delete-from-what-inherits": (
        "delete from boxes where id = 1",
        "delete public.crates (1 row)",
        ["delete crates"],
    ),
    "delete-through-a-view": (
        (
            "create view some_items as select id from items where id < 10;"
            " delete from some_items where id = 3"
        ),
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-by-a-rule": (
        (
            "create rule away as on insert to parents do also delete from items where id = 3;"
            " insert into parents values (6, 'p6')"
        ),
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-in-a-select": (
        "with gone as (delete from items where id = 3 returning *) select * from gone",
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-by-a-cursor": (
        (
            "do $$ declare c cursor for select from items where id = 3 for update;"
            " begin open c; move c; delete from items where current of c; end $$"
        ),
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-in-a-subtransaction-that-stays": (
        (
            "do $$ begin begin delete from items where id = 3;"
            " exception when others then null; end; end $$"
        ),
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-before-a-subtransaction-that-goes": (
        (
            "do $$ begin delete from items where id = 3; begin delete from items; perform 1 / 0;"
            " exception when others then null; end; end $$"
        ),
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-under-a-stronger-lock": (
        "lock table items in access exclusive mode; delete from items where id = 3",
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "delete-behind-many-locks": (
        (
            "do $$ begin for i in 1..300 loop execute format('create table more_%s ()', i);"
            " end loop; end $$; delete from items where id = 3"
        ),
        "delete public.items (1 row)",
        ["delete items"],
    ),
    "drop-column-of-what-inherits": (
        "alter table boxes drop column note",
        "drop-column public.crates.note",
        ["drop-column boxes.note", "drop-column crates.note"],
    ),
    "drop-column-by-its-type": (
        "drop domain colour cascade",
        "drop-column public.paints.colour",
        ["drop-column paints.colour"],
    ),
    "drop-column-of-a-typed-table": (
        "alter type sheet drop attribute b cascade",
        "drop-column public.sheets.b",
        ["drop-column sheets.b"],
    ),
    "drop-attribute-of-a-value": (
        "alter type address drop attribute town",
        "drop-column public.address.town",
        ["drop-column address.town"],
    ),
    "drop-attributes-of-a-value-in-a-value": (
        "alter type street drop attribute name, drop attribute number",
        "drop-column public.street.number",
        ["drop-column street.name", "drop-column street.number"],
    ),
    "drop-column-that-was-added-beside-others": (
        (
            "do $$ begin alter table items add column a int default 1; end $$;"
            " alter table items drop column t"
        ),
        "drop-column public.items.t",
        ["drop-column items.t"],
    ),
    "drop-column-by-hand": (
        (
            "update pg_attribute set attisdropped = true"
            " where attrelid = 'boxes'::regclass and attname = 'note'"
        ),
        "drop-column public.boxes.note",
        ["drop-column boxes.note"],
    ),
    "drop-a-name-with-blanks": (
        'drop table "Old  items"',
        "drop-table public.Old  items",
        ["drop-table Old  items"],
    ),
    "drop-schema": (
        "alter table items set schema attic; drop schema attic cascade",
        "drop-table public.items",
        ["drop-table items"],
    ),
    "drop-behind-added-columns": (
        (
            "alter table parents add column a int default 1, add column b int default 2;"
            " alter table items drop column t"
        ),
        "drop-column public.items.t",
        ["drop-column items.t"],
    ),
    "delete-behind-ddl": (
        "alter table parents add column note text; delete from items where id = 7",
        "delete public.items (1 row)",
        ["delete items"],
    ),
}

# What may look like a loss and is none.
HARMLESS = {
    "large-objects": "select lo_from_bytea(0, 'y'), lo_put(70001, 0, 'z')",
    "delete-rolled-back": (
        "do $$ begin delete from items; raise exception 'no';"
        " exception when others then null; end $$"
    ),
    "rows-move-between-partitions": "update measures set at = at + 100 where at < 100",
    "rows-move-to-a-new-partition": (
        "alter table measures detach partition measures_low;"
        " create table measures_all partition of measures for values from (minvalue) to (100);"
        " with moved as (delete from measures_low returning *) insert into measures table moved"
    ),
    "detach": (
        "alter table measures detach partition measures_low;"
        " update measures set at = at + 1 where at < 190"
    ),
    "rows-move-between-partitions-and-are-rewritten": (
        "update measures set at = at + 100 where at < 100;"
        " alter table measures alter column v type bigint"
    ),
    "rows-that-came-and-went-before-a-rewrite": (
        'insert into "Old  items" values (1); delete from "Old  items";'
        ' alter table "Old  items" alter column id type bigint'
    ),
    "refresh": "insert into knob values (true); refresh materialized view seen",
    "rewrite": "alter table items alter column n type bigint",
    "rename-table": (
        "-- predeploy: allow undo items\n"
        "alter table items rename to things; alter table things rename to items"
    ),
    "drop-index": "-- predeploy: allow undo i\ncreate index i on items (n); drop index i",
    "drop-view": "-- predeploy: allow undo v\ncreate view v as select 1 as one; drop view v",
    "own-table": (
        "-- predeploy: allow drop-table mine\n"
        "create table mine (id int); insert into mine values (1); drop table mine"
    ),
    "own-column": (
        "-- predeploy: allow drop-column public.items.mine\n"
        "alter table items add mine int; alter table items drop mine"
    ),
    "temp-table": "create temp table t as select * from items; delete from t; drop table t",
    "delete-then-insert": (
        "create temp table t as select * from items where id = 3; delete from items where id = 3;"
        " insert into items select * from t"
    ),
    "drop-attribute-of-no-value": "alter type answer drop attribute text",
    "insert": "insert into items values (21, 1, 1, 'x')",
    "not-null": "alter table items alter column n set not null",
}


_LEAVES_ALL = ("delete-rolled-back", "drop-index", "drop-view", "own-table", "temp-table")


@pytest.fixture
def migrate(database: Database, folder: Callable[..., Path]) -> Callable[..., tuple[int, dict]]:
    """Applies SETUP and one more file; returns exit code and report."""

    def run(text: str, **settings: str) -> tuple[int, dict]:
        root = folder({"migrations/1_setup.sql": SETUP, "migrations/2_step.sql": text})
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root), **settings}
        done = run_job("run", environ=environ)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def before(migrate: Callable[..., tuple[int, dict]], database: Database) -> tuple:
    """Everything there is to lose, before the step."""
    assert migrate("select 1;")[0] == 0
    database.execute("delete from predeploy.migration where file = '2_step.sql'")
    return everything(database)


@pytest.mark.parametrize("case", sampled(LOSSES, 24))
def test_an_undeclared_loss_is_refused(
    case: str, migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """84: the report names what would be lost, and every row, column and label is still there."""
    text, told, _ = LOSSES[case]

    code, report = migrate(text)

    assert (code, report["failure"]["file"]) == (84, "migrations/2_step.sql")
    assert told in report["failure"]["message"]
    assert everything(database) == before
    assert database.rows("select file from predeploy.migration") == [("1_setup.sql",)]


# Where counting was off, or a subtransaction was undone, nothing tells the number but counting the
# rows before and after, for which a step that declares them is not run a second time.
VAGUE = {
    "delete-uncounted": "delete public.items (rows that were not counted)",
    "delete-uncounted-for-a-while": "delete public.items (rows that were not counted)",
    "delete-in-a-function-that-counts-nothing": "delete public.items (rows that were not counted)",
    "delete-before-a-subtransaction-that-goes": "delete public.items (at most 20 rows)",
}


@pytest.mark.parametrize("case", sampled(LOSSES, 24))
def test_a_declared_loss_is_done_and_counted(
    case: str, migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """With its line in the file the step runs; ledger and report say what went."""
    text, told, allowed = LOSSES[case]
    told = VAGUE.get(case, told)
    lines = "".join(f"-- predeploy: allow {declaration}\n" for declaration in allowed)

    code, report = migrate(lines + text)

    assert code == 0, report
    (losses,) = database.rows("select losses from predeploy.migration where file = '2_step.sql'")[0]
    assert told in losses
    assert any(told in finding["message"] for finding in report["findings"])
    assert everything(database) != before


# What of the harmless is told, because it may take its time or be noticed by an app.
TOLD = {
    "rewrite": ["rewrite public.items (20 rows)"],
    "rows-move-between-partitions-and-are-rewritten": [
        "rewrite public.measures_high (10 rows)",
        "rewrite public.measures_low (10 rows)",
    ],
    "rename-table": [],
    "detach": ["detach public.measures_low (10 rows)"],
    "rows-move-to-a-new-partition": ["detach public.measures_low (0 rows)"],
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_loses_nothing_raises_no_alarm(
    case: str, migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """A suspicion that the second look dispels costs one more try, and is a note at most."""
    counts = "select (select count(*) from parents), (select count(*) from full_one)"
    old = database.rows(counts)

    code, report = migrate(HARMLESS[case])

    notes = [
        f["message"]
        for f in report.get("findings", [])
        if f["code"] in {"taken-away", "renamed", "rewritten", "detached"}
    ]
    assert code == 0, report
    assert sorted(note.partition(": ")[2] for note in notes) == TOLD.get(case, [])
    assert database.rows(counts) == old
    if case in _LEAVES_ALL:
        assert everything(database) == before


RENAMES = {
    "table": ("alter table items rename to things", "rename public.items"),
    "column": ("alter table items rename n to size", "rename public.items.n"),
    "label": ("alter type mood rename value 'good' to 'fine'", "rename public.mood.good"),
    "schema": ("create schema s; alter table items set schema s", "rename public.items"),
    "column-of-what-inherits": (
        "alter table boxes rename note to remark",
        "rename public.crates.note",
    ),
    "attribute-of-a-value": (
        "alter type street rename attribute number to n",
        "rename public.street.number",
    ),
    "attribute": ("alter type sheet rename attribute b to c cascade", "rename public.sheets.b"),
    "last-column-behind-an-added-one": (
        "alter table items add column a int default 1; alter table items rename t to note",
        "rename public.items.t",
    ),
    "last-column-in-a-block": (
        "do $$ begin execute 'alter table ' || 'items rename t to note'; end $$",
        "rename public.items.t",
    ),
    "column-by-hand": (
        (
            "update pg_attribute set attname = 'size'"
            " where attrelid = 'items'::regclass and attname = 'n'"
        ),
        "rename public.items.n",
    ),
}


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(("text", "told"), RENAMES.values(), ids=RENAMES)
def test_a_rename_is_a_note(
    text: str, told: str, migrate: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """Nothing is lost, but an app that is running may not like it: ledger and report say so."""
    code, report = migrate(text)

    assert code == 0, report
    assert told in [f["message"].rpartition(": ")[2] for f in report["findings"]]
    (losses,) = database.rows("select losses from predeploy.migration where file = '2_step.sql'")[0]
    assert told in losses


@pytest.mark.parametrize("detail", ["[1, 2]", "[1, 2", ""])
def test_an_error_with_the_sentinel_s_sqlstate_is_none_of_its(
    detail: str, migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """80 with its message: a trigger of the user's own may raise what it likes, at the end too."""
    code, report = migrate(f"""
        create function cry() returns trigger language plpgsql as $$ begin
            raise exception using errcode = 'PD001', message = 'wolf', detail = '{detail}'; end $$;
        create constraint trigger wolf after insert on parents deferrable initially deferred
            for each row execute function cry();
        insert into parents values (6, 'p6')""")

    assert code == 80
    assert "wolf" in report["failure"]["message"]
    assert everything(database) == before


def test_a_declaration_of_one_loss_does_not_cover_another(
    migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """Only what is named may go."""
    code, report = migrate(
        "-- predeploy: allow delete items\ndelete from items; delete from measures"
    )

    assert code == 84
    assert "delete public.measures (20 rows)" in report["failure"]["message"]
    assert "public.items" not in report["failure"]["message"]
    assert everything(database) == before


def test_a_declared_loss_makes_no_suspect_of_the_next_step(
    database: Database, folder: Callable[..., Path]
) -> None:
    """What one step has rightly deleted, the next is not run twice for: it writes the same rows."""
    root = folder(
        {
            "migrations/1_setup.sql": SETUP + "; create sequence tries",
            "migrations/2_gone.sql": "-- predeploy: allow delete items\ndelete from items",
            "migrations/3_next.sql": "select nextval('tries'); insert into items values (1, 1, 1)",
        }
    )
    run_job(environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}, check=0)

    assert database.value("select last_value from tries") == 1


@pytest.mark.parametrize(
    "line",
    [
        "allow delete itmes",
        "allow drop-table items",
        "allow destroy items",
        "allow drop-table gone",
        "allow drop-column items.gone",
        "alow delete items",
        "allow delete",
    ],
)
def test_a_declaration_that_means_nothing_is_refused(
    line: str, migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """65: misspelt, unknown, or of something that the step does not do."""
    code, _ = migrate(f"-- predeploy: {line}\nupdate items set n = 0 where id = 1")

    assert code == 65
    assert everything(database) == before


def test_a_declaration_of_the_new_name_is_told_the_old_one(
    migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """65: a loss has its name from before the step, and the message prints what to write."""
    step = "alter table boxes rename to boxes_old; drop table boxes_old cascade"
    code, report = migrate(f"-- predeploy: allow drop-table boxes_old\n{step}")

    assert code == 65
    assert "by the names from before it: " in report["failure"]["message"]
    assert "drop-table public.boxes" in report["failure"]["message"]
    assert everything(database) == before


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    "mark",
    ["-- down", "-- DOWN", "---- @rollback", "/* rollback */"],
)
def test_a_file_that_undoes_itself_is_refused_before_anything_runs(
    command: str, mark: str, database: Database, folder: Callable[..., Path]
) -> None:
    """84, for `run` and `plan` alike: no file of the folder is run, and both lines are named."""
    text = f"create table users (id int);\n\n{mark}\ndrop table users;\n"
    root = folder({"migrations/1_teams.sql": "create table teams ();", "migrations/2_a.sql": text})

    done = run_job(
        command, environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}, check=84
    )

    assert "migrations/2_a.sql:4: DROP TABLE undoes what CREATE TABLE on line 1 did" in done.stdout
    assert database.value("select to_regclass('teams')") is None


def test_a_declaration_stands_before_the_step_that_it_means(
    migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """84: what the first step may lose, the second may not; the report says where to put it."""
    code, report = migrate(
        "-- predeploy: allow delete items\nselect 1;\nbegin;\ndelete from items;\ncommit;"
    )

    assert code == 84
    assert report["failure"]["next"] == (
        "if it is meant, declare it before line 4: -- predeploy: allow delete public.items"
    )
    assert everything(database) == before


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    "text",
    [
        '-- predeploy: allow delete Old  items\ndelete from "Old  items"',
        '-- predeploy: allow truncate Old  items\ntruncate "Old  items"',
        '-- predeploy: allow rewrite Old  items\nalter table "Old  items" alter id type bigint',
        "-- predeploy: allow delete items\ndelete from items where id > 20",
        (
            "-- predeploy: allow delete items\ndelete from items where id > 10;"
            " insert into items select g, 1, g, 'new' from generate_series(11, 20) g"
        ),
    ],
)
def test_a_file_need_not_know_how_many_rows_there_are(
    text: str, migrate: Callable[..., tuple[int, dict]]
) -> None:
    """The same declaration holds on a new database, where there is nothing to take away."""
    code, report = migrate(text)

    assert code == 0, report


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("drop-table gone", "drop table if exists gone"),
        ("drop-table app.gone", "drop materialized view if exists s.gone, app.gone cascade"),
        ("drop-column items.gone", "alter table items drop column if exists gone, drop column t"),
        ("drop-column gone.n", "alter table if exists public.gone drop n"),
    ],
)
def test_what_goes_if_it_exists_may_be_gone(
    declared: str, text: str, migrate: Callable[..., tuple[int, dict]]
) -> None:
    """The declaration means a database that has it, and holds on one that never had."""
    lines = f"-- predeploy: allow {declared}\n"
    more = "-- predeploy: allow drop-column items.t\n" if "drop column t" in text else ""

    code, report = migrate(lines + more + text)

    assert code == 0, report


@pytest.mark.usefixtures("before")
def test_policy_allow_lets_losses_pass_and_tells_them(
    migrate: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """PREDEPLOY_DESTRUCTIVE=allow is for a throw-away database; the report still says what went."""
    code, report = migrate("delete from items", PREDEPLOY_DESTRUCTIVE="allow")

    assert code == 0
    assert any("delete public.items (20 rows)" in f["message"] for f in report["findings"])
    assert database.value("select count(*) from items") == 0
    assert database.rows("select * from predeploy.state where run_id = %s", report["run_id"]) == []


@pytest.mark.usefixtures("before")
def test_added_columns_are_no_suspicion(
    migrate: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """The step runs once: its defaults change rows of the catalog, but those of its own columns."""
    database.execute("create sequence tries")

    code, _ = migrate(
        "alter table items add column a int default 1, add column b text default 'x' not null;"
        "alter table measures add column c int default 3;"
        "alter table only parents add d int default 2;"
        'ALTER TABLE IF EXISTS public . "Old  items" ADD COLUMN e int DEFAULT 3;'
        "do $$ begin alter table items add column f int default 4; end $$;"
        "create table made (id serial, n int default 5); select nextval('tries')"
    )

    assert (code, database.value("select last_value from tries")) == (0, 1)


@pytest.mark.usefixtures("before")
def test_a_renamed_column_beside_added_ones_is_told(
    migrate: Callable[..., tuple[int, dict]],
) -> None:
    """An app that is running may not like it."""
    code, report = migrate(
        "alter table parents add column a int default 1; alter table items rename n to amount"
    )

    assert code == 0
    assert any("rename public.items.n" in f["message"] for f in report["findings"])


@pytest.mark.dear
@pytest.mark.usefixtures("before")
def test_rows_that_others_delete_meanwhile_are_not_our_loss(
    migrate: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """The second look is one moment: another session's deletes do not count as the step's."""
    step = """
        delete from items where id = 5; insert into items values (5, 1, 5, 'x');
        select pg_sleep(2);"""
    asleep = "select from pg_stat_activity where wait_event = 'PgSleep'"
    with ThreadPoolExecutor() as pool, database.connect() as other:
        running = pool.submit(migrate, step)
        while not running.done():
            if other.execute(asleep).fetchall():
                other.execute("delete from items where id in (select max(id) from items)")
            time.sleep(0.3)

        code, report = running.result()

    assert code == 0, report
    assert database.value("select count(*) < 20 from items")


def test_a_step_that_switches_its_role_is_watched_too(
    migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """The guard runs as ourselves, whatever role the step has taken."""
    database.execute(
        "drop role if exists sentinel_guest; create role sentinel_guest;"
        "grant select, delete on items to sentinel_guest"
    )

    try:
        code, _ = migrate("set role sentinel_guest; delete from items where id = 1")
    finally:
        database.execute("drop owned by sentinel_guest; drop role sentinel_guest")

    assert code == 84
    assert everything(database) == before


def test_commit_runs_nothing_behind_the_guard(
    migrate: Callable[..., tuple[int, dict]], before: tuple, database: Database
) -> None:
    """A cursor WITH HOLD that nobody has read is closed: COMMIT would run its query to the end."""
    code, _ = migrate("declare held cursor with hold for select wipe()")

    assert code == 0
    assert everything(database) == before


VEILED = """
create table veiled (id int, tenant int);
insert into veiled select g, g % 2 from generate_series(1, 10) g;
alter table veiled enable row level security, force row level security;
create policy own on veiled using (tenant = current_setting('app.tenant')::int);
"""
BEHIND_A_VEIL = {
    "delete": (
        "set row_security = on; set app.tenant = 1; delete from veiled; reset app.tenant",
        "delete public.veiled (5 rows)",
    ),
    "delete-unveiled": (
        (
            "alter table veiled no force row level security; delete from veiled where id < 3;"
            " alter table veiled force row level security"
        ),
        "delete public.veiled (2 rows)",
    ),
    "truncate": ("truncate veiled", "truncate public.veiled (10 rows)"),
}


@pytest.fixture
def owner(database: Database) -> Iterator[Database]:
    """The database as its owner sees it, who is no superuser and may have rows hidden from him."""
    role = f"owner_{database.name}"
    database.execute(f"create role {role} login; alter database {database.name} owner to {role}")
    database.execute(f"grant all on schema public to {role}")
    yield Database(database.name, re.sub("//[^@]*@", f"//{role}@", database.url))
    database.execute(f"alter database {database.name} owner to current_user")
    database.execute(f"drop owned by {role} cascade; drop role {role}")


@pytest.mark.parametrize(("text", "told"), BEHIND_A_VEIL.values(), ids=BEHIND_A_VEIL)
def test_row_level_security_hides_no_loss(
    text: str, told: str, database: Database, owner: Database, folder: Callable[..., Path]
) -> None:
    """84 undeclared, and done when it is declared: rows count that even the owner does not see."""

    def run(step: str) -> tuple[int, dict]:
        root = folder({"migrations/1_setup.sql": VEILED, "migrations/2_step.sql": step})
        done = run_job(environ={"DATABASE_URL": owner.url, "PREDEPLOY_SQL_DIR": str(root)})
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    verb, name, rows = told.split(" ", 2)
    environ = {"DATABASE_URL": owner.url}
    setup = folder({"migrations/1_setup.sql": VEILED})
    run_job(environ={**environ, "PREDEPLOY_SQL_DIR": str(setup)}, check=0)
    refused, report = run(text)
    left = database.value("select count(*) from veiled")
    allowed, counted = run(f"-- predeploy: allow {verb} {name}\n{text}")

    assert (refused, left) == (84, 10), report
    assert told in report["failure"]["message"]
    assert allowed == 0, counted
    assert database.value("select 10 - count(*) from veiled") == int(rows[1:].split()[0])
    assert database.value("select relforcerowsecurity from pg_class where relname = 'veiled'")


def test_row_level_security_is_no_obstacle(
    database: Database, owner: Database, folder: Callable[..., Path]
) -> None:
    """A rewrite is counted whatever the policy would answer, or not."""
    step = "alter table veiled alter id type bigint"
    root = folder({"migrations/1_setup.sql": VEILED, "migrations/2_step.sql": step})

    run_job(environ={"DATABASE_URL": owner.url, "PREDEPLOY_SQL_DIR": str(root)}, check=0)

    assert database.value("select count(*) from veiled") == 10


def test_a_view_without_rows_has_none_to_lose(
    database: Database, folder: Callable[..., Path]
) -> None:
    """A materialized view is filled for the first time; nothing can be counted before."""
    files = {
        "migrations/1_view.sql": "create materialized view v as select 1 as n with no data;",
        "migrations/2_fill.sql": "refresh materialized view v;",
    }

    run_job(
        environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}, check=0
    )

    assert database.rows("select n from v") == [(1,)]
