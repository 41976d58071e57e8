"""The minimal schema, and going on behind a failed migration."""

import json
from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path

import pytest
from conftest import ADMIN, SQL, Database, run_job
from tiers import sampled

FALLBACKS = sorted((SQL / "fallback").glob("*.sql"))
SUBSETS = list(chain.from_iterable(combinations(FALLBACKS, n) for n in range(len(FALLBACKS) + 1)))
CRITICAL = '[critical]\nusers = ["id", "email"]\n'
MINIMAL = "create table if not exists users (id int primary key, email text);"


@pytest.fixture
def run(database: Database, folder: Callable[..., Path]) -> Callable[..., tuple[int, dict]]:
    """Runs the job on a folder; returns exit code and report."""

    def job(settings: dict[str, str] | None = None, **files: str) -> tuple[int, dict]:
        root = folder({"predeploy.toml": CRITICAL, **files})
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root), **(settings or {})}
        done = run_job(environ=environ)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    return job


RESCUE = {"PREDEPLOY_ON_FAILURE": "rescue"}
BROKEN = {
    "migrations/1_users.sql": "create table other (id int default 'none');",
    "migrations/2_more.sql": "create table more ();",
    "fallback/users.sql": MINIMAL,
}


@pytest.mark.parametrize(
    "subset", sampled(SUBSETS, 8), ids=lambda s: "+".join(p.stem for p in s) or "none"
)
def test_a_full_run_goes_through_behind_any_fallback(
    subset: tuple[Path, ...], database: Database
) -> None:
    """Whichever critical tables were made by the fallback: 42 tables, exit 0, settled after."""
    for path in subset:
        database.execute(path.read_text())
    environ = {"DATABASE_URL": database.url, **ADMIN}

    run_job("run", environ=environ, check=0)

    assert database.value("select count(*) from pg_tables where schemaname = 'public'") == 42
    assert database.value("select count(*) from pg_constraint where contype = 'f'") == 61


def test_a_failed_migration_stops_the_run(run: Callable[..., tuple[int, dict]]) -> None:
    """Without the policy nothing is rescued: 80."""
    code, report = run(**BROKEN)

    assert (code, report["outcome"]) == (80, "failed")


