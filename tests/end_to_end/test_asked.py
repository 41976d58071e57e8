"""What a run asks for: nothing of what it has made itself on a database without rows."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job

Deploy = Callable[..., tuple[int, dict]]

EVENTS = "create table ev (id bigint, at date not null, x int) partition by range (at);"
PARTITION = (
    "create table ev_{0} partition of ev for values from ('2026-0{0}-01') to ('2026-0{0}-28');"
)
FILLED = "insert into ev values (1, '2026-01-05', 1), (2, '2026-02-05', 1);"
TWO = EVENTS + PARTITION.format(1) + PARTITION.format(2)
TENANTS = """
do $$ begin for i in 1..3 loop
    execute format('create schema t%s; create table t%s.inv (id int, old int)', i, i);
end loop; end $$;
create table here (id int); insert into here values (1);
"""
OF_EACH_TENANT = """
do $$ declare s text; begin
    for s in select nspname from pg_namespace where nspname ~ '^t[0-9]' loop
        execute format('alter table %I.inv drop column old', s);
    end loop;
end $$;
"""


@pytest.fixture
def deploy(database: Database, folder: Callable[..., Path]) -> Deploy:
    """Runs a folder of migrations, given by number; returns exit code and report."""

    def run(
        *texts: str, command: str = "run", declaration: str = "", **settings: str
    ) -> tuple[int, dict]:
        files = {f"migrations/{n}_file.sql": text for n, text in enumerate(texts, start=1)}
        files |= {"predeploy.toml": declaration} if declaration else {}
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
        done = run_job(command, environ={**environ, **settings})
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    return run


def allow(*declarations: str) -> str:
    return "".join(f"-- predeploy: allow {declaration}\n" for declaration in declarations)


# A setup with rows, what comes after it, and a declaration of the parent, or a pattern.
COVERED = {
    "drop-column": (TWO + FILLED, "alter table ev drop column x", "drop-column ev.x"),
    "drop-table": (TWO + FILLED, "drop table ev", "drop-table ev"),
    "drop-one-partition": (TWO + FILLED, "drop table ev_2", "drop-table ev"),
    "delete": (TWO + FILLED, "delete from ev", "delete ev"),
    "delete-in-one": (TWO + FILLED, "delete from ev_1", "delete ev_1"),
    "delete-in-both": (TWO + FILLED, "delete from ev", "delete ev_*"),
    "truncate": (TWO + FILLED, "truncate ev", "truncate ev"),
    "truncate-one": (TWO + FILLED, "truncate ev_2", "truncate ev"),
    "rewrite": (
        TWO + "insert into ev values (1, '2026-01-05', 70000), (2, '2026-02-05', 70000);",
        "alter table ev alter x type boolean using null",
        "rewrite ev.x",
    ),
    "rename": (TWO + FILLED, "alter table ev rename x to y", "rename ev.x"),
    "detach": (TWO + FILLED, "alter table ev detach partition ev_2", "detach ev"),
    "partition-of-a-partition": (
        EVENTS
        + "create table ev_1 partition of ev for values from ('2026-01-01') to ('2026-02-01')"
        " partition by list (id);"
        "create table ev_1_1 partition of ev_1 for values in (1);"
        "insert into ev values (1, '2026-01-05', 1);",
        "drop table ev",
        "drop-table ev",
    ),
    "a-column-that-is-inherited": (
        "create table a (id int, x int); create table b () inherits (a); insert into b values (1);",
        "alter table a drop column x",
        "drop-column a.x",
    ),
    "partition-in-another-schema": (
        EVENTS + "create schema parts; create table parts.e partition of ev default;" + FILLED,
        "alter table ev drop column x",
        "drop-column ev.x",
    ),
    "a-schema-for-each-tenant": (TENANTS, OF_EACH_TENANT, "drop-column *.inv.old"),
    "some-schemas": (TENANTS, OF_EACH_TENANT, "drop-column t*.inv.old"),
    "dated-tables": (
        "create table backup_20260101 (id int); insert into backup_20260101 values (1);",
        "drop table backup_20260101",
        "drop-table backup_*",
    ),
}


@pytest.mark.parametrize("case", COVERED)
def test_a_parent_or_a_pattern_covers_what_is_below(case: str, deploy: Deploy) -> None:
    """One line is enough, whatever partitions or tenants there are; without it 84, but for notes.

    So one file holds on production, on staging and in CI.
    """
    setup, step, declared = COVERED[case]
    assert deploy(setup)[0] == 0

    without, _ = deploy(setup, step)
    code, report = deploy(setup, allow(declared) + step)

    assert without == (0 if case in ("rename", "detach") else 84)
    if case not in ("rename", "detach"):
        assert code == 0, report


# A declaration that does not reach so far: the setup, the step, what is declared.
NOT_COVERED = {
    "a-child-with-rows-of-its-own": (
        "create table a (id int); create table b () inherits (a); insert into b values (1);",
        "drop table a cascade",
        "drop-table a",
    ),
    "another-schema": (TENANTS, OF_EACH_TENANT, "drop-column u*.inv.old"),
    "another-table": (TENANTS, OF_EACH_TENANT, "drop-column *.inventory.old"),
    "the-parent-of-another": (TWO + FILLED + "create table t (x int);"
                              " insert into t values (1);",
                              "alter table ev drop column x; alter table t drop column x",
                              "drop-column ev.x"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_COVERED)
def test_what_is_not_below_is_not_covered(case: str, deploy: Deploy) -> None:
    """84: the line means something else."""
    setup, step, declared = NOT_COVERED[case]
    assert deploy(setup)[0] == 0

    code, report = deploy(setup, allow(declared) + step)

    assert code == 84, report


@pytest.mark.parametrize("line", ["drop-table *", "drop-column *.*", "delete **"])
def test_a_pattern_names_something(line: str, deploy: Deploy) -> None:
    """65: what allows everything is PREDEPLOY_DESTRUCTIVE, and said where the job is configured."""
    code, _ = deploy("create table t (x int)", allow(line) + "drop table t")

    assert code == 65


# What a file drops where it is there, and declares: the database of before, and the step.
GUARDED = {
    "in-a-block": (
        "create table t (id int{})",
        ", old int",
        (
            "do $$ begin if exists (select from information_schema.columns where table_name = 't'"
            " and column_name = 'old') then alter table t drop column old; end if; end $$"
        ),
        "drop-column t.old",
    ),
    "put-together": (
        "create table t (id int{})",
        ", old int",
        (
            "do $$ begin if exists (select from pg_attribute where attname = 'old') then"
            " execute format('alter table t drop column %I', 'o' || 'ld'); end if; end $$"
        ),
        "drop-column t.old",
    ),
    "schema": (
        "select 1;{}",
        "create schema legacy; create table legacy.a (id int)",
        "drop schema if exists legacy cascade",
        "drop-table legacy.a",
    ),
    "type": (
        "create table t (id int);{}",
        "create domain colour as text; alter table t add c colour",
        "drop domain if exists colour cascade",
        "drop-column t.c",
    ),
    "labels": (
        "select 1;{}",
        "create type mood as enum ('sad')",
        "drop type if exists mood",
        "drop-label mood.sad",
    ),
    "rename": (
        "select 1;{}",
        "create table old (id int)",
        "alter table if exists old rename to new",
        "rename old",
    ),
    "partition-of-yesterday": (
        EVENTS + "{}",
        PARTITION.format(1),
        "drop table ev",
        "drop-table ev_1",
    ),
    "partition-s-column": (
        EVENTS + "{}",
        PARTITION.format(1),
        "alter table ev drop column x",
        "drop-column ev_1.x",
    ),
    "rows-of-a-partition": (EVENTS + "{}", PARTITION.format(1), "delete from ev", "delete ev_1"),
    "extension": (
        "select 1;{}",
        "create table pg_stash (id int)",
        "drop extension if exists pg_stash cascade",
        "drop-table stash",
    ),
}


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("case", GUARDED)
def test_a_declaration_of_what_need_not_be_there_passes(
    case: str, *, is_there: bool, deploy: Deploy
) -> None:
    """A file that holds on production holds on a new database, and again on the next run."""
    setup, more, step, declared = GUARDED[case]
    base = setup.format(more if is_there else "")
    rows = "create table here (id int); insert into here values (1);"
    parents = ["drop-table ev", "drop-column ev.x"]
    beside = [line for line in parents if step.startswith(("drop table ev", "alter table ev"))]
    beside = [line for line in beside if line.split()[0] == declared.split()[0]]
    assert deploy(f"{base}; {rows}")[0] == 0

    code, report = deploy(f"{base}; {rows}", allow(declared, *beside) + step)

    assert code == 0, report
    assert deploy(f"{base}; {rows}", allow(declared, *beside) + step)[0] == 0


@pytest.mark.parametrize(
    ("declared", "step"),
    [
        ("drop-column t.odl", "alter table t drop column if exists old"),
        ("drop-table tt", "drop table t"),
        ("drop-column t.old", "do $$ begin alter table t drop column odl; end $$"),
        ("delete tt", "delete from t"),
        ("drop-table t", "drop index if exists t_idx"),
        ("drop-label mood.sad", "drop table t cascade"),
        ("rename tt", "alter table t rename to u"),
        ("drop-table legacy.a", "drop schema if exists attic cascade"),
        ("drop-column t.old", "select 1; update t set id = 1"),
    ],
)
def test_a_declaration_that_no_text_could_use_is_refused(
    declared: str, step: str, deploy: Deploy
) -> None:
    """65, on a new database, too: it is misspelt, or forgotten."""
    code, report = deploy("create table t (id int, odl int)", allow(declared) + step)

    assert code == 65, report
    assert "declares what the step does not do" in report["failure"]["message"]


# What a folder does to its own tables, of each kind.
HISTORIES: Mapping[str, tuple[str, ...]] = {
    "columns": ("create table t (id int, a int, b int)", "alter table t drop column a",
                "alter table t drop column b, add column b text"),
    "table": ("create table t (id int); insert into t values (1)", "drop table t"),
    "rows": ("create table t (id int); insert into t select generate_series(1, 9)",
             "delete from t where id > 5", "truncate t"),
    "enum": ("create type mood as enum ('sad', 'ok'); create table t (m mood)",
             ("alter type mood rename to mood_old; create type mood as enum ('ok');"
             " alter table t alter m type mood using m::text::mood; drop type mood_old")),
    "type": ("create type mood as enum ('sad')", "drop type mood"),
    "partitions": (TWO + FILLED, "drop table ev_1", "alter table ev drop column x",
                   "drop table ev"),
    "values": ("create table t (a text); insert into t values ('abc'), ('abd')",
               "alter table t alter a type varchar(2) using left(a, 2)"),
    "schema": ("create schema s; create table s.t (id int); create type s.m as enum ('x')",
               "drop schema s cascade"),
    "view": ("create table t (id int); create materialized view v as select * from t",
             "drop materialized view v"),
    "in-a-block": ("create table t (id int); insert into t values (1)",
                   "do $$ begin delete from t; execute 'drop ta' || 'ble t'; end $$"),
    "composite": ("create type c as (a int, b int); create table t (c c)",
                  "alter type c drop attribute b"),
    "replaced": ("create table t (id int, a int); insert into t values (1, 1)",
                 "create table u as select id from t; drop table t; alter table u rename to t",
                 "alter table t drop column id"),
    "block-with-subtransactions": (
        ("do $$ begin begin execute 'create table t (id int, a int)';"
        " insert into t values (1, 1); exception when others then raise; end; end $$"),
        "alter table t drop column a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HISTORIES)
def test_on_an_empty_database_nothing_is_asked(case: str, deploy: Deploy) -> None:
    """What the folder itself has made and filled there is nobody's loss: exit 0, and settled."""
    code, report = deploy(*HISTORIES[case])

    assert code == 0, report
    assert deploy(*HISTORIES[case])[1]["outcome"] == "settled"


