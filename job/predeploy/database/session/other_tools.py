"""Takes the locks of other migration tools, so that none of them migrates at the same time.

Only of tools whose history table exists and whose lock key is fixed: Alembic, Django, Drizzle and
dbmate take no lock, and Liquibase uses a table for it. Session and transaction locks share one key
space, so predeploy's, which end with the guard's transaction and hold no snapshot, exclude theirs.
"""

import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import NotObtainedError
from predeploy.contract.quoting import literal
from predeploy.database.server import wire
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.wire import Connection
from predeploy.database.session.lock import holder_of

log = structlog.get_logger()

_SAVEPOINT = "predeploy_foreign"
_POLL_S = 0.5
_TELL_EVERY_S = 10


@dataclass(frozen=True, slots=True)
class History:
    """The table in which a tool records what it has applied."""

    database: str
    schema: str
    table: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, a column that only its history table has among those of that name, and its keys."""

    name: str
    table: str
    column: str
    keys: Callable[[History], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock of a tool that is in use here."""

    tool: str
    history: History
    key: int


def _fixed(key: int) -> Callable[[History], tuple[int, ...]]:
    return lambda _: (key,)


def _flyway(history: History) -> tuple[int, ...]:
    name = f'"{history.schema}"."{history.table}"'
    # The ASCII codes of `Flyway`.
    return (0x466C79776179 + _java_hash(name),)


def _golang_migrate(history: History) -> tuple[int, ...]:
    # The library uses the database's name; the command line the path of the URL, with its slash.
    names = (history.database, f"/{history.database}")
    texts = (f"{history.schema}\0{history.table}\0{name}" for name in names)
    return tuple(_crc(text) * 1486364155 % 2**32 for text in texts)


def _rails(history: History) -> tuple[int, ...]:
    return (2053462845 * _crc(history.database),)


def _sqlx(history: History) -> tuple[int, ...]:
    return (0x3D32AD9E * _crc(history.database),)


# https://github.com/flyway/flyway https://github.com/golang-migrate/migrate and so on: the keys
# come from the sources, and a test freezes them.
TOOLS = (
    Tool("Flyway", "flyway_schema_history", "installed_rank", _flyway),
    Tool("golang-migrate", "schema_migrations", "dirty", _golang_migrate),
    Tool("Rails", "ar_internal_metadata", "key", _rails),
    Tool("Prisma", "_prisma_migrations", "migration_name", _fixed(72707369)),
    Tool("goose", "goose_db_version", "version_id", _fixed(4097083626)),
    Tool("sqlx", "_sqlx_migrations", "checksum", _sqlx),
    Tool("Atlas", "atlas_schema_revisions", "partial_hashes", _fixed(2686470616)),
    Tool("node-pg-migrate", "pgmigrations", "run_on", _fixed(7241865325823964)),
    Tool("graphile-migrate", "migrations", "previous_hash", _fixed(4727445306447283)),
    Tool("tern", "schema_version", "version", _fixed(9628173550095224)),
    Tool("Sqitch", "changes", "script_hash", _fixed(75474063)),
)


_BY_NAME = {tool.name: tool for tool in TOOLS}
SAVEPOINT = f"savepoint {_SAVEPOINT}"


def histories_sql(tools: Iterable[str] = (), table: str = "") -> str:
    """Return the query of the other tools' history tables in this database.

    Those of `tools`, which are names of formats, may also be called `table`.
    """
    own = {name.lower() for name in tools} if table else set()
    also = [replace(t, table=table.rpartition(".")[2]) for t in TOOLS if t.name.lower() in own]
    values = ", ".join(
        f"({', '.join(map(literal, (tool.table, tool.column, tool.name)))})"
        for tool in (*TOOLS, *also)
    )
    return f"""select current_database(), n.nspname, v.name, v.tool
        from (values {values}) v(name, mark, tool)
        join pg_catalog.pg_class c on c.relname = v.name and c.relkind in ('r', 'p')
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = v.mark
          and not a.attisdropped
        order by 2, 3"""


def exclude_others(guard: Connection, budget: Deadline, found: Sequence[Row]) -> None:
    """Take the locks of the tools in use here, in the guard's open transaction.

    `found` is the result of `histories_sql`, read after SAVEPOINT, to which `let_go` rolls back.
    Raises NotObtainedError (75), naming the tool and the holder, if one of them keeps its lock for
    the whole budget.
    """
    locks = _locks(found)
    told_s = 0.0
    while (taken := _first_taken(guard, locks)) is not None:
        let_go(guard)  # must not block a session that the other tool waits for
        holder = holder_of(guard, taken.key)
        table = f"{taken.history.schema}.{taken.history.table}"
        what = f"{taken.tool} ({table}) holds its lock: {holder or 'no session now'}"
        if budget.left_s <= 0:
            raise NotObtainedError(
                f"{what}; two tools must not migrate one database at once; wait for it, or end it "
                "with select pg_terminate_backend(pid); run again"
            )
        if time.monotonic() - told_s > _TELL_EVERY_S:
            log.info(f"waiting for another tool: {what}")
            told_s = time.monotonic()
        time.sleep(min(_POLL_S, budget.left_s))


def let_go(guard: Connection) -> None:
    """Release the other tools' locks; predeploy's own is kept."""
    # Rolling back to a savepoint releases the locks that were taken after it.
    wire.ask(guard, f"rollback to savepoint {_SAVEPOINT}")


def keys_of(tool: Tool, history: History) -> tuple[int, ...]:
    """Return the keys as signed numbers, as PostgreSQL expects them."""
    return tuple((key + 2**63) % 2**64 - 2**63 for key in tool.keys(history))


def _locks(found: Sequence[Row]) -> tuple[Lock, ...]:
    return tuple(
        Lock(tool.name, history, key)
        for database, schema, table, name in typed(tuple[str, str, str, str], found)
        for tool in [_BY_NAME[name]]
        for history in [History(database, schema, table)]
        for key in keys_of(tool, history)
    )


def _first_taken(guard: Connection, locks: tuple[Lock, ...]) -> Lock | None:
    """Try to take all locks; return the first that another session holds."""
    if not locks:
        return None
    tries = ", ".join(f"pg_catalog.pg_try_advisory_xact_lock({lock.key})" for lock in locks)
    (row,) = wire.ask(guard, f"select {tries}")
    return next((lock for lock, is_ours in zip(locks, row, strict=True) if is_ours != "t"), None)


def _crc(text: str) -> int:
    return zlib.crc32(text.encode())


def _java_hash(text: str) -> int:
    """Return the value of Java's String.hashCode."""
    units = text.encode("utf-16-be")
    value = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (value * 31 + high * 256 + low) % 2**32
    return (value + 2**31) % 2**32 - 2**31
