"""The desired state: adds, online, what `schema.sql` declares and the database does not have.

Only additive changes are planned. Changes and removals are only reported, and what would rewrite a
big table is left to a migration.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Drift, Finding, Plan
from predeploy.contract.statement import Mode
from predeploy.contract.step import OnlineSchemaChange, Purpose, SchemaChange, SyncStep
from predeploy.judgment.drift import DRIFT, way_to_accept
from predeploy.layers.situation.base import Layer, Situation
from predeploy.layers.situation.lineage import Comparison, named
from predeploy.schema.comparison.difference import Difference, difference
from predeploy.schema.comparison.retired import without_retired
from predeploy.schema.comparison.waiting import WAITS, Unmet
from predeploy.schema.ddl import Change, Phase, Report, Verdict
from predeploy.schema.described import as_drift
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaIndex
from predeploy.schema.violating_rows import violating_rows
from predeploy.settings import OnDrift, Settings
from predeploy.snapshot import SchemaView, Snapshot, View
from predeploy.sources import filtered

_TOGETHER = (Phase.TOGETHER, Phase.AFTER)
# Changes in one transaction: each holds locks, and when those run out, other sessions fail too.
_MOST_TOGETHER = 500
_LOCKS_OF_A_CHANGE = 4  # measured: a table with its two keys and an index, four changes, takes 15
_SHARE_OF_LOCKS = 0.25
_LONGEST_LABEL = 120  # characters
_VALIDATE = " VALIDATE CONSTRAINT "
_NOT_VALID = " NOT VALID"
_RENAME = "looks-like-rename"
# Function bodies were checked in the shadow, and may need what a later statement creates.
_BODIES_AS_THEY_ARE = ("SET LOCAL check_function_bodies = off",)

# Verdicts on live objects that are reported until they are accepted or gone.
_STANDING = frozenset({Verdict.DRIFT, Verdict.BREAKING})


def plan(situation: Situation) -> Plan:
    """Plan what adds everything that the files declare; nothing if the database is ahead."""
    snapshot = situation.snapshot
    schema = snapshot.schema
    if schema is None:
        return Plan()
    if schema.is_unread:
        return Plan(findings=schema.findings)
    comparison = situation.comparison
    if comparison.is_ahead:
        return Plan()
    found = differences(situation, schema)
    coming = [told(r) for r in found.reports if r.verdict is Verdict.NOTE or r.code == _RENAME]
    if comparison.has_diverged:
        coming = [_refused(f, comparison) if f.code == _RENAME else f for f in coming]
    steps = tuple(_steps(found.changes, schema))
    # The first step changes the fingerprint, so only that step can require it.
    bound = (replace(steps[0], fingerprint=snapshot.fingerprint), *steps[1:]) if steps else ()
    left = (*judged(situation, found), *standing(found))
    return Plan(bound, (*schema.findings, *coming), left)


LAYER = Layer("sync", frozenset({View.LEDGER, View.SCHEMA, View.DRIFTS}), plan, may_be_rescued=True)


def differences(situation: Situation, schema: SchemaView) -> Difference:
    """Compare both sides, taking into account which tables are empty and which are big."""
    unmet = Unmet(situation.violated, _accepted(situation))
    return _difference(situation.snapshot, schema, situation.settings, unmet)


def _difference(
    snapshot: Snapshot, schema: SchemaView, settings: Settings, unmet: Unmet
) -> Difference:
    declared = schema.declared
    left: tuple[Report, ...] = ()
    if settings.sync.left:
        declared, left = without_retired(
            schema.declared, schema.live, lambda table: settings.sync.leaves(*table)
        )
    found = difference(
        declared,
        schema.live,
        schema.sizes,
        snapshot.server_version,
        schema.users,
        unmet=unmet,
        may_alter=settings.sync.may_alter,
        written=schema.written,
        role=schema.role,
    )
    return replace(found, reports=(*found.reports, *left)) if left else found


def _accepted(situation: Situation) -> frozenset[tuple[str, str]] | None:
    """Return the accepted drifts as (object, live shape); None: all drifts are accepted."""
    settings, snapshot = situation.settings, situation.snapshot
    is_adopted_now = snapshot.is_unknown and not snapshot.has_synced
    if is_adopted_now or settings.on_drift is OnDrift.WARN:
        return None
    return frozenset((*snapshot.adopted, *settings.accepted))


def drifts(snapshot: Snapshot, settings: Settings) -> tuple[Drift, ...]:
    """Return the live objects whose shape differs from the files, or that break the app."""
    schema = snapshot.schema
    if schema is None or schema.is_unread:
        return ()
    found = _difference(snapshot, schema, settings, Unmet())
    return tuple(as_drift(report) for report in found.reports if report.verdict in _STANDING)


def judged(situation: Situation, found: Difference) -> Iterator[Finding]:
    """Report differences that remain: missing objects, drift, and changes that wait for either.

    In this order, because the first finding decides how the run ends.
    """
    missing = [r for r in found.reports if r.verdict is Verdict.NOT_ADDABLE]
    yield from (_missing(report) for report in missing if report.code != WAITS)
    yield from unlike(situation, found)
    yield from (_missing(report) for report in missing if report.code == WAITS)


def unlike(situation: Situation, found: Difference) -> Iterator[Finding]:
    """Report live objects that are not as the app expects them, unless accepted."""
    for report in (r for r in found.reports if r.verdict in _STANDING):
        yield from _drift(situation, report)


def _missing(report: Report) -> Finding:
    return replace(told(report), exit_code=ExitCode.NOT_VERIFIED)


def _drift(situation: Situation, report: Report) -> Iterator[Finding]:
    settings, snapshot, drift = situation.settings, situation.snapshot, as_drift(report)
    if any(drift.is_accepted_by(dict(known)) for known in (snapshot.adopted, settings.accepted)):
        return
    if snapshot.is_adopting and not snapshot.has_synced:
        what = f"{report.message}; it was there before predeploy, and is accepted"
        yield Finding("adopted-drift", what)
        return
    remedy = f"{report.remedy}; or accept it {way_to_accept([drift])}"
    if report.verdict is Verdict.BREAKING:
        yield Finding(report.code, report.message, remedy, ExitCode.NOT_VERIFIED)
        return
    code = ExitCode.REFUSED if settings.on_drift is OnDrift.BLOCK else None
    yield Finding(DRIFT, report.message, remedy, code)


def standing(found: Difference) -> Iterator[Finding]:
    """Warn about live objects that may cause harm, for as long as they exist."""
    warnings = (r for r in found.reports if r.verdict is Verdict.WARNING)
    return (told(report) for report in warnings if report.code != _RENAME)


def _refused(rename: Finding, comparison: Comparison) -> Finding:
    """Refuse to add back, empty, a column that a file of another history may have renamed."""
    return replace(
        rename,
        message=f"{rename.message}, and {named(comparison.missing)}, not in this folder, may have "
        "renamed it",
        remedy=f"{rename.remedy}; if it was not renamed, add it in a migration",
        exit_code=ExitCode.REFUSED,
    )


def told(report: Report) -> Finding:
    """Return a report as a finding that does not stop the run."""
    is_note = report.verdict is Verdict.NOTE
    return Finding(report.code, report.message, report.remedy, is_note=is_note)


def _steps(changes: Iterable[Change], schema: SchemaView) -> Iterator[SyncStep]:
    """Split the changes into steps, phase by phase; those that rows may make fail come last."""
    live = SchemaIndex(schema.live)
    for phase, group in groupby(changes, key=lambda change: change.phase):
        if phase in _TOGETHER:
            yield from _transactions(tuple(group), schema, live)
            continue
        pairs = [(change, _at_validation(change)) for change in group]
        for change, at in pairs:
            yield from _alone(change, change.statements[:at], live)
        for change, at in pairs:
            yield from _alone(change, change.statements[at:], live)


def _at_validation(change: Change) -> int:
    """Return where in a change's statements the rows begin to matter to what comes after."""
    texts = change.statements
    if change.fact.kind == Kind.COLUMN.value:
        return len(texts)  # a primary key that finds no NOT NULL reads the table under its lock
    return next((i for i, text in enumerate(texts) if _VALIDATE in text), len(texts))


