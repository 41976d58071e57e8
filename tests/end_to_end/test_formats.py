"""Folders of other tools, and databases that those have migrated."""

import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256, sha384
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from conftest import Database, run_job, start_job
from foreign_folders import (
    DOWN,
    atlas_files,
    dbmate_files,
    diesel_files,
    drizzle_files,
    drizzle_folders,
    flyway_files,
    goose_files,
    node_pg_files,
    pairs,
    prisma_files,
    sql_migrate_files,
    sqlx_files,
    supabase_files,
    version,
    when,
)
from production import has_ledger, report_of, until, whole_files
from tiers import sampled

from predeploy.sources.formats import FORMATS

Folder = Callable[[Mapping[str, str]], Path]
Run = Callable[..., tuple[int, dict[str, Any]]]

INIT, DATA, INDEX = (
    "create table users (id int primary key, email text);",
    "insert into users values (1, 'a');",
    "create index concurrently users_email on users (email);",
)
NAMES = ("20240101000000_init", "20240102000000_data", "20240103000000_index")
TEXTS = dict(zip(NAMES, (INIT, DATA, INDEX), strict=True))
LATE = {"20240105000000_late": "create table late ()"}

_PRISMA_TABLE = """create table _prisma_migrations (id varchar(36) primary key,
    checksum varchar(64) not null, finished_at timestamptz, migration_name varchar(255) not null,
    logs text, rolled_back_at timestamptz, started_at timestamptz not null default now(),
    applied_steps_count integer not null default 0)"""
_DRIZZLE_TABLE = """create schema drizzle; create table drizzle.__drizzle_migrations (
    id serial primary key, hash text not null, created_at bigint)"""
_SUPABASE_TABLE = """create schema supabase_migrations;
    create table supabase_migrations.schema_migrations (version text primary key,
    statements text[], name text)"""


@pytest.fixture
def run(database: Database, folder: Folder) -> Run:
    """Runs a command on a folder; returns exit code and report."""

    def job(
        files: Mapping[str, str], *command: str, **variables: str
    ) -> tuple[int, dict[str, Any]]:
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
        done = run_job(*command, environ=environ | variables)
        return done.returncode, report_of(done)

    return job


def prisma_row(name: str, *, text: str = "", state: str = "now(), null") -> str:
    checksum = sha256((text or {**TEXTS, **LATE}[name]).encode()).hexdigest()
    return f"""insert into _prisma_migrations
        (id, checksum, migration_name, finished_at, rolled_back_at)
        values (gen_random_uuid()::text, '{checksum}', '{name}', {state})"""


def drizzle_row(name: str, *, text: str = "") -> str:
    digest = sha256((text or {**TEXTS, **LATE}[name]).encode()).hexdigest()
    return f"""insert into drizzle.__drizzle_migrations (hash, created_at)
        values ('{digest}', {when(name)})"""


def supabase_row(name: str) -> str:
    version, _, rest = name.partition("_")
    return f"""insert into supabase_migrations.schema_migrations
        values ('{version}', array['…'], '{rest}')"""


_GOLANG_TABLE = "create table schema_migrations (version bigint not null primary key, dirty bool)"
_DBMATE_TABLE = "create table schema_migrations (version varchar(128) primary key)"
_GOOSE_TABLE = """create table goose_db_version (id serial primary key, version_id bigint not null,
    is_applied boolean not null, tstamp timestamp default now());
    insert into goose_db_version (version_id, is_applied) values (0, true)"""
_SQLX_TABLE = """create table _sqlx_migrations (version bigint primary key,
    description text not null, installed_on timestamptz not null default now(),
    success boolean not null, checksum bytea not null, execution_time bigint not null)"""


def golang_row(name: str, *, dirty: bool = False) -> str:
    value = f"({version(name)}, {dirty})"
    return f"truncate schema_migrations; insert into schema_migrations values {value}"


def goose_row(name: str, *, is_applied: bool = True) -> str:
    return f"""insert into goose_db_version (version_id, is_applied)
        values ({version(name)}, {is_applied})"""


def dbmate_row(name: str) -> str:
    return f"insert into schema_migrations values ('{version(name)}')"


def sqlx_row(name: str, *, text: str = "", success: bool = True) -> str:
    checksum = sha384((text or {**TEXTS, **LATE}[name]).encode()).hexdigest()
    return f"""insert into _sqlx_migrations values
        ({version(name)}, 'x', now(), {success}, '\\x{checksum}', -1)"""


_ATLAS_TABLE = """create schema atlas_schema_revisions;
    create table atlas_schema_revisions.atlas_schema_revisions (version varchar primary key,
    description varchar not null, type bigint not null default 2, applied bigint not null default 0,
    total bigint not null default 0, executed_at timestamptz not null,
    execution_time bigint not null, error text, error_stmt text, hash varchar not null,
    partial_hashes jsonb, operator_version varchar not null)"""


def atlas_row(name: str, *, kind: int = 2, applied: int = 1, error: str = "") -> str:
    return f"""insert into atlas_schema_revisions.atlas_schema_revisions values
        ('{version(name)}', 'x', {kind}, {applied}, 1, now(), 1, '{error}', '', 'x', null, 'x')"""


_FLYWAY_TABLE = """create table flyway_schema_history (installed_rank int primary key,
    version varchar(50), description varchar(200) not null, type varchar(20) not null,
    script varchar(1000) not null, checksum int, installed_by varchar(100) not null,
    installed_on timestamp not null default now(), execution_time int not null,
    success boolean not null)"""


def flyway_row(name: str, *, text: str = "", kind: str = "SQL", success: bool = True) -> str:
    text = text or {**TEXTS, **LATE}.get(name, "")
    number, rest = (name[3:], "") if name.startswith("R__") else (version(name), name)
    what = rest.partition("_")[2] or number
    known = f"'{number}'" if rest else "null"
    return f"""insert into flyway_schema_history select coalesce(max(installed_rank), 0) + 1,
        {known}, '{what}', '{kind}', 'x', {crc(text)}, 'x', now(), 1, {success}
        from flyway_schema_history"""


