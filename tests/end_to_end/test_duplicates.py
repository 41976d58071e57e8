"""What is there already: skipped where that is proved, and drift where it has another shape."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import environ, jobs, until

Run = Callable[..., tuple[int, dict]]
COLUMNS = """
    select attname::text, format_type(atttypid, atttypmod) from pg_attribute
    where attrelid = 't'::regclass and attnum > 0 and not attisdropped order by attnum"""
RECORDED = "select file from predeploy.migration where is_done and is_final order by file"


@pytest.fixture
def run(database: Database, folder: Callable[..., Path]) -> Run:
    """Runs the job on one migration, over a ledger of its own; returns exit code and report."""

    def job(sql: str, declaration: str = "", **policies: str) -> tuple[int, dict]:
        root = folder(
            {
                "predeploy.toml": declaration,
                "migrations/0001_ledger.sql": "",
                "migrations/0002_it.sql": sql,
            }
        )
        settings = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root), **policies}
        done = run_job(environ=settings)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    root = folder({"migrations/0001_ledger.sql": ""})
    run_job(environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}, check=0)
    return job


def found(report: dict, code: str) -> list[str]:
    return [f["message"] for f in report.get("findings", []) if f["code"] == code]


def is_recorded(database: Database) -> bool:
    return ("0002_it.sql",) in database.rows(RECORDED)


PROVED = {
    "a table with more columns": (
        "create table t (a int primary key, b varchar(20), extra text)",
        "create table t (a integer, b character varying(20) not null default 'x')",
    ),
    "a table with serial and LIKE": (
        "create table u (x text); create table t (a int, x text)",
        "create table t (a serial primary key, like u including all)",
    ),
    "a partitioned table": (
        "create table t (a int, b text) partition by range (a)",
        "create table t (a int) partition by range (a)",
    ),
    "a column": ("create table t (a bigint)", "alter table t add column a int8 not null"),
    "a column of a domain": (
        "create domain money2 as numeric(10, 2); create table t (a money2)",
        "alter table t add a money2",
    ),
    "a check": (
        "create table t (a int, constraint k check (a in (1, 2)))",
        "alter table t add constraint k check (a = any (array[1, 2]))",
    ),
    "a check that is validated by now": (
        "create table t (a int, constraint k check (a > 0))",
        "alter table t add constraint k check (a > 0) not valid",
    ),
    "a check that was dumped and restored": (
        """create table t (a varchar(9), constraint k check ((a)::text = any ((array[
            'x'::character varying, 'y'::character varying])::text[])))""",
        "alter table t add constraint k check (a in ('x', 'y'))",
    ),
    "a check that names its table": (
        "create table t (a int, constraint k check (a > 0))",
        'alter table t add constraint k check ("t"."a" > 0)',
    ),
    "an index whose partitions are yet to be attached": (
        """create table t (a int) partition by range (a);
        create table t_1 partition of t for values from (1) to (9); create index i on only t (a)""",
        "create index i on only t (a)",
    ),
    "an index that names its table": (
        "create table t (a text); create index i on t (lower(a)) where a > ''",
        "create index i on t (lower(t.a)) where public.t.a > ''",
    ),
    "a primary key": (
        "create table t (a int, constraint k primary key (a))",
        "alter table only t add constraint k primary key (a)",
    ),
    "a unique constraint": (
        "create table t (a int, b int, constraint k unique (a, b))",
        "alter table t add constraint k unique (a, b)",
    ),
    "a foreign key to itself": (
        "create table t (a int primary key, b int constraint k references t)",
        "alter table t add constraint k foreign key (b) references t (a)",
    ),
    "a foreign key": (
        "create table u (a int primary key); create table t (a int constraint k references u)",
        "alter table t add constraint k foreign key (a) references u (a)",
    ),
    "an exclusion": (
        "create table t (a int4range, constraint k exclude using gist (a with &&))",
        "alter table t add constraint k exclude using gist (a with &&)",
    ),
    "an index": (
        "create table t (a text); create unique index i on t (lower(a)) where a > ''",
        "create unique index i on t using btree (lower(a)) where (a > '')",
    ),
    "a sequence": (
        "create sequence q increment 5; select nextval('q'), nextval('q')",
        "create sequence q increment by 5 start 1",
    ),
    "an owned sequence": (
        "create table t (a int); create sequence q owned by t.a",
        "create sequence q owned by t.a",
    ),
    "an enum with more labels": (
        "create type m as enum ('sad', 'ok', 'happy')",
        "create type m as enum ('sad', 'happy')",
    ),
    "a composite type": (
        "create type m as (a int, b text)",
        "create type m as (a integer, b text)",
    ),
    "a range type": (
        "create type m as range (subtype = float8)",
        "create type m as range (subtype = float8)",
    ),
    "a column that is gone": ("create table t (a int)", "alter table t drop column b"),
    "a column that is renamed": (
        "create table t (new int)",
        "alter table t rename column old to new",
    ),
    "names that need quotes": (
        'create schema "S s"; create table "S s"."T.t" ("A""a" int)',
        'alter table "S s"."T.t" add column "A""a" int',
    ),
    "a search_path of the file's own": (
        "create schema app; create table app.t (a int); create table t (a text)",
        "set search_path = app; create table t (a int)",
    ),
}


@pytest.mark.parametrize(("there", "sql"), PROVED.values(), ids=PROVED)
def test_what_is_proved_to_be_there_is_skipped(
    database: Database, run: Run, there: str, sql: str
) -> None:
    """A warning names it, the rest of the file runs, and the file is recorded."""
    database.execute(there)

    code, report = run(f"{sql};\ncreate table after_it ()")

    assert code == 0, report
    assert len(found(report, "duplicate")) == 1
    assert "0002_it.sql:1:" in found(report, "duplicate")[0]
    assert is_recorded(database)
    assert database.value("select count(*) from pg_class where relname = 'after_it'") == 1
    assert database.value("select to_regclass('predeploy.predeploy_probe')") is None
    assert run(f"{sql};\ncreate table after_it ()")[1]["outcome"] == "settled"


DRIFTED = {
    "a table of another type": (
        "create type row as (a int); create table t (a text)",
        "create table t of row",
        '"column public.t.a" = "text"',
    ),
    "a table where a type is declared": (
        "create table t (a int)",
        "create type t as (a int)",
        '"type public.t" = "row type [\\"a integer\\"]"',
    ),
    "a range of another collation": (
        'create type m as range (subtype = text, collation = "C")',
        "create type m as range (subtype = text)",
        '"type public.m" = "text, collation pg_catalog.\\"C\\""',
    ),
    "a table": (
        "create table t (a text)",
        "create table t (a int)",
        '"column public.t.a" = "text"',
    ),
    "a table that lacks a column": (
        "create table t (a int)",
        "create table t (a int, b text)",
        '"column public.t.b" = "absent"',
    ),
    "a view of that name": (
        "create view t as select 1 as a",
        "create table t (a int)",
        '"view public.t" = "[[\\"a\\", \\"integer\\"]], definition  SELECT 1 AS a"',
    ),
    "a plain table": (
        "create table t (a int)",
        "create table t (a int) partition by hash (a)",
        '"table public.t" = "table"',
    ),
    "a column": (
        "create table t (a text)",
        "alter table t add column a bigint",
        '"column public.t.a" = "text"',
    ),
    "a column's length": (
        "create table t (a varchar(10))",
        "alter table t add column a varchar(20)",
        '"column public.t.a" = "character varying(10)"',
    ),
    "a constraint": (
        "create table t (a int, constraint k check (a > 0))",
        "alter table t add constraint k check (a > 1)",
        '"constraint public.t.k" = "CHECK ((a > 0))"',
    ),
    "a constraint that is not validated": (
        "create table t (a int); alter table t add constraint k check (a > 0) not valid",
        "alter table t add constraint k check (a > 0)",
        '"constraint public.t.k" = "CHECK ((a > 0)), not valid"',
    ),
    "an index": (
        "create table t (a int, b int); create index i on t (b)",
        "create index i on t (a)",
        '"index public.i" = "on public.t USING btree (b)"',
    ),
    "an index of another table": (
        "create table t (a int); create table u (a int); create index i on u (a)",
        "create index i on t (a)",
        '"index public.i" = "on public.u USING btree (a)"',
    ),
    "a sequence": (
        "create sequence q",
        "create sequence q increment 2",
        (
            '"sequence public.q" = "bigint, options START WITH 1 INCREMENT BY 1 MINVALUE 1 '
            'MAXVALUE 9223372036854775807 CACHE 1"'
        ),
    ),
    "an enum": (
        "create type m as enum ('a', 'b')",
        "create type m as enum ('b', 'a')",
        '"type public.m" = "[\\"a\\", \\"b\\"]"',
    ),
}


@pytest.mark.parametrize(("there", "sql", "line"), DRIFTED.values(), ids=DRIFTED)
def test_another_shape_is_drift(
    database: Database, run: Run, there: str, sql: str, line: str
) -> None:
    """84, nothing of the step remains, and the line that the report prints accepts it silently."""
    database.execute(there)

    code, report = run(f"create table before_it ();\n{sql}")
    remains = database.value("select to_regclass('before_it')")
    recorded = is_recorded(database)
    accepted, silent = run(f"create table before_it ();\n{sql}", f"[accept]\n{line}")

    assert (code, remains, recorded) == (84, None, False)
    assert line in report["failure"]["next"]
    assert report["failure"]["line"] == 2
    assert accepted == 0, silent
    assert found(silent, "drift") == []
    assert run(f"create table before_it ();\n{sql}", f"[accept]\n{line}")[1]["outcome"] == "settled"


def test_drift_that_is_let_through_is_repeated(database: Database, run: Run) -> None:
    """Under warn the step is recorded; each later report says so, and nothing is ever settled."""
    database.execute("create table t (a text)")
    sql = "alter table t add column a bigint"

    reports = [run(sql, PREDEPLOY_ON_DRIFT="warn") for _ in range(3)]

    assert [code for code, _ in reports] == [0, 0, 0]
    assert [report["outcome"] for _, report in reports] == ["ok"] * 3
    assert all("column public.t.a is there as text" in found(r, "drift")[0] for _, r in reports)
    assert is_recorded(database)
    assert run(sql)[0] == 84
    assert run(sql, '[accept]\n"column public.t.a" = "text"')[0] == 0


def test_drift_that_a_file_meets_twice_is_told_once(database: Database, run: Run) -> None:
    """One finding for each object and file, now and in later reports."""
    database.execute("create table t (a text)")
    sql = "create table if not exists t (a int);\nalter table t add column a int"
    run(sql, PREDEPLOY_ON_DRIFT="warn")

    _, report = run(sql, PREDEPLOY_ON_DRIFT="warn")

    assert found(report, "drift") == [
        "0002_it.sql: column public.t.a is there as text, and integer is declared"
    ]


def test_drift_that_is_mended_is_forgotten(database: Database, run: Run) -> None:
    """Once the shape is the declared one, nothing is said and the database settles."""
    database.execute("create table t (a text)")
    sql = "alter table t add column a bigint"
    run(sql, PREDEPLOY_ON_DRIFT="warn")

    database.execute("alter table t alter a type bigint using a::bigint")
    code, report = run(sql)

    assert (code, found(report, "drift")) == (0, [])
    assert run(sql)[1]["outcome"] == "settled"


def test_drift_is_mended_where_dates_are_printed_in_another_way(
    database: Database, run: Run
) -> None:
    """What was declared is printed as what is there will be, whatever the database's DateStyle."""
    database.execute(f"alter database {database.name} set datestyle to 'German, DMY'")
    database.execute("create table t (a date, constraint k check (a > '2020-02-01'))")
    sql = "alter table t add constraint k check (a > '03.02.2020')"
    run(sql, PREDEPLOY_ON_DRIFT="warn")
    stood = found(run(sql, PREDEPLOY_ON_DRIFT="warn")[1], "drift")

    database.execute("alter table t drop constraint k, add constraint k check (a > '03.02.2020')")
    code, report = run(sql)

    assert "is there as CHECK ((a > '2020-02-01'::date))" in stood[0]
    assert (code, found(report, "drift")) == (0, [])


