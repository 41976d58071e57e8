"""Settled: nothing has changed since the last run that ended well, so nothing is to be done.

Takes one read-only message: the stored key, the catalog's fingerprint, the operator's checks and
the seeds' presence queries. Guards divide by zero unless the ledger's owner is trusted and key and
fingerprint match the stored ones: so no text of the folder runs here that a good run has not run
before.
"""

import hashlib
import json
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from predeploy import __version__
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import identifier, literal
from predeploy.contract.secret import redact_all
from predeploy.database.catalog import trust
from predeploy.database.catalog.fingerprint import fingerprint_sql
from predeploy.database.server import wire
from predeploy.database.server.allowed import where_allowed
from predeploy.database.server.path import KEEP, TEXT, operator_path_sql
from predeploy.database.server.rows import NamedAnswer, typed
from predeploy.database.server.transaction import between_policies, settings_sql
from predeploy.database.server.wire import Connection
from predeploy.settings import Settings
from predeploy.sources import Sources, filtered
from predeploy.sources.placeholders import presence_question

if TYPE_CHECKING:  # not imported in a settled run
    from predeploy.snapshot import Snapshot

# A message is one transaction unless it says otherwise, and leaves none open if it fails.
_READ_ONLY = "transaction isolation level repeatable read read only"
# Up to 15 a read-only transaction may write large objects; there it is begun explicitly and rolled
# back.
_LEAVES_LARGE_OBJECTS = 160_000
_SERVER, _GUARD = "server", "guard"

# The cluster and the database: a restored or copied database has a separate history from then on.
# If the cluster's identifier may not be read, the fingerprint shows most copies.
_CLUSTER = where_allowed("pg_catalog.pg_control_system()", "f.system_identifier")
_SYSTEM = (
    f"(select coalesce({_CLUSTER}, '') || '/' || d.oid "
    "from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())"
)


_SINCE = "extract(epoch from pg_catalog.pg_postmaster_start_time())"
_Asked = tuple[str, str, bool]  # the file's path, its query, and whether policies may filter it


@dataclass(frozen=True, slots=True)
class SettledKey:
    """What must be equal, besides the fingerprint, for a database to be settled."""

    value: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Whether the database is settled, and which backend answered; None if none could.

    `server_since` is the server's start time; empty if it was not read. `standing` are the findings
    of the run that settled it, which still hold.
    """

    backend_pid: int | None
    server_since: str
    is_settled: bool
    standing: tuple[Finding, ...] = ()


def settled_key(settings: Settings, sources: Sources, server_version: int) -> SettledKey:
    """Return a hash of folder, relevant settings, and predeploy's and the server's version."""
    parts = [sources.digest, settings.identity, __version__, server_version]
    return SettledKey(hashlib.sha256(json.dumps(parts).encode()).hexdigest())


def read(conn: Connection, settings: Settings, sources: Sources) -> Reading:
    """Ask in one round trip, writing nothing and using no transaction id.

    Any error counts as not settled: the full run will report it. Only a lost connection raises. Up
    to PostgreSQL 15 a negative answer costs one more round trip.
    """
    is_rolled_back = conn.info.server_version < _LEAVES_LARGE_OBJECTS
    seeds, checks = [*_seeds(settings, sources)], [*_checks(sources)]
    texts: dict[Hashable, str] = {
        "begin": f"{'begin' if is_rolled_back else 'set'} {_READ_ONLY}",
        "path": operator_path_sql(settings.endpoint),
        "keep": KEEP,
        "settings": settings_sql({"statement_timeout": "30s"}),
        _SERVER: f"select pg_catalog.pg_backend_pid(), {_SINCE}",
        # Before any table, or view in its place, is read.
        "trust": trust.fence_sql(settings.ledger_schema),
        _GUARD: _guard_sql(settings, settled_key(settings, sources, conn.info.server_version)),
        "operator's path": operator_path_sql(settings.endpoint),
    }
    for path, sql, is_filtered in (*seeds, *checks):
        texts |= between_policies(path, sql, is_filtered=is_filtered)
    if is_rolled_back:
        texts["end"] = "rollback"
    reply = wire.send_named(conn, texts)
    wire.roll_back(conn)
    if not reply.is_complete:
        return Reading(*_server(reply), is_settled=False)
    has_seeds = all(reply.rows(path) for path, _, _ in seeds)
    is_fine = has_seeds and not any(reply.rows(path) for path, _, _ in checks)
    standing = tuple(_standing(reply.rows(_GUARD)[0][1])) if is_fine else ()
    return Reading(*_server(reply), is_settled=is_fine, standing=standing)


def _standing(kept: str | None) -> Iterator[Finding]:
    for code, message, remedy, is_note in json.loads(kept or "[]"):
        yield Finding(code, message, remedy, is_note=is_note)


def _seeds(settings: Settings, sources: Sources) -> Iterator[_Asked]:
    """Yield the seeds' presence queries, each of which should return a row."""
    admin = settings.admin
    literals = {name: literal(value) for name, value in admin.identity} if admin else {}
    for script in sources.seeds:
        is_filtered, _ = filtered.apart(script.text)
        if sql := presence_question(script, literals):
            yield script.path, sql, is_filtered