def crc(text: str) -> int:
    """Flyway's checksum, by its rule: of the lines, whatever ends them, as an int of Java."""
    value = crc32("".join(text.replace("\r\n", "\n").split("\n")).encode())
    return value - 2**32 if value >= 2**31 else value


_SQL_MIGRATE_TABLE = "create table gorp_migrations (id text primary key, applied_at timestamptz)"
_NODE_PG_TABLE = """create table pgmigrations (id serial primary key, name varchar(255) not null,
    run_on timestamp not null)"""
_DIESEL_TABLE = """create table __diesel_schema_migrations (version varchar(50) primary key,
    run_on timestamp not null default current_timestamp)"""


def sql_migrate_row(name: str) -> str:
    return f"insert into gorp_migrations values ('{name}.sql', now())"


def node_pg_row(name: str) -> str:
    return f"insert into pgmigrations (name, run_on) values ('{name}', now())"


def diesel_row(name: str) -> str:
    return f"insert into __diesel_schema_migrations values ('{version(name)}', now())"


TOOLS = {
    "sql-migrate": (sql_migrate_files, _SQL_MIGRATE_TABLE, sql_migrate_row),
    "node-pg-migrate": (node_pg_files, _NODE_PG_TABLE, node_pg_row),
    "diesel": (diesel_files, _DIESEL_TABLE, diesel_row),
    "flyway": (flyway_files, _FLYWAY_TABLE, flyway_row),
    "atlas": (atlas_files, _ATLAS_TABLE, atlas_row),
    "golang-migrate": (pairs, _GOLANG_TABLE, golang_row),
    "goose": (goose_files, _GOOSE_TABLE, goose_row),
    "dbmate": (dbmate_files, _DBMATE_TABLE, dbmate_row),
    "sqlx": (sqlx_files, _SQLX_TABLE, sqlx_row),
    "sqlx, reversible": (pairs, _SQLX_TABLE, sqlx_row),
    "prisma": (prisma_files, _PRISMA_TABLE, prisma_row),
    "drizzle": (drizzle_files, _DRIZZLE_TABLE, drizzle_row),
    "drizzle of 1.0 after 0.x": (drizzle_folders, _DRIZZLE_TABLE, drizzle_row),
    "supabase": (supabase_files, _SUPABASE_TABLE, supabase_row),
}
tools = pytest.mark.parametrize("tool", TOOLS)


@tools
def test_a_tool_s_folder_runs_as_it_is(tool: str, database: Database, run: Run) -> None:
    """On an empty database all files run once, CONCURRENTLY included; the second run is settled."""
    files, _, _ = TOOLS[tool]

    first, report = run(files(TEXTS))
    second, again = run(files(TEXTS))

    assert (first, second, again["outcome"]) == (0, 0, "settled"), report
    assert database.rows("table users") == [(1, "a")]
    assert database.value(
        "select indisvalid from pg_index where indexrelid = 'users_email'::regclass"
    )
    assert len(whole_files(database)) == len(NAMES)


@tools
def test_the_tool_s_own_folder_may_be_the_sql_folder(
    tool: str, database: Database, run: Run
) -> None:
    """PREDEPLOY_SQL_DIR may name it: the migrations lie at its top."""
    files, _, _ = TOOLS[tool]
    flat = {name.removeprefix("migrations/"): text for name, text in files(TEXTS).items()}

    code, report = run(flat)

    assert code == 0, report
    assert len(whole_files(database)) == len(NAMES)


@tools
def test_a_run_goes_on_where_the_tool_stopped(tool: str, database: Database, run: Run) -> None:
    """What has a row in the tool's table is recorded; the rest runs; the table is only read."""
    files, table, row = TOOLS[tool]
    for sql in (table, INIT, DATA, row(NAMES[0]), row(NAMES[1])):
        database.execute(sql)
    history = _rows_of(tool, database)

    planned, _ = run(files(TEXTS), "plan")
    code, report = run(files(TEXTS))
    again, settled = run(files(TEXTS))

    assert (planned, code, again, settled["outcome"]) == (0, 0, 0, "settled"), report
    assert database.rows("table users") == [(1, "a")]
    assert len(whole_files(database)) == len(NAMES)
    note = next(f for f in report["findings"] if f["code"] == "taken-over")
    assert note["message"].startswith("2 files recorded, not run: ")
    assert history == _rows_of(tool, database)


def _rows_of(tool: str, database: Database) -> list[tuple]:
    _, table, _ = TOOLS[tool]
    name = table.rpartition("create table ")[2].split()[0]
    return database.rows(f"select t::text from {name} t order by 1")


@tools
def test_what_the_tool_applies_later_is_recorded_too(
    tool: str, database: Database, run: Run
) -> None:
    """The tool may go on with a file of its own between two runs: it does not run twice."""
    files, table, row = TOOLS[tool]
    two = {name: TEXTS[name] for name in NAMES[:1]}
    for sql in (table, INIT, row(NAMES[0])):
        database.execute(sql)
    first, _ = run(files(two))
    for sql in (DATA, row(NAMES[1])):
        database.execute(sql)

    code, report = run(files(TEXTS))

    assert (first, code) == (0, 0), report
    assert database.rows("table users") == [(1, "a")]
    assert len(whole_files(database)) == len(NAMES)


@tools
def test_recorded_work_must_be_there(tool: str, database: Database, run: Run) -> None:
    """A history that was restored without the tables is no reason to record anything."""
    files, table, row = TOOLS[tool]
    for sql in (table, "create table other (id int)", row(NAMES[0]), row(NAMES[1])):
        database.execute(sql)

    code, report = run(files(TEXTS))

    assert code == 65, report
    assert "whose work is not there: table:public.users" in report["message"]
    assert database.value("select to_regnamespace('predeploy') is null")


# Prisma