def test_accepted_drift_is_silent_until_it_changes(database: Database, run: Run) -> None:
    """The line names the shape: with another one it says nothing."""
    database.execute("create table t (a text)")
    sql, accept = "alter table t add column a bigint", '[accept]\n"column public.t.a" = "text"'
    run(sql, accept)

    database.execute("alter table t alter a type varchar(5)")
    code, report = run(sql, accept)

    assert code == 84
    assert "column public.t.a is there as character varying(5)" in found(report, "drift")[0]


def test_what_is_missing_is_82_whatever_the_policy(database: Database, run: Run) -> None:
    """A table that lacks a declared column is let through to verify, which asks for the column."""
    database.execute("create table t (a int)")

    code, report = run("create table t (a int, b text)", PREDEPLOY_ON_DRIFT="warn")
    database.execute("alter table t add b text")

    assert code == 82
    assert "column public.t.b is missing" in report["message"]
    assert run("create table t (a int, b text)")[0] == 0


# IF NOT EXISTS


FOREIGN = "create foreign data wrapper f; create server s foreign data wrapper f;"
GUARDED = {
    "a column": ("create table t (a text)", "alter table t add column if not exists a bigint"),
    "a table": ("create table t (a text)", "create table if not exists t (a bigint)"),
    "an index": (
        "create table t (a int, b int); create index i on t (b)",
        "create index if not exists i on t (a)",
    ),
    "a sequence": (
        "create sequence q increment 3",
        "create sequence if not exists q increment 2",
    ),
    "a column of this very file": (
        "select 1",
        "create table t (a text);\nalter table t add column if not exists a bigint",
    ),
    "a table that this very file makes twice": (
        "select 1",
        "create table if not exists t (a text);\ncreate table if not exists t (a int)",
    ),
    "a column behind a SET": (
        "create schema app; create table app.t (a text)",
        "set search_path = app;\nalter table t add column if not exists a bigint",
    ),
    "a table behind a SET LOCAL": (
        "create schema app; create table app.t (a text)",
        "set local search_path = app;\ncreate table if not exists t (a bigint)",
    ),
    "a table behind set_config": (
        "create schema app; create table app.t (a text)",
        "select set_config('search_path', 'app', true);\ncreate table if not exists t (a int)",
    ),
    "a table that this very file makes unguarded": (
        "select 1",
        "create table t (a text);\ncreate table if not exists public.t (a int)",
    ),
    "an index that this very file makes unguarded": (
        "create table t (a int, b int)",
        "create index i on t (b);\ncreate index if not exists i on t (a)",
    ),
    "a table that a DO block makes": (
        "select 1",
        "do $$ begin create table t (a text); end $$;\ncreate table if not exists t (a int)",
    ),
    "a table that comes by a rename": (
        "create table u (a text)",
        "alter table u rename to t;\ncreate table if not exists t (a int)",
    ),
    "a table that comes from another schema": (
        "create schema app; create table app.t (a text)",
        "alter table app.t set schema public;\ncreate table if not exists t (a int)",
    ),
    "a table from a query": (
        "create table t (a text)",
        "create table if not exists t as select 1 as a",
    ),
    "a materialized view": (
        "create table t (a int)",
        "create materialized view if not exists t as select 1 as a",
    ),
    "a foreign table": (
        FOREIGN + "create table t (a int)",
        "create foreign table if not exists t (a int) server s",
    ),
    "a partition that is a table": (
        "create table p (a int) partition by list (a); create table t (a int)",
        "create table if not exists t partition of p default",
    ),
    "a partition of another table": (
        """create table p (a int) partition by list (a);
        create table q (a int) partition by list (a); create table t partition of q default""",
        "create table if not exists t partition of p default",
    ),
    "a silent one": (
        "create table t (a text)",
        "set client_min_messages = error;\nalter table t add column if not exists a bigint",
    ),
}


