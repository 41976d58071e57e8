"""The gate: what is missing, what a check returns, and that looking writes nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, run_job
from production import codes_of, contents, environ, objects, report_here, report_of, whole_files

Folder = Callable[[Mapping[str, str]], Path]
Answer = dict[str, Any]

ITEMS = "create table item (id integer primary key, price integer);"
ROWS = "insert into item select n, n from generate_series(1, 12) n;"
FILES = {"migrations/1_items.sql": ITEMS + ROWS}


def job(database: Database, folder: Path) -> tuple[int, Answer]:
    """Run the job in this process; return its exit code and its report."""
    report = report_here(environ(database, folder))
    return report["exit_code"], report


def messages(report: Answer) -> list[str]:
    """Return what stops the run, in the order of the report."""
    return [f["message"] for f in report.get("findings", []) if f["level"] == "error"]


def test_what_is_missing_is_named(database: Database, folder: Folder) -> None:
    """Each critical table and column that is missing is named, and the run ends with 82."""
    declaration = """
        [critical]
        item = ["id", "prize", "colour"]
        absent = ["id"]
        "side.item" = ["id"]
        """

    code, report = job(database, folder({**FILES, "predeploy.toml": declaration}))

    assert (code, report["outcome"]) == (82, "failed")
    assert messages(report) == [
        "column public.item.prize is missing",
        "column public.item.colour is missing",
        "table public.absent is missing",
        "table side.item is missing",
    ]
    assert whole_files(database) == ["1_items.sql"]


def test_what_is_there_passes(database: Database, folder: Folder) -> None:
    """Tables in any schema, views and partitioned tables can be critical, and pass when there."""
    files = {
        "migrations/1_all.sql": """
            create schema side;
            create table side.item (id integer);
            create view glance as select id from side.item;
            create table "Part Of" (id integer, day date) partition by range (day);""",
        "predeploy.toml": """
            [critical]
            "side.item" = ["id"]
            glance = ["id"]
            "Part Of" = ["id", "day"]""",
    }

    code, report = job(database, folder(files))

    assert (code, messages(report)) == (0, [])


def test_a_check_with_rows_fails(database: Database, folder: Folder) -> None:
    """A check that returns rows ends with 82 and shows the first of them and their number."""
    check = "select id, price as cost from item where price > 2 order by id;"

    code, report = job(database, folder({**FILES, "verify/price.sql": check}))

    assert (code, codes_of(report)) == (82, [("error", "check-failed")])
    assert messages(report) == [
        (
            "verify/price.sql returned 10 offending row(s): "
            "id=3, cost=3; id=4, cost=4; id=5, cost=5 and 7 more"
        )
    ]
    assert len(contents(database)["public.item"]) == 12


def test_a_null_in_a_row_is_shown(database: Database, folder: Folder) -> None:
    """A row with nothing in it is an offending row all the same."""
    code, report = job(database, folder({**FILES, "verify/odd.sql": "select null as nothing"}))

    assert code == 82
    assert "verify/odd.sql returned 1 offending row(s): nothing=" in messages(report)[0]


def test_a_check_without_columns_counts_its_rows(database: Database, folder: Folder) -> None:
    """A check that selects no column fails by its rows, like any other."""
    code, report = job(database, folder({**FILES, "verify/odd.sql": "select from item"}))

    assert code == 82
    assert "verify/odd.sql returned 12 offending row(s)" in messages(report)[0]


def test_a_broken_check_does_not_hide_the_others(database: Database, folder: Folder) -> None:
    """A check with a typo fails with its SQLSTATE, and all others are judged all the same."""
    checks = {
        "verify/a_typo.sql": "select idd from item",
        "verify/b_fine.sql": "select id from item where id < 0 -- no semicolon",
        "verify/c_gone.sql": "select 1 from gone",
        "verify/d_rows.sql": "select id from item where id = 7",
        "verify/e_zero.sql": "select 1 / (id - id) from item",
    }

    code, report = job(database, folder({**FILES, **checks}))

    assert code == 82
    assert messages(report) == [
        'verify/a_typo.sql could not be asked: column "idd" does not exist (42703)',
        'verify/c_gone.sql could not be asked: relation "gone" does not exist (42P01)',
        "verify/d_rows.sql returned 1 offending row(s): id=7",
        "verify/e_zero.sql could not be asked: division by zero (22012)",
    ]


def test_a_syntax_error_in_a_check_does_not_hide_the_others(
    database: Database, folder: Folder
) -> None:
    """A check that PostgreSQL cannot parse fails, and all others are judged all the same."""
    checks = {
        "verify/a_bad.sql": "select id from item where where",
        "verify/b_rows.sql": "select id from item where id = 7",
    }

    done = run_job("run", environ=environ(database, folder({**FILES, **checks})))

    report = report_of(done)
    assert done.returncode == 82, done.stdout
    assert messages(report) == [
        'verify/a_bad.sql could not be asked: syntax error at or near "where" (42601)',
        "verify/b_rows.sql returned 1 offending row(s): id=7",
    ]


@pytest.mark.parametrize("name", ["ROWS.SQL", "items/rows.sql"])
def test_no_check_is_overlooked(database: Database, folder: Folder, name: str) -> None:
    """A check in capitals or in a folder of its own is asked or refused, but never left out."""
    code, report = job(database, folder({**FILES, f"verify/{name}": "select id from item"}))

    assert code in {65, 82}, report["message"]
    assert name in report["message"]


@pytest.mark.parametrize(
    "query",
    [
        "select sneak()",
        "with new as (insert into item values (99) returning id) select id from new",
        "with old as (delete from item returning id) select id from old where id < 0",
        "select id into copied from item where id < 0",
    ],
)
def test_a_check_cannot_write(database: Database, folder: Folder, query: str) -> None:
    """Checks are asked read only: one that writes fails, and nothing has been written."""
    files = {
        "migrations/1_items.sql": ITEMS + ROWS,
        "migrations/2_sneak.sql": """
            create sequence counter;
            create function sneak() returns integer language sql as
            $$ insert into item values (99) returning id $$;""",
        "verify/sneak.sql": query,
    }

    code, report = job(database, folder(files))

    assert (code, codes_of(report)) == (82, [("error", "check-broken")])
    assert "(25006)" in messages(report)[0]
    assert contents(database)["public.item"] == [{"id": n, "price": n} for n in _sorted_as_text()]
    assert database.value("select is_called from counter") is False
    assert "copied" not in objects(database)


@pytest.mark.parametrize(
    ("query", "function"),
    [
        ("select nextval('counter') where false", "nextval"),
        ("select 1 where setval('counter', 77) < 0", "setval"),
        ("select set_config('transaction_read_only', 'off', false) where false", "set_config"),
        ("select oid from pg_largeobject_metadata where lo_unlink(oid) <> 1", "lo_unlink"),
        ("select 1 where dblink_exec('', 'delete from item') is null", "dblink_exec"),
        ("select 1 where not pg_catalog.pg_terminate_backend(-1)", "pg_terminate_backend"),
    ],
)
def test_a_check_may_not_act_past_its_transaction(
    database: Database, folder: Folder, query: str, function: str
) -> None:
    """65, without asking it: READ ONLY does not refuse that, or not on each server."""
    files = {
        "migrations/1_items.sql": ITEMS + ROWS + "create sequence counter;",
        "migrations/2_large.sql": "select lo_from_bytea(70001, 'x');",
        "verify/sneak.sql": f"-- why\n{query}",
    }

    code, report = job(database, folder(files))

    why = f"verify/sneak.sql:2: calls {function}, which does more than look; a check only asks"
    assert (code, messages(report)) == (65, [why])
    assert database.value("select is_called from counter") is False
    assert database.value("select lo_get(70001)") == b"x"


def test_a_check_leaves_large_objects_alone_in_whatever_function(
    database: Database, folder: Folder
) -> None:
    """Up to PostgreSQL 15 READ ONLY lets it write them: what a look has done is rolled back.

    That of a settled run is, too.
    """
    files = {
        "migrations/1_large.sql": "select lo_from_bytea(70001, 'x');"
        "create function sneak() returns integer language sql as 'select lo_unlink(70001)';",
        "verify/sneak.sql": "select 1 where sneak() <> 1",
    }

    code, _ = job(database, folder(files))
    _, again = job(database, folder(files))

    assert database.value("select lo_get(70001)") == b"x"
    assert (code, again["outcome"]) in {(0, "settled"), (82, "failed")}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("select 1 where false; select 2 where false;", "holds 2 statements"),
        ("-- nothing but words", "holds 0 statements"),
        ("delete from item", "DELETE FROM instead of a query"),
        ("insert into item values (99)", "INSERT INTO instead of a query"),
        ("create table extra (id integer)", "CREATE TABLE instead of a query"),
        ("commit", "COMMIT instead of a query"),
        ("do $$ begin end $$", "DO"),
        ("copy item to stdout", "COPY"),
        ("select 'never ends", "cannot be read"),
    ],
)
def test_a_check_is_one_query(
    database: Database, folder: Folder, text: str, complaint: str
) -> None:
    """What is no single query is refused with 65, by name, and is never run."""
    code, report = job(database, folder({**FILES, "verify/odd.sql": text}))

    assert (code, codes_of(report)) == (65, [("error", "bad-check")])
    assert messages(report)[0].startswith("verify/odd.sql:")
    assert complaint in messages(report)[0]
    assert objects(database) == {"item", "item_pkey"}
    assert len(contents(database)["public.item"]) == 12


@pytest.mark.parametrize(
    "text",
    [
        "select 1 where false;",
        "\n-- why\nselect 1 where false -- and why not",
        "values (1) limit 0",
        "table item limit 0;\n/* the end */",
        "with nobody as (select 1 where false) select * from nobody",
        "(select 1 where false) union (select 2 where false);",
        "select ';' where '--' = ''",
        "select 100 % 3 where false",
    ],
)
def test_any_query_is_a_check(database: Database, folder: Folder, text: str) -> None:
    """Whatever returns rows may be a check; it passes, and the next run is settled."""
    settings = environ(database, folder({**FILES, "verify/any.sql": text}))

    outcomes = [report_here(settings)["outcome"] for _ in range(2)]

    assert outcomes == ["ok", "settled"]


def test_a_failed_check_is_not_forgotten(database: Database, folder: Folder) -> None:
    """A run that failed at the gate fails again until the rows are fixed, and then passes."""
    settings = environ(
        database, folder({**FILES, "verify/price.sql": "select id from item where price = 5"})
    )

    codes = [report_here(settings)["exit_code"] for _ in range(2)]
    database.execute("update item set price = 6 where price = 5")
    codes.append(report_here(settings)["exit_code"])

    assert codes == [82, 82, 0]


def test_a_check_is_asked_on_the_roles_own_search_path(database: Database, folder: Folder) -> None:
    """Checks see the search_path that the database or the role has, as the app does."""
    database.execute(f'alter database "{database.name}" set search_path = side')
    files = {
        "migrations/1_side.sql": "create schema side; create table side.item (id integer);",
        "verify/item.sql": "select id from item",
        "predeploy.toml": '[critical]\n"side.item" = ["id"]\n',
    }
    settings = environ(database, folder(files))

    outcomes = [report_here(settings)["outcome"] for _ in range(2)]

    assert outcomes == ["ok", "settled"]


def _sorted_as_text() -> list[int]:
    return sorted(range(1, 13), key=lambda n: f'{{"id": {n}, "price": {n}}}')
