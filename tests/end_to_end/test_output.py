"""What a job says: lines that platforms can read, a report that is always there, and no secret."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import ADMIN, SQL, Database, job_environ
from conftest import run_cold_job as run_job
from conftest import start_cold_job as start_job

from predeploy import __version__
from predeploy.contract.exit_codes import ExitCode
from predeploy.embedded import Server

ONE_MIGRATION = {"migrations/0001_notes.sql": "create table notes (id int);"}
USERS = "create table users (id serial, username text, email text, password_hash text);"
SEED = """
select from users where username = %(admin_username)s;
insert into users (username, email, password_hash)
values (%(admin_username)s, %(admin_email)s, %(admin_password_hash)s);
"""
A_HASH = r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}"
LONG = 300
LIMIT_BYTES = 4096

Folder = Callable[[Mapping[str, str]], Path]


def lines(stdout: str) -> list[dict[str, Any]]:
    """Every line of a job's output, read as JSON."""
    return [json.loads(line) for line in stdout.splitlines()]


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition, which has to come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


def environ(database: Database, sql: Path, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(sql), **more}


# lines


@pytest.mark.parametrize(
    ("exit_code", "sql", "settings"),
    [
        pytest.param(0, SQL, ADMIN, id="applied"),
        pytest.param(0, ONE_MIGRATION, {"PREDEPLOY_LOG_LEVEL": "debug"}, id="debug"),
        pytest.param(66, {}, {}, id="no folder"),
        pytest.param(78, ONE_MIGRATION, {"PREDEPLOY_DEADLINE": "soon"}, id="wrong settings"),
        pytest.param(80, {"migrations/1_a.sql": "select 1 / 0"}, {}, id="failed"),
        pytest.param(82, {"verify/a.sql": "select 1"}, {}, id="not verified"),
    ],
)
def test_every_line_is_an_object_and_the_last_one_is_the_report(
    exit_code: int,
    sql: Path | dict[str, str],
    settings: dict[str, str],
    database: Database,
    folder: Folder,
) -> None:
    """However a run ends, stdout holds only JSON lines, and stderr nothing."""
    chosen = folder(sql) if isinstance(sql, dict) else sql

    done = run_job(environ=environ(database, chosen, **settings))

    printed = lines(done.stdout)
    assert done.stderr == ""
    assert {type(line["message"]) for line in printed} == {str}
    assert {line["level"] for line in printed} <= {"debug", "info", "warn", "error"}
    assert [line.get("event") for line in printed[:-1]] == [None] * (len(printed) - 1)
    assert (printed[-1]["event"], printed[-1]["exit_code"]) == ("report", exit_code)
    assert done.returncode == exit_code


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["run", "now"], ["verify", "--wait", "soon"], ["explain", "79"]]
)
def test_wrong_arguments_are_reported_like_everything_else(arguments: list[str]) -> None:
    """A typo ends with 64, a report, and nothing on stderr."""
    done = run_job(*arguments, environ={})

    (report,) = lines(done.stdout)
    assert (done.returncode, done.stderr) == (64, "")
    assert (report["event"], report["exit_code"], report["exit_name"]) == ("report", 64, "usage")
    assert "predeploy --help" in report["message"]


def test_an_exit_code_is_explained() -> None:
    """`explain 80` says what 80 means and what to do."""
    done = run_job("explain", "80", environ={})

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f" 80 failed: {ExitCode.FAILED.explanation}\n"


@pytest.mark.parametrize("name", ["foreign-key-validated", "adding-foreign-key-constraint"])
def test_a_rule_is_explained_by_any_of_its_names(name: str) -> None:
    """With its lock and its examples; another linter's name for it does as well."""
    told = run_job("explain", name, environ={}, check=0).stdout

    assert told.startswith("foreign-key-validated (warning): writes to both tables stand still")
    assert "lock: SHARE ROW EXCLUSIVE; writes to both tables wait" in told
    assert "NOT VALID;" in told


def test_all_exit_codes_are_explained() -> None:
    """`explain` alone is the whole contract, one line a code."""
    done = run_job("explain", environ={})

    explained = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert (done.returncode, explained) == (0, [int(code) for code in ExitCode])


def test_the_version_is_printed() -> None:
    """`--version` prints it and does nothing else."""
    done = run_job("--version", environ={})

    assert (done.returncode, done.stdout, done.stderr) == (0, f"predeploy {__version__}\n", "")


# the report's other places