@pytest.mark.parametrize(("there", "sql"), GUARDED.values(), ids=GUARDED)
def test_if_not_exists_hides_no_drift(database: Database, run: Run, there: str, sql: str) -> None:
    """What it would skip has another shape: 84."""
    database.execute(there)

    code, report = run(sql)

    assert code == 84, report
    assert "is there as" in report["failure"]["message"]


SAME = {
    "a table from a query": (
        "create table t (b int, more text)",
        "create table if not exists t (b) as select 1",
    ),
    "a materialized view": (
        "create materialized view t as select 1 as a",
        "create materialized view if not exists t as select 2 as a",
    ),
    "a foreign table": (
        FOREIGN + "create foreign table t (a int, b text) server s",
        "create foreign table if not exists t (a int not null) server s",
    ),
    "a partition": (
        "create table p (a int) partition by list (a); create table t partition of p default",
        "create table if not exists t partition of p default",
    ),
}


@pytest.mark.parametrize(("there", "sql"), SAME.values(), ids=SAME)
def test_if_not_exists_passes_what_is_the_same(
    database: Database, run: Run, there: str, sql: str
) -> None:
    """It is skipped, with a note for its file."""
    database.execute(there)

    code, report = run(sql)

    assert code == 0, report
    assert "already exists, skipping" in found(report, "already-there")[0]


