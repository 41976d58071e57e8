"""The read-only commands: plan, status, verify. They take no lock."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import structlog

from predeploy import __version__
from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import JobError, SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Ask, Finding, LayerReport, Outcome, Plan
from predeploy.contract.report import Report, asks_data, asks_text
from predeploy.contract.step import LedgerRow, Online, Step
from predeploy.database.catalog import path_view
from predeploy.database.catalog.advice import advised
from predeploy.database.catalog.names import dependent_tables_sql, names_sql, parse_names
from predeploy.database.catalog.open_schemas import open_schemas
from predeploy.database.ledger import initial_state, ledger, runs, settled
from predeploy.database.server import pooler, wire
from predeploy.database.server.connection import connect
from predeploy.database.server.wire import Connection
from predeploy.database.session import lock
from predeploy.database.snapshot_reader import SnapshotReader
from predeploy.judgment.drift import DRIFT
from predeploy.layers import PIPELINE, migrate, sync
from predeploy.layers import verify as verify_layer
from predeploy.layers.migrating import asking
from predeploy.layers.migrating.takeover import Fate, fates
from predeploy.layers.situation.base import Situation
from predeploy.settings import Settings
from predeploy.snapshot import Name, Snapshot
from predeploy.sources import Sources

log = structlog.get_logger()

_LOOK_AGAIN_S = 1.0
_SHOWN_LACKING = 3
# What another run makes, and what is granted behind it.
_MAY_COME = (ExitCode.NOT_VERIFIED, ExitCode.DENIED)

Inspection = tuple[Report, str, dict[str, Any]]


def plan(settings: Settings, sources: Sources) -> Inspection:
    """Return what a run would do: as a report, as text, and as data."""
    inspection, _ = _planned(settings, sources)
    return inspection


def adopt(settings: Settings, sources: Sources) -> Inspection:
    """Return the same, with a table of what a run would do with each file."""
    (report, text, data), files = _planned(settings, sources)
    rows = [("file", "a run", "its tool"), *((f.path, f.fate, f.applied_at) for f in files)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = (f"{path:{widths[0]}}  {fate:{widths[1]}}  {at}".rstrip() for path, fate, at in rows)
    told = {**data, "files": [asdict(file) for file in files]}
    return report, "\n".join([*(table if files else ()), text]), told


def _planned(settings: Settings, sources: Sources) -> tuple[Inspection, tuple[Fate, ...]]:
    """Return what a run would do, and what it would do with each file.

    Layers after pending migrations are not planned, because they depend on these. But drift from
    `schema.sql` that exists now is reported.
    """
    started_s = time.monotonic()
    plans: dict[str, Plan] = {}
    with _connected(settings) as conn:
        reader = _reader(conn, settings, sources)
        settings = _while_not_settled(conn, settings, sources)
        for layer in PIPELINE:
            situation = _before_a_run(settings, sources, reader.read(layer.sees))
            plans[layer.name] = layer.plan(situation)
            if layer is migrate.LAYER:
                files = fates(situation, plans[layer.name])
            if plans[layer.name].steps or plans[layer.name].refusal:
                break
        last = list(plans)[-1]
        if plans[last].steps and last == migrate.LAYER.name:
            plans[last] = replace(plans[last], left=_drifted(settings, sources, reader))
        coming = (
            *_sessionless(conn, settings, plans[last].steps),
            *open_schemas(conn, settings.endpoint),
        )
        plans[last] = replace(plans[last], findings=(*plans[last].findings, *coming))
        version = conn.info.server_version
        asks = _asks(situation, plans[migrate.LAYER.name])
    provisional = [layer.name for layer in PIPELINE if layer.name not in plans]
    if provisional:  # the gate, which is last, does not say what the others leave
        plans = {n: replace(p, findings=(*p.findings, *p.left)) for n, p in plans.items()}
    reports = tuple(
        LayerReport(name, findings=p.findings, asks=asks if name == migrate.LAYER.name else ())
        for name, p in plans.items()
    )
    data = _plan_data(plans, provisional) | {"asks": asks_data(asks)}
    report = _report("plan", situation, reports, version, started_s)
    report = replace(report, pending=len(data["pending"]))
    text = "\n".join([_plan_text(plans, provisional), *asks_text(asks)])
    return (report, text, data), files


def _while_not_settled(conn: Connection, settings: Settings, sources: Sources) -> Settings:
    """Return the settings without the command, if a run would not start it.

    Only that tells, since nobody but the command knows what it would do.
    """
    if settings.command is None or not settled.read(conn, settings, sources).is_settled:
        return settings
    return replace(settings, command=None)


def _asks(situation: Situation, planned: Plan) -> tuple[Ask, ...]:
    """Return what the pending files have to declare, as far as their text shows."""
    return () if planned.refusal else asking.expected(situation, planned.steps)


def _before_a_run(settings: Settings, sources: Sources, snapshot: Snapshot) -> Situation:
    """Return the situation that a run would see, which has created its ledger by then."""
    return Situation(settings, sources, replace(snapshot, is_adopting=snapshot.is_unknown))


def _drifted(settings: Settings, sources: Sources, reader: SnapshotReader) -> tuple[Finding, ...]:
    """Return the drift that exists now; pending migrations may change it."""
    snapshot = reader.read(migrate.LAYER.sees)
    if not sources.schema or not (snapshot.has_ledger or snapshot.has_tables):
        return ()
    now = sync.LAYER.plan(_before_a_run(settings, sources, reader.read(sync.LAYER.sees)))
    return tuple(
        replace(f, message=f"{f.message} (before the pending migrations)", exit_code=None)
        for f in now.left
        if f.code == DRIFT
    )


def status(settings: Settings, sources: Sources) -> Inspection:
    """Return what is applied and pending, who holds the lock, and how the last runs ended."""
    started_s = time.monotonic()
    schema = settings.ledger_schema
    with _connected(settings) as conn:
        snapshot = _reader(conn, settings, sources).read(migrate.LAYER.sees)
        settings = _while_not_settled(conn, settings, sources)
        holder = lock.find_holder(conn, schema)
        latest = runs.last(conn, schema) if snapshot.has_ledger else ()
        situation = Situation(settings, sources, snapshot)
        planned = migrate.LAYER.plan(situation)
        coming = _sessionless(conn, settings, planned.steps)
        version = conn.info.server_version
    files = situation.files
    comparison = situation.comparison
    data: dict[str, Any] = {
        "ledger": schema if snapshot.has_ledger else None,
        "applied": [h.script.path for h in files if h.is_whole],
        "half_applied": [h.script.path for h in files if h.rows and not h.is_whole],
        "pending": [
            *(h.script.path for h in files if not h.is_whole),
            *([settings.command.label] if settings.command else []),
        ],
        "not_in_folder": [*comparison.pruned, *comparison.missing],
        "lineage": comparison.lineage.value,
        "ahead": comparison.is_ahead,
        "lock_holder": str(holder) if holder else None,
        "runs": [
            {"id": r.id, "version": r.version, "started_at": r.started_at,
             "finished_at": r.finished_at, "outcome": r.outcome or "unfinished",
             "exit_code": r.exit_code}
            for r in latest
        ],
    }  # fmt: skip
    found = (*migrate.judge(situation, planned), *coming)
    data["findings"] = _findings_data("migrate", found)
    layers = (LayerReport("migrate", findings=found),)
    report = _report("status", situation, layers, version, started_s)
    return replace(report, pending=len(data["pending"])), _status_text(data), data


def names_in(settings: Settings) -> frozenset[Name]:
    """Return what the schemas of the search_path hold, by kind and name; the ledger left out.

    So are tables that come and go with something else: partitions, and those of extensions. Raises
    JobError if the database cannot be looked at.
    """
    with _connected(settings) as conn:
        path = path_view.read_view(conn, settings.endpoint).schemas
        found = parse_names(wire.ask(conn, names_sql("true")))
        found -= parse_names(wire.ask(conn, dependent_tables_sql()))
    return frozenset(name for name in found if name[1] in path)


def verify(settings: Settings, sources: Sources, *, wait_s: float = 0.0) -> Report:
    """Judge folder and database as a run would; look again for up to `wait_s` seconds.

    Raises SourcesError (66) if only a command knows what should be there.
    """
    if settings.command and not (settings.critical or sources.schema or sources.checks):
        nothing = "nothing is declared that could be verified beside what the command migrates"
        where = "add schema.sql, checks in verify/, or [critical] tables in predeploy.toml"
        raise SourcesError((f"{nothing}: {where}",), exit_code=ExitCode.NO_INPUT)
    started_s = time.monotonic()
    end = Deadline.after(wait_s)
    while True:
        try:
            return _verify_on_one_connection(settings, sources, end, started_s)
        except JobError as error:
            if not error.exit_code.is_retryable or end.left_s <= 0:
                raise
            log.warning(f"not verified yet: {error}", left_s=round(end.left_s))
            time.sleep(min(_LOOK_AGAIN_S, end.left_s))


def _verify_on_one_connection(
    settings: Settings, sources: Sources, end: Deadline, started_s: float
) -> Report:
    seen: tuple[LedgerRow, ...] | None = None
    with _connected(settings) as conn:
        while True:
            snapshot = _reader(conn, settings, sources).read(verify_layer.LAYER.sees)
            situation = Situation(settings, sources, snapshot)
            if snapshot.ledger != seen:  # a thousand pending files take a second to be read
                seen, planned = snapshot.ledger, migrate.LAYER.plan(situation)
            migrated = LayerReport("migrate", findings=migrate.judge(situation, planned))
            # A run that is refused does not reach the gate, so neither does this.
            found = Plan() if planned.refusal else verify_layer.LAYER.plan(situation)
            layers = (migrated, LayerReport("verify", findings=found.findings))
            report = _report("verify", situation, layers, conn.info.server_version, started_s)
            report = replace(report, compared=found.compared)
            if report.exit_code not in _MAY_COME:
                return report
            if end.left_s <= 0:
                coming = LayerReport(
                    "migrate", findings=_sessionless(conn, settings, planned.steps)
                )
                return replace(report, layers=(*report.layers, coming))
            log.info(f"not verified yet: {_lacking(report)}", left_s=round(end.left_s))
            time.sleep(min(_LOOK_AGAIN_S, end.left_s))


def _lacking(report: Report) -> str:
    """Name what keeps a database from being verified: at most three items."""
    found = [finding.message for finding in report.findings if finding.exit_code is not None]
    more = f" (and {len(found) - _SHOWN_LACKING} more)" if len(found) > _SHOWN_LACKING else ""
    return "; ".join(found[:_SHOWN_LACKING]) + more


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    """Connect as a run does: bypassing a pooler if another variable holds a direct address."""
    budget = Deadline.after(settings.connect_budget_s)
    with wire.closing(connect(settings.endpoint, budget)) as conn:
        direct = pooler.way_round(conn, settings, None)
        if direct is None:
            with advised(conn, settings.ledger_schema, to_read=True):
                yield conn
            return
    log.info(f"{settings.endpoint.variable} leads through a pooler; using {direct.variable}")
    with (
        wire.closing(connect(direct, budget)) as conn,
        advised(conn, settings.ledger_schema, to_read=True),
    ):
        yield conn


def _sessionless(
    conn: Connection, settings: Settings, steps: Iterable[Step]
) -> tuple[Finding, ...]:
    """Warn that a run will end with 76 if a pooler cannot serve one of its steps."""
    outside = next((step for step in steps if isinstance(step, Online)), None)
    if outside is None:
        return ()
    try:
        if not pooler.lacks_sessions(conn, settings.endpoint):
            return ()
        why = f"{pooler.no_session(outside.label, settings.endpoint)}; until then a run is 76"
    except JobError as error:  # it does not even serve two connections
        why = str(error)
    return (Finding("no-session", why),)


def _reader(conn: Connection, settings: Settings, sources: Sources) -> SnapshotReader:
    schema = settings.ledger_schema
    found = initial_state.find(conn, schema)
    initial_state.require_readable(conn, schema, found)
    if found.has_ledger:
        ledger.require_usable(schema, wire.ask(conn, ledger.state_sql(schema)))
    return SnapshotReader(conn, settings, sources, Deadline.after(settings.deadline_s), found)


def _report(
    command: str,
    situation: Situation,
    layers: tuple[LayerReport, ...],
    version: int,
    started_s: float,
) -> Report:
    exit_code = next((r.exit_code for r in layers if r.exit_code is not ExitCode.OK), ExitCode.OK)
    good = Outcome.AHEAD if situation.comparison.is_ahead else Outcome.OK
    return Report(
        command=command,
        version=__version__,
        outcome=good if exit_code is ExitCode.OK else Outcome.FAILED,
        exit_code=exit_code,
        duration_s=time.monotonic() - started_s,
        target=situation.settings.endpoint.target,
        server_version=version,
        layers=layers,
    )


def _plan_data(plans: Mapping[str, Plan], provisional: list[str]) -> dict[str, Any]:
    return {
        "pending": [
            {
                "layer": name,
                "step": step.label,
                "lines": step.lines,
                "how": step.how,
                "statements": [s.what if step.lines else s.text for s in step.statements],
            }
            for name, planned in plans.items()
            for step in planned.steps
        ],
        "findings": [
            found
            for name, planned in plans.items()
            for found in _findings_data(name, planned.findings)
        ],
        "provisional": provisional,
    }


def _findings_data(layer: str, findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "layer": layer,
            "code": f.code,
            "level": f.level,
            "message": f.message,
            "next": f.remedy,
        }
        for f in findings
    ]


def _plan_text(plans: Mapping[str, Plan], provisional: list[str]) -> str:
    lines = []
    for name, planned in plans.items():
        lines += [f"{name}: {len(planned.steps) or 'no'} step(s)"]
        for step in planned.steps:
            if not step.statements and not step.lines:
                lines += [f"  {step.label} ({step.how})"]
            elif step.lines:
                lines += [f"  {step.label} ({step.lines}, {step.how}): {_summary(step)}"]
            else:
                texts = (" ".join(statement.text.split()) for statement in step.statements)
                lines += [f"  {step.how}:", *(f"    {text};" for text in texts)]
        lines += [f"  {f.level}: {f.message}" for f in planned.findings]
    if provisional:
        lines += [f"{', '.join(provisional)}: planned once the steps above are applied"]
    return "\n".join(lines)


def _summary(step: Step) -> str:
    kinds = Counter(statement.what for statement in step.statements)
    return ", ".join(f"{n} {kind}" if n > 1 else kind for kind, n in kinds.items()) or "nothing"


def _status_text(data: Mapping[str, Any]) -> str:
    lines = [
        f"ledger: {data['ledger'] or 'none yet'}",
        f"applied: {len(data['applied'])} file(s)",
        f"pending: {len(data['pending'])} file(s)",
        *(f"  {path}" for path in data["pending"]),
        *(f"  half applied: {path}" for path in data["half_applied"]),
        *(f"not in this folder: {name}" for name in data["not_in_folder"]),
        f"lineage: {data['lineage']}",
        *(f"{found['level']}: {found['message']}" for found in data["findings"]),
        f"lock: {data['lock_holder'] or 'free'}",
        "last runs:",
        *(
            f"  {run['started_at']} {run['outcome']} "
            f"({'' if run['exit_code'] is None else run['exit_code']}) predeploy {run['version']}"
            for run in data["runs"]
        ),
    ]
    return "\n".join(lines)
