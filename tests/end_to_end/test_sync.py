"""The desired state: what lacks is added, rows stay, and the rest is said in words."""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
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


@pytest.mark.parametrize(
    "left",
    [
        "create index by_id on only p (id)",
        "create index by_id on only p (id); create index on p_1 (id)",
        """create index by_id on only p (id); create index i on p_1 (id);
        alter index by_id attach partition i""",
    ],
)
def test_an_index_of_partitions_that_a_crash_left_is_finished(
    database: Database, run: Run, left: str
) -> None:
    """Whatever is there of it by then: the empty index, a partition's own, one attached."""
    partitions = """create table p (id integer) partition by range (id);
        create table p_1 partition of p for values from (1) to (9);
        create table p_2 partition of p for values from (9) to (20);"""
    database.execute(f"{partitions} insert into p values (1), (10); {left}")

    code, report = run(f"{partitions} create index by_id on p (id);")

    assert code == 0, report
    assert database.value("select bool_and(indisvalid) from pg_index")
    assert (
        database.value("select count(*) from pg_inherits where inhparent = 'by_id'::regclass") == 2
    )


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


USERS = "create table users (id int primary key, email text);"
ROWS = "insert into users select n, 'u' || n from generate_series(1, 3) n;"


def test_a_schema_alone_makes_an_empty_database(database: Database, run: Run) -> None:
    """Without one migration: everything is made in one transaction, and the next run is settled."""
    code, report = run(USERS + "create view v as select email from users;")

    assert (code, report["layers"][1]["name"], report["layers"][1]["steps"]) == (0, "sync", 1)
    assert database.value("select to_regclass('v') is not null")
    assert run(USERS + "create view v as select email from users;")[1]["outcome"] == "settled"


def test_what_is_not_declared_is_left_alone(database: Database, run: Run) -> None:
    """Tables, columns and indexes that the file does not know stay, and nothing is said of them."""
    database.execute(
        "create table other (a int); insert into other values (1);"
        "create table users (id int primary key, email text, extra text);"
        "create index on users (extra)"
    )

    code, report = run(USERS, 'baseline = "1"')

    assert (code, report.get("findings", [])) == (0, [])
    assert database.rows("select * from other") == [(1,)]


def test_plan_shows_the_statements(database: Database, folder: Callable[..., Path]) -> None:
    """Every statement that sync would send stands in the plan, and nothing is changed by it."""
    root = folder({"schema.sql": USERS})

    done = run_job("plan", environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)})

    assert done.returncode == 0
    assert 'CREATE TABLE "public"."users" ( "id" integer NOT NULL, "email" text );' in done.stdout
    assert database.value("select to_regclass('users')") is None


def test_rows_that_violate_it_leave_a_constraint_not_valid(database: Database, run: Run) -> None:
    """82 with the query that finds them; everything else is done, and new rows are checked."""
    database.execute(USERS + ROWS + "insert into users values (-1, null)")
    schema = (
        "create table users (id int primary key, email text not null, age int, check (id > 0));"
        "create unique index by_email on users (email);"
    )

    code, report = run(schema)
    queries = [f["next"].partition(": ")[2] for f in report["findings"] if f["code"] == "violated"]
    offending = [database.rows(query) for query in queries]

    assert code == 82
    assert offending == [[(-1, None, None)], [(-1, None, None)]]
    assert database.value("select indisvalid from pg_index where indexrelid = 'by_email'::regclass")
    assert database.value("select count(age) from users") == 0
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute("insert into users values (-2, 'x')")

    database.execute("delete from users where id = -1")
    assert run(schema)[0] == 0
    assert run(schema)[1]["outcome"] == "settled"
    helpers = "select count(*) from pg_constraint where conname like '%predeploy%'"
    assert database.value(helpers) == 0


LEDGERS = "".join(
    f"create table {name} (amount int); insert into {name} values (1);" for name in "abcd"
)
CHECKED = "".join(f"create table {name} (amount int check (amount > 0));" for name in "abcd")
STATES = "select conrelid::regclass::text, convalidated from pg_constraint order by 1"


def test_of_many_constraints_only_the_violated_one_lacks(database: Database, run: Run) -> None:
    """They travel together, and those behind it go on without it."""
    database.execute(LEDGERS + "insert into c values (-1)")

    code, report = run(CHECKED)
    states = [state for state in database.rows(STATES) if state[0] in set("abcd")]

    assert code == 82
    assert states == [("a", True), ("b", True), ("c", False), ("d", True)]
    assert len(found(report, "violated")) == 1
    database.execute("delete from c where amount < 0")
    assert run(CHECKED)[0] == 0
    assert run(CHECKED)[1]["outcome"] == "settled"


def test_the_one_that_lacks_its_lock_stops_those_behind_it(database: Database, run: Run) -> None:
    """75 with who has it; what went before is done, and what comes after is named."""
    database.execute(LEDGERS)
    limits = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "300ms", "PREDEPLOY_DDL_BUDGET": "1s"}
    with database.connect() as reader:
        reader.execute("begin; select from c")

        code, report = run(CHECKED, **limits)

        assert code == 75
        assert f"pid {reader.info.backend_pid}" in report["message"]
    there = [table for table, _ in database.rows(STATES) if table in set("abcd")]
    (synced,) = [layer for layer in report["layers"] if layer["name"] == "sync"]
    assert there == ["a", "b"]
    assert synced["steps"] == 2
    assert len(synced["not_run"]) == 5
    assert run(CHECKED)[0] == 0