def test_a_table_that_became_a_partition_is_drift_no_more(database: Database, run: Run) -> None:
    """84 in each run until it is attached, and then settled."""
    database.execute("create table p (a int) partition by list (a); create table t (a int)")
    sql = "create table if not exists t partition of p default"
    code, report = run(sql, PREDEPLOY_ON_DRIFT="warn")
    blocked, _ = run(sql)

    database.execute("alter table p attach partition t default")

    assert code == 0
    assert found(report, "drift") == [
        "0002_it.sql: partition public.t is there as of nothing, and of public.p is declared"
    ]
    assert (blocked, run(sql)[0]) == (84, 0)
    assert run(sql)[1]["outcome"] == "settled"


def test_what_if_not_exists_skips_is_shown_per_file(database: Database, run: Run) -> None:
    """The notices stand in the report, as a note, and the rest of the file runs."""
    database.execute("create table t (a int)")

    code, report = run("create table if not exists t (a int); create table if not exists u ()")

    assert code == 0
    assert found(report, "already-there") == [
        'migrations/0002_it.sql: relation "t" already exists, skipping'
    ]
    assert database.value("select to_regclass('u') is not null")


def test_a_guarded_table_may_be_completed_by_a_later_statement(
    database: Database, run: Run
) -> None:
    """A column that IF NOT EXISTS left out is asked for at the end, not before."""
    database.execute("create table t (a int)")

    code, _ = run(
        "create table if not exists t (a int, b text);alter table t add column if not exists b text"
    )

    assert code == 0
    assert database.rows(COLUMNS) == [("a", "integer"), ("b", "text")]