def test_the_report_goes_to_a_file_as_well(
    database: Database, folder: Folder, tmp_path: Path
) -> None:
    """PREDEPLOY_REPORT gets the last line's JSON, instead of what was there."""
    path = tmp_path / "report.json"
    path.write_text("an old report, which is longer than the new one" * 100)
    settings = environ(database, folder(ONE_MIGRATION), PREDEPLOY_REPORT=str(path))

    done = run_job(environ=settings, check=0)

    assert json.loads(path.read_text()) == lines(done.stdout)[-1]


@pytest.mark.parametrize(
    ("exit_code", "settings"),
    [
        pytest.param(66, {"PREDEPLOY_SQL_DIR": "/nowhere"}, id="no folder"),
        pytest.param(78, {"DATABASE_URL": ""}, id="no address"),
        pytest.param(78, {"PREDEPLOY_DEADLINE": "soon"}, id="wrong settings"),
    ],
)
def test_the_report_goes_to_the_file_when_the_job_cannot_even_begin(
    exit_code: int, settings: dict[str, str], database: Database, folder: Folder, tmp_path: Path
) -> None:
    """Whoever waits for the file finds it after every end."""
    path = tmp_path / "report.json"
    chosen = environ(database, folder(ONE_MIGRATION), PREDEPLOY_REPORT=str(path))

    done = run_job(environ=chosen | settings)

    assert done.returncode == exit_code
    assert path.exists()
    assert json.loads(path.read_text()) == lines(done.stdout)[-1]


def test_the_report_goes_to_the_file_when_the_arguments_are_wrong(tmp_path: Path) -> None:
    """A typo in the command is reported in the file, too."""
    path = tmp_path / "report.json"

    done = run_job("frobnicate", environ={"PREDEPLOY_REPORT": str(path)})

    assert done.returncode == 64
    assert path.exists()
    assert json.loads(path.read_text()) == lines(done.stdout)[-1]


def test_a_summary_is_appended_for_github(
    database: Database, folder: Folder, tmp_path: Path
) -> None:
    """GITHUB_STEP_SUMMARY gets Markdown behind what other steps have written."""
    path = tmp_path / "summary.md"
    path.write_text("# before\n\n")
    settings = environ(database, folder(ONE_MIGRATION), GITHUB_STEP_SUMMARY=str(path))

    run_job(environ=settings, check=0)

    written = path.read_text().splitlines()
    assert written[:5] == [
        "# before",
        "",
        "### ✅ predeploy run",
        "",
        "ok: 1 step applied, verified",
    ]
    assert "| migrate | 1 | 0 | ok |" in written


@pytest.mark.parametrize("variable", ["PREDEPLOY_REPORT", "GITHUB_STEP_SUMMARY"])
@pytest.mark.parametrize("path", ["missing/report", "."])
def test_a_place_that_cannot_be_written_is_only_a_warning(
    variable: str, path: str, database: Database, folder: Folder, tmp_path: Path
) -> None:
    """A report that cannot be stored changes nothing about how the job ended."""
    target = tmp_path / path
    settings = environ(database, folder(ONE_MIGRATION), **{variable: str(target)})

    done = run_job(environ=settings)

    printed = lines(done.stdout)
    warned = [
        line for line in printed if line["level"] == "warn" and str(target) in line["message"]
    ]
    assert (done.returncode, done.stderr) == (0, "")
    assert len(warned) == 1
    assert (printed[-1]["event"], printed[-1]["exit_code"]) == ("report", 0)


# its size


def critical_tables() -> dict[str, str]:
    """Declare hundreds of tables that no migration makes, with the longest names there are."""
    names = "".join(f'{"t" * 55}_{n:03} = ["id"]\n' for n in range(LONG))
    return {**ONE_MIGRATION, "predeploy.toml": f"[critical]\n{names}"}


def wide_failure() -> dict[str, str]:
    """Raise an error with the longest texts in all of its fields, four bytes a character."""
    texts = ", ".join(f"{name} = repeat('🔥', 5000)" for name in ("detail", "hint"))
    comment = "🔥" * 5000
    body = f"do $$ begin /* {comment} */ raise exception using message = repeat('🔥', 5000), "
    return {"migrations/0001_wide.sql": f"{body}{texts}; end $$;"}


def unknown_settings() -> dict[str, str]:
    return {f"PREDEPLOY_{'X' * 50}_{n}": "1" for n in range(LONG)}


