"""How unqualified names resolve, and whether the schemas in the connection string exist."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import identifier
from predeploy.contract.step import Step
from predeploy.layers.situation.base import Situation

_USUAL = ("public",)


def findings(situation: Situation, steps: Sequence[Step]) -> Iterator[Finding]:
    """Report the first schema, and refuse (78, 77) an address whose schemas cannot be used.

    A schema that does not exist yet may be created by the first pending file, or by the schema
    files if no migration is pending.
    """
    path = situation.snapshot.search_path
    if path.said_by and path.schemas != _USUAL:
        yield Finding("search-path", f"{_meaning(path.schemas)} ({path.said_by})", is_note=True)
    made = _made(situation, steps) if path.absent else frozenset()
    for schema in path.absent:
        if schema not in made:
            yield absent(situation, schema, ExitCode.CONFIG)
    for schema in path.closed:
        yield closed(situation, schema)


def absent(situation: Situation, schema: str, exit_code: ExitCode) -> Finding:
    """Return the finding for a schema that the address names but that does not exist."""
    return Finding(
        "no-schema",
        f"schema {schema} is not there, which {situation.snapshot.search_path.said_by} names: "
        "unqualified names would mean other tables than they do in the app",
        f"create it (CREATE SCHEMA {identifier(schema)}), by hand or at the start of the first "
        "pending migration; or name another in the connection string",
        exit_code,
    )


def closed(situation: Situation, schema: str) -> Finding:
    """Return the finding for a schema that exists but that the role may not use."""
    said_by = situation.snapshot.search_path.said_by
    return Finding(
        "closed-schema",
        f"schema {schema}, which {said_by} names, may not be used by this role: unqualified names "
        "would mean other tables than they do in the app",
        f"GRANT USAGE, CREATE ON SCHEMA {identifier(schema)} to it",
        ExitCode.DENIED,
    )


def _meaning(schemas: Sequence[str]) -> str:
    if not schemas:
        return "unqualified names mean nothing: no schema of the search_path exists yet"
    rest = f", then {', '.join(schemas[1:])}" if schemas[1:] else ""
    return f"unqualified names mean schema {schemas[0]}{rest}"


def _made(situation: Situation, steps: Sequence[Step]) -> frozenset[str]:
    """Return the schemas that are created before an object can end up in a wrong one."""
    if steps:
        first = takewhile(lambda step: step.path == steps[0].path, steps)
        found = [s for step in first for s in step.statements]
    else:
        files = (sql.read(script.text) for script in situation.sources.schema)
        found = [statement for reading in files for statement in reading.statements]
    return frozenset(name for s in found if (name := sql.schema_made(s)))
