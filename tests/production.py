"""A production-like TheKeyn, and helpers that read a database or the output of a job."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from conftest import ADMIN, SQL, Database, start_job
from forked import Warm

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.report import Report, as_data, headline
from predeploy.run import run
from predeploy.settings import Settings, parse_settings
from predeploy.sources import Sources, declaration_of, read_folder, sources_of

# 35 users of whom the first is the admin, 16 works with certificates, 10 preferences and 29
# interactions: the figures that must survive every deploy. Nothing in it depends on the clock.
_ROWS = """
insert into users (
    username, email, password_hash, role, display_name, bio, is_verified, settings, location,
    last_upload_reset, last_login_at, created_at
)
select
    case n when 1 then {username} else format('artist-%s', n) end,
    case n when 1 then {email} else format('artist-%s@studio.example', n) end,
    '$2b$12$' || repeat(chr(96 + 1 + n % 26), 53),
    case n when 1 then 'admin' else 'user' end,
    format('Künstlerin %s — 芸術家 🎨', n),
    case when n % 3 > 0 then repeat('line ' || n || e'\\n', n) end,
    n % 2 = 1,
    json_build_object('theme', 'liquid-glass', 'seed', n)::text,
    case when n % 5 = 0 then '' else 'Zürich' end,
    timestamp '2025-01-01' + n * interval '1 day',
    case when n % 4 > 0 then timestamp '2025-08-01' + n * interval '1 hour' end,
    timestamp '2024-06-01' + n * interval '1 minute'
from generate_series(1, 35) n;

insert into works (
    user_id, title, mime_type, file_hash, file_size, certificate_id, collaborators, tags,
    is_public, moderation_score, created_at, updated_at
)
select
    1 + n * 2, format('Werk %s "quoted" 100%%', n), 'image/png', md5(n::text), n * 1000,
    format('PRSS-%s', lpad(n::text, 4, '0')), array['a,b', 'c"d', format('{{%s}}', n)],
    array[]::text[], n % 2 = 0, n / 7.0,
    timestamp '2025-02-01' + n * interval '1 hour', null
from generate_series(1, 16) n;

insert into certificates (
    work_id, certificate_id, shareable_link, verification_proof, created_at
)
select id, certificate_id, 'https://thekeyn.example/c/' || certificate_id, file_hash, created_at
from works order by id;

insert into user_background_preferences (
    user_id, gradient_type, primary_colors, secondary_colors, intensity, usage_count, user_rating,
    created_at, updated_at
)
select
    n * 3, 'radial', array['#102030', '#ffeedd'], array[]::text[], n / 10.0, n, n % 5,
    timestamp '2025-03-01', timestamp '2025-03-02'
from generate_series(1, 10) n;

insert into background_interactions (
    user_id, gradient_id, interaction_type, time_spent, page_context, created_at
)
select
    1 + n, 'gradient-' || n, case n % 3 when 0 then 'like' when 1 then 'view' else 'skip' end,
    n * 11, case when n % 2 = 0 then 'dashboard' end,
    timestamp '2025-04-01' + n * interval '1 second'
from generate_series(1, 29) n;
"""
FIGURES = {
    "users": 35,
    "works": 16,
    "certificates": 16,
    "user_background_preferences": 10,
    "background_interactions": 29,
}
USERS_TABLE = """
create table users (
    id serial primary key,
    username text not null unique,
    email text not null unique,
    password_hash text not null,
    role text not null default 'user',
    is_verified boolean default false
);
"""
SHIPPED_SEED = (SQL / "seed" / "admin.sql").read_text()
HASH = "$2b$12$" + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ."
ADMIN_BY_HASH = {
    "ADMIN_USERNAME": ADMIN["ADMIN_USERNAME"],
    "ADMIN_EMAIL": ADMIN["ADMIN_EMAIL"],
    "ADMIN_PASSWORD_HASH": HASH,
}
"""The admin without the quarter of a second that hashing a password takes."""

Rows = dict[str, list[dict[str, Any]]]


def fill(database: Database) -> None:
    """Insert the production rows into TheKeyn's tables, which must all be empty."""
    names = {"username": ADMIN["ADMIN_USERNAME"], "email": ADMIN["ADMIN_EMAIL"]}
    quoted = {key: f"'{value}'" for key, value in names.items()}
    database.execute(_ROWS.format(**quoted))


def odd_folder(target: Path) -> list[str]:
    """Write TheKeyn's migrations without IF NOT EXISTS, several per file, under names like theirs.

    Some versions occur twice or three times, and some names begin with dates. Return the names in
    the order in which the files have to run.
    """
    texts = [path.read_text() for path in sorted((SQL / "migrations").iterdir())]
    names = [
        *("0000_a", "0002_b", "0003_c", "0004_a", "0004_b", "0004_c", "0005_a", "0005_b"),
        *("2025-09-01_late", "20250913_later"),
    ]
    cuts = [*range(0, 2 * len(names) - 2, 2), len(texts) - 1, len(texts)]
    for name, first, end in zip(names, cuts, cuts[1:], strict=False):
        text = re.sub(r"if not exists (?!\()", "", "\n".join(texts[first:end]))
        (target / f"{name}.sql").write_text(text)
    return [f"{name}.sql" for name in names]


# the output of a job


def environ(database: Database, folder: Path = SQL, **more: str) -> dict[str, str]:
    """Return a job's settings for a database and a folder, by default the shipped one."""
    return {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder), **more}