@pytest.mark.parametrize(
    ("state", "code"), [("null, null", 65), ("null, now()", 0)], ids=["failed", "rolled back"]
)
def test_a_migration_that_prisma_did_not_finish_is_not_run(
    state: str, code: int, database: Database, run: Run
) -> None:
    """What of it was done is not known (P3009); what was rolled back runs again."""
    for sql in (_PRISMA_TABLE, INIT, prisma_row(NAMES[0]), prisma_row(NAMES[1], state=state)):
        database.execute(sql)

    found, report = run(prisma_files(TEXTS))

    assert found == code, report
    if code:
        assert "(P3009)" in report["message"]
        assert f"prisma migrate resolve --applied {NAMES[1]}" in report["findings"][0]["next"]
        assert database.value("select count(*) from users") == 0


def test_a_prisma_file_of_another_line_end_is_the_same(database: Database, run: Run) -> None:
    """Git may have changed the line ends: Prisma accepts that. It only warns of an edited file."""
    crlf = {**TEXTS, NAMES[0]: INIT.replace("(", "(\r\n")}
    recorded = prisma_row(NAMES[0], text=INIT.replace("(", "(\n"))
    edited = prisma_row(NAMES[1], text="-- another")
    for sql in (_PRISMA_TABLE, INIT, DATA, recorded, edited):
        database.execute(sql)

    code, report = run(prisma_files(crlf))

    findings = [f["message"] for f in report["findings"] if "edited" in f["code"]]
    assert code == 0
    assert len(findings) == 1
    assert NAMES[1] in findings[0]


# Drizzle


def test_one_row_of_drizzle_s_is_a_baseline(database: Database, run: Run) -> None:
    """Who had a database before wrote one row, for the last file that is done."""
    for sql in (_DRIZZLE_TABLE, INIT, DATA, drizzle_row(NAMES[1])):
        database.execute(sql)

    code, report = run(drizzle_files(TEXTS))

    assert code == 0, report
    assert database.rows("table users") == [(1, "a")]


def test_a_late_file_of_drizzle_s_is_refused(database: Database, run: Run) -> None:
    """Drizzle would pass it over for ever: neither running nor recording it would be right."""
    for sql in (_DRIZZLE_TABLE, INIT, drizzle_row(NAMES[0]), drizzle_row(NAMES[2])):
        database.execute(sql)

    code, report = run(drizzle_files(TEXTS))

    assert code == 65
    assert f"migrations/{NAMES[1]}.sql is not applied" in report["message"]
    assert "give its entry in meta/_journal.json a `when`" in report["findings"][0]["next"]


# the others


@pytest.mark.parametrize(
    ("tool", "row", "expected"),
    [
        (
            "golang-migrate",
            golang_row(NAMES[1], dirty=True),
            (
                f"golang-migrate left version {version(NAMES[1])} dirty",
                f"`migrate force {version(NAMES[1])}` if all of the file is there",
            ),
        ),
        (
            "golang-migrate",
            golang_row("20240102500000_gone"),
            (
                "golang-migrate has recorded version 20240102500000, which no file here has",
                "put its file back",
            ),
        ),
        (
            "goose",
            goose_row(NAMES[2]),
            (
                "migrations/20240102000000_data.sql is not applied, and goose would stop for it",
                "`goose up -allow-missing`",
            ),
        ),
        (
            "flyway",
            flyway_row(NAMES[1], success=False),
            ("Flyway began migrations/V20240102000000__data.sql and it failed", "`flyway repair`"),
        ),
        (
            "flyway",
            flyway_row(NAMES[1], text="another"),
            (
                "migrations/V20240102000000__data.sql has been edited since Flyway",
                "`flyway repair`",
            ),
        ),
        (
            "flyway",
            flyway_row(NAMES[2]),
            ("migrations/V20240102000000__data.sql is not applied, and Flyway", "-outOfOrder=true"),
        ),
        (
            "flyway",
            flyway_row("20240101500000_gone"),
            (
                "Flyway has applied version 20240101500000, which no file here has",
                "`flyway repair`",
            ),
        ),
        (
            "atlas",
            atlas_row(NAMES[1], applied=0, error="x"),
            (
                "Atlas has applied 0 of the 1 statements of migrations/20240102000000_data.sql",
                "`atlas migrate set 20240102000000`",
            ),
        ),
        (
            "atlas",
            atlas_row(NAMES[2]),
            (
                "migrations/20240102000000_data.sql is not applied, and Atlas would not run it",
                "`atlas migrate rebase 20240102000000`",
            ),
        ),
        (
            "sqlx",
            sqlx_row(NAMES[1], success=False),
            (
                f"sqlx began migrations/{NAMES[1]}.sql and did not finish it",
                'delete from "public"."_sqlx_migrations" where version = ' + version(NAMES[1]),
            ),
        ),
        (
            "sqlx",
            sqlx_row(NAMES[1], text="-- another"),
            (
                f"migrations/{NAMES[1]}.sql has been edited since sqlx applied it",
                "put the old text back",
            ),
        ),
        (
            "sqlx",
            sqlx_row("20240102500000_gone", text="x"),
            (
                "sqlx has applied version 20240102500000, which no file here has",
                "put its file back",
            ),
        ),
    ],
)
def test_what_the_tool_would_stop_for_is_refused(
    tool: str, row: str, expected: tuple[str, str], database: Database, run: Run
) -> None:
    """65, and nothing is run or recorded; the way out is the tool's own."""
    files, table, of = TOOLS[tool]
    for sql in (table, INIT, of(NAMES[0]), row):
        database.execute(sql)

    code, report = run(files(TEXTS))

    assert code == 65, report
    message, remedy = expected
    assert report["findings"][0]["message"].startswith(message)
    assert remedy in report["findings"][0]["next"]
    assert database.value("select count(*) from users") == 0
    assert database.value("select to_regnamespace('predeploy') is null")


def test_a_first_file_that_atlas_did_not_finish_is_refused(database: Database, run: Run) -> None:
    """Nothing else is applied: the history is the folder's all the same."""
    for sql in (_ATLAS_TABLE, "create table part ()", atlas_row(NAMES[0], applied=0, error="x")):
        database.execute(sql)

    code, report = run(atlas_files(TEXTS))

    assert code == 65
    assert report["findings"][0]["code"] == "history-failed"


