"""A database that is ahead of the folder: a rollback, an old replica, two versions at once."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import ADMIN, Database, run_job
from production import (
    ADMIN_BY_HASH,
    SHIPPED_SEED,
    USERS_TABLE,
    applied,
    catalog,
    codes_of,
    contents,
    environ,
    jobs,
    ledger,
    prepare,
    report_of,
    whole_files,
)

Folder = Callable[[Mapping[str, str]], Path]

OLD = {
    "migrations/1_users.sql": USERS_TABLE,
    "migrations/2_posts.sql": "create table posts (id integer, user_id integer references users);",
    "seed/admin.sql": SHIPPED_SEED,
}
NEW = {
    **OLD,
    "migrations/3_title.sql": "alter table posts add column title text;",
    "migrations/4_tags.sql": "create table tags (post integer); insert into tags values (1);",
}
ROUNDS = 3


@pytest.fixture
def old_folder(shipped_copy: Path) -> Path:
    """The shipped folder before its two newest migrations were written."""
    for path in sorted((shipped_copy / "migrations").iterdir())[-2:]:
        path.unlink()
    return shipped_copy


def told(report: Mapping[str, Any], code: str) -> str:
    """Return what the report says with this code."""
    (message,) = [f["message"] for f in report["findings"] if f["code"] == code]
    return str(message)


def newer(database: Database) -> list[tuple[str, int, bool]]:
    """Return the ledger's rows for the two files that the old folder lacks."""
    return [row for row in applied(database) if row[0] >= "0017"]


def test_an_older_image_changes_nothing(thekeyn: Database, old_folder: Path) -> None:
    """On a newer database an old folder ends with 0 and `ahead`, without DDL or a row written."""
    before = catalog(thekeyn), contents(thekeyn), ledger(thekeyn)
    other_admin = {**ADMIN, "ADMIN_USERNAME": "somebody", "ADMIN_EMAIL": "some@body.example"}

    done = run_job("run", environ=environ(thekeyn, old_folder, **other_admin))

    report = report_of(done)
    assert (done.returncode, report["outcome"]) == (0, "ahead")
    assert codes_of(report) == []
    assert "0018_missing_foreign_keys.sql" in told(report, "ahead")
    assert (catalog(thekeyn), contents(thekeyn), ledger(thekeyn)) == before
    assert len(newer(thekeyn)) == 2


def test_ahead_is_never_settled(thekeyn: Database, old_folder: Path) -> None:
    """Each run of an old image looks again, and the newer image's settled state stays as it is."""
    newer_image, older_image = environ(thekeyn, **ADMIN), environ(thekeyn, old_folder, **ADMIN)

    outcomes = [
        report_of(run_job("run", environ=image, check=0))["outcome"]
        for image in (newer_image, older_image, older_image, newer_image)
    ]

    assert outcomes == ["ok", "ahead", "ahead", "settled"]


def test_a_critical_column_is_missed_ahead_too(thekeyn: Database, old_folder: Path) -> None:
    """What the old app declares is a gate on a newer database as well, whichever file says so."""
    thekeyn.execute("alter table works drop column file_url")
    before = catalog(thekeyn), contents(thekeyn), ledger(thekeyn)

    done = run_job("run", environ=environ(thekeyn, old_folder, **ADMIN))

    report = report_of(done)
    errors = [f["message"] for f in report["findings"] if f["level"] == "error"]
    assert (done.returncode, report["outcome"]) == (82, "failed")
    assert errors == [
        "column public.works.file_url is missing",
        "column public.works.file_url is not there as schema.sql declares it",
    ]
    assert "a newer version has taken it away" in report["message"]
    assert (catalog(thekeyn), contents(thekeyn), ledger(thekeyn)) == before


