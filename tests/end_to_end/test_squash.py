"""One file in place of many: recorded where those are, run where none is, refused in between."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, run_job
from production import codes_of, report_of, whole_files

Folder = Callable[[Mapping[str, str]], Path]
Run = Callable[..., tuple[int, dict[str, Any]]]

HEADER = "-- predeploy: replaces 001..003\n"
OLD = {
    "migrations/001.sql": "create table t1 (id int); insert into t1 values (1);",
    "migrations/002.sql": "create table t2 (id int);",
    "migrations/003.sql": "create table t3 (id int);",
}
ALL = (
    "create table t1 (id int); insert into t1 values (1);\n"
    "create table t2 (id int);\n"
    "create table t3 (id int);"
)
NEXT = {"migrations/004_next.sql": "create table t4 (id int);"}


@pytest.fixture
def run(database: Database, folder: Folder) -> Run:
    """Runs a command on a folder; returns exit code and report."""

    def job(files: Mapping[str, str], *command: str) -> tuple[int, dict[str, Any]]:
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
        done = run_job(*command, environ=environ)
        return done.returncode, report_of(done)

    return job


def tables(database: Database) -> list[str]:
    found = database.rows("select tablename from pg_tables where schemaname = 'public' order by 1")
    return [name for (name,) in found]


@pytest.mark.parametrize("name", ["000_all", "001_all", "003_all"])
def test_a_squash_is_recorded_where_all_is_applied(name: str, database: Database, run: Run) -> None:
    """Nothing of it runs, the next file does, and the run after that is settled."""
    run(OLD)
    new = {
        f"migrations/{name}.sql": HEADER + ALL,
        **NEXT,
        "schema.sql": "create table t1 (id int, n int);",
    }

    code, report = run(new)
    again = run(new)[1]["outcome"]

    assert (code, report["outcome"], again) == (0, "ok", "settled")
    assert codes_of(report) == []
    assert database.rows("table t1") == [(1, None)]
    assert tables(database) == ["t1", "t2", "t3", "t4"]
    assert f"{name}.sql" in whole_files(database)
    assert run(new, "verify")[0] == 0


def test_a_squash_is_run_where_nothing_is_applied(database: Database, run: Run) -> None:
    """On a new database it is a file like any other."""
    new = {"migrations/003_all.sql": HEADER + ALL, **NEXT}

    code, _ = run(new)

    assert (code, run(new)[1]["outcome"]) == (0, "settled")
    assert database.rows("table t1") == [(1,)]
    assert whole_files(database) == ["003_all.sql", "004_next.sql"]


def test_a_squash_is_refused_where_some_is_applied(database: Database, run: Run) -> None:
    """65 with what is there, nothing done; the release from before the squash is the way on."""
    run({"migrations/001.sql": OLD["migrations/001.sql"]})
    new = {"migrations/003_all.sql": HEADER + ALL, **NEXT}

    code, report = run(new)
    looked = [run(new, command)[0] for command in ("plan", "verify", "status")]

    assert (code, looked) == (65, [65, 65, 65])
    assert "replaces 1..3, of which this database holds only 001.sql" in report["message"]
    assert tables(database) == ["t1"]
    assert run(OLD)[0] == 0
    assert run(new)[0] == 0
    assert database.rows("table t1") == [(1,)]


def test_a_half_applied_file_is_not_replaced(run: Run) -> None:
    """65: nobody knows what of it is there."""
    broken = {**OLD, "migrations/003.sql": "begin; create table t3 (id int); commit; select 1 / 0;"}
    assert run(broken)[0] == 80

    code, report = run({"migrations/003_all.sql": HEADER + ALL})

    assert code == 65
    assert "holds only 001.sql, 002.sql, 003.sql" in report["message"]


@pytest.mark.parametrize("first", ["recorded", "run"])
def test_an_image_from_before_the_squash_rolls_back(
    first: str, database: Database, run: Run
) -> None:
    """0, and nothing is run again, on a database that has recorded the squash or was made by it."""
    if first == "recorded":
        run(OLD)
    run({"migrations/003_all.sql": HEADER + ALL})

    code, report = run(OLD)

    assert (code, report["outcome"]) == (0, "ok")
    assert (codes_of(report), database.rows("table t1")) == ([], [(1,)])
    run({"migrations/003_all.sql": HEADER + ALL, **NEXT})
    code, report = run(OLD)
    assert (code, report["outcome"]) == (0, "ahead")
    assert run(OLD, "verify")[1]["outcome"] == "ahead"
    assert database.rows("table t1") == [(1,)]


def test_an_image_from_long_before_it_is_behind(database: Database, run: Run) -> None:
    """A database that the squash has made is ahead of a folder with only some of its files."""
    run({"migrations/003_all.sql": HEADER + ALL})
    first = {
        "migrations/001.sql": OLD["migrations/001.sql"],
        "schema.sql": "create table t1 (id int);",
    }

    code, report = run(first)

    assert (code, report["outcome"]) == (0, "ahead")
    assert database.rows("table t1") == [(1,)]


def test_a_squash_of_a_squash(database: Database, run: Run) -> None:
    """It stands for the files that it replaced, so the next one may replace it with them."""
    second = {"migrations/004_all.sql": "-- predeploy: replaces 001..004\n" + ALL}
    run({"migrations/003_all.sql": HEADER + ALL, **NEXT})

    code, report = run(second)

    assert (code, report["outcome"]) == (0, "ok")
    assert codes_of(report) == []
    assert database.rows("table t1") == [(1,)]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        # not one file in common
        ({"migrations/000_all.sql": ALL}, "`-- predeploy: replaces 001..004`"),
        # behind it, files that were applied
        ({"migrations/000_all.sql": ALL, **NEXT}, "`-- predeploy: replaces 001..003`"),
        ({"migrations/003_all.sql": ALL, **NEXT}, "`-- predeploy: replaces 001..003`"),
        # a version of its own time: it makes what is there
        ({"migrations/20260501_all.sql": ALL}, "`-- predeploy: replaces 001..004`"),
    ],
)
@pytest.mark.parametrize("guard", ["create table", "create table if not exists"])
def test_a_squash_without_its_header_is_refused(
    files: Mapping[str, str], said: str, guard: str, database: Database, run: Run
) -> None:
    """65 with the line to paste, and nothing runs a second time; with the line it is recorded."""
    run({**OLD, **NEXT})
    written = {path: text.replace("create table", guard) for path, text in files.items()} | (
        NEXT if len(files) > 1 else {}
    )

    code, report = run(written)

    assert code == 65
    assert said in report["message"]
    assert database.rows("table t1") == [(1,)]
    first = next(iter(files))
    pasted = {**written, first: f"{said.strip('`')}\n{written[first]}"}
    assert run(pasted)[0] == 0
    assert database.rows("table t1") == [(1,)]


def test_a_pruned_folder_with_a_new_file_is_no_squash(database: Database, run: Run) -> None:
    """What makes something else than is there, behind all that was applied, runs."""
    run(OLD)

    code, report = run(NEXT)

    assert (code, report["outcome"]) == (0, "ok")
    assert tables(database) == ["t1", "t2", "t3", "t4"]


@pytest.mark.parametrize(
    "text",
    [
        "create table a (id int);\n-- predeploy: replaces 001..003",
        "-- predeploy: replaces everything\nselect 1;",
        "-- predeploy: replaces 001-003\nselect 1;",
        "-- predeploy: replaces 003..001\nselect 1;",
        "-- predeploy: replaces\nselect 1;",
        "/* why */ -- predeploy: replaces 001..003\nselect 1;",
    ],
)
def test_a_header_is_one(text: str, run: Run) -> None:
    """65 for a line that is not at the start, or names no versions: it would mean nothing."""
    code, report = run({"migrations/004.sql": text})

    assert code == 65
    assert "is no header of a squash" in report["message"]


def test_what_a_squash_replaces_is_not_beside_it(database: Database, run: Run) -> None:
    """65 for a file of those versions in the same folder: it would run behind the squash."""
    code, report = run({"migrations/003_all.sql": HEADER + ALL, "migrations/002.sql": "select 1"})

    assert code == 65
    assert "migrations/002.sql is one of the files that 003_all.sql replaces" in report["message"]
    assert tables(database) == []


def test_a_squash_may_be_forgotten(database: Database, run: Run) -> None:
    """With its rows goes what it replaced, so that the old files are looked for again."""
    run(OLD)
    run({"migrations/003_all.sql": HEADER + ALL})

    code, _ = run(OLD, "settle", "003_all.sql", "--forget")

    assert code == 0
    assert database.rows("select key from predeploy.meta where key ~ 'replaces'") == []
    assert run(OLD)[1]["outcome"] == "ok"


def test_a_squash_that_makes_more_than_it_replaces_is_refused(database: Database, run: Run) -> None:
    """Recorded, it would leave the new table missing for ever; a line accepts that."""
    run(OLD)
    more = {"migrations/003_all.sql": f"{HEADER}{ALL}; create table t5 (id int);", **NEXT}

    code, report = run(more)
    accepted = run({**more, "predeploy.toml": '[accept]\nmissing = ["table:public.t5"]\n'})

    assert code == 65
    assert "but it makes what is not there: table:public.t5" in report["message"]
    assert 'missing = ["table:public.t5"]' in report["message"]
    assert tables(database) == ["t1", "t2", "t3", "t4"]  # the last of them by the second run
    assert accepted[0] == 0


def test_what_a_later_file_has_dropped_is_not_missed_in_a_squash(
    database: Database, run: Run
) -> None:
    """004 dropped t3 after 001 to 003 were applied; the squash of those makes it once more."""
    later = {"migrations/004_drop.sql": "-- predeploy: allow drop-table t3\ndrop table t3;"}
    run({**OLD, **later})

    code, _ = run({"migrations/003_all.sql": f"{HEADER}{ALL}", **later})

    assert code == 0
    assert tables(database) == ["t1", "t2"]
    assert whole_files(database) == ["001.sql", "002.sql", "003.sql", "004_drop.sql", "003_all.sql"]


def test_a_squash_that_was_recorded_in_part_is_recorded_whole(database: Database, run: Run) -> None:
    """The job died between two of its steps: the next run goes on."""
    run(OLD)
    squash = {"migrations/003_all.sql": f"{HEADER}{ALL};\nbegin; create index on t1 (id); commit;"}
    database.execute("create index on t1 (id)")
    run(squash)
    database.execute("delete from predeploy.migration where file = '003_all.sql' and is_final")
    database.execute("delete from predeploy.state")

    code, _ = run(squash)

    assert code == 0
    assert "003_all.sql" in whole_files(database)