def test_a_baseline_of_atlas_counts_for_what_is_before_it(database: Database, run: Run) -> None:
    """Its row is of no file that was run."""
    for sql in (_ATLAS_TABLE, INIT, DATA, atlas_row(NAMES[1], kind=1, applied=0)):
        database.execute(sql)

    code, report = run(atlas_files(TEXTS))

    assert code == 0, report
    assert database.rows("table users") == [(1, "a")]


def test_flyway_s_baseline_and_undone_versions(database: Database, run: Run) -> None:
    """All up to a baseline is done; what was undone or deleted is not."""
    undone = (flyway_row(NAMES[2]), flyway_row(NAMES[2], kind="UNDO_SQL"))
    for sql in (_FLYWAY_TABLE, INIT, DATA, flyway_row(NAMES[1], kind="BASELINE"), *undone):
        database.execute(sql)

    code, report = run(flyway_files(TEXTS))

    # A history that shares no file but by its baseline is the folder's all the same.
    assert code == 0, report
    assert database.rows("table users") == [(1, "a")]
    assert len(whole_files(database)) == len(NAMES)


VIEW = "create or replace view emails as select {} from users;"


def test_a_repeatable_file_runs_whenever_its_text_changes(database: Database, run: Run) -> None:
    """After all others; going back to an older text is a change, too. Settled runs stay settled."""
    texts = (VIEW.format("email"), f"drop view emails; {VIEW.format('id')}")
    one, two = ({**flyway_files(TEXTS), "migrations/R__emails.sql": text} for text in texts)
    back = {**one, "migrations/R__emails.sql": f"drop view if exists emails; {texts[0]}"}
    column = "select attname from pg_attribute where attrelid = 'emails'::regclass"
    found = []

    for files in (one, two, back, two, back):
        code, report = run(files)
        again, settled = run(files)
        found.append((code, again, settled["outcome"], database.value(column)))

    good = (0, 0, "settled")
    expected = [(*good, name) for name in ("email", "id", "email", "id", "email")]
    assert found == expected, report
    rows = "select count(*) from predeploy.migration where file = 'R__emails.sql'"
    assert database.value(rows) == 1
    assert whole_files(database)[-1] == "R__emails.sql"


def test_a_repeatable_file_that_fails_keeps_its_former_row(database: Database, run: Run) -> None:
    """It is tried again by the next run; what was there stays."""
    files = {**flyway_files(TEXTS), "migrations/R__emails.sql": VIEW.format("email")}
    run(files)

    failed, _ = run({**files, "migrations/R__emails.sql": VIEW.format("nothing")})
    rows = database.rows("select is_done from predeploy.migration where file = 'R__emails.sql'")
    code, _ = run(files)

    assert (failed, rows, code) == (80, [(True,)], 0)


def test_a_repeatable_file_of_an_older_version_waits(database: Database, run: Run) -> None:
    """After a rollback a newer version's view stays: the older text may not fit what there is."""
    older = {**flyway_files(TEXTS), "migrations/R__emails.sql": VIEW.format("email")}
    newer = {
        **older,
        **flyway_files({**TEXTS, **LATE}),
        "migrations/R__emails.sql": VIEW.format("email, id"),
    }
    run(newer)

    code, report = run(older)

    assert (code, report["outcome"]) == (0, "ahead"), report
    assert "id" in str(database.value("select pg_get_viewdef('emails'::regclass)"))


def test_flyway_s_repeatable_rows_are_known_by_their_checksum(database: Database, run: Run) -> None:
    """What Flyway ran with this text is recorded; another text runs."""
    text = VIEW.format("email")
    files = {**flyway_files(TEXTS), "migrations/R__emails.sql": text}
    rows = [flyway_row(name) for name in NAMES[:2]]
    for sql in (_FLYWAY_TABLE, INIT, DATA, text, *rows, flyway_row("R__emails", text=text)):
        database.execute(sql)

    _, report = run(files, "plan")
    code, _ = run({**files, "migrations/R__emails.sql": VIEW.format("email, 1 as one")})

    note = next(f for f in report["findings"] if f["code"] == "taken-over")
    assert note["message"].startswith("3 files recorded, not run: ")
    assert code == 0
    assert database.rows("table emails") == [("a", 1)]


def test_placeholders_have_values_or_are_refused(database: Database, run: Run) -> None:
    """With file and line; what only Flyway knows has to be run by it."""
    text = "insert into users\nvalues (2, '${Name}');"
    files = {**flyway_files(TEXTS), "migrations/V20240104__p.sql": text}
    conf = {"migrations/flyway.conf": "# settings\nflyway.placeholders.name = b\n"}
    toml = {"migrations/flyway.toml": '[flyway.placeholders]\nname = "b"\n'}
    other = {"migrations/V20240104__p.sql": "select '${flyway:user}';"}

    refused, report = run({**files, "migrations/V99990101000000__p.sql": text})
    by_flyway, known = run({**flyway_files(TEXTS), **other})
    code, _ = run({**flyway_files(TEXTS), **conf, "migrations/V99990101000000__p.sql": text})
    again, _ = run({**flyway_files(TEXTS), **toml, "migrations/V99990101000000__p.sql": text})

    assert (refused, by_flyway, code, again) == (65, 65, 0, 0)
    assert (
        "migrations/V20240104__p.sql:2: the placeholder ${Name} has no value" in report["message"]
    )
    assert "only flyway can run it" in known["message"].lower()
    assert database.rows("select email from users where id = 2") == [("b",)]


def test_a_side_file_runs_statements_by_themselves(database: Database, run: Run) -> None:
    """executeInTransaction=false: what is before the one that fails stays."""
    name = "migrations/V99990101000000__two.sql"
    files = {
        **flyway_files(TEXTS),
        name: "create table one (); select nothing;",
        f"{name}.conf": "executeInTransaction=false\n",
    }

    code, _ = run(files)

    assert code == 80
    assert database.value("select to_regclass('one') is not null")