def _alone(change: Change, texts: Sequence[str], live: SchemaIndex) -> Iterator[SyncStep]:
    purposes = (_purpose(change, live),)
    for text in texts:
        # In no file, and so without a line.
        read = sql.read(text).statements
        found = tuple(replace(statement, line=0, column=0) for statement in read)
        own = (_shortened(f"sync: {text}"), text, found)
        if any(statement.mode is Mode.AUTOCOMMIT for statement in found):
            yield OnlineSchemaChange(*own, purposes=purposes)
        else:
            is_brief = text.endswith(_NOT_VALID)
            yield SchemaChange(*own, purposes=purposes, is_brief=is_brief)


def _purpose(change: Change, live: SchemaIndex) -> Purpose:
    return Purpose(change.fact.label, violating_rows(change.fact, live))


def _transactions(
    changes: tuple[Change, ...], schema: SchemaView, live: SchemaIndex
) -> Iterator[SyncStep]:
    """Group changes in order, but never two tables that other sessions may be using."""
    together: list[Change] = []
    used: set[str] = set()
    most = _most_together(schema)
    for change in changes:
        uses = _in_use(change, schema)
        is_full = len(together) == most
        if together and (is_full or (uses - used and len(used | uses) > 1)):
            yield _together(together, schema, live)
            together, used = [], set()
        together.append(change)
        used |= uses
    if together:
        yield _together(together, schema, live)