def test_rescue_goes_on_with_the_minimal_schema(
    run: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """Exit 0 as `degraded`, and the report names the failure and each file that is missing."""
    code, report = run(RESCUE, **BROKEN)

    assert (code, report["outcome"], report["level"]) == (0, "degraded", "warn")
    assert "migrations/1_users.sql:1:36 22P02" in report["message"]
    missing = {f["message"] for f in report["findings"] if f["code"] == "not-applied"}
    assert missing == {
        "migrations/1_users.sql has not been applied",
        "migrations/2_more.sql has not been applied",
    }
    assert database.value("select to_regclass('users') is not null")


def test_a_degraded_database_is_never_settled(
    run: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """The next run tries the migrations again, and ends well when they are fixed."""
    run(RESCUE, **BROKEN)
    code, report = run(RESCUE, **BROKEN)
    assert (code, report["outcome"]) == (0, "degraded")
    assert database.rows("select * from predeploy.state") == []
    fixed = BROKEN | {
        "migrations/1_users.sql": "create table if not exists users (id int, email text);"
    }

    code, report = run(RESCUE, **fixed)

    assert (code, report["outcome"]) == (0, "ok")


def test_rescue_does_not_pass_what_does_not_verify(run: Callable[..., tuple[int, dict]]) -> None:
    """Without a fallback for the critical table the gate stays shut: 82."""
    files = {name: text for name, text in BROKEN.items() if "fallback" not in name}

    code, report = run(RESCUE, **files)

    assert code == 82
    assert "table public.users is missing" in report["message"]


def test_rescue_leaves_what_may_pass_to_another_try(
    run: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """75, not a degraded 0 behind which nobody would try again; then the same folder is applied."""
    first = {"migrations/1_users.sql": MINIMAL, "fallback/users.sql": MINIMAL}
    assert run(RESCUE, **first)[0] == 0
    files = {**first, "migrations/2_age.sql": "alter table users add column age int;"}
    with database.connect() as reader:
        reader.execute("begin; select from users")
        limits = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "1s", "PREDEPLOY_DDL_BUDGET": "1s"}
        code, report = run(RESCUE | limits, **files)
        pid = reader.info.backend_pid

    assert (code, report["outcome"], report["retryable"]) == (75, "failed", True)
    assert f"blocked by pid {pid} " in report["message"]
    assert run(RESCUE, **files)[0] == 0
    assert database.value("select count(*) from predeploy.migration where is_done") == 2


def test_rescue_goes_on_behind_what_was_refused(
    run: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """An undeclared loss was rolled back, so nothing is lost: degraded, and it is named."""
    first = {"migrations/1_users.sql": f"{MINIMAL} insert into users values (1, 'a@b');"}
    assert run(RESCUE, **first)[0] == 0

    code, report = run(RESCUE, **first, **{"migrations/2_gone.sql": "delete from users;"})

    assert (code, report["outcome"], report["level"]) == (0, "degraded", "warn")
    assert "would lose what its file does not declare" in report["message"]
    assert database.rows("select id from users") == [(1,)]


def test_rescue_does_not_excuse_a_bad_folder(run: Callable[..., tuple[int, dict]]) -> None:
    """What the plan refuses was never tried: 65."""
    code, _ = run(RESCUE, **BROKEN, **{"migrations/3_c.sql": "rollback;"})

    assert code == 65


def test_the_fallback_makes_what_no_migration_makes(run: Callable[..., tuple[int, dict]]) -> None:
    """Migrations that went well but left a critical table out: degraded, and said loudly."""
    code, report = run(
        **{"migrations/1_a.sql": "create table other ();", "fallback/users.sql": MINIMAL}
    )

    assert (code, report["outcome"]) == (0, "degraded")
    assert "public.users missing after the migrations" in report["message"]


def test_the_fallback_is_left_alone_when_nothing_is_missing(
    run: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """It is no second migrations folder."""
    code, report = run(
        **{
            "migrations/1_a.sql": "create table users (id int, email text);",
            "fallback/users.sql": "create table if not exists never ();",
        }
    )

    assert (code, report["outcome"]) == (0, "ok")
    assert database.value("select to_regclass('never') is null")


def test_a_fallback_only_adds(run: Callable[..., tuple[int, dict]], database: Database) -> None:
    """Anything else in it is refused with its line: 65."""
    code, report = run(**{"fallback/users.sql": f"{MINIMAL}\ninsert into users values (1, 'a');"})

    assert code == 65
    assert "fallback/users.sql:2: INSERT INTO in a fallback" in report["message"]
    assert database.value("select to_regclass('users') is null")


@pytest.mark.parametrize(
    "line",
    ["create index concurrently i on users (email);", "-- predeploy: allow delete users"],
)
def test_a_fallback_is_one_transaction_that_takes_nothing_away(
    line: str, run: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """65 with its line, before anything of it is made."""
    code, report = run(**{"fallback/users.sql": f"{MINIMAL}\n{line}"})

    assert code == 65
    assert "fallback/users.sql:2: " in report["message"]
    assert database.value("select to_regclass('users') is null")


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ("delete from items", "delete public.items (3 rows)"),
        ("truncate items", "truncate public.items (3 rows)"),
        ("drop table items", "drop-table public.items"),
        ("alter table items drop column name", "drop-column public.items.name"),
    ],
)
def test_a_fallback_loses_nothing(
    loss: str, told: str, run: Callable[..., tuple[int, dict]], database: Database
) -> None:
    """84, whatever a DO block in it does; every row is there, and nothing of the fallback."""
    items = "create table items as select n, 'x' as name from generate_series(1, 3) n;"
    text = f"{MINIMAL} do $$ begin {loss}; end $$;"

    code, report = run(**{"migrations/1_a.sql": items, "fallback/users.sql": text})

    assert code == 84, report
    assert told in report["failure"]["message"]
    assert database.rows("select n, name from items") == [(1, "x"), (2, "x"), (3, "x")]
    assert database.value("select to_regclass('users') is null")