def test_a_baseline_file_stands_for_what_is_gone(database: Database, run: Run) -> None:
    """Beside the versions that it stands for it is left alone."""
    both = {**flyway_files(TEXTS), "migrations/B20240103000000__base.sql": "select nothing;"}
    alone = {
        "migrations/B20240103__base.sql": f"{INIT} {DATA}",
        "migrations/V20240104__more.sql": "create table more ();",
    }

    code, report = run(alone)

    assert code == 0, report
    assert whole_files(database) == ["B20240103__base.sql", "V20240104__more.sql"]
    database.execute("drop schema predeploy cascade; drop table users, more")
    with_both, report = run(both)
    assert with_both == 0, report


def test_of_goose_s_rows_the_newest_counts(database: Database, run: Run) -> None:
    """Old databases keep a row for each time that a version went up or down."""
    rows = (goose_row(NAMES[1]), goose_row(NAMES[1], is_applied=False))
    for sql in (_GOOSE_TABLE, INIT, goose_row(NAMES[0]), *rows):
        database.execute(sql)

    code, report = run(goose_files(TEXTS))

    assert code == 0, report
    assert database.rows("table users") == [(1, "a")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("20240102500000_x.go", "package migrations"),
        (
            "20240102500000_x.sql",
            "-- +goose ENVSUB ON\n-- +goose Up\ninsert into users values (9, '${NAME}');",
        ),
    ],
)
def test_what_only_goose_can_run_has_to_be_run_by_it(
    name: str, text: str, database: Database, run: Run
) -> None:
    """Refused by name, and recorded once goose has applied it."""
    files = {**goose_files(TEXTS), f"migrations/{name}": text, "migrations/a_test.go": ""}
    for sql in (_GOOSE_TABLE, INIT, goose_row(NAMES[0]), DATA, goose_row(NAMES[1])):
        database.execute(sql)

    refused, report = run(files)
    database.execute(goose_row(name))
    code, _ = run(files)

    assert (refused, code) == (65, 0)
    assert report["findings"][0]["message"].endswith(
        f"migrations/{name} is not applied, and only goose can run it"
    )
    assert len(whole_files(database)) == 4


def test_errors_keep_their_lines_where_a_part_is_left_out(run: Run) -> None:
    """What goes down lies before what goes up, in CRLF: the line is that of the file."""
    text = "-- +goose Down\r\ndrop table nothing;\r\n-- +goose Up\r\nselect 1;\r\nselect nothing;"

    code, report = run({"migrations/0001_a.sql": text})

    assert code == 80
    assert (report["failure"]["line"], report["failure"]["column"]) == (5, 8), report["failure"]


def test_a_program_in_a_folder_of_plain_sql_is_refused(run: Run) -> None:
    """It is no migration of predeploy's own, and a later file may need it."""
    code, report = run({"migrations/0001_a.sql": INIT, "migrations/0002_b.go": "package a"})

    assert code == 65
    assert report["problems"][0].startswith("migrations/0002_b.go: cannot be run here")


def test_rails_table_is_not_taken_for_dbmate_s(database: Database, run: Run) -> None:
    """Both are called schema_migrations: the one beside ar_internal_metadata is Rails'."""
    rails = "create table ar_internal_metadata (key varchar primary key, value varchar)"
    for sql in (_DBMATE_TABLE, rails, INIT, dbmate_row(NAMES[0]), dbmate_row(NAMES[1])):
        database.execute(sql)

    code, report = run(dbmate_files(TEXTS))

    assert code == 65
    assert report["findings"][0]["code"] == "unknown-database"


# histories of others


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (_SQLX_TABLE, sqlx_row("20240101000000_x", text="of another app")),
        (_SQLX_TABLE, sqlx_row("20240109000000_x", text="of another app")),
        (_SUPABASE_TABLE, supabase_row("20240101000000_another")),
    ],
)
def test_another_app_s_history_is_no_business_of_plain_files(
    table: str, row: str, database: Database, run: Run
) -> None:
    """Its versions may be the same; its checksums and names are not."""
    two = {name: TEXTS[name] for name in NAMES[:2]}
    first, _ = run(supabase_files(two))
    for sql in (table, row):
        database.execute(sql)

    code, report = run(supabase_files(TEXTS))

    assert (first, code) == (0, 0), report
    assert len(whole_files(database)) == len(NAMES)


def test_a_table_that_may_not_be_read_is_passed_over_by_plain_files(
    database: Database, run: Run
) -> None:
    """Who deploys beside Supabase has no rights on its schemas, and needs none."""
    role = f"deployer_{database.name}"
    for sql in (
        f"{_SUPABASE_TABLE}; {supabase_row(NAMES[0])}",
        f"create role {role} login password 'x'; grant create on schema public to {role}",
        f"grant create on database {database.name} to {role}",
    ):
        database.execute(sql)

    code, report = run(
        supabase_files(TEXTS), DATABASE_URL=database.url.replace("postgres@", f"{role}:x@")
    )

    assert code == 0, report
    assert len(whole_files(database)) == len(NAMES)


@tools
def test_an_empty_history_says_nothing_about_other_tables(
    tool: str, database: Database, run: Run
) -> None:
    """They may be what the files make; where there are none, nothing has been applied."""
    files, table, _ = TOOLS[tool]
    if tool == "goose":  # it has a row from the start
        pytest.skip("goose's table is never empty")
    for sql in (table, "create table users (id int)"):
        database.execute(sql)

    refused, report = run(files({**TEXTS, NAMES[0]: f"truncate users; {INIT}"}))
    database.execute("drop table users")
    code, _ = run(files(TEXTS))

    assert (refused, code) == (65, 0), report
    assert report["findings"][0]["code"] == "unknown-database"
    assert database.rows("table users") == [(1, "a")]