@pytest.mark.parametrize(
    ("check", "code"),
    [("select 1 as offending", "check-failed"), ("select nothing_such", "check-broken")],
)
def test_an_old_check_only_warns_ahead(
    thekeyn: Database, old_folder: Path, check: str, code: str
) -> None:
    """A check of the old folder that fails on a newer database is a warning, no gate."""
    (old_folder / "verify" / "odd.sql").write_text(check)

    done = run_job("run", environ=environ(thekeyn, old_folder, **ADMIN))

    report = report_of(done)
    assert (done.returncode, report["outcome"]) == (0, "ahead")
    assert codes_of(report) == [("warn", code)]


def test_pruned_history_is_not_ahead(thekeyn: Database, shipped_copy: Path) -> None:
    """A folder that lacks the oldest files only is up to date: `ok`, then settled."""
    for path in sorted((shipped_copy / "migrations").iterdir())[:3]:
        path.unlink()
    before = catalog(thekeyn), contents(thekeyn), ledger(thekeyn)["migration"]
    settings = environ(thekeyn, shipped_copy, **ADMIN)

    first, second = (report_of(run_job("run", environ=settings, check=0)) for _ in range(2))

    assert (first["outcome"], codes_of(first)) == ("ok", [])
    assert "0001_accounts.sql" in told(first, "not-in-folder")
    assert second["outcome"] == "settled"
    assert (catalog(thekeyn), contents(thekeyn), ledger(thekeyn)["migration"]) == before


def test_a_folder_with_a_hole_has_diverged(thekeyn: Database, shipped_copy: Path) -> None:
    """A folder that lacks a file in the middle is no older version: it warns, and seeds."""
    (shipped_copy / "migrations" / "0009_marketplace.sql").unlink()
    thekeyn.execute("delete from users")

    done = run_job("run", environ=environ(thekeyn, shipped_copy, **ADMIN))

    report = report_of(done)
    assert (done.returncode, report["outcome"]) == (0, "ok")
    assert codes_of(report) == [("warn", "diverged")]
    assert "0009_marketplace.sql" in told(report, "diverged")
    assert len(contents(thekeyn)["public.users"]) == 1


def test_a_rollback_and_the_way_forward(database: Database, folder: Folder) -> None:
    """New, old, newer: the old image leaves the schema alone, and the next one goes on from it."""
    prepare(environ(database, folder(NEW), **ADMIN_BY_HASH))
    prepare(environ(database, folder(OLD), **ADMIN_BY_HASH))
    before = contents(database)
    newest = {**NEW, "migrations/5_note.sql": "alter table tags add column note text;"}

    done = run_job("run", environ=environ(database, folder(newest), **ADMIN_BY_HASH))

    assert (done.returncode, report_of(done)["outcome"]) == (0, "ok")
    assert whole_files(database) == [
        "1_users.sql",
        "2_posts.sql",
        "3_title.sql",
        "4_tags.sql",
        "5_note.sql",
    ]
    assert contents(database) == {**before, "public.tags": [{"post": 1, "note": None}]}


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")], ids="-then-".join)
def test_two_versions_may_start_together(
    make_database: Callable[..., Database], folder: Folder, tmp_path: Path, order: tuple[str, str]
) -> None:
    """An old and a new version that start at once both end with 0, on the newer schema."""
    folders = {
        name: shutil.copytree(folder(files), tmp_path / name)
        for name, files in (("old", OLD), ("new", NEW))
    }

    for _ in range(ROUNDS):
        database = make_database()
        environs = [environ(database, folders[name], **ADMIN_BY_HASH) for name in order]
        with jobs(*environs) as processes:
            output = [process.communicate(timeout=60)[0] for process in processes]

        assert [process.returncode for process in processes] == [0, 0], output
        assert whole_files(database) == [
            "1_users.sql",
            "2_posts.sql",
            "3_title.sql",
            "4_tags.sql",
        ]
        assert {name: len(rows) for name, rows in contents(database).items()} == {
            "public.posts": 0,
            "public.tags": 1,
            "public.users": 1,
        }
