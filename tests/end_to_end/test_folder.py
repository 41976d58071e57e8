"""What of the SQL folder cannot be read, or is not run: never exit 0, by whatever command."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, job_environ
from in_process import command
from production import environ, has_ledger, loaded, objects, prepare, report_of
from unprivileged import bits_count, without_override

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Outcome
from predeploy.run import run

Folder = Callable[[Mapping[str, str]], Path]
COMMANDS = ("run", "plan", "verify", "status", "adopt")
EVERY_PART = {
    "migrations/0001_a.sql": "create table users (id int primary key);",
    "schema/a.sql": "create table orders (id int primary key);",
    "fallback/a.sql": "create table if not exists users (id int primary key);",
    "seed/a.sql": "insert into users values (1) on conflict do nothing;",
    "verify/a.sql": "select 'users is missing' where to_regclass('users') is null",
}
PARTS = tuple(path.split("/")[0] for path in EVERY_PART)


# what cannot be read


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_may_not_be_listed_ends_every_command(
    database: Database, folder: Folder, part: str
) -> None:
    """65 with path and reason, and nothing is written: nobody knows what is declared there."""
    root = folder(EVERY_PART)
    (root / part).chmod(0)

    with bits_count():
        ended = [command(name, environ=environ(database, root)) for name in COMMANDS]

    told = f"{part}: cannot be read: Permission denied"
    assert [done.exit_code for done in ended] == [ExitCode.BAD_SOURCES] * len(COMMANDS)
    assert [done.report["problems"] for done in ended] == [[told]] * len(COMMANDS)
    assert (objects(database), has_ledger(database)) == (set(), False)


def test_an_image_that_lost_its_rights_is_not_told_to_be_ahead(
    database: Database, folder: Folder
) -> None:
    """The database has 0001; the image brings 0002, in a folder that its user may not list."""
    first = {"migrations/0001_a.sql": "create table a (id int);"}
    prepare(environ(database, folder(first)))
    root = folder(first | {"migrations/0002_b.sql": "create table b (id int);"})
    (root / "migrations").chmod(0)

    with bits_count():
        ended = [command(name, environ=environ(database, root)) for name in ("run", "verify")]

    assert [done.exit_code for done in ended] == [ExitCode.BAD_SOURCES] * 2
    assert objects(database) == {"a"}


def test_a_settled_database_does_not_settle_what_cannot_be_read(
    database: Database, folder: Folder
) -> None:
    """A run that was good yesterday says nothing about a folder that is unreadable today."""
    root = folder(EVERY_PART)
    settings = environ(database, root)
    prepare(settings)
    (root / "verify/a.sql").chmod(0)

    with bits_count():
        done = command("run", environ=settings)

    assert done.exit_code is ExitCode.BAD_SOURCES
    assert done.report["problems"] == ["verify/a.sql: cannot be read: Permission denied"]


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444])
def test_the_whole_folder_may_be_unreadable(database: Database, folder: Folder, mode: int) -> None:
    """A process of its own ends with 65 and a report, and without a traceback."""
    root = folder(EVERY_PART)
    root.chmod(mode)

    done = subprocess.run(
        [*without_override(), sys.executable, "-m", "predeploy", "run"],
        env=job_environ(environ(database, root)),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )

    assert (done.returncode, done.stderr) == (65, "")
    assert "cannot be read: Permission denied" in report_of(done)["message"]


def test_settings_are_told_before_an_unreadable_folder(folder: Folder) -> None:
    """Both are wrong: 78 first, with all that is wrong about the settings."""
    root = folder(EVERY_PART)
    root.chmod(0)

    with bits_count():
        done = command("run", environ={"PREDEPLOY_SQL_DIR": str(root), "PREDEPLOY_DEADLINE": "x"})

    assert done.exit_code is ExitCode.CONFIG


def test_a_folder_that_is_swapped_behind_its_reading_is_not_settled(
    database: Database, tmp_path: Path
) -> None:
    """What a run has read is what it settles: the next one looks at the new state, and refuses it.

    kubelet swaps a ConfigMap while a run is under way; the new state has a longer 0001.
    """
    parts = tmp_path / "migrations"
    old, new = "create table t (a int);", "create table t (a int);\ncreate table u (a int);"
    for state, text in (("..old", old), ("..new", new)):
        (parts / state).mkdir(parents=True)
        (parts / state / "0001_t.sql").write_text(text)
    (parts / "..data").symlink_to("..old")
    (parts / "0001_t.sql").symlink_to("..data/0001_t.sql")
    settings = environ(database, tmp_path)

    read = loaded(settings)
    (parts / "..next").symlink_to("..new")
    (parts / "..next").rename(parts / "..data")
    during, after = run(*read), command("run", environ=settings)

    assert (during.outcome, objects(database)) == (Outcome.OK, {"t"})
    assert after.exit_code is ExitCode.BAD_SOURCES
    assert "0001_t.sql" in after.report["message"]


# what nothing runs


def test_a_config_map_whose_files_lie_flat_is_refused(database: Database, folder: Folder) -> None:
    """It has no folders: only schema.sql would be read, and the rest be passed over."""
    root = folder(
        {
            "001_init.sql": "create table t (id int); create table audit (id int);",
            "002_data.sql": "insert into t values (1);",
            "schema.sql": "create table t (id int);",
        }
    )

    done = command("run", environ=environ(database, root))

    where = "is not read; put it into migrations/, or move it out of the SQL folder"
    assert done.exit_code is ExitCode.BAD_SOURCES
    assert done.report["problems"] == [f"001_init.sql {where}", f"002_data.sql {where}"]
    assert objects(database) == set()


def test_files_beside_their_folders_are_refused(database: Database, folder: Folder) -> None:
    """A migration, a seed and a check one folder too high: each is named with its place."""
    root = folder(
        {
            "migrations/001_t.sql": "create table t (id int);",
            "002_u.sql": "create table u (id int);",
            "verify.sql": "select 'offending' as what",
            "seed.sql": "insert into t values (1);",
        }
    )

    done = command("run", environ=environ(database, root))

    assert done.exit_code is ExitCode.BAD_SOURCES
    assert [problem.split(", or")[0] for problem in done.report["problems"]] == [
        "002_u.sql is not read; put it into migrations/",
        "seed.sql is not read; put it into seed/",
        "verify.sql is not read; put it into verify/",
    ]
    assert objects(database) == set()


@pytest.mark.parametrize("beside", [{}, {"schema.sql": "create table t (id int);"}])
@pytest.mark.parametrize("file", ["", "0001_a.ddl", "ab12_a.py"])
def test_migrations_without_a_migration_end_every_command(
    database: Database, folder: Folder, file: str, beside: Mapping[str, str]
) -> None:
    """66 for `-v ./migratoins:/sql/migrations`, and what is there instead is named."""
    root = folder(beside)
    (root / "migrations").mkdir(parents=True)
    if file:
        (root / "migrations" / file).write_text("create table a (i int);")

    ended = [command(name, environ=environ(database, root)) for name in COMMANDS]

    assert [done.exit_code for done in ended] == [ExitCode.NO_INPUT] * len(COMMANDS)
    told = f"migrations/ in the SQL folder {root} "
    told += f"holds nothing to run, only migrations/{file};" if file else "is empty;"
    assert [done.report["problems"][0].startswith(told) for done in ended] == [True] * len(COMMANDS)
    assert (objects(database), has_ledger(database)) == (set(), False)


def test_a_team_that_gave_migrations_up_removes_the_folder(
    database: Database, folder: Folder
) -> None:
    """Then schema.sql syncs alone."""
    done = command(
        "run", environ=environ(database, folder({"schema.sql": "create table t (id int);"}))
    )

    assert (done.exit_code, objects(database)) == (ExitCode.OK, {"t"})


@pytest.mark.parametrize("declared", ["", "# nothing yet\n", '[settings]\non_drift = "warn"\n'])
def test_a_folder_that_declares_nothing_is_no_input(
    database: Database, folder: Folder, declared: str
) -> None:
    """Neither settings nor fallbacks are anything that could be verified."""
    files = {"predeploy.toml": declared, "fallback/a.sql": "create table if not exists a (i int);"}

    done = command("run", environ=environ(database, folder(files)))

    assert done.exit_code is ExitCode.NO_INPUT
    assert "declares nothing that could be run or verified" in done.report["message"]
    assert not has_ledger(database)


def test_a_folder_that_only_names_critical_tables_is_verified(
    database: Database, folder: Folder
) -> None:
    """Another job makes them; this one gates."""
    settings = environ(database, folder({"predeploy.toml": '[critical]\nt = ["id"]\n'}))

    without = command("run", environ=settings)
    database.execute("create table t (id int)")
    with_it = command("run", environ=settings)

    assert (without.exit_code, with_it.exit_code) == (ExitCode.NOT_VERIFIED, ExitCode.OK)


def test_a_mount_that_leads_nowhere_is_not_passed_over(database: Database, tmp_path: Path) -> None:
    """A link to a folder that was not mounted is 66, with the path that was asked for."""
    (tmp_path / "sql").symlink_to("nowhere")

    done = command("run", environ=environ(database, tmp_path / "sql"))

    assert done.exit_code is ExitCode.NO_INPUT
    assert os.fspath(tmp_path / "sql") in done.report["message"]