@pytest.mark.parametrize("case", HISTORIES)
def test_a_first_deploy_that_failed_and_was_fixed_is_not_asked(case: str, deploy: Deploy) -> None:
    """Nothing is asked until a run has ended with 0: each file is applied by a run of its own."""
    texts = HISTORIES[case]
    for number in range(1, len(texts)):
        assert deploy(*texts[:number], "select 1 / 0")[0] == 80

    code, report = deploy(*texts)

    assert code == 0, report


@pytest.mark.parametrize("case", HISTORIES)
def test_once_a_run_has_ended_well_all_is_asked(case: str, deploy: Deploy) -> None:
    """84: an app may have been started on what the first run has left."""
    texts = HISTORIES[case]
    assert deploy(texts[0])[0] == 0

    code, report = deploy(*texts)

    assert code == 84, report


def test_a_rescued_run_counts_as_one_that_ended_well(deploy: Deploy) -> None:
    """84: after exit 0 the app was started, whatever the outcome is called."""
    files = ("create table t (id int, a int)", "select 1 / 0")
    assert deploy(*files, PREDEPLOY_ON_FAILURE="rescue")[0] == 0

    assert deploy(files[0], "alter table t drop column a")[0] == 84


def test_a_drift_that_was_let_through_counts_as_well(database: Database, deploy: Deploy) -> None:
    """84: with ON_DRIFT=warn the first run ends with 0, so its tables are in use."""
    database.execute("create table t (id int, a text)")
    files = ("create table if not exists t (id int, a int); create table u (id int, b int)",)
    assert deploy(*files, PREDEPLOY_ON_DRIFT="warn")[0] == 0

    assert deploy(*files, "alter table u drop column b", PREDEPLOY_ON_DRIFT="warn")[0] == 84


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [("", 0), ('baseline = "1"', 84)],
    ids=["none", "a baseline"],
)
def test_what_is_made_behind_a_baseline_is_asked_about(
    baseline: str, expected: int, database: Database, deploy: Deploy
) -> None:
    """84, though no row is there and no run has ended well: an app uses such a database."""
    files = ("create table t (id int)", "create table u (id int, b int)")
    if baseline:
        database.execute(files[0])
    assert deploy(*files, "select 1 / 0", declaration=baseline)[0] == 80

    code, report = deploy(*files, "alter table u drop column b", declaration=baseline)

    assert code == expected, report


