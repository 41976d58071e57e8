"""The peers: to add a tool, add an entry."""

from bench.harness import ROOT, BenchError
from bench.peers import layouts
from bench.peers.install import go, here, npm, pip
from bench.peers.tool import Peer, files
from job.embedded import wheel_binaries

_PG = "pg@8.23.1"
_PSYCOPG = "psycopg[binary]==3.3.9"
_FORMAT = "{number:04}_{name}.sql"
_PSQL = (str(wheel_binaries() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "{url}")
_JOB = ("{python}", "-m", "job", "run")
_SETTINGS = {"PREDEPLOY_SQL_DIR": "{folder}", "PYTHONPATH": str(ROOT)}
_ADMIN = {
    "ADMIN_USERNAME": "admin",
    "ADMIN_EMAIL": "admin@example.com",
    "ADMIN_PASSWORD_HASH": "$2b$12$" + "a" * 53,
}

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
)


def named(names: tuple[str, ...]) -> tuple[Peer, ...]:
    """Return the peers of these names, all without any. Raises BenchError for an unknown one."""
    known = {peer.name: peer for peer in PEERS}
    if unknown := set(names) - set(known):
        raise BenchError(f"no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(peer for peer in PEERS if not names or peer.name in names)
