"""`predeploy new NAME`: the next migration in the folder's own format."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import run_job
from foreign_folders import (
    atlas_files,
    dbmate_files,
    drizzle_files,
    flyway_files,
    goose_files,
    pairs,
    prisma_files,
)

from predeploy.sources import read_folder, sources_of

Folder = Callable[[Mapping[str, str]], Path]
LATER = {"29990101000000_a": "select 1;"}
NEXT = "29990101000001_add_email"


def made(root: Path, name: str) -> list[str]:
    """Make a migration; return the paths of the files, relative to the folder."""
    done = run_job("new", name, environ={"PREDEPLOY_SQL_DIR": str(root)})
    assert done.returncode == 0, done.stdout
    return [str(Path(line).relative_to(root)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"migrations/0041_a.sql": ""}, ["migrations/0042_add_email.sql"]),
        ({"migrations/9_a.sql": "", "migrations/10_b.sql": ""}, ["migrations/11_add_email.sql"]),
        ({"0009_a.sql": ""}, ["0010_add_email.sql"]),
        ({"migrations/README.md": ""}, ["migrations/0001_add_email.sql"]),
        ({"migrations/29990101000000_a.sql": ""}, [f"migrations/{NEXT}.sql"]),
        (flyway_files({"7_a": "select 1;"}), ["migrations/V8__add_email.sql"]),
        (prisma_files(LATER), [f"migrations/{NEXT}/migration.sql"]),
        (goose_files(LATER), [f"migrations/{NEXT}.sql"]),
        (dbmate_files(LATER), [f"migrations/{NEXT}.sql"]),
        (pairs(LATER), [f"migrations/{NEXT}.up.sql", f"migrations/{NEXT}.down.sql"]),
    ],
)
def test_the_next_file_is_as_those_before_it(
    files: Mapping[str, str], expected: list[str], folder: Folder
) -> None:
    """Numbers go on, a time is never before the last one; and the folder can be read with it."""
    root = folder(files)

    assert made(root, "Add email!") == expected
    names = {script.path for script in sources_of(read_folder(root)).migrations}
    assert expected[0] in names


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (drizzle_files(LATER), "run `drizzle-kit generate --custom --name add_email`"),
        (atlas_files(LATER), "run `atlas migrate new add_email`"),
    ],
)
def test_what_only_the_tool_can_make_names_its_command(
    files: Mapping[str, str], command: str, folder: Folder
) -> None:
    """A snapshot or a sum belongs to the file."""
    done = run_job("new", "add email", environ={"PREDEPLOY_SQL_DIR": str(folder(files))})

    assert done.returncode == 65
    assert command in done.stdout


@pytest.mark.parametrize(
    ("name", "code", "problem"), [("…", 65, "has no letter or digit"), ("a", 66, "does not exist")]
)
def test_nothing_is_made_without_a_name_or_a_folder(
    name: str, code: int, problem: str, tmp_path: Path
) -> None:
    """And it says why."""
    root = tmp_path / "sql"
    if code == 65:
        root.mkdir()

    done = run_job("new", name, environ={"PREDEPLOY_SQL_DIR": str(root)})

    assert done.returncode == code
    assert problem in done.stdout