@pytest.mark.parametrize("step", ["drop table t", "truncate u", "alter table u drop column a"])
def test_rows_that_are_copied_and_then_lost_are_asked_about(
    step: str, database: Database, deploy: Deploy
) -> None:
    """84: the run has made the copy, but the rows in it were there before."""
    setup = "create table t (id int, a int); insert into t values (1, 1);"
    assert deploy(setup)[0] == 0

    code, _ = deploy(setup, "create table u as table t;", step)

    assert code == 84
    assert database.rows("select * from t") == database.rows("select * from u") == [(1, 1)]


def test_rows_that_others_have_written_after_a_failed_deploy_are_asked_about(
    database: Database, deploy: Deploy
) -> None:
    """84: somebody has restored data into what the first deploy had made."""
    setup = "create table t (id int, a int); insert into t values (1, 1);"
    assert deploy(setup, "select 1 / 0")[0] == 80
    database.execute("insert into t values (2, 2)")

    code, _ = deploy(setup, "alter table t drop column a")

    assert code == 84
    assert database.rows("select * from t order by id") == [(1, 1), (2, 2)]


def test_a_restored_copy_is_asked(
    database: Database,
    deploy: Deploy,
    make_database: Callable[..., Database],
    folder: Callable[..., Path],
    programs: Path,
) -> None:
    """84: the notes of a deploy that failed are in the dump, and mean nothing in the copy."""
    setup = "create table t (id int, a int); insert into t values (1, 1);"
    assert deploy(setup, "select 1 / 0")[0] == 80
    copy = make_database()
    dump = subprocess.run([programs / "pg_dump", database.url], capture_output=True, check=True)
    subprocess.run([programs / "psql", "-qX", copy.url], input=dump.stdout, check=True)

    files = {
        "migrations/1_file.sql": setup,
        "migrations/2_file.sql": "alter table t drop column a",
    }
    run_job(environ={"DATABASE_URL": copy.url, "PREDEPLOY_SQL_DIR": str(folder(files))}, check=84)
    assert copy.rows("select * from t") == [(1, 1)]


