"""The desired state: what lacks is added, rows stay, and the rest is said in words."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import fill

Run = Callable[..., tuple[int, dict]]


def rows_of(database: Database, columns: dict[str, list[str]]) -> dict[str, str]:
    """A hash over these columns of every row, by table."""
    hashed = "select md5(string_agg(t::text, ',' order by t::text)) from (select {} from {}) t"
    return {
        table: str(database.value(hashed.format(", ".join(f'"{n}"' for n in names), table)))
        for table, names in columns.items()
        if names
    }


def columns_of(database: Database) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in database.rows(
        "select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid "
        "where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') "
        "and a.attnum > 0 and not a.attisdropped order by 1, a.attnum"
    ):
        found.setdefault(table, []).append(column)
    return found


@pytest.fixture
def run(database: Database, folder: Callable[..., Path]) -> Run:
    """Runs the job on a schema.sql; returns exit code and report."""

    def job(schema: str, declaration: str = "", **environ: str) -> tuple[int, dict]:
        root = folder({"schema.sql": schema, "predeploy.toml": declaration})
        settings = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root), **environ}
        done = run_job(environ=settings)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    return job


def found(report: dict, code: str) -> list[str]:
    return [f["message"] for f in report.get("findings", []) if f["code"] == code]


REMOVED = """
drop table purchases;
drop table shares;
alter table works drop column file_url;
alter table users drop column bio, drop column wallet_address;
alter table posts drop column location;
alter table certificates drop column qr_code;
"""


def test_what_was_removed_from_production_is_restored(database: Database) -> None:
    """Two tables, five columns, three foreign keys and two indexes: in one run, and no row less."""
    run_job("run", environ={"DATABASE_URL": database.url}, check=0)
    fill(database)
    keys = [
        name
        for (name,) in database.rows(
            "select format('alter table %s drop constraint %I', conrelid::regclass, conname) "
            "from pg_constraint where contype = 'f' and conrelid::regclass::text in "
            "('certificates', 'posts', 'background_interactions') order by 1 limit 3"
        )
    ]
    indexes = [
        name
        for (name,) in database.rows(
            "select format('drop index %s', indexrelid::regclass) from pg_index where "
            "indrelid in ('works'::regclass, 'users'::regclass, 'posts'::regclass) "
            "and not indisunique order by 1 limit 2"
        )
    ]
    all_of_it = structure(database)
    assert (len(keys), len(indexes)) == (3, 2)
    database.execute(REMOVED + ";".join([*keys, *indexes]))
    left = columns_of(database)
    before = rows_of(database, left)

    done = run_job("run", environ={"DATABASE_URL": database.url})

    assert done.returncode == 0, done.stdout
    assert rows_of(database, left) == before
    assert structure(database) == all_of_it
    again = run_job("run", environ={"DATABASE_URL": database.url}, check=0)
    assert json.loads(again.stdout.splitlines()[-1])["outcome"] == "settled"


def structure(database: Database) -> list[tuple]:
    """Columns, constraints and indexes, without their order."""
    return database.rows(
        "select 'column', attrelid::regclass::text, attname::text, "
        "format_type(atttypid, atttypmod), attnotnull::text from pg_attribute "
        "join pg_class c on c.oid = attrelid where relnamespace = 'public'::regnamespace "
        "and relkind = 'r' and attnum > 0 and not attisdropped "
        "union all select 'constraint', conrelid::regclass::text, conname::text, "
        "pg_get_constraintdef(oid), '' from pg_constraint "
        "where connamespace = 'public'::regnamespace and contype <> 'n' "
        "union all select 'index', tablename, indexname, indexdef, '' from pg_indexes "
        "where schemaname = 'public' order by 1, 2, 3"
    )