def test_a_guarded_table_that_stays_incomplete_is_82(database: Database, run: Run) -> None:
    """Verify names the column; [accept] is the way to live without it."""
    database.execute("create table t (a int)")
    sql = "create table if not exists t (a int, b text)"

    code, report = run(sql)

    assert code == 82
    assert "column public.t.b is missing" in report["message"]
    assert run(sql, '[accept]\n"column public.t.b" = "absent"')[0] == 0


def test_what_cannot_be_compared_is_named(database: Database, run: Run) -> None:
    """The server skips it before it looks at the types: a note says that nothing is proved."""
    database.execute("create table t (a int)")

    code, report = run("create table if not exists t (a nonsense)")

    assert code == 0
    assert (
        't could not be compared: type "nonsense" does not exist'
        in (found(report, "already-there")[0])
    )


# Locks, and the end of a process


def test_a_proof_that_has_to_wait_is_tried_again(database: Database, run: Run) -> None:
    """75, not 80, with who is in the way; it passes when the lock is free."""
    database.execute(
        "create table u (a int primary key); create table t (a int constraint k references u)"
    )
    sql = "alter table t add constraint k foreign key (a) references u"
    with database.connect() as holder, holder.transaction():
        holder.execute("lock table u")
        code, report = run(sql, PREDEPLOY_DDL_LOCK_TIMEOUT="1s", PREDEPLOY_DDL_BUDGET="1s")
        pid = holder.info.backend_pid

    assert code == 75
    assert f"pid {pid}" in report["failure"]["message"]
    assert run(sql)[0] == 0