def test_a_refused_step_leaves_no_gap_in_the_ids(database: Database, deploy: Deploy) -> None:
    """Its file is run again with its declaration, and its rows then get the ids that psql gives."""
    setup = "create table t (id serial, a int); insert into t (a) values (1);"
    step = "insert into t (a) values (2);\nalter table t drop column a;"
    assert deploy(setup)[0] == 0

    assert deploy(setup, step)[0] == 84
    assert deploy(setup, allow("drop-column t.a") + step)[0] == 0
    assert database.rows("select id from t order by id") == [(1,), (2,)]


def test_rows_in_a_schema_of_another_app_do_not_matter(database: Database, deploy: Deploy) -> None:
    """0: those are tables that the folder does not use. Rows in one that it names do: 84."""
    database.execute("create schema other; create table other.t as select 1 as id")
    own = ("create table t (id int, a int)", "alter table t drop column a")

    assert deploy(*own)[0] == 0
    assert deploy(*own, "create table u as table other.t", "truncate u")[0] == 84


def test_a_table_that_cannot_be_read_may_hold_rows(
    database: Database, folder: Callable[..., Path]
) -> None:
    """84: what was not counted is not called empty."""
    role = f"deployer_{database.name}"
    database.execute(f"create role {role} login; grant all on schema public to {role}")
    database.execute(f"grant create on database {database.name} to {role}")
    database.execute("create table theirs as select 1 as id")
    files = {
        "predeploy.toml": 'baseline = "1"',
        "migrations/1_theirs.sql": "create table theirs (id int)",
        "migrations/2_t.sql": "create table t (id int, a int)",
        "migrations/3_t.sql": "alter table t drop column a",
    }
    url = re.sub("//[^@]*@", f"//{role}@", database.url)
    environ = {"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder(files))}
    try:
        run_job(environ=environ, check=84)
    finally:
        database.execute(f"drop owned by {role} cascade; drop role {role}")


WIDE = "create table w (id int, {})".format(", ".join(f"{'m' * 40}_{n:02} int" for n in range(60)))
NARROW = "alter table w {}".format(", ".join(f"drop column {'m' * 40}_{n:02}" for n in range(60)))
LINES = [f"-- predeploy: allow drop-column public.w.{'m' * 40}_{n:02}" for n in range(60)]
# Each file takes something away, the last ones behind a refusal.
FILES = (
    (
        "create table a (id int primary key, x int); create table b (a int references a, y text);"
        "create table w (id int); insert into a values (1, 1), (2, 2);"
        "insert into b values (1, 'y');"
    ),
    "alter table a drop column x",
    "select 1",
    "begin;\ndelete from b;\ncommit;\nbegin;\ndrop table b;\ncommit;",
    "do $$ begin alter table a add z int; drop table w; end $$",
)
ASKED = [
    ("migrations/2_file.sql", 1, ["drop-column public.a.x"]),
    ("migrations/4_file.sql", 2, ["delete b"]),
    ("migrations/4_file.sql", 5, ["drop-table b"]),
    ("migrations/5_file.sql", 1, ["drop-table w"]),
]


def asked(report: dict) -> list[tuple[str, int, list[str]]]:
    """What a report asks for: the file, the line, and the declarations without their prefix."""
    return [
        (ask["file"], ask["before_line"], [line.removeprefix(PREFIX) for line in ask["lines"]])
        for ask in report.get("asks", [])
    ]


PREFIX = "-- predeploy: allow "


def pasted(texts: tuple[str, ...], report: dict) -> tuple[str, ...]:
    """Paste what a report asks for, where it says that it belongs."""
    found = [text.split("\n") for text in texts]
    for ask in reversed(report["asks"]):
        number = int(ask["file"].split("/")[1].split("_")[0])
        found[number - 1][ask["before_line"] - 1 : ask["before_line"] - 1] = ask["lines"]
    return tuple("\n".join(lines) for lines in found)


def test_all_files_are_asked_for_at_once_and_pasted_they_pass(deploy: Deploy) -> None:
    """84, and the list of what all pending files lack; with these lines the next run goes through.

    `plan` tells the same, before anything is run.
    """
    assert deploy(FILES[0])[0] == 0

    planned, plan = deploy(*FILES, command="plan")
    code, report = deploy(*FILES)

    told = [(f, n, [d.replace("public.", "") for d in found]) for f, n, found in ASKED]
    assert (planned, asked(plan)) == (0, told)
    assert (code, asked(report)) == (84, ASKED)
    assert deploy(*pasted(FILES, report))[0] == 0
    assert "asks" not in deploy(*pasted(FILES, report))[1]


def test_a_run_on_an_empty_database_tells_what_others_will_be_asked(
    deploy: Deploy, make_database: Callable[..., Database], folder: Callable[..., Path]
) -> None:
    """0, and the list that a database with rows needs: in it, pasted, the folder passes there."""
    code, report = deploy(*FILES)

    names = [(f, n, [d.replace("public.", "") for d in found]) for f, n, found in asked(report)]
    assert (code, names) == (0, [(f, n, [d.replace("public.", "") for d in found])
                                 for f, n, found in ASKED])  # fmt: skip
    assert "4 declaration(s) in 3 file(s) will be asked for" in report["message"]

    other = make_database()
    files = {f"migrations/{n}_file.sql": t for n, t in enumerate(pasted(FILES, report), start=1)}
    first = {"migrations/1_file.sql": FILES[0]}
    for texts in (first, files):
        environ = {"DATABASE_URL": other.url, "PREDEPLOY_SQL_DIR": str(folder(texts))}
        run_job(environ=environ, check=0)


def test_no_name_is_cut_and_no_line_is_missing(
    database: Database, folder: Callable[..., Path], tmp_path: Path
) -> None:
    """The log and PREDEPLOY_REPORT hold all 60 lines; the last line, of 4096 bytes, whole ones."""
    root = folder({"migrations/1_wide.sql": WIDE})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    run_job(environ=environ, check=0)
    folder({"migrations/1_wide.sql": WIDE, "migrations/2_narrow.sql": NARROW})

    whole, summary = tmp_path / "report.json", tmp_path / "summary.md"
    more = {"PREDEPLOY_REPORT": str(whole), "GITHUB_STEP_SUMMARY": str(summary)}
    done = run_job(environ={**environ, **more}, check=84)
    pretty = run_job(environ={**environ, "PREDEPLOY_LOG_FORMAT": "pretty"}, check=84)

    logged = [json.loads(line) for line in done.stdout.splitlines()]
    short = logged[-1]
    assert [line for event in logged for line in event.get("lines", [])] == LINES
    assert json.loads(whole.read_text())["asks"][0]["lines"] == LINES
    assert all(line in summary.read_text().splitlines() for line in LINES)
    assert [line.strip() for line in pretty.stdout.splitlines() if PREFIX in line][:-1] == LINES
    assert len(done.stdout.splitlines()[-1].encode()) <= 4096
    kept = short["asks"][0]["lines"]
    assert kept == LINES[: len(kept)]
    assert len(kept) + short["asks_left_out"] == 60
    words = f"{short['message']} {short['failure']['next']}".replace(";", " ").replace(",", " ")
    named = [word for word in words.split() if "mmm" in word]
    assert all(f"{PREFIX}drop-column {word}" in LINES for word in named)