@tools
def test_what_we_have_dropped_since_is_not_missed(tool: str, database: Database, run: Run) -> None:
    """The tool's file of old has made it, ours has taken it away; then the tool goes on."""
    files, table, row = TOOLS[tool]
    drop = {"20240104000000_drop": "alter table users drop column email"}
    for sql in (table, INIT, row(NAMES[0])):
        database.execute(sql)
    first, _ = run(files({NAMES[0]: INIT, **drop}), PREDEPLOY_DESTRUCTIVE="allow")
    for name, text in LATE.items():
        database.execute(text)
        database.execute(row(name))

    code, report = run(files({NAMES[0]: INIT, **drop, **LATE}))

    assert (first, code) == (0, 0), report


# malformed folders


MALFORMED = {
    "no file for an entry": (
        {
            "migrations/meta/_journal.json": '{"entries": [{"tag": "0_a", "when": 1}]}',
            "migrations/0_b.sql": "",
        },
        "migrations/0_a.sql: meta/_journal.json lists it, and it is not there",
    ),
    "no entry for a file": (
        {**drizzle_files(TEXTS), "migrations/0009_z.sql": INIT},
        "migrations/0009_z.sql: meta/_journal.json does not list it",
    ),
    "a journal that is no JSON": (
        {"migrations/meta/_journal.json": '{"entries": [\n<<<<<<< HEAD', "migrations/0_a.sql": ""},
        "migrations/meta/_journal.json:2: is not valid JSON",
    ),
    "a journal of another shape": (
        {"migrations/meta/_journal.json": '{"entries": [1]}', "migrations/0_a.sql": ""},
        "migrations/meta/_journal.json: entry 0 has no `tag` and `when`",
    ),
    "a conflict": (
        prisma_files({NAMES[0]: "select 1;\n<<<<<<< HEAD\nselect 2;\n=======\n>>>>>>> a\n"}),
        f"migrations/{NAMES[0]}/migration.sql:2: holds a merge conflict",
    ),
    "a stray file": (
        {**prisma_files(TEXTS), "migrations/0009_z.sql": INIT},
        "migrations/0009_z.sql: is not run by Prisma",
    ),
    "a folder without its file": (
        {**prisma_files(TEXTS), "migrations/20250101000000_x/README.md": ""},
        "migrations/20250101000000_x: holds no migration.sql",
    ),
    "no mark": (
        {**goose_files(TEXTS), "migrations/0009_z.sql": INIT},
        "migrations/0009_z.sql: has no `-- +goose Up`",
    ),
    "a mark twice": (
        {"migrations/0009_z.sql": "-- +goose Up\n-- +goose Up\n"},
        "migrations/0009_z.sql: has 2 times `-- +goose Up`",
    ),
    "no mark of dbmate's": (
        {**dbmate_files(TEXTS), "migrations/0009_z.sql": INIT},
        "migrations/0009_z.sql: has no `-- migrate:up`",
    ),
    "a statement before the mark": (
        {"migrations/0009_z.sql": "/* of\nold */\nselect 1;\n-- +goose Up\nselect 2;\n"},
        "migrations/0009_z.sql:3: is before `-- +goose Up`, where goose allows no statement",
    ),
    "a statement before dbmate's mark": (
        {"migrations/0009_z.sql": "-- x\n\nselect 1;\n-- migrate:up\nselect 2;\n"},
        "migrations/0009_z.sql:3: is before `-- migrate:up`, where dbmate allows no statement",
    ),
    "one version twice": (
        {**pairs(TEXTS), f"migrations/{version(NAMES[0])}_z.up.sql": INIT},
        f"migrations/{version(NAMES[0])}_z.up.sql: has the version of",
    ),
    "a name of another form": (
        {**pairs(TEXTS), "migrations/0009_z.sql": INIT},
        "migrations/0009_z.sql: is not run by golang-migrate",
    ),
    "a callback": (
        {**flyway_files(TEXTS), "migrations/afterMigrate.sql": INIT},
        "migrations/afterMigrate.sql: is a callback, which only Flyway runs",
    ),
    "one underscore": (
        {**flyway_files(TEXTS), "migrations/V9_z.sql": INIT},
        "migrations/V9_z.sql: is not run by Flyway; call it V<version>__<description>.sql",
    ),
    "one version twice, of Flyway": (
        {"migrations/V1.0__a.sql": INIT, "migrations/V1__b.sql": INIT},
        "migrations/V1__b.sql: has the version of migrations/V1.0__a.sql",
    ),
    "settings that are no TOML": (
        {**flyway_files(TEXTS), "migrations/flyway.toml": "[flyway"},
        "migrations/flyway.toml: cannot be read",
    ),
    "a file that is not what its sum says": (
        {**atlas_files(TEXTS), f"migrations/{NAMES[1]}.sql": DATA + " "},
        f"migrations/{NAMES[1]}.sql: is not what atlas.sum says it was; run `atlas migrate hash`",
    ),
    "a file without a sum": (
        {**atlas_files(TEXTS), "migrations/20240109000000_z.sql": INIT},
        "migrations/20240109000000_z.sql: atlas.sum does not list it",
    ),
    "a sum without a file": (
        {k: v for k, v in atlas_files(TEXTS).items() if "_data" not in k},
        f"migrations/{NAMES[1]}.sql: atlas.sum lists it, and it is not there",
    ),
    "a sum with a conflict": (
        {**atlas_files(TEXTS), "migrations/atlas.sum": "h1:abc=\n<<<<<<< HEAD\n"},
        "migrations/atlas.sum:2: is no line of atlas.sum",
    ),
    "only what goes down": (
        {"migrations/0001_a.down.sql": DOWN, "predeploy.toml": 'format = "sqlx"', "schema.sql": ""},
        "migrations/0001_a.down.sql: is no migration that sqlx would run",
    ),
    "two tools": (
        {**prisma_files(TEXTS), "migrations/meta/_journal.json": '{"entries": []}'},
        "/migration.sql: meta/_journal.json does not list it",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_folder_is_refused_with_its_file(case: str, run: Run) -> None:
    """65 with file and line, before anything is looked at."""
    files, problem = MALFORMED[case]

    code, report = run(files)

    assert code == 65, report
    assert any(problem in told for told in report["problems"]), report["problems"]


def test_the_setting_decides_about_the_format(database: Database, run: Run) -> None:
    """Also against what the folder shows; a name that is no format's is 78."""
    files = {"migrations/0001_a.sql": INIT, "migrations/meta/_journal.json": "{}"}

    refused, _ = run(files)
    unknown, report = run(files, PREDEPLOY_FORMAT="prism")
    by_variable, _ = run(files, PREDEPLOY_FORMAT="native")
    by_file, _ = run({**files, "predeploy.toml": 'format = "native"'})

    assert (refused, unknown, by_variable, by_file) == (65, 78, 0, 0)
    assert f"it must be one of {', '.join(FORMATS)}" in report["message"]
    assert whole_files(database) == ["0001_a.sql"]


# what such a file destroys


DROP = {**TEXTS, "20240104000000_drop": "alter table users drop column email;"}


def test_a_foreign_file_that_destroys_is_allowed_in_predeploy_toml(
    database: Database, run: Run
) -> None:
    """It must not be edited: 84 gives the line to paste, and with that it runs."""
    run(prisma_files(TEXTS))
    refused, report = run(prisma_files(DROP))

    line = '"20240104000000_drop" = ["drop-column public.users.email"]'
    assert refused == 84
    assert f"declare it under [allow] in predeploy.toml: {line}" in report["failure"]["next"]
    assert report["asks"] == [
        {
            "file": "migrations/20240104000000_drop/migration.sql",
            "in": "predeploy.toml [allow]",
            "lines": [line],
        }
    ]

    code, report = run({**prisma_files(DROP), "predeploy.toml": f"[allow]\n{line}\n"})

    assert code == 0, report
    assert database.rows("table users") == [(1,)]


def test_own_files_may_be_allowed_there_too(database: Database, run: Run) -> None:
    """For each of its steps; what the list names and no step does is no mistake."""
    files = {f"migrations/{name}.sql": text for name, text in DROP.items()}
    allowed = '[allow]\n"20240104000000_drop.sql" = ["drop-table old", "drop-column users.email"]'
    run({name: files[name] for name in list(files)[:3]})

    code, report = run({**files, "predeploy.toml": allowed})

    assert code == 0, report
    assert database.rows("table users") == [(1,)]


@pytest.mark.parametrize(
    ("allowed", "problem"),
    [
        ('"9_x" = ["drop-table t"]', "[allow] '9_x' is no migration of this folder"),
        (
            f'"{NAMES[0]}" = "drop-table t"',
            f"[allow] '{NAMES[0]}' must be a list such as",
        ),
        (
            f'"{NAMES[0]}" = ["drop-tabel t"]',
            f'[allow] "{NAMES[0]}": unknown directive',
        ),
        (f'"{NAMES[0]}" = ["drop-table *"]', "names nothing, so it would allow everything"),
    ],
)
def test_what_allow_cannot_mean_is_refused(allowed: str, problem: str, run: Run) -> None:
    """A line that is passed over would be found out about only when it is needed."""
    code, report = run({**prisma_files(TEXTS), "predeploy.toml": f"[allow]\n{allowed}\n"})

    told = [*report.get("problems", ()), *(f["message"] for f in report.get("findings", ()))]
    assert code in (65, 78), report
    assert any(problem in each for each in told), told


# the tool's table is written, too


mirrored = pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "atlas"])