@pytest.mark.parametrize(
    ("exit_code", "sql", "settings"),
    [
        pytest.param(82, critical_tables(), {}, id="findings"),
        pytest.param(80, wide_failure(), {}, id="failure"),
        pytest.param(78, ONE_MIGRATION, unknown_settings(), id="problems"),
    ],
)
def test_the_report_fits_into_4096_bytes(
    exit_code: int,
    sql: dict[str, str],
    settings: dict[str, str],
    database: Database,
    folder: Folder,
) -> None:
    """Kubernetes cuts a termination message at 4096 bytes; the report is cut by us, as JSON."""
    done = run_job(environ=environ(database, folder(sql), **settings))

    last = done.stdout.splitlines()[-1]
    report = json.loads(last)
    assert done.returncode == exit_code
    assert (report["event"], report["exit_code"]) == ("report", exit_code)
    assert len(last.encode()) <= LIMIT_BYTES


def test_findings_that_do_not_fit_are_counted(database: Database, folder: Folder) -> None:
    """What is left out of a report is not left out in silence."""
    done = run_job(environ=environ(database, folder(critical_tables())))

    report = lines(done.stdout)[-1]
    assert len(report["findings"]) > 0
    assert len(report["findings"]) + report["findings_left_out"] == LONG


# failures


def test_a_failed_statement_is_reported_with_its_place(database: Database, folder: Folder) -> None:
    """The report says file, line and column, the server's code and words, and the statement."""
    broken = "create table a (id int);\n\n  alter table a\n    drop constraint k;\n"
    sql = folder({**ONE_MIGRATION, "migrations/0002_broken.sql": broken})

    done = run_job(environ=environ(database, sql))

    report = lines(done.stdout)[-1]
    failure = {key: value for key, value in report["failure"].items() if key != "next"}
    assert done.returncode == 80
    assert failure == {
        "file": "migrations/0002_broken.sql",
        "line": 3,
        "column": 3,
        "sqlstate": "42704",
        "message": 'constraint "k" of relation "a" does not exist',
        "statement": "alter table a drop constraint k",
    }
    assert report["message"].startswith(
        "failed (80): migrations/0002_broken.sql:3:3 42704 constraint "
        '"k" of relation "a" does not exist; nothing of that step remains'
    )
    assert database.rows("select file from predeploy.migration") == [("0001_notes.sql",)]


def test_a_servers_position_is_the_files(database: Database, folder: Folder) -> None:
    """Where the server points at a character, line and column are the file's own."""
    broken = "-- ümlaut\nselect 1;\nselect\n  'ä', nowhere;\n"

    done = run_job(environ=environ(database, folder({"migrations/0001_broken.sql": broken})))

    failure = lines(done.stdout)[-1]["failure"]
    assert (failure["line"], failure["column"], failure["sqlstate"]) == (4, 8, "42703")


def test_a_failure_inside_a_block_tells_the_line_there(database: Database, folder: Folder) -> None:
    """A long DO block is one statement; the detail says which line of it has failed."""
    broken = "do $$\nbegin\n  perform 1;\n  perform 1 / 0;\nend $$;\n"

    done = run_job(environ=environ(database, folder({"migrations/0001_broken.sql": broken})))

    failure = lines(done.stdout)[-1]["failure"]
    assert (failure["line"], failure["sqlstate"]) == (1, "22012")
    assert "PL/pgSQL function inline_code_block line 4 at PERFORM" in failure["detail"]


# secrets


def everything(database: Database, stdout: str, *paths: Path) -> str:
    """All that a run has put down anywhere but in the users' table."""
    (stored,) = database.rows("select string_agg(r::text, '') from predeploy.run r")[0]
    return "".join([stdout, stored, *(path.read_text() for path in paths)])


@pytest.mark.parametrize(
    "constraint",
    [
        pytest.param(
            "alter table users add check (password_hash not like '$2%');", id="a check of the hash"
        ),
        pytest.param(
            "alter table users alter password_hash type int using 1;", id="a hash is no number"
        ),
        pytest.param(
            """create function refuse() returns trigger language plpgsql as $$
            begin raise exception 'no % here', new.password_hash; end $$;
            create trigger refuse before insert on users
            for each row execute function refuse();""",
            id="a trigger that tells",
        ),
    ],
)
def test_a_seed_that_fails_tells_neither_password_nor_hash(
    constraint: str, database: Database, folder: Folder, tmp_path: Path
) -> None:
    """The server may quote the row it refuses; nothing of it gets out, or into the ledger."""
    sql = folder({"migrations/0001_users.sql": f"{USERS}\n{constraint}", "seed/admin.sql": SEED})
    written = {"PREDEPLOY_REPORT": "report.json", "GITHUB_STEP_SUMMARY": "summary.md"}
    paths = {name: str(tmp_path / path) for name, path in written.items()}

    done = run_job(environ=environ(database, sql, **ADMIN, **paths))

    told = everything(database, done.stdout + done.stderr, *map(Path, paths.values()))
    failure = lines(done.stdout)[-1]["failure"]
    assert done.returncode == 83
    assert (failure["file"], failure["line"], failure["column"]) == ("seed/admin.sql", 3, 1)
    assert ADMIN["ADMIN_PASSWORD"] not in told
    assert re.findall(A_HASH, told) == []


