"""What is in an app's way is said by every report, for as long as it is there."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import report_of, said

CODE = "extra-column-not-null"
MEMBER = "create table member (id integer generated always as identity primary key"
NAMED = f"{MEMBER}, name text not null)"
FILLED = """
create function named() returns trigger language plpgsql as $$
begin new.name := 'nobody'; return new; end $$;
create trigger named before insert on member for each row execute function named()
"""

Job = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def job(database: Database, folder: Callable[[Mapping[str, str]], Path]) -> Job:
    """Runs a command on the files of a folder."""

    def run(*arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
        named = {name.replace("__", "/") + ".sql": text for name, text in files.items()}
        root = folder(named)
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
        return run_job(*arguments, environ=environ)

    return run


def levels(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The levels at which a report has the finding; the log has it as often."""
    found = [f["level"] for f in report_of(done)["findings"] if f["code"] == CODE]
    assert [line["level"] for line in said(done)[:-1] if line.get("code") == CODE] == found
    return found


def test_a_column_that_inserts_cannot_leave_out_stops_every_run(
    job: Job, database: Database
) -> None:
    """A column was renamed in the file alone: the app's inserts fail, and no run is green."""
    job("run", schema=f"{NAMED};")
    database.execute("insert into member (name) values ('Ann')")

    runs = [job("run", schema=f"{MEMBER}, full_name text);") for _ in range(2)]

    assert [(done.returncode, levels(done)) for done in runs] == [(82, ["error"])] * 2
    database.execute("alter table member alter name set default ''")
    done = job("run", schema=f"{MEMBER}, full_name text);")
    assert (done.returncode, report_of(done)["outcome"]) == (0, "ok")


def test_a_settled_run_repeats_a_warning(job: Job, database: Database) -> None:
    """A trigger may fill the column, so it is a warning, also where nothing is looked at anew."""
    job("run", schema=f"{NAMED};")
    database.execute(FILLED)

    runs = [job("run", schema=f"{MEMBER});") for _ in range(3)]

    assert [report_of(done)["outcome"] for done in runs] == ["ok", "settled", "settled"]
    assert [levels(done) for done in runs] == [["warn"]] * 3
    assert [f["level"] for f in report_of(job("verify", schema=f"{MEMBER});"))["findings"]] == [
        "warn"
    ]
    database.execute("alter table member drop column name")
    runs = [job("run", schema=f"{MEMBER});") for _ in range(2)]
    assert [report_of(done).get("findings", []) for done in runs] == [[], []]


def test_an_older_app_on_a_newer_database_is_warned(job: Job, database: Database) -> None:
    """What a newer version has made is not the older one's to change: a warning, each time."""
    first = {"migrations__1_member": f"{MEMBER});", "schema": f"{MEMBER});"}
    job("run", **first, migrations__2_name="alter table member add name text not null;")
    database.execute("insert into member (name) values ('Ann')")

    runs = [job("run", **first) for _ in range(2)]

    assert [report_of(done)["outcome"] for done in runs] == ["ahead", "ahead"]
    assert [levels(done) for done in runs] == [["warn"]] * 2
