"""A statement that may hold a password is not printed, not reported, and not kept."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from conftest import ADMIN, Database, run_job
from production import report_of

from predeploy.database.session.lock import lock_key

Folder = Callable[[Mapping[str, str]], Path]

WORD = "Tr0ub4dor-and-3"
CONNECTION = f"host=127.0.0.1 port=1 user=x dbname=y password={WORD}"
SERVER = "create foreign data wrapper w; create server s foreign data wrapper w;"
# Statements that fail: whole files, of which the last statement does.
FAILING = {
    "a role": f"create role postgres login password '{WORD}'",
    "a user": f"create /* the admin */ user postgres\n\twith encrypted password '{WORD}'",
    "an altered role": f"alter role nobody_here password '{WORD}'",
    "a group": f"create group postgres password '{WORD}'",
    "a role in a block": f"do $$ begin create role postgres password '{WORD}'; end $$",
    "a role in dynamic SQL": "do $$ begin execute 'create role postgres password "
    f"''{WORD}'''; end $$",
    "a role by format": "do $$ begin execute format('create role %I password %L', "
    f"'postgres', '{WORD}'); end $$",
    "a role in a function": "create function f() returns void language plpgsql as $$ "
    f"begin create role postgres password '{WORD}'; end $$; select f()",
    "a user mapping": f"create user mapping for postgres server nope options (password '{WORD}')",
    "an altered mapping": f"{SERVER} alter user mapping for postgres server s options "
    f"(set password '{WORD}')",
    "a server": f"{SERVER} create server s foreign data wrapper w options (key '{WORD}')",
    "an altered server": f"alter server nope options (set key '{WORD}')",
    "a wrapper": f"{SERVER} create foreign data wrapper w options (key '{WORD}')",
    "a subscription": f"create subscription s connection '{CONNECTION}' publication p",
    "an altered subscription": f"alter subscription nope connection '{CONNECTION}'",
    "dblink": f"select dblink_connect('{CONNECTION}')",
    "a bad connection string": f"create subscription s connection 'host=h {WORD} x' publication p",
    "a syntax error at it": f"create role x login password passwort '{WORD}'",
    "a syntax error behind it": f"create role x password '{WORD}' '{WORD}'",
    "a setting": f"set app.secret_key to '{WORD}'; select set_config('app.token', '{WORD}', 1)",
    "a key": f"select pgp_sym_encrypt('text', '{WORD}')",
    "a column that is called so": "create table u (password_hash text, n int);"
    f"insert into u (password_hash, n) values ('{WORD}', 'x')",
    "a row that violates a check": "create table t (a text, b text);"
    f"insert into t values ('x', '{WORD}');"
    "alter table t add constraint c check (a = 'y')",
    "a row that violates NOT NULL": "create table t (a text not null, b text);"
    f"insert into t values ('x', '{WORD}'); update t set a = null",
    "a row of its own": "create table t (a text not null, b text);"
    f"insert into t values (null, '{WORD}')",
}


@contextmanager
def session(database: Database, *statements: str) -> Iterator[int]:
    """Leave a session idle that has run these; yield its pid."""
    with psycopg.connect(database.url, application_name="console", autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())
        yield conn.info.backend_pid


def everything_kept(database: Database) -> str:
    """All rows of the ledger, as text."""
    tables = ("meta", "migration", "run", "declared", "state")
    queries = (
        f"select coalesce(string_agg(t::text, ' '), '') from predeploy.{t} t" for t in tables
    )
    return " ".join(str(database.value(query)) for query in queries)


@pytest.mark.parametrize("statement", FAILING)
@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_it_is_nowhere(
    statement: str, log_format: str, database: Database, folder: Folder, tmp_path: Path
) -> None:
    """Not in the log, the report, the summary of a CI or the ledger; the failure still is."""
    report, summary = tmp_path / "report.json", tmp_path / "summary.md"
    environ = {
        "DATABASE_URL": database.url,
        "PREDEPLOY_SQL_DIR": str(folder({"migrations/1_a.sql": FAILING[statement]})),
        "PREDEPLOY_REPORT": str(report),
        "GITHUB_STEP_SUMMARY": str(summary),
        "PREDEPLOY_LOG_FORMAT": log_format,
    }

    done = run_job("run", environ=environ)

    told = (done.stdout, done.stderr, report.read_text(), summary.read_text())
    assert done.returncode in (65, 75, 77, 80, 81), done.stdout
    assert "migrations/1_a.sql:" in done.stdout
    assert WORD not in " ".join((*told, everything_kept(database)))


def test_what_holds_none_is_printed(database: Database, folder: Folder) -> None:
    """The statement and the server's words are what a reader needs."""
    text = "create table t (password_hash text); update t set nmae = 1"
    environ = {
        "DATABASE_URL": database.url,
        "PREDEPLOY_SQL_DIR": str(folder({"migrations/1_a.sql": text})),
    }

    failure = report_of(run_job("run", environ=environ))["failure"]

    assert failure["statement"] == "update t set nmae = 1"
    assert failure["message"] == 'column "nmae" of relation "t" does not exist'