def test_what_did_not_run_is_told_by_its_place_and_not_by_its_name(
    database: Database, run: Run
) -> None:
    """Two statements that are called the same, being too long for a label, are still two."""
    shop = "s" * 60
    names = [f"{shop}.{'t' * 60}_{n}" for n in range(2)]
    tables = "".join(f"create table {name} (amount int); " for name in names)
    rows = "".join(f"insert into {name} values (1); " for name in names)
    database.execute(f"create schema {shop}; {tables} {rows}")
    with database.connect() as reader:
        reader.execute(f"begin; select from {names[1]}")

        code, report = run(
            f"create schema {shop}; " + tables.replace("int)", "int check (amount > 0))"),
            PREDEPLOY_DDL_LOCK_TIMEOUT="300ms",
            PREDEPLOY_DDL_BUDGET="1s",
        )

    assert code == 75
    (synced,) = [layer for layer in report["layers"] if layer["name"] == "sync"]
    assert synced["steps"] == 1
    assert len(synced["not_run"]) == 2


def test_duplicates_under_a_unique_constraint_leave_no_index(database: Database, run: Run) -> None:
    """82 with the query; the invalid index is gone, and a later run builds it."""
    database.execute("create table users (id int primary key, email text); " + ROWS)
    database.execute("update users set email = 'same'")
    schema = "create table users (id int primary key, email text unique, bio text);"

    code, report = run(schema)

    assert code == 82
    assert "group by 1 having count(*) > 1" in report["message"]
    assert database.value("select count(*) from pg_index where not indisvalid") == 0
    assert database.value("select count(bio) from users") == 0
    database.execute("update users set email = email || id")
    assert run(schema)[0] == 0


def test_what_is_not_additive_is_said_and_not_done(database: Database, run: Run) -> None:
    """NOT NULL without default over rows: 82, with what to do, and no column."""
    database.execute(USERS + ROWS)

    code, report = run("create table users (id int primary key, email text, age int not null);")

    assert code == 82
    assert "column public.users.age is missing and is not added" in report["message"]
    assert database.rows("select * from users where id = 1") == [(1, "u1")]


DRIFTED = "create table users (id int primary key, email varchar(9));"
LINE = '"column public.users.email" = "text"'


def test_drift_blocks_is_let_through_or_accepted(database: Database, run: Run) -> None:
    """84; under warn a warning in every report, never settled; silent and settled when accepted."""
    database.execute(USERS)
    run("create table other ();", 'baseline = "1"')

    blocked, report = run(DRIFTED)
    warned = [run(DRIFTED, PREDEPLOY_ON_DRIFT="warn") for _ in range(2)]
    accepted = [run(DRIFTED, f"[accept]\n{LINE}") for _ in range(2)]

    assert blocked == 84
    assert LINE in report["message"]
    assert [(code, r["outcome"]) for code, r in warned] == [(0, "ok")] * 2
    assert all(found(r, "drift") for _, r in warned)
    assert [r["outcome"] for _, r in accepted] == ["ok", "settled"]
    assert run(DRIFTED)[0] == 84


def test_drift_from_before_the_ledger_is_accepted(database: Database, run: Run) -> None:
    """Adoption reports it and goes on; later it is silent, until its shape changes."""
    database.execute(USERS + ROWS)

    code, report = run(DRIFTED)

    assert (code, len(found(report, "adopted-drift"))) == (0, 1)
    assert run(DRIFTED)[1]["outcome"] == "settled"
    database.execute("alter table users alter email type char(9)")
    assert run(DRIFTED)[0] == 84


def test_verify_needs_no_shadow_of_its_own(database: Database, folder: Callable[..., Path]) -> None:
    """What a run has read is in the ledger: a role without any right to create can compare."""
    environ = {
        "DATABASE_URL": database.url,
        "PREDEPLOY_SQL_DIR": str(folder({"schema.sql": USERS})),
    }
    run_job(environ=environ, check=0)
    database.execute("alter table users drop column email")

    done = run_job("verify", environ=environ)

    assert done.returncode == 82
    assert "column public.users.email is not there as schema.sql declares it" in done.stdout
    assert "read what schema.sql declares" not in done.stdout


def test_a_database_that_is_ahead_is_not_synced(
    database: Database, folder: Callable[..., Path]
) -> None:
    """82 for what a newer version has renamed: an old schema.sql may not add it back, empty."""
    newer = {
        "migrations/1_users.sql": USERS,
        "migrations/2_rename.sql": "-- predeploy: allow rename users.email\n"
        "alter table users rename email to mail",
    }
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(newer))}
    run_job(environ=environ, check=0)
    folder({"migrations/1_users.sql": USERS, "schema.sql": USERS})

    done = run_job(environ=environ, check=82)

    assert "column public.users.email is not there" in done.stdout.splitlines()[-1]
    assert database.rows(
        "select attname from pg_attribute where attrelid = 'users'::regclass and attnum > 0"
    ) == [("id",), ("mail",)]


def test_a_mistake_in_the_file_is_pointed_at(database: Database, run: Run) -> None:
    """65 with file, line and column, and the database as it was."""
    code, report = run(f"{USERS}\n\ncreate table posts (\n  id int,\n  owner user_id\n);")

    assert code == 65
    assert report["message"].startswith("bad-sources (65): schema.sql:5:9: 42704 type")
    assert database.value("select to_regclass('users')") is None


def test_a_schema_of_several_files_may_stand_in_any_order(
    database: Database, folder: Callable[..., Path]
) -> None:
    """A view whose table comes in a later file, and a second schema."""
    root = folder(
        {
            "schema/10_views.sql": "create view app.v as select email from users;",
            "schema/20_tables/users.sql": USERS,
            "schema/30_schemas.sql": "create schema app;",
        }
    )
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}

    run_job(environ=environ, check=0)

    assert database.value("select to_regclass('app.v') is not null")
    again = run_job(environ=environ, check=0)
    assert json.loads(again.stdout.splitlines()[-1])["outcome"] == "settled"