def _checks(sources: Sources) -> Iterator[_Asked]:
    """Yield the checks, none of which should return a row."""
    for script in sources.checks:
        is_filtered, sql = filtered.apart(script.text)
        yield script.path, sql, is_filtered


def server_since(conn: Connection) -> str:
    """Return the server's start time, in the form that `read` returns."""
    ((since,),) = typed(tuple[str], wire.ask(conn, f"select {_SINCE}"))
    return since


def _server(reply: NamedAnswer) -> tuple[int | None, str]:
    """Return the backend's pid and the server's start time, if the message got that far."""
    if not reply.has(_SERVER):
        return None, ""
    ((pid, since),) = typed(tuple[int, str], reply.rows(_SERVER))
    return pid, since


def store_sql(
    settings: Settings,
    key: SettledKey,
    snapshot: "Snapshot",
    run_id: str,
    standing: Iterable[Finding] = (),
) -> str:
    """Return the INSERT that stores the key, the fingerprint and the verified search_path.

    It returns rows, unless DDL has intervened: then nothing is stored. `standing` are the findings
    that settled runs repeat.
    """
    current = fingerprint_sql(settings.ledger_schema)
    fingerprint, path = literal(snapshot.fingerprint), literal(snapshot.search_path.text)
    said = [[f.code, f.message, f.remedy, f.is_note] for f in standing]
    kept = literal(json.dumps(redact_all(said, settings.secrets)))
    return f"""insert into {identifier(settings.ledger_schema)}.state
            (name, key, fingerprint, system, run_id)
        select s.name, s.key, {fingerprint}, {_SYSTEM}, {literal(run_id)}
        from (values ('settled', {_keyed(key, path)}), ('standing', {kept})) s(name, key)
        where {current} = {fingerprint}
        on conflict (name) do update set key = excluded.key, fingerprint = excluded.fingerprint,
            system = excluded.system, run_id = excluded.run_id, stored_at = clock_timestamp()
        returning name"""


def _guard_sql(settings: Settings, key: SettledKey) -> str:
    current = fingerprint_sql(settings.ledger_schema)
    state = f"{identifier(settings.ledger_schema)}.state"
    return f"""select 1 / count(*), (select key from {state} where name = 'standing') from {state}
        where name = 'settled' and key = {_keyed(key, TEXT)} and system = {_SYSTEM}
          and fingerprint = {current}"""


def _keyed(key: SettledKey, path: str) -> str:
    """Return the stored form of the key: only the server knows how the operator's names resolve."""
    return f"pg_catalog.md5({literal(key.value)} || {path})"