@mirrored
def test_a_mirrored_history_is_the_tool_s_own(tool: str, database: Database, run: Run) -> None:
    """With each file its row, in the step's transaction: without our ledger it tells all."""
    files, _, _ = TOOLS[tool]
    name = tool.partition(",")[0].partition(" ")[0]
    settings = {"PREDEPLOY_MIRROR_HISTORY": "true", "PREDEPLOY_FORMAT": name}

    first, report = run(files({n: TEXTS[n] for n in NAMES[:2]}), **settings)
    assert first == 0, report
    second, _ = run(files(TEXTS), **settings)
    database.execute("drop schema predeploy cascade")
    third, again = run(files(TEXTS), PREDEPLOY_FORMAT=name)

    assert (second, third) == (0, 0), again
    assert again["findings"][0]["message"].startswith("3 files recorded, not run: ")
    assert database.rows("table users") == [(1, "a")]


@mirrored
def test_a_mirrored_row_joins_the_tool_s_own(tool: str, database: Database, run: Run) -> None:
    """In the table that is there, with the columns that it has; what fails leaves no row."""
    files, table, row = TOOLS[tool]
    for sql in (table, INIT, row(NAMES[0])):
        database.execute(sql)
    broken = files({**TEXTS, NAMES[2]: "select nothing"})

    code, report = run(broken, PREDEPLOY_MIRROR_HISTORY="true")
    history = _rows_of(tool, database)

    assert code == 80, report
    assert len(history) == (1 if tool == "golang-migrate" else 3 if tool == "goose" else 2)


@pytest.mark.parametrize("tool", ["flyway", "golang-migrate", "goose", "prisma", "supabase"])
def test_a_history_may_have_another_name(tool: str, database: Database, run: Run) -> None:
    """Tools can be told one. It is read, and written to, where the setting says it is."""
    files, table, row = TOOLS[tool]
    name = table.rpartition("create table ")[2].split()[0].rpartition(".")[2]
    home = table.rpartition("create table ")[2].split()[0].rpartition(".")[0] or "public"
    for sql in (table, INIT, DATA, row(NAMES[0]), row(NAMES[1]), "create schema ops"):
        database.execute(sql)
    database.execute(f"alter table {home}.{name} rename to done")
    database.execute(f"alter table {home}.done set schema ops")
    settings = {"PREDEPLOY_FORMAT": tool, "PREDEPLOY_HISTORY_TABLE": "ops.done"}

    code, report = run(files(TEXTS), **settings, PREDEPLOY_MIRROR_HISTORY="true")

    assert code == 0, report
    assert report["findings"][0]["message"].startswith("2 files recorded, not run: ")
    assert " by ops.done: " in report["findings"][0]["message"]
    database.execute("drop schema predeploy cascade")
    code, report = run(files(TEXTS), **settings)
    assert code == 0, report
    assert report["findings"][0]["message"].startswith("3 files recorded, not run: ")


