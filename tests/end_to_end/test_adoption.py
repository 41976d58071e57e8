"""A database from before its ledger: replayed only where that changes nothing, or recorded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import fill

BESIDE = "changed or dropped what a table has beside columns, constraints and indexes"
NEVER_MADE = """
baseline = "2"
[accept]
missing = ["rule:public.items.never", "policy:public.items.nobody", "function:public.never",
    "trigger:public.items.never"]
"""
TABLES = "select count(*) from pg_tables where schemaname = 'public'"
OLD = """
create table items (id int primary key, name text);
insert into items values (1, 'one'), (2, 'two');
create function price() returns int language sql as 'select 2';
create materialized view none as select id from items where false;
"""


def rows_of(database: Database) -> dict[str, str]:
    """A hash over every row of every table in `public`."""
    names = database.rows("select tablename from pg_tables where schemaname = 'public' order by 1")
    query = "select coalesce(md5(string_agg(t::text, ',' order by t::text)), '') from public.{} t"
    return {name: str(database.value(query.format(name))) for (name,) in names}


@pytest.fixture
def production(database: Database) -> Database:
    """TheKeyn's production: 42 tables with rows, and no ledger."""
    run_job("run", environ={"DATABASE_URL": database.url}, check=0)
    fill(database)
    database.execute("drop schema predeploy cascade")
    return database


@pytest.fixture
def run(folder: Callable[..., Path]) -> Callable[..., tuple[int, dict]]:
    """Runs the job on migrations; returns exit code and report."""

    def job(database: Database, declaration: str = "", **files: str) -> tuple[int, dict]:
        root = folder(
            {
                "predeploy.toml": declaration,
                **{f"migrations/{name}.sql": text for name, text in files.items()},
            }
        )
        done = run_job(environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)})
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    return job


@pytest.mark.dear
def test_production_without_a_ledger_is_adopted(production: Database, shipped_copy: Path) -> None:
    """The shipped files are guarded: they are replayed, change nothing, and are in the ledger."""
    environ = {"DATABASE_URL": production.url, "PREDEPLOY_SQL_DIR": str(shipped_copy)}
    before = rows_of(production)

    run_job("run", environ=environ, check=0)
    again = run_job("run", environ=environ, check=0)

    assert rows_of(production) == before
    assert production.value(TABLES) == 42
    assert production.value("select count(*) from predeploy.migration where is_done") == 18
    assert json.loads(again.stdout.splitlines()[-1])["outcome"] == "settled"


def test_a_data_migration_stops_the_adoption(production: Database, shipped_copy: Path) -> None:
    """65 before anything ran: it may have been run here before, and nobody can tell."""
    (shipped_copy / "migrations" / "0019_backfill.sql").write_text(
        "-- all of them\nupdate public.users set bio = 'changed';\n"
    )
    environ = {"DATABASE_URL": production.url, "PREDEPLOY_SQL_DIR": str(shipped_copy)}
    before = rows_of(production)

    done = run_job("run", environ=environ, check=65)

    assert "migrations/0019_backfill.sql:2" in done.stdout
    assert 'baseline = \\"VERSION\\"' in done.stdout
    assert rows_of(production) == before
    assert production.value("select to_regnamespace('predeploy') is null")