def _most_together(schema: SchemaView) -> int:
    room = int(schema.lock_capacity * _SHARE_OF_LOCKS / _LOCKS_OF_A_CHANGE)
    return max(1, min(room, _MOST_TOGETHER)) if schema.lock_capacity else _MOST_TOGETHER


def _in_use(change: Change, schema: SchemaView) -> set[str]:
    """Return the live tables that a change locks. Empty ones count: a queue may be busy."""
    fact = change.fact
    names = {f"{fact.schema}.{fact.relation}", ".".join(fact.listed("references"))}
    return names & schema.sizes.keys()


def _texts(
    changes: Sequence[Change], schema: SchemaView, live: SchemaIndex
) -> Iterator[tuple[str, Purpose]]:
    """Yield the statements, and what lets a new table's key be validated behind forced policies.

    Each with what it is for.

    PostgreSQL looks for orphans with a query that these would filter, which is an error here. But a
    table without rows has none.
    """
    tables = (f for side in (schema.declared, schema.live) for f in side)
    forced = {f.identity for f in tables if f.get("forced row security")}
    for change in changes:
        key = change.fact
        own, other = f"{key.schema}.{key.relation}", ".".join(key.listed("references"))
        if other and own not in schema.sizes and not forced.isdisjoint((own, other)):
            texts = (filtered.LET_IT_FILTER, *change.statements, filtered.DO_NOT)
        else:
            texts = change.statements
        purpose = _purpose(change, live)
        yield from ((text, purpose) for text in texts)


def _together(changes: Sequence[Change], schema: SchemaView, live: SchemaIndex) -> SchemaChange:
    texts, purposes = zip(*_texts(changes, schema, live), strict=True)
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    makes_routines = any(change.fact.kind == Kind.ROUTINE.value for change in changes)
    return SchemaChange(
        f"sync: {changes[0].fact.label}{more}",
        sql.SEPARATOR.join(texts),
        sql.composed(texts),
        preamble=_BODIES_AS_THEY_ARE if makes_routines else (),
        purposes=purposes,
        is_brief=all(change.is_brief for change in changes),
    )


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…"