def test_a_history_of_another_name_is_made_where_it_is_said(database: Database, run: Run) -> None:
    """And what is looked for by its usual name is not the history, whatever stands in it."""
    database.execute("create schema ops")
    settings = {"PREDEPLOY_HISTORY_TABLE": "ops.done", "PREDEPLOY_MIRROR_HISTORY": "true"}

    code, report = run(flyway_files(TEXTS), **settings)

    assert code == 0, report
    assert database.value("select count(*) from ops.done") == len(TEXTS)
    assert database.value("select to_regclass('flyway_schema_history')") is None
    assert run(flyway_files(TEXTS), **settings)[1]["outcome"] == "settled"
    # Another name is another history.
    assert run(flyway_files(TEXTS))[1]["outcome"] == "ok"


def test_what_a_refusal_says_to_look_at_is_there(database: Database, run: Run) -> None:
    """It names the table by the name that it has, in a statement that runs."""
    for sql in ("create schema ops", _GOLANG_TABLE, golang_row(NAMES[0], dirty=True)):
        database.execute(sql)
    database.execute("alter table schema_migrations rename to done")
    database.execute("alter table done set schema ops")

    code, report = run(pairs(TEXTS), PREDEPLOY_HISTORY_TABLE="ops.done")

    assert code == 65
    (statement,) = re.findall(r"`(select [^`]*)`", report["findings"][0]["next"])
    assert database.rows(statement) == [(int(version(NAMES[0])), True)]


@tools
def test_adopt_shows_each_file(tool: str, database: Database, folder: Folder) -> None:
    """What the tool has applied and when, and what a run does with it; nothing is changed."""
    files, table, row = TOOLS[tool]
    for sql in (table, INIT, row(NAMES[0])):
        database.execute(sql)
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files(TEXTS)))}

    shown = run_job("adopt", environ=environ, check=0).stdout.splitlines()
    lines = run_job("adopt", "--json", environ=environ, check=0).stdout.splitlines()

    (told,) = [json.loads(line)["files"] for line in lines if '"files":' in line]
    assert told[0]["fate"] == "recorded, not run"
    assert "recorded" not in told[1]["fate"]
    assert ["file", "a", "run", "its", "tool"] in [line.split() for line in shown]
    assert any(line.startswith(told[0]["path"]) for line in shown)
    assert not has_ledger(database)


@pytest.mark.parametrize("tool", sampled([tool for tool in TOOLS if tool != "atlas"], 4))
def test_of_two_copies_one_is_killed_in_the_middle(
    tool: str, database: Database, folder: Folder
) -> None:
    """Behind the tool's first half: the other copy does what is left, once, and mirrors it once."""
    files, table, row = TOOLS[tool]
    for sql in (table, INIT, row(NAMES[0])):
        database.execute(sql)
    slow = f"{DATA} select pg_sleep(2);"
    environ = {
        "DATABASE_URL": database.url,
        "PREDEPLOY_SQL_DIR": str(folder(files({**TEXTS, NAMES[1]: slow}))),
        "PREDEPLOY_MIRROR_HISTORY": "true",
    }
    asleep = """select from pg_stat_activity where datname = current_database()
        and application_name like 'predeploy step%' and wait_event = 'PgSleep'"""

    with start_job("run", environ=environ) as one:
        until(lambda: database.rows(asleep), "a step to sleep")
        with start_job("run", environ=environ) as other:
            one.kill()
            statuses = [one.wait(60), other.wait(60)]

    assert statuses == [-9, 0]
    assert database.rows("table users") == [(1, "a")]
    assert len(whole_files(database)) == 3
    history = _rows_of(tool, database)
    assert len(history) == (1 if tool == "golang-migrate" else 4 if tool == "goose" else 3)


@mirrored
def test_what_was_applied_before_it_was_asked_for_is_mirrored(
    tool: str, database: Database, run: Run
) -> None:
    """Otherwise the tool would run it once more; but not again what the tool has taken back."""
    files, _, _ = TOOLS[tool]
    name = tool.partition(",")[0].partition(" ")[0]
    settings = {"PREDEPLOY_FORMAT": name}
    assert run(files(TEXTS), **settings)[0] == 0
    settings["PREDEPLOY_MIRROR_HISTORY"] = "true"

    first, report = run(files(TEXTS), **settings)
    history = _rows_of(tool, database)
    second, again = run(files(TEXTS), **settings)

    assert first == 0, report
    assert len(history) == (1 if tool == "golang-migrate" else 4 if tool == "goose" else 3)
    assert (second, again["outcome"]) == (0, "settled")
    database.execute("drop schema predeploy cascade")
    code, again = run(files(TEXTS), PREDEPLOY_FORMAT=name)
    assert code == 0, again
    assert again["findings"][0]["message"].startswith("3 files recorded, not run: ")


def test_what_the_tool_took_back_is_not_mirrored_again(database: Database, run: Run) -> None:
    """Its row is gone as its work is: to bring it back would hide that from the tool."""
    settings = {"PREDEPLOY_FORMAT": "dbmate", "PREDEPLOY_MIRROR_HISTORY": "true"}
    files = dbmate_files(TEXTS)
    assert run(files, **settings)[0] == 0
    database.execute(f"delete from schema_migrations where version = '{version(NAMES[2])}'")
    database.execute("drop index users_email")

    run({**files, "migrations/20240104000000_x.sql": "-- migrate:up\nselect 1;"}, **settings)

    assert len(database.rows("table schema_migrations")) == 3
    assert not database.rows(
        "select from schema_migrations where version = %s", str(version(NAMES[2]))
    )


def test_whose_history_is_meant_has_to_be_certain(database: Database, run: Run) -> None:
    """Plain files may be Supabase's or sqlx's; predeploy's own need no other table."""
    code, report = run(supabase_files(TEXTS), PREDEPLOY_MIRROR_HISTORY="true")

    assert code == 78
    assert "several tools fit (Supabase, sqlx)" in report["message"]
    assert database.value("select to_regclass('users') is null")
