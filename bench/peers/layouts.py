"""Folder layouts of tools that need more than one file for each migration."""

import hashlib
import json
from collections.abc import Sequence

from bench.harness import SHIPPED
from bench.peers.tool import Migration

_ALEMBIC_ENV = """import os
from alembic import context
from sqlalchemy import create_engine, pool
url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
_ALEMBIC_REVISION = """from alembic import op
revision = "{revision}"
down_revision = {before}
branch_labels = depends_on = None
def upgrade():
    op.get_bind().exec_driver_sql({sql!r})
"""


def shipped(_migrations: Sequence[Migration]) -> dict[str, str]:
    """Return the folder sql/ as shipped, whatever the migrations."""
    found = (path for path in SHIPPED.rglob("*") if path.is_file())
    return {str(path.relative_to(SHIPPED)): path.read_text() for path in found}


def psql(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return the files, and one that includes them all."""
    named = {_named(each): each.sql for each in migrations}
    return {**named, "all.sql": "\n".join(f"\\ir {name}" for name in named)}


def sql_migrate(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return the files, with bodies marked that its splitter would cut at a semicolon."""
    settings = "development:\n  dialect: postgres\n  datasource: ${DATABASE_URL}\n  dir: migrations"
    return {"dbconfig.yml": settings} | {
        f"migrations/{_named(each)}": f"-- +migrate Up\n{_whole(each.sql, '+migrate')}"
        for each in migrations
    }


def goose(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return the files, with bodies marked that its splitter would cut at a semicolon."""
    return {_named(each): f"-- +goose Up\n{_whole(each.sql, '+goose')}" for each in migrations}


def alembic(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return a chain of Python revisions, one for each migration."""
    files = {"alembic.ini": "[alembic]\nscript_location = .\n", "env.py": _ALEMBIC_ENV}
    before: str | None = None
    for each in migrations:
        revision = f"{each.number:04}"
        text = _ALEMBIC_REVISION.format(revision=revision, before=repr(before), sql=each.sql)
        files[f"versions/{revision}_{each.name}.py"] = text
        before = revision
    return files


def drizzle(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return the files, listed in drizzle's journal."""
    tags = [f"{each.number:04}_{each.name}" for each in migrations]
    entries = [
        {"idx": n, "version": "7", "when": 1_700_000_000_000 + n, "tag": tag, "breakpoints": True}
        for n, tag in enumerate(tags)
    ]
    journal = {"version": "7", "dialect": "postgresql", "entries": entries}
    places = {"out": "./out", "schema": "./out/schema.ts"}
    settings = {"dialect": "postgresql", **places, "dbCredentials": {"url": "URL"}}
    config = json.dumps(settings).replace('"URL"', "process.env.DATABASE_URL")
    return {
        "drizzle.config.js": f"module.exports = {config};\n",
        "out/meta/_journal.json": json.dumps(journal),
        **{f"out/{tag}.sql": each.sql for tag, each in zip(tags, migrations, strict=True)},
    }


def knex(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return each migration wrapped in a module."""
    up = "exports.up = (knex) => knex.raw({});\nexports.down = () => {{}};\n"
    return {
        f"{each.number:04}_{each.name}.js": up.format(json.dumps(each.sql)) for each in migrations
    }


def graphile(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return the migrations as committed: each has a hash of itself and its predecessor."""
    files = {".gmrc": '{"migrationsFolder": "./migrations"}', "migrations/current.sql": ""}
    previous = ""
    for each in migrations:
        body = each.sql.strip() + "\n"
        hashed = f"{previous}\n{body}".lstrip().encode()
        digest = hashlib.sha1(hashed, usedforsecurity=False)
        this = f"sha1:{digest.hexdigest()}"
        head = f"--! Previous: {previous or '-'}\n--! Hash: {this}\n--! Message: {each.name}\n\n"
        files[f"migrations/committed/{each.number:06}-{each.name}.sql"] = head + body
        previous = this
    return files


def sqitch(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return a plan with a change for each migration, without revert and verify scripts."""
    names = [f"m{each.number:04}_{each.name}" for each in migrations]
    who = "2026-01-01T00:00:00Z Bench <bench@example.com>"
    plan = ["%syntax-version=1.0.0", "%project=bench", "", *(f"{name} {who}" for name in names)]
    return {
        "sqitch.conf": "[core]\n\tengine = pg\n",
        "sqitch.plan": "\n".join([*plan, ""]),
        **{
            f"deploy/{name}.sql": f"begin;\n{each.sql}\ncommit;\n"
            for name, each in zip(names, migrations, strict=True)
        },
    }


def liquibase(migrations: Sequence[Migration]) -> dict[str, str]:
    """Return the files as formatted SQL, and a changelog that includes them."""
    head = "--liquibase formatted sql\n--changeset bench:{} splitStatements:false\n"
    named = {_named(each): head.format(each.number) + each.sql for each in migrations}
    includes = "".join(f"  - include: {{file: {name}}}\n" for name in named)
    return {**named, "changelog.yaml": f"databaseChangeLog:\n{includes}"}


def _named(migration: Migration) -> str:
    return f"{migration.number:04}_{migration.name}.sql"


def _whole(sql: str, mark: str) -> str:
    if "$$" not in sql:
        return sql
    return f"-- {mark} StatementBegin\n{sql}\n-- {mark} StatementEnd\n"