def test_a_withheld_statement_is_told_by_its_kind(database: Database, folder: Folder) -> None:
    """Its place, its first words and the server's message are left."""
    environ = {
        "DATABASE_URL": database.url,
        "PREDEPLOY_SQL_DIR": str(folder({"migrations/1_a.sql": FAILING["a role"]})),
    }

    failure = report_of(run_job("run", environ=environ))["failure"]

    assert failure["statement"] == "CREATE ROLE … (not shown, as it may hold a secret)"
    assert failure["message"] == 'role "postgres" already exists'
    assert (failure["line"], failure["column"]) == (1, 1)


@pytest.mark.parametrize("at", range(185, 205, 3))
def test_a_password_is_out_before_a_text_is_cut(
    at: int, database: Database, folder: Folder, superuser_url: str
) -> None:
    """Of a statement 200 characters are shown: half of a password would not be found any more."""
    text = f"select 1/0, '{'x' * (at - 13)}{WORD}'"
    parts = psycopg.conninfo.conninfo_to_dict(superuser_url)
    environ = {
        "PGHOST": str(parts["host"]),
        "PGPORT": str(parts["port"]),
        "PGUSER": "postgres",
        "PGPASSWORD": WORD,
        "PGDATABASE": database.name,
        "PREDEPLOY_SQL_DIR": str(folder({"migrations/1_a.sql": text})),
    }

    done = run_job("run", environ=environ, check=80)

    assert "x***"[: max(0, 200 - at + 1)] in report_of(done)["failure"]["statement"]
    assert WORD[:3] not in done.stdout


@pytest.mark.dear
def test_what_a_blocker_runs_is_not_printed(database: Database, folder: Folder) -> None:
    """Its pid, application, address and age are."""
    files = {"migrations/1_a.sql": "create table t (a int);"}
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
    environ |= {"PREDEPLOY_DDL_BUDGET": "2s", "PREDEPLOY_DDL_LOCK_TIMEOUT": "500ms"}
    run_job("run", environ=environ, check=0)
    folder(files | {"migrations/2_b.sql": "alter table t add b int;"})

    with session(database, f'begin; lock table t; select 1 as "{WORD}"') as pid:
        done = run_job("run", environ=environ)

    assert done.returncode == 75, done.stdout
    assert f"blocked by pid {pid} (console, 127.0.0.1, idle in transaction" in done.stdout
    assert WORD not in done.stdout + everything_kept(database)


def test_what_the_lock_s_holder_runs_is_not_printed(database: Database, folder: Folder) -> None:
    """Neither while it is waited for, nor by `status`."""
    files = {"migrations/1_a.sql": "create table t (a int);"}
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
    environ |= {"PREDEPLOY_LOCK_BUDGET": "1s"}
    run_job("run", environ=environ, check=0)
    folder(files | {"migrations/2_b.sql": "alter table t add b int;"})
    taken = f'begin; select pg_advisory_xact_lock({lock_key("predeploy")}); select 1 as "{WORD}"'
    with session(database, taken) as pid:
        done = run_job("run", environ=environ)
        status = run_job("status", environ=environ)

    assert done.returncode == 75, done.stdout
    assert f"held by pid {pid} (console, 127.0.0.1) for " in done.stdout
    assert f"pid {pid} (console, 127.0.0.1) for " in status.stdout
    assert WORD not in done.stdout + status.stdout


def test_a_hash_that_a_trigger_cuts_is_not_printed(database: Database, folder: Folder) -> None:
    """The seed's values are taken out of the server's words, whole or in parts."""
    files = {
        "migrations/1_a.sql": "create table users (id int, username text, email text, h text);"
        "create function f() returns trigger language plpgsql as "
        "$$ begin raise exception 'no % for you', left(new.h, 40); end $$;"
        "create trigger t before insert on users for each row execute function f();",
        "seed/admin.sql": "insert into users values "
        "(1, %(admin_username)s, %(admin_email)s, %(admin_password_hash)s);",
    }
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files)), **ADMIN}

    done = run_job("run", environ=environ, check=83)

    assert report_of(done)["failure"]["message"] == "no *** for you"
    assert "$2b$" not in done.stdout + everything_kept(database)
