"""Migration tools of others, installed from their registries and run for real."""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foreign_folders import (
    dbmate_files,
    drizzle_files,
    flyway_files,
    goose_files,
    node_pg_files,
    pairs,
    prisma_files,
    sql_migrate_files,
)

from bench.peers.install import Install, installed, npm
from bench.peers.registry import named

_PRISMA_CONFIG = """import { defineConfig } from "prisma/config";
import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
// The adapter does not know the type `name` (19), for which text (25) does as well.
const told = pg.Query.prototype.handleRowDescription;
pg.Query.prototype.handleRowDescription = function (message) {
  for (const each of message.fields) if (each.dataTypeID === 19) each.dataTypeID = 25;
  told.call(this, message);
};
export default defineConfig({
  schema: "schema.prisma", migrations: { path: "migrations" },
  experimental: { adapter: true }, engine: "js",
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
} as any);
"""
_PRISMA_SCHEMA = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
_DRIZZLE_CONFIG = """module.exports = { dialect: "postgresql", out: "./migrations",
  schema: "./schema.ts", dbCredentials: { url: process.env.DATABASE_URL } };
"""
_SQL_MIGRATE_CONFIG = """development:
  dialect: postgres
  datasource: ${DATABASE_URL}
  dir: migrations
"""
# The engine in JavaScript needs no program; its loader only asks whether there is one.
_PRISMA = npm("prisma@6.19.3", "@prisma/adapter-pg@6.19.3", "pg@8.23.1")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: how it is installed, its folder, and the command that applies all of it.

    `files` lays out migrations, below `migrations/`; `beside` are further files of the folder above
    it. In the command and in `environ`, `{home}` is where the tool is, `{folder}` the folder above
    the migrations, `{url}` the database, `{jdbc}` in Java's words. `file` is how a file is named.
    `table` is its history table, and `without` what it cannot run: `concurrently`, as it runs the
    whole folder in one transaction or waits for its own lock, or a `semicolon` that does not end a
    statement.
    """

    name: str
    install: Install
    files: Callable[[Mapping[str, str]], dict[str, str]]
    command: tuple[str, ...]
    table: str
    file: str = "{version}_{rest}.sql"
    without: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    def apply(self, folder: Path, url: str) -> "subprocess.CompletedProcess[str]":
        """Apply the folder to a database, in the folder above the migrations."""
        home = installed(self.name, self.install)
        for name, text in self.beside.items():
            (folder / name).write_text(text)
        modules = folder / "node_modules"
        if (home / "node_modules").exists() and not modules.exists():
            modules.symlink_to(home / "node_modules")
        values = {
            "home": str(home),
            "folder": str(folder),
            "url": f"{url}?sslmode=disable",
            "jdbc": f"jdbc:postgresql://{url.rpartition('@')[2]}?sslmode=disable",
        }
        return subprocess.run(
            [part.format(**values) for part in self.command],
            cwd=folder,
            env={
                **{k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ},
                "DATABASE_URL": values["url"],
                **{k: text.format(**values) for k, text in self.environ.items()},
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def _peer(name: str) -> Install:
    (peer,) = named((name,))
    return peer.install


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "prisma",
            _PRISMA,
            prisma_files,
            ("{home}/node_modules/.bin/prisma", "migrate", "deploy"),
            "public._prisma_migrations",
            file="{version}_{rest}",
            without=("semicolon",),
            beside={"prisma.config.ts": _PRISMA_CONFIG, "schema.prisma": _PRISMA_SCHEMA},
            environ={
                "PRISMA_QUERY_ENGINE_LIBRARY": "{home}/package.json",
                "CHECKPOINT_DISABLE": "1",
            },
        ),
        Tool(
            "drizzle",
            _peer("drizzle-kit migrate"),
            drizzle_files,
            ("{home}/node_modules/.bin/drizzle-kit", "migrate"),
            "drizzle.__drizzle_migrations",
            without=("concurrently",),
            beside={"drizzle.config.js": _DRIZZLE_CONFIG},
        ),
        Tool(
            "flyway",
            _peer("flyway"),
            flyway_files,
            (
                *("java", "-cp", "{home}/jars/*:{home}", "Main", "{jdbc}"),
                *("postgres", "{folder}/migrations"),
            ),
            "public.flyway_schema_history",
            file="V{version}__{rest}.sql",
            without=("concurrently",),
        ),
        Tool(
            "node-pg-migrate",
            _peer("node-pg-migrate"),
            node_pg_files,
            ("{home}/node_modules/.bin/node-pg-migrate", "up", "-m", "{folder}/migrations"),
            "public.pgmigrations",
            without=("concurrently",),
        ),
        Tool(
            "sql-migrate",
            _peer("sql-migrate"),
            sql_migrate_files,
            ("{home}/bin/sql-migrate", "up"),
            "public.gorp_migrations",
            beside={"dbconfig.yml": _SQL_MIGRATE_CONFIG},
        ),
        Tool(
            "golang-migrate",
            _peer("golang-migrate"),
            pairs,
            ("{home}/bin/migrate", "-path", "{folder}/migrations", "-database", "{url}", "up"),
            "public.schema_migrations",
            file="{version}_{rest}.up.sql",
        ),
        Tool(
            "goose",
            _peer("goose"),
            goose_files,
            ("{home}/bin/goose", "-dir", "{folder}/migrations", "postgres", "{url}", "up"),
            "public.goose_db_version",
        ),
        Tool(
            "dbmate",
            _peer("dbmate"),
            dbmate_files,
            (
                "{home}/node_modules/@dbmate/linux-x64/bin/dbmate",
                *("--migrations-dir", "{folder}/migrations", "--no-dump-schema", "up"),
            ),
            "public.schema_migrations",
        ),
    )
}