def loaded(settings: Mapping[str, str]) -> tuple[Settings, Sources]:
    """Return the settings and sources that the command line would parse from these variables."""
    folder = read_folder(Path(settings["PREDEPLOY_SQL_DIR"]))
    declaration = declaration_of(folder)
    parsed = parse_settings(settings, declaration=declaration, default_sql_dir=folder.path)
    return parsed, sources_of(folder, parsed.format, parsed.allowed)


@contextmanager
def jobs(*environs: Mapping[str, str], arguments: Sequence[str] = ("run",)) -> Iterator[list[Warm]]:
    """Start one job for each of `environs`; kill those that still run at the block's end."""
    processes = [start_job(*arguments, environ=settings) for settings in environs]
    try:
        yield processes
    finally:
        for process in processes:
            with process:
                process.kill()


def run_here(settings: Mapping[str, str]) -> Report:
    """Run the job in this process, as the command line would; for tests that need many runs."""
    return run(*loaded(settings))


def report_here(settings: Mapping[str, str]) -> dict[str, Any]:
    """Run the job in this process; return its report as the last line would contain it."""
    return as_data(run_here(settings))


def prepare(settings: Mapping[str, str]) -> None:
    """Run the job in this process to prepare a database; fail the test if it does not succeed."""
    report = run_here(settings)
    assert report.exit_code is ExitCode.OK, headline(report)


def said(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the output of a job, one item per line."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the report, which is the last line of a job's output."""
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return last


def codes_of(report: Mapping[str, Any], *levels: str) -> list[tuple[str, str]]:
    """Return level and code of the findings in a report, by default of warnings and errors."""
    found = [(finding["level"], finding["code"]) for finding in report.get("findings", [])]
    return [pair for pair in found if pair[0] in (levels or ("warn", "error"))]


# the contents of a database


def contents(database: Database) -> Rows:
    """Return every row of every table outside the ledger, keyed by `schema.table`."""
    with database.connect() as conn:
        tables = conn.execute(
            """select format('%I.%I', n.nspname, c.relname)
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relkind = 'r' and n.nspname !~ '^(pg_|information_schema$|predeploy$)'
            order by 1"""
        ).fetchall()
        return {name: _rows(conn, name) for (name,) in tables}


def ledger(database: Database, schema: str = "predeploy") -> Rows:
    """Return the ledger's rows except its runs: what was applied, and the settled state."""
    with database.connect() as conn:
        return {name: _rows(conn, f"{schema}.{name}") for name in ("meta", "migration", "state")}


def applied(database: Database, schema: str = "predeploy") -> list[tuple[str, int, bool]]:
    """Return each step's file and position and whether it is the file's last, as applied."""
    return database.rows(
        f"select file, position, is_final from {schema}.migration order by applied_at"
    )


def whole_files(database: Database, schema: str = "predeploy") -> list[str]:
    """Return the files whose last step is in the ledger, in the order of application."""
    return [file for file, _, is_final in applied(database, schema) if is_final]


def has_ledger(database: Database, schema: str = "predeploy") -> bool:
    """Whether the ledger's schema exists."""
    return bool(database.rows("select from pg_namespace where nspname = %s", schema))


def objects(database: Database, schema: str = "public") -> set[str]:
    """Return the names of the relations, functions and types in a schema."""
    rows = database.rows(
        """select relname from pg_class where relnamespace = to_regnamespace(%s)
        union select proname from pg_proc where pronamespace = to_regnamespace(%s)
        union select typname from pg_type where typnamespace = to_regnamespace(%s)
              and typtype in ('e', 'd')""",
        *[schema] * 3,
    )
    return {name for (name,) in rows}


def catalog(database: Database) -> list[tuple[str, str, str]]:
    """Return the oid and xmin of all catalog rows that DDL outside the ledger would change."""
    return database.rows(
        """
        with theirs as (
            select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname !~ '^(pg_|information_schema$|predeploy$)'
        )
        select 'class', oid::text, xmin::text from pg_class where oid in (table theirs)
        union all select 'attribute', attrelid || '.' || attnum, xmin::text
            from pg_attribute where attrelid in (table theirs)
        union all select 'default', oid::text, xmin::text
            from pg_attrdef where adrelid in (table theirs)
        union all select 'constraint', oid::text, xmin::text
            from pg_constraint where conrelid in (table theirs)
        union all select 'namespace', oid::text, xmin::text from pg_namespace
        union all select 'proc', oid::text, xmin::text from pg_proc where oid >= 16384
        union all select 'enum', oid::text, xmin::text from pg_enum
        order by 1, 2, 3"""
    )


def orphans(database: Database) -> list[str]:
    """Return what a crashed run may have left: schemas, helpers, invalid indexes, databases."""
    return [
        name
        for (name,) in database.rows(
            """select 'schema ' || nspname from pg_namespace where nspname ~ '^__live_'
            union all select 'relation ' || oid::regclass from pg_class
                where relname ~ '^predeploy_probe'
            union all select 'index ' || indexrelid::regclass from pg_index where not indisvalid
            union all select 'constraint ' || conname from pg_constraint
                where conname ~ 'predeploy'
            union all select 'database ' || datname from pg_database where datname ~ '^predeploy'
            union all select 'transaction ' || gid from pg_prepared_xacts
            order by 1"""
        )
    ]


def until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait until a condition holds; fail the test if it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in vain waited for: {what}"
        time.sleep(0.02)


def _rows(conn: psycopg.Connection, table: str) -> list[dict[str, Any]]:
    rows = conn.execute(f"select to_jsonb(t) from {table} t order by to_jsonb(t)::text").fetchall()
    return [row for (row,) in rows]