@pytest.mark.dear
def test_a_kill_between_two_pieces_leaves_nothing(
    database: Database, run: Run, tmp_path: Path
) -> None:
    """All pieces are one transaction: the next run does the whole again."""
    database.execute("create table t (a int); insert into t values (1)")
    sql = "create table t (a int);\ninsert into t values (2);\nselect pg_sleep(2);\n"
    (tmp_path / "sql" / "migrations" / "0002_it.sql").write_text(sql)
    asleep = """select 1 from pg_stat_activity
        where query like '/* predeploy %% */ select pg_sleep%%' and datname = %s"""

    with jobs(environ(database, tmp_path / "sql")) as (job,):
        until(lambda: database.rows(asleep, database.name), "the second piece")
        job.kill()
        job.wait()
    rows, recorded = database.rows("select * from t"), is_recorded(database)

    assert (rows, recorded) == ([(1,)], False)
    assert run(sql)[0] == 0
    assert database.rows("select * from t order by 1") == [(1,), (2,)]


# What is taken apart, and what never passes


def test_alter_table_is_taken_apart(database: Database, run: Run) -> None:
    """ADD COLUMN a, ADD COLUMN b, with a there: b is added."""
    database.execute("create table t (a int); insert into t values (7)")

    sql = "alter table t add column a int, add check (b > 0), add column b int default 1"
    code, report = run(sql)

    assert code == 0, report
    assert database.rows("select * from t") == [(7, 1)]
    assert database.value("select count(*) from pg_constraint where conrelid = 't'::regclass") == 1


def test_what_is_left_of_an_alter_table_stays_one_statement(database: Database, run: Run) -> None:
    """A column may refer to one that comes behind it, as in the whole."""
    database.execute("create table t (a int); insert into t values (7)")

    code, report = run(
        "alter table t add column a int, add column b int references t (c) default 8, "
        "add column if not exists c int unique default 8, add column if not exists a int"
    )

    assert code == 0, report
    assert len(found(report, "duplicate")) == 1
    assert database.rows("select * from t") == [(7, 8, 8)]


def test_a_declared_loss_of_what_is_gone_is_done(database: Database, run: Run) -> None:
    """The declaration counts as used when it is proved that the column is gone already."""
    database.execute("create table t (new int)")

    code, report = run(
        "-- predeploy: allow drop-column t.a\n-- predeploy: allow rename t.old\n"
        "alter table t drop column a;\nalter table t rename old to new;"
    )

    assert code == 0, report
    assert len(found(report, "duplicate")) == 2


def test_a_role_of_the_file_s_own_is_no_obstacle(database: Database, run: Run) -> None:
    """Proof needs our privileges, not those of the role that the file sets; its is back after."""
    role = f"role_{database.name}"
    database.execute(f"create role {role}; create schema app authorization {role}")
    try:
        database.execute(f"set role {role}; create table app.t (a text)")
        code, report = run(f"set role {role};\ncreate table if not exists app.t (a int)")
        passed, _ = run(f"set role {role};\ncreate table app.t (a text);create table app.u ()")

        assert code == 84, report
        assert passed == 0
        assert database.value(
            "select relowner::regrole::text = %s from pg_class where relname = 'u'", role
        )
    finally:
        database.execute(f"drop owned by {role}; drop role {role}")


FAILING = {
    "a drop in an ALTER TABLE with more": (
        "create table t (a bigint, b int); insert into t values (7, 8)",
        "alter table t add column a bigint, drop column a, add column b int",
        "42701",
    ),
    "two drops of which one is done": (
        "create table t (b int); insert into t values (8)",
        "alter table t drop column a, drop column b",
        "42703",
    ),
    "an index on a column that is not there": (
        "create table t (a int)",
        "create index i on t (b)",
        "42703",
    ),
    "an UPDATE with a typo": ("create table t (a int)", "update t set b = 1", "42703"),
    "a DO block": (
        "create table t (a int)",
        "do $$ begin update t set b = 1; end $$",
        "42703",
    ),
    "a DO block that creates": (
        "create table t (a int)",
        "do $$ begin create table t (a int); end $$",
        "42P07",
    ),
    "a foreign key of another type": (
        "create table u (a text primary key); create table t (a int)",
        "alter table t add constraint k foreign key (a) references u",
        "42804",
    ),
    "a rename to what is not there": (
        "create table t (a int)",
        "alter table t rename column old to new",
        "42703",
    ),
    "a rename over what is there": (
        "create table t (old int, new int)",
        "alter table t rename column old to new",
        "42701",
    ),
    "a table from a query": ("create table t (a int)", "create table t as select 1 as a", "42P07"),
    "a partition": (
        "create table p (a int) partition by list (a); create table t partition of p default",
        "create table t partition of p default",
        "42P07",
    ),
    "a second primary key": (
        "create table t (a int primary key)",
        "alter table t add constraint k primary key (a)",
        "42P16",
    ),
    "a multirange of that name": (
        "create type r as range (subtype = float8, multirange_type_name = m)",
        "create type m as enum ('a')",
        "42710",
    ),
    "a label": ("create type m as enum ('a')", "alter type m add value 'a'", "42710"),
}


