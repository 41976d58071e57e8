"""The peers: to add a tool, add an entry."""

from dataclasses import replace

from bench.harness import ROOT, BenchError
from bench.peers import layouts
from bench.peers.install import debian, go, here, maven, npm, pip
from bench.peers.tool import Peer, files
from predeploy.embedded import wheel_binaries

_PG = "pg@8.23.1"
_PSYCOPG = "psycopg[binary]==3.3.9"
_FORMAT = "{number:04}_{name}.sql"
_PSQL = (str(wheel_binaries() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "{url}")
_JOB = ("{python}", "-m", "predeploy", "run")
_SETTINGS = {"PREDEPLOY_SQL_DIR": "{folder}", "PYTHONPATH": str(ROOT)}
_ADMIN = {
    "ADMIN_USERNAME": "admin",
    "ADMIN_EMAIL": "admin@example.com",
    "ADMIN_PASSWORD_HASH": "$2b$12$" + "a" * 53,
}
# Its command line is not in the registry; this runs the library behind it.
_FLYWAY = """public class Main {
    public static void main(String[] given) {
        org.flywaydb.core.Flyway.configure().dataSource(given[0], given[1], "")
            .locations("filesystem:" + given[2]).load().migrate();
    }
}
"""

_DRIZZLE = npm("drizzle-kit@0.31.11", "drizzle-orm@0.45.2", _PG)
_DRIZZLE_KIT = "{home}/node_modules/.bin/drizzle-kit"
_DRIZZLE_ENVIRON = {"NODE_PATH": "{home}/node_modules"}

PREDEPLOY = Peer(
    "predeploy, all layers",
    here("this checkout"),
    layouts.shipped,
    _JOB,
    _SETTINGS | _ADMIN,
    locks=True,
    checksums=True,
    verifies=True,
)
MIGRATE = Peer(
    "predeploy, migrations/ alone",
    here("this checkout"),
    files("migrations/" + _FORMAT),
    _JOB,
    _SETTINGS,
    locks=True,
    checksums=True,
    bulk=True,
)
PULL = Peer("drizzle-kit pull", _DRIZZLE, layouts.drizzle, (_DRIZZLE_KIT, "pull"), _DRIZZLE_ENVIRON)
PUSH = replace(PULL, name="drizzle-kit push", command=(_DRIZZLE_KIT, "push", "--force"))
PEERS = (
    Peer(
        "psql",
        here("the server's own"),
        layouts.psql,
        (*_PSQL, "-f", "{folder}/all.sql"),
        again=(*_PSQL, "-c", "select 1"),
        bulk=True,
    ),
    Peer(
        "dbmate",
        npm("dbmate@2.36.0"),
        files("db/" + _FORMAT, "-- migrate:up\n", "\n-- migrate:down\n"),
        (
            "{home}/node_modules/@dbmate/linux-x64/bin/dbmate",
            *("--migrations-dir", "{folder}/db", "--no-dump-schema", "up"),
        ),
        bulk=True,
    ),
    Peer(
        "node-pg-migrate",
        npm("node-pg-migrate@9.0.0", _PG),
        files("migrations/" + _FORMAT),
        ("{home}/node_modules/.bin/node-pg-migrate", "up", "-m", "{folder}/migrations"),
        locks=True,
        bulk=True,
    ),
    Peer(
        "sql-migrate",
        go("github.com/rubenv/sql-migrate/sql-migrate@v1.8.1"),
        layouts.sql_migrate,
        ("{home}/bin/sql-migrate", "up"),
        bulk=True,
    ),
    Peer(
        "alembic",
        pip("alembic==1.20.1", _PSYCOPG),
        layouts.alembic,
        ("{home}/bin/alembic", "upgrade", "head"),
        bulk=True,
    ),
    Peer(
        "drizzle-kit migrate",
        _DRIZZLE,
        layouts.drizzle,
        (_DRIZZLE_KIT, "migrate"),
        _DRIZZLE_ENVIRON,
    ),
    Peer(
        "knex",
        npm("knex@3.3.0", _PG),
        layouts.knex,
        (
            *("{home}/node_modules/.bin/knex", "migrate:latest", "--cwd", "{home}"),
            *("--client", "pg", "--connection", "{url}"),
            *("--migrations-directory", "{folder}"),
        ),
        locks=True,
    ),
    Peer(
        "yoyo",
        pip("yoyo-migrations==9.0.0", _PSYCOPG, "setuptools<81"),
        files("migrations/" + _FORMAT),
        (
            *("{home}/bin/yoyo", "apply", "--batch", "--no-config-file", "--database"),
            "postgresql+psycopg://{user}@{host}:{port}/{database}?sslmode=disable",
            "{folder}/migrations",
        ),
        locks=True,
    ),
    Peer(
        "graphile-migrate",
        npm("graphile-migrate@1.4.1"),
        layouts.graphile,
        ("{home}/node_modules/.bin/graphile-migrate", "migrate"),
        locks=True,
        checksums=True,
    ),
    Peer(
        "sqitch",
        debian("sqitch"),
        layouts.sqitch,
        (
            *("{home}/usr/bin/sqitch", "deploy", "--no-verify", "--client", _PSQL[0]),
            "db:pg://{user}@{host}:{port}/{database}?sslmode=disable",
        ),
        {
            "PERL5LIB": "{home}/usr/share/perl5:{home}/usr/lib/x86_64-linux-gnu/perl5/5.36",
            "SQITCH_FULLNAME": "Bench",
            "SQITCH_EMAIL": "bench@example.com",
        },
        locks=True,
        checksums=True,
    ),
    Peer(
        "goose",
        go(
            "github.com/pressly/goose/v3/cmd/goose@v3.29.0",
            tags="no_clickhouse,no_libsql,no_mssql,no_mysql,no_sqlite3,no_vertica,no_ydb",
        ),
        layouts.goose,
        ("{home}/bin/goose", "-dir", "{folder}", "postgres", "{url}", "up"),
        bulk=True,
    ),
    Peer(
        "golang-migrate",
        go("github.com/golang-migrate/migrate/v4/cmd/migrate@v4.20.1", tags="postgres"),
        files("{number:04}_{name}.up.sql"),
        ("{home}/bin/migrate", "-path", "{folder}", "-database", "{url}", "up"),
        locks=True,
        bulk=True,
    ),
    Peer(
        "tern",
        go("github.com/jackc/tern/v2@v2.3.4"),
        files(_FORMAT),
        (
            *("{home}/bin/tern", "migrate", "--migrations", "{folder}"),
            *("--conn-string", "{url}"),
        ),
        locks=True,
        bulk=True,
    ),
    Peer(
        "liquibase",
        maven(
            "org.liquibase:liquibase-core:4.31.1",
            "info.picocli:picocli:4.7.6",
            "org.postgresql:postgresql:42.7.5",
        ),
        layouts.liquibase,
        (
            *("java", "-cp", "{home}/jars/*:{folder}"),
            *("liquibase.integration.commandline.LiquibaseCommandLine", "update"),
            "--changelog-file=changelog.yaml",
            "--url=jdbc:postgresql://{host}:{port}/{database}?sslmode=disable",
            "--username={user}",
        ),
        locks=True,
        checksums=True,
    ),
    Peer(
        "flyway",
        maven(
            "org.flywaydb:flyway-core:11.8.0",
            "org.flywaydb:flyway-database-postgresql:11.8.0",
            "org.postgresql:postgresql:42.7.5",
            main=_FLYWAY,
        ),
        files("V{number:04}__{name}.sql"),
        (
            *("java", "-cp", "{home}/jars/*:{home}", "Main"),
            "jdbc:postgresql://{host}:{port}/{database}?sslmode=disable",
            *("{user}", "{folder}"),
        ),
        locks=True,
        checksums=True,
    ),
)


def named(names: tuple[str, ...]) -> tuple[Peer, ...]:
    """Return the peers with these names, or all. Raises BenchError for an unknown name."""
    known = {peer.name: peer for peer in PEERS}
    if unknown := set(names) - set(known):
        raise BenchError(f"no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(peer for peer in PEERS if not names or peer.name in names)