def test_a_table_called_migration_is_no_ledger_of_ours(
    database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """65: another tool's history, as Yii keeps it, makes no unknown database an empty one."""
    database.execute("create table migration (version text primary key, apply_time int);" + OLD)

    code, report = run(database, **{"1_items": "insert into items values (3, 'three');"})

    assert code == 65
    assert "tables but no ledger" in report["findings"][0]["message"]
    assert database.value("select count(*) from items") == 2


def test_a_baseline_records_and_does_not_run(production: Database, shipped_copy: Path) -> None:
    """With it the same folder goes through, and its data migration is not run."""
    (shipped_copy / "migrations" / "0019_backfill.sql").write_text(
        "update public.users set bio = 'changed';\n"
    )
    declaration = shipped_copy / "predeploy.toml"
    declaration.write_text('baseline = "0019"\n' + declaration.read_text())
    environ = {"DATABASE_URL": production.url, "PREDEPLOY_SQL_DIR": str(shipped_copy)}
    before = rows_of(production)

    run_job("run", environ=environ, check=0)

    assert rows_of(production) == before
    assert production.value("select count(*) from predeploy.migration where is_done") == 19


def test_files_behind_the_baseline_run_as_ever(
    database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """They are known not to have been run, so they may write rows."""
    database.execute(OLD)

    code, _ = run(
        database,
        'baseline = "2"',
        **{"1_a": OLD, "2_b": "delete from items", "3_c": "insert into items values (3, 'three')"},
    )

    assert code == 0
    assert database.rows("select id from items order by 1") == [(1,), (2,), (3,)]


def test_a_baseline_means_nothing_on_an_empty_database(
    database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """Every file runs where there was nothing before."""
    code, _ = run(database, 'baseline = "2"', **{"1_a": OLD})

    assert code == 0
    assert database.rows("select id from items order by 1") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("do $$ begin update items set name = 'x'; end $$;", "touched 2 row(s) of public.items"),
        ("do $$ begin insert into items values (9, 'x'); end $$;", "touched 1 row(s) of public"),
        (
            "create or replace function price() returns int language sql as 'select 1';",
            "changed or dropped a function",
        ),
        ("do $$ begin alter table items drop column name; end $$;", "changed or dropped a column"),
        ("do $$ begin drop function price(); end $$;", "changed or dropped a function"),
        ("do $$ begin truncate items; end $$;", "take away: truncate public.items (2 rows)"),
        (
            (
                "do $$ begin set local track_counts = off; delete from items;"
                " set local track_counts = on; end $$;"
            ),
            "take away: delete public.items (2 rows)",
        ),
        (
            "do $$ begin refresh materialized view none; alter table items drop name; end $$;",
            "changed or dropped a column",
        ),
        ("do $$ begin grant select on items to public; end $$;", BESIDE),
        ("do $$ begin alter table items enable row level security; end $$;", BESIDE),
        ("do $$ begin alter table items set unlogged; end $$;", BESIDE),
        ("create rule never as on delete to items do instead nothing;", BESIDE),
        ("create policy nobody on items using (false);", BESIDE),
        (
            (
                "create function never() returns trigger language plpgsql"
                " as 'begin return null; end';"
                " create trigger never before update on items"
                " for each row execute function never();"
            ),
            BESIDE,
        ),
    ],
)
def test_a_replay_that_changes_what_was_there_is_rolled_back(
    text: str, told: str, database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """65 with what it did, and all is as it was; a baseline that accepts that lets it through."""
    database.execute(OLD)
    before = (rows_of(database), database.value("select price()"))

    code, report = run(database, **{"1_a": "create table if not exists more ();", "2_b": text})

    assert (code, report["failure"]["file"]) == (65, "migrations/2_b.sql")
    assert told in report["failure"]["message"]
    assert (rows_of(database), database.value("select price()")) == (
        before[0] | {"more": ""},
        before[1],
    )
    files = {"1_a": "create table if not exists more ();", "2_b": text}
    assert run(database, NEVER_MADE, **files)[0] == 0
    assert database.rows("select file from predeploy.migration order by 1") == [
        ("1_a.sql",),
        ("2_b.sql",),
    ]


def test_a_sequence_is_not_set_back_by_a_replay(
    database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """65 before it runs: a rollback would not give its value back."""
    database.execute("create table items (id serial); insert into items default values")

    code, _ = run(database, **{"1_a": "do $$ begin perform setval('items_id_seq', 900); end $$;"})

    assert code == 65
    assert database.value("select last_value from items_id_seq") == 1


def test_an_adoption_that_was_cut_short_goes_on_as_one(
    database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """With the ledger there after a failure, the rest is still judged as a replay."""
    database.execute(OLD)
    bad = "create table broken (id nothing);"
    assert run(database, **{"1_a": "create table if not exists more ();", "2_b": bad})[0] == 80

    code, _ = run(
        database,
        **{
            "1_a": "create table if not exists more ();",
            "2_b": "do $$ begin delete from items; end $$;",
        },
    )

    assert code == 65
    assert database.rows("select id from items order by 1") == [(1,), (2,)]


def test_a_rewrite_by_a_new_column_is_kept(
    database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """A volatile default writes the table anew; its rows are counted, and all of them are there."""
    database.execute(OLD)

    code, report = run(
        database, **{"1_a": "alter table items add column at float default random()"}
    )

    assert code == 0, report
    assert database.rows("select id, name, at is null from items order by 1") == [
        (1, "one", False),
        (2, "two", False),
    ]


def test_additions_to_old_tables_are_kept(
    database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """A table from before may gain columns, constraints and indexes."""
    database.execute(OLD)
    text = """
        do $$ begin refresh materialized view none; end $$;
        alter table items add column if not exists size int default 1;
        alter table items add constraint size_is_positive check (size > 0);
        create index if not exists items_name_idx on items (name);
        create table if not exists parts (item int references items (id));"""

    code, report = run(database, **{"1_a": text})

    assert code == 0, report
    assert database.rows("select id, size from items order by 1") == [(1, 1), (2, 1)]


@pytest.mark.parametrize("value", ['"abc"', "12", '""'])
def test_a_baseline_is_a_version(
    value: str, database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """Anything else is a problem with the settings: 78."""
    code, report = run(database, f"baseline = {value}", **{"1_a": "select 1"})

    assert code == 78
    assert "baseline must be a version" in report["message"]


def test_adopt_shows_what_would_happen(database: Database, folder: Callable[..., Path]) -> None:
    """Without a baseline it plans, and changes nothing."""
    database.execute(OLD)
    root = folder({"migrations/1_a.sql": "create table if not exists more ();"})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}

    done = run_job("adopt", environ=environ, check=0)

    assert "migrations/1_a.sql (lines 1-1, replayed): CREATE TABLE" in done.stdout
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["command"], told["message"]) == ("adopt", "adopt: 1 pending")
    assert database.value("select to_regnamespace('predeploy') is null")


def test_adopt_records_by_hand(database: Database, folder: Callable[..., Path]) -> None:
    """With one it records those files, and the next run does the rest as ever."""
    database.execute(OLD)
    files = {"1_a": OLD, "2_b": "delete from items", "3_c": "insert into items values (3, 'x')"}
    root = folder({f"migrations/{name}.sql": text for name, text in files.items()})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}

    done = run_job("adopt", "--baseline", "2", environ=environ, check=0)

    assert json.loads(done.stdout.splitlines()[-1])["message"] == (
        "adopted: 2 step(s) recorded and not run; 1 pending"
    )
    assert database.rows("select id from items order by 1") == [(1,), (2,)]
    run_job("run", environ=environ, check=0)
    assert database.rows("select id from items order by 1") == [(1,), (2,), (3,)]


@pytest.mark.parametrize("first", ["run", "nothing"])
def test_there_is_nothing_to_adopt(
    first: str, database: Database, folder: Callable[..., Path]
) -> None:
    """A database of ours, or an empty one, has no history that nobody knows: 65."""
    root = folder({"migrations/1_a.sql": "create table a ();"})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    if first == "run":
        run_job("run", environ=environ, check=0)

    done = run_job("adopt", "--baseline", "1", environ=environ, check=65)

    assert "there is nothing to adopt" in done.stdout


def test_a_baseline_by_hand_is_a_version(database: Database) -> None:
    """Anything else is a wrong argument: 64."""
    run_job("adopt", "--baseline", "abc", environ={"DATABASE_URL": database.url}, check=64)


@pytest.mark.parametrize("guard", ["if not exists ", ""], ids=["guarded", "not"])
def test_drift_from_before_is_reported_and_accepted(
    guard: str, database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """Exit 0 with a warning, silent and settled after, and drift (84) once its shape changes."""
    database.execute(OLD)
    files = {"1_a": f"create table {guard}items (id int, name varchar(9)); create table more ();"}

    code, report = run(database, **files)
    again = run(database, **files)
    database.execute("alter table items alter name type varchar(5)")
    changed = run(database, **files)

    told = [f["message"] for f in report["findings"] if f["code"] == "adopted-drift"]
    assert code == 0, report
    assert ["column public.items.name is there as text" in message for message in told] == [True]
    assert database.value("""select drifts from predeploy.migration where file = '1_a.sql'""") == [
        {
            "kind": "column",
            "name": "public.items.name",
            "declared": "character varying(9)",
            "live": "text",
            "is_adopted": True,
        }
    ]
    assert (again[0], again[1]["outcome"], again[1].get("findings", [])) == (0, "settled", [])
    assert changed[0] == 84
    assert "column public.items.name is there as character varying(5)" in changed[1]["message"]
    assert database.rows("select * from items order by 1") == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("guard", ["if not exists ", ""], ids=["guarded", "not"])
def test_a_column_that_was_missing_before_is_missing(
    guard: str, database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """82 with its name; a migration that adds it is one way out, accepting that is the other."""
    database.execute(OLD)
    files = {"1_a": f"create table {guard}items (id int, name text, size int);"}

    code, report = run(database, **files)
    again, _ = run(database, **files)
    accepted, silent = run(database, '[accept]\n"column public.items.size" = "absent"', **files)
    added, _ = run(database, **files, **{"2_b": "alter table items add column size int;"})

    assert (code, again) == (82, 82)
    assert "column public.items.size is missing" in report["message"]
    assert (accepted, silent.get("findings", [])) == (0, [])
    assert added == 0
    assert database.rows("select * from items order by 1") == [(1, "one", None), (2, "two", None)]


def test_a_concurrent_build_over_another_index_is_adopted_drift(
    database: Database, run: Callable[..., tuple[int, dict]]
) -> None:
    """What IF NOT EXISTS skips outside a transaction was there before us, too."""
    database.execute(OLD + "create index by_name on items (id)")

    code, report = run(
        database, **{"1_a": "create index concurrently if not exists by_name on items (name)"}
    )

    assert code == 0, report
    assert [f["code"] for f in report["findings"]] == ["adopted-drift"]