@pytest.mark.parametrize(("there", "sql", "sqlstate"), FAILING.values(), ids=FAILING)
def test_the_rest_never_passes(
    database: Database, run: Run, there: str, sql: str, sqlstate: str
) -> None:
    """80, with the server's own SQLSTATE, and nothing has changed."""
    database.execute(there)
    has_table = database.value("select to_regclass('t') is not null")
    before = (database.rows(COLUMNS), database.rows("select * from t")) if has_table else None

    code, report = run(f"create table before_it ();\n{sql}")

    assert (code, report["failure"]["sqlstate"]) == (80, sqlstate)
    assert report["failure"]["line"] == 2
    assert not is_recorded(database)
    if has_table:
        assert (database.rows(COLUMNS), database.rows("select * from t")) == before


def test_a_loss_is_noticed_in_pieces_too(database: Database, run: Run) -> None:
    """A duplicate before it does not blind the sentinel."""
    database.execute("create table t (a int); create table u (b int); insert into u values (1)")

    code, report = run("create table t (a int);\ndrop table u")

    assert code == 84, report
    assert database.rows("select * from u") == [(1,)]


def test_a_prepared_statement_is_prepared_again(database: Database, run: Run) -> None:
    """What the first try has prepared is not in the way of the second."""
    database.execute("create table t (a int)")

    code, report = run("prepare p as insert into t values (1);create table t (a int);execute p;")

    assert code == 0, report
    assert database.rows("select * from t") == [(1,)]


def test_copy_data_arrives_in_pieces(database: Database, run: Run) -> None:
    """A file with COPY data and a duplicate is applied whole."""
    database.execute("create table t (a int)")

    code, _ = run("create table t (a int);\ncopy t from stdin;\n1\n2\n\\.\nselect 1;")

    assert code == 0
    assert database.rows("select a from t order by 1") == [(1,), (2,)]


def test_an_error_in_a_piece_has_its_place(database: Database, run: Run) -> None:
    """Line and column are those of the file, behind a savepoint of ours too."""
    database.execute("create table t (a int)")

    code, report = run("create table t (a int);\n\ncreate table v (\n  a nonsense);")

    assert code == 80
    assert (report["failure"]["line"], report["failure"]["column"]) == (4, 5)


# What a later file does to it


@pytest.mark.parametrize(
    ("there", "sql", "later"),
    [
        (
            "create table t (a text)",
            "create table if not exists t (a varchar(9))",
            "alter table t alter a type varchar(50)",
        ),
        (
            "create table t (a int)",
            "create table if not exists t (a int, b int)",
            "alter table t drop column b",
        ),
        (
            "create table t (a int, c int)",
            "create table if not exists t (a int, b int)",
            "alter table t rename b to c",
        ),
        (
            "create table t (a text)",
            "alter table t add column a int",
            "-- predeploy: allow drop-table t\ndrop table t",
        ),
    ],
    ids=["altered", "dropped", "renamed", "with its table"],
)
def test_a_later_file_supersedes_what_an_earlier_one_declared(
    database: Database, folder: Callable[..., Path], there: str, sql: str, later: str
) -> None:
    """What was found in another shape is no drift any more once a migration has changed it."""
    root = folder({"migrations/0001_ledger.sql": ""})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    run_job(environ=environ, check=0)
    database.execute(there)
    files = {"migrations/0001_ledger.sql": "", "migrations/0002_it.sql": sql}
    folder({**files, "migrations/0003_later.sql": later})

    done = run_job(environ={**environ, "PREDEPLOY_ON_DRIFT": "warn"})

    assert done.returncode == 0, done.stdout
    assert run_job(environ=environ, check=0).stdout.count('"outcome":"settled"') == 1