def test_a_seed_that_is_written_tells_neither_password_nor_hash(
    database: Database, folder: Folder
) -> None:
    """The hash is in the users' table, made from the password, and nowhere else."""
    sql = folder({"migrations/0001_users.sql": USERS, "seed/admin.sql": SEED})

    done = run_job(environ=environ(database, sql, **ADMIN, PREDEPLOY_LOG_LEVEL="debug"), check=0)

    told = everything(database, done.stdout + done.stderr)
    assert re.fullmatch(A_HASH, str(database.value("select password_hash from users")))
    assert ADMIN["ADMIN_PASSWORD"] not in told
    assert re.findall(A_HASH, told) == []


@pytest.mark.parametrize("password", ["message", "{server_version_num}"])
def test_a_password_that_is_an_ordinary_word_breaks_no_line(
    password: str, own_server: Server | None, database: Database, folder: Folder
) -> None:
    """What hides secrets hides them in texts: names and numbers of the report stay as they are."""
    if own_server is None:
        pytest.skip("TEST_DATABASE_URL: its server asks for the right password")
    version = int(str(database.value("show server_version_num")))
    login = f"postgres:{password.format(server_version_num=version)}@"
    settings = environ(database, folder(ONE_MIGRATION))
    settings["DATABASE_URL"] = settings["DATABASE_URL"].replace("postgres@", login)

    done = run_job(environ=settings, check=0)

    report = json.loads(done.stdout.splitlines()[-1])
    assert report["message"] == "ok: 1 step applied, verified"
    assert (report["exit_code"], report["server_version"]) == (0, version)


# the demo


def postgres_children(pid: int) -> dict[int, Path]:
    """Return the pid of each server that a process has started, and its data directory."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().decode().split("\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        # `postgres --version` is a child, too, and has no data directory
        if parent == pid and arguments[0].endswith("/postgres") and "-D" in arguments:
            found[int(entry.name)] = Path(arguments[arguments.index("-D") + 1])
    return found


@pytest.mark.dear
def test_the_demo_runs_twice_and_leaves_nothing_behind() -> None:
    """`predeploy demo` fills a server of its own, finds it settled, and takes it away again."""
    found: dict[int, Path] = {}

    with start_job("demo", environ={}) as demo:
        until(lambda: found.update(postgres_children(demo.pid)) or found)
        output, _ = demo.communicate(timeout=120)

    ((pid, data),) = found.items()
    reports = [json.loads(line) for line in output.splitlines() if '"event":"report"' in line]
    assert demo.returncode == 0, output
    assert [(r["command"], r["outcome"], r["exit_code"]) for r in reports] == [
        ("run", "ok", 0),
        ("run", "settled", 0),
    ]
    assert not Path(f"/proc/{pid}").exists()
    assert not data.parent.exists()


# a stdout that cannot be written


@pytest.mark.parametrize(
    ("redirection", "encoding"),
    [
        pytest.param(">/dev/full", "", id="full disk"),
        pytest.param(">&-", "", id="closed"),
        pytest.param("| true", "", id="reader has gone"),
        pytest.param("", "ascii", id="ascii"),
    ],
)
@pytest.mark.parametrize("exit_code", [0, 80])
def test_a_stdout_that_cannot_be_written_changes_nothing(
    redirection: str, encoding: str, exit_code: int, database: Database, folder: Folder
) -> None:
    """The run goes on and ends as it would; its report is where else it is wanted."""
    files = {"migrations/0001_änderung.sql": "create table notes (id int);"}
    if exit_code:
        files["migrations/0002_ß.sql"] = "select 'é', größe from notes;"
    root = folder(files)
    report = root.parent / "report.json"
    given = environ(database, root, PREDEPLOY_REPORT=str(report), PYTHONIOENCODING=encoding)

    done = subprocess.run(
        [
            *("bash", "-c"),
            f'"{sys.executable}" -m predeploy run {redirection}; exit "${{PIPESTATUS[0]}}"',
        ],
        env=job_environ(given), capture_output=True, check=False, timeout=60, cwd="/",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (exit_code, b"")
    assert json.loads(report.read_text(encoding="utf-8"))["exit_code"] == exit_code
    assert database.value("select count(*) from notes") == 0
