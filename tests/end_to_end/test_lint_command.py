"""`predeploy lint`: by hand, in CI, before a commit. It needs no database and no setting."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import run_cold_job, run_job
from foreign_folders import goose_files, prisma_files

Folder = Callable[[Mapping[str, str]], Path]

FILES = {
    "migrations/1_users.sql": "create table users (id int primary key, fax text);",
    "migrations/2_index.sql": "create index users_fax on users (fax);",
}
LOSS = {"migrations/3_fax.sql": "alter table users drop column fax;"}


def test_it_tells_what_may_go_wrong_and_what_to_write(folder: Folder) -> None:
    done = run_cold_job("lint", str(folder(FILES)), environ={})

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "migrations/2_index.sql:1:1: warning index-without-concurrently: users",
        "  writes stand still for as long as the index is built (SHARE: writes wait)",
        "  instead:",
        "    CREATE INDEX CONCURRENTLY users_fax ON users (fax);",
        "",
        "2 files looked at: 0 errors, 1 warning, 0 notes",
    ]


@pytest.mark.parametrize(
    ("files", "fail_on", "code"),
    [
        (FILES, (), 0),
        (FILES, ("--fail-on", "warning"), 84),
        (FILES | LOSS, (), 84),
        (FILES | LOSS, ("--fail-on", "never"), 0),
        ({"migrations/1_a.sql": "create table t (a int);"}, ("--fail-on", "note"), 0),
    ],
)
def test_it_fails_for_what_is_bad_enough(
    folder: Folder, files: Mapping[str, str], fail_on: tuple[str, ...], code: int
) -> None:
    environ = {"PREDEPLOY_SQL_DIR": str(folder(files))}

    assert run_job("lint", *fail_on, environ=environ).returncode == code


def test_notes_are_counted_and_told_when_asked_for(folder: Folder) -> None:
    """A note is true of most files: told each time, nobody would read the rest."""
    root = str(folder({"migrations/1_a.sql": "alter type mood add value 'calm';"}))

    quiet = run_job("lint", root, environ={}).stdout
    told = run_job("lint", root, "--notes", environ={}).stdout

    assert quiet == "1 file looked at: 0 errors, 0 warnings, 1 note; --notes shows them\n"
    assert "note enum-value-appended: mood.calm" in told
    assert told.endswith("1 file looked at: 0 errors, 0 warnings, 1 note\n")


def test_json_is_one_document(folder: Folder) -> None:
    done = run_job("lint", str(folder(FILES | LOSS)), "--format", "json", environ={})

    told = json.loads(done.stdout)
    assert told["files"] == 3
    by_rule = {each["rule"]: each for each in told["findings"]}
    assert set(by_rule) == {"index-without-concurrently", "drop-column", "undeclared-loss"}
    assert by_rule["undeclared-loss"]["safe"] == "-- predeploy: allow drop-column users.fax"
    assert by_rule["drop-column"]["path"] == "migrations/3_fax.sql"


def test_sarif_names_places_as_the_repository_does(folder: Folder) -> None:
    """GitHub annotates the lines of a pull request with it."""
    root = folder(FILES | LOSS)

    done = run_job("lint", str(root), "--format", "sarif", environ={})

    log = json.loads(done.stdout)
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    known = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert {result["ruleId"] for result in run["results"]} == set(known)
    (index,) = (r for r in run["results"] if r["ruleId"] == "index-without-concurrently")
    (location,) = index["locations"]
    assert index["level"] == "warning"
    assert "CREATE INDEX CONCURRENTLY users_fax" in index["message"]["text"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": f"{root}/migrations/2_index.sql"},
        "region": {"startLine": 1, "startColumn": 1},
    }


@pytest.mark.parametrize("files", [prisma_files, goose_files])
def test_it_reads_every_tool_s_folder(
    folder: Folder, files: Callable[[Mapping[str, str]], dict[str, str]]
) -> None:
    """A foreign file must not be edited: what it loses is declared in predeploy.toml."""
    texts = {"20240101000000_fax": "alter table users drop column fax;"}

    done = run_job("lint", str(folder(files(texts))), environ={})

    assert done.returncode == 84
    assert 'drop-column users.fax"]' in done.stdout
    assert "under [allow] in predeploy.toml" in done.stdout


def test_it_reads_a_file_with_the_settings_of_its_tool(folder: Folder) -> None:
    files = {"migrations/V1__a.sql": "create index ${name} on t (a);"}

    done = run_job("lint", str(folder(files)), environ={"FLYWAY_PLACEHOLDERS_NAME": "t_a"})

    assert "CREATE INDEX CONCURRENTLY t_a ON t (a);" in done.stdout


def test_since_a_commit_only_what_differs_is_judged(folder: Folder) -> None:
    """Changed, and new ones that git does not know yet."""
    root = folder(FILES)

    def git(*arguments: str) -> None:
        said = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        subprocess.run(["git", *said, *arguments], cwd=root, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    unchanged = run_job("lint", str(root), "--since", "HEAD", environ={})
    (root / "migrations/3_fax.sql").write_text(LOSS["migrations/3_fax.sql"])
    added = run_job("lint", str(root), "--since", "HEAD", environ={})

    assert unchanged.stdout == "0 files looked at: 0 errors, 0 warnings, 0 notes\n"
    assert "2_index.sql" not in added.stdout
    assert "migrations/3_fax.sql:1:1: error undeclared-loss" in added.stdout
    assert added.returncode == 84


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nowhere",), 66, "the SQL folder nowhere does not exist"),
        ((".", "--since", "no-such-commit"), 64, "--since: git says "),
    ],
)
def test_what_it_cannot_look_at_is_no_success(
    tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    (tmp_path / "1_a.sql").write_text("select 1;")
    where = [str(tmp_path) if each == "." else each for each in arguments]

    done = run_job("lint", *where, environ={})

    assert done.returncode == code, done.stdout
    assert told in done.stdout


def test_a_broken_predeploy_toml_is_told(folder: Folder) -> None:
    done = run_job("lint", str(folder({**FILES, "predeploy.toml": "[allow"})), environ={})

    assert done.returncode == 78
    assert "predeploy.toml: line 1 is not valid TOML" in done.stdout
