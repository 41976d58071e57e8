"""What the schema files declare, as facts: from the ledger, or else from a shadow.

Loading them is costly and blocks sessions that create objects meanwhile. So the result is kept in
the ledger, under a hash of the files and of everything else that it depends on.
"""

import base64
import hashlib
import json
import zlib

import structlog

from predeploy import __version__
from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import DatabaseRefusedError
from predeploy.contract.plan import Failure, Finding
from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.wire import Connection
from predeploy.schema.facts import as_json, from_json, parse_facts
from predeploy.schema.kinds import READ_WITH, declared_sql
from predeploy.schema.kinds.programs.views import filled
from predeploy.schema.kinds.schemas import placed
from predeploy.schema.written import as_json as written_as_json
from predeploy.schema.written import from_json as written_from_json
from predeploy.settings import Settings
from predeploy.snapshot import SchemaView
from predeploy.sources import Sources

log = structlog.get_logger()

_KEPT = 5
# The storage format of the facts; part of the key, so that entries in another format are not found.
_FORMAT = "zlib 6"
# The server's output of facts may depend on an extension, and name its schema.
_ABOUT = """(select pg_catalog.concat_ws(' ', pg_catalog.current_setting('server_version_num'),
    (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', extname, extversion,
        extnamespace::pg_catalog.regnamespace), ' ' order by extname)
     from pg_catalog.pg_extension)))"""


def read_declared(
    conn: Connection,
    settings: Settings,
    sources: Sources,
    deadline: Deadline,
    search_path: tuple[str, ...],
    *,
    has_ledger: bool,
) -> SchemaView:
    """Return what the schema files declare under a search_path; leave nothing behind.

    The connection must be idle.

    Problems are returned as findings with an exit code: 65 for the files, 75 to 77 for what the
    server lacks or refuses.
    """
    kept = _recall(conn, settings.ledger_schema, sources, search_path) if has_ledger else None
    return kept or _read(conn, settings, sources, deadline, search_path)


def remember_sql(ledger_schema: str, sources: Sources, declared: SchemaView) -> str:
    """Return SQL that stores what was read, and keeps what the last releases declared.

    Pods of those releases may restart alongside the new ones, and verify.
    """
    table = f"{identifier(ledger_schema)}.declared"
    files = literal(_files(sources, declared.search_path))
    return f"""delete from {table} where (files = {files} and about = {_ABOUT}) or stored_at < (
            select stored_at from {table} order by stored_at desc offset {_KEPT - 2} limit 1);
        insert into {table} (files, about, schemas, facts)
        values ({files}, {_ABOUT}, {literal(json.dumps(declared.schemas))},
                {literal(_packed(declared))})"""


def _recall(
    conn: Connection, ledger_schema: str, sources: Sources, search_path: tuple[str, ...]
) -> SchemaView | None:
    rows = wire.ask(
        conn,
        f"""select schemas, facts from {identifier(ledger_schema)}.declared
        where files = {literal(_files(sources, search_path))} and about = {_ABOUT}""",
    )
    if not rows:
        return None
    facts, written, found = _unpacked(rows[0][1] or "")
    return SchemaView(
        tuple(json.loads(rows[0][0] or "[]")),
        from_json(facts),
        written=written_from_json(written),
        findings=tuple(Finding(code, message, remedy) for code, message, remedy in found),
    )


def _read(
    conn: Connection,
    settings: Settings,
    sources: Sources,
    deadline: Deadline,
    search_path: tuple[str, ...],
) -> SchemaView:
    # Both import the parser, which most runs do not need.
    from predeploy.database.shadow import Elsewhere, Limits, read_shadow  # noqa: PLC0415 - as above
    from predeploy.sql.schema_file.desired import read_desired  # noqa: PLC0415 - as above

    files = [(script.path, script.text) for script in sources.schema]
    desired = read_desired(files, settings.ledger_schema, search_path)
    if any(finding.exit_code is not None for finding in desired.findings):
        return SchemaView(desired.schemas, findings=desired.findings)
    limits = Limits(settings.ddl_lock_timeout_s, deadline.part(settings.ddl_budget_s), deadline)

    question = declared_sql(desired.schemas)
    try:
        elsewhere = Elsewhere(settings.endpoint, settings.shadow)
        read = read_shadow(conn, desired, question, READ_WITH, limits, elsewhere=elsewhere)
    except DatabaseRefusedError as refused:
        what = f"schema.sql cannot be read here: {refused}"
        why = Finding("no-shadow", what, exit_code=refused.exit_code)
        return SchemaView(desired.schemas, findings=(*desired.findings, why))
    if isinstance(read, Failure):
        return SchemaView(desired.schemas, findings=(*desired.findings, _finding(read)))
    findings = (*desired.findings, *read.findings)
    log.info("read what schema.sql declares", shadow=read.provider, schemas=list(desired.schemas))
    there = filled(parse_facts(read.rows), desired.filled)
    facts = placed(desired.written.known(there), desired.homes)
    return SchemaView(
        desired.schemas,
        facts,
        written=desired.written,
        findings=findings,
        is_new=True,
        search_path=search_path,
    )


def _finding(failure: Failure) -> Finding:
    where = f"{failure.place}: " if failure.path else ""
    message = f"{where}{failure.sqlstate} {failure.message}"
    return Finding("bad-schema", message, failure.remedy, failure.exit_code)


def _packed(declared: SchemaView) -> str:
    """Compress to about a tenth, since all of it is sent to the server and written to WAL."""
    found = [(f.code, f.message, f.remedy) for f in declared.warnings]
    told = json.dumps([as_json(declared.declared), written_as_json(declared.written), found])
    return base64.b64encode(zlib.compress(told.encode(), level=1)).decode()


def _unpacked(kept: str) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Return the facts and the written names, each as JSON, and the warnings of the reading."""
    facts, written, found = json.loads(zlib.decompress(base64.b64decode(kept)))
    return facts, written, found


def _files(sources: Sources, search_path: tuple[str, ...]) -> str:
    parts = [
        __version__,
        _FORMAT,
        search_path,
        *((script.path, script.raw_hash) for script in sources.schema),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
