"""The gate: whether the database has what the app declares. Changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import dropwhile, islice

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.judgment.drift import Standing, judge_standing
from predeploy.layers import naming, sync
from predeploy.layers.situation.base import Layer, Situation
from predeploy.layers.situation.critical import RELATIONS, relations_of, resolved
from predeploy.schema.comparison.difference import Difference
from predeploy.schema.kind import Kind
from predeploy.settings import OnFailure
from predeploy.snapshot import Response, View
from predeploy.sources import filtered
from predeploy.sources.checks import read_check

_SHOWN_ROWS = 3
_FOR_AN_OLDER_APP = (
    "a newer version has taken it away: deploy a version that does without it, or bring it back in "
    "a migration"
)


def plan(situation: Situation) -> Plan:
    """Return a plan without steps whose findings say what is missing.

    On a database that is ahead, only missing tables, views and columns stop the run; every other
    difference, and what the checks find, is a warning.
    """
    ahead = situation.comparison.is_ahead
    checks_code = None if ahead else ExitCode.NOT_VERIFIED
    rescues = situation.settings.on_failure is OnFailure.RESCUE
    checks = [read_check(script) for script in situation.sources.checks]
    findings = [
        *(finding for check in checks for finding in check.findings),
        *(filtered.told(check.script.path) for check in checks if check.is_filtered),
        *_pending(situation, None if rescues else ExitCode.NOT_VERIFIED),
        *_unnamed(situation),
        *_missing(situation),
        *_drifted(situation, is_ahead=ahead),
        *_unlike(situation, is_ahead=ahead),
        *(
            _failed_check(c, checks_code)
            for c in situation.snapshot.checks
            if c.count or c.sqlstate
        ),
    ]
    return Plan(findings=tuple(findings), compared=_compared(situation))


LAYER = Layer("verify", frozenset(View) - {View.SEEDED}, plan)


def _compared(situation: Situation) -> str:
    """Return what the layer compares, and nothing else is called verified; empty if nothing is.

    Only a command's migrations are known to nobody but the command.
    """
    settings, sources = situation.settings, situation.sources
    critical = _count(len(settings.critical), "critical table")
    schema = "schema.sql" if sources.schema else ""
    if situation.comparison.is_ahead:
        declared = " and ".join(filter(None, (schema, critical)))
        if not declared:
            return "no table or column is declared, so none was compared"
        return f"the tables and columns of {declared} are there, other differences only warn"
    files = situation.files
    whole = sum(file.is_whole for file in files)
    migrations = _count(len(files), "migration")
    migrations = migrations if whole == len(files) else f"{whole} of {migrations}"
    declared = ", ".join(filter(None, (critical, schema, _count(len(sources.checks), "check"))))
    if settings.command is not None:
        return declared
    return ", ".join(
        filter(None, (migrations, declared or "no table, column or check is declared"))
    )


def _pending(situation: Situation, exit_code: ExitCode | None) -> Iterator[Finding]:
    """Report each file that is not complete in the ledger: nothing is skipped silently."""
    for history in situation.files:
        if not history.is_whole and not situation.is_held_back(history):
            yield Finding(
                "not-applied",
                f"{history.script.path} has not been applied",
                "run `predeploy run`",
                exit_code,
            )


def _unnamed(situation: Situation) -> Iterator[Finding]:
    """Report the schemas of the address that do not exist or may not be used."""
    path = situation.snapshot.search_path
    yield from (naming.absent(situation, name, ExitCode.NOT_VERIFIED) for name in path.absent)
    yield from (naming.closed(situation, name) for name in path.closed)


def _missing(situation: Situation) -> Iterator[Finding]:
    snapshot = situation.snapshot
    there = relations_of(snapshot.facts)
    columns = {f.identity for f in snapshot.facts if f.kind == Kind.COLUMN.value}
    remedy = _FOR_AN_OLDER_APP if situation.comparison.is_ahead else "add it in a migration"
    for critical in resolved(situation.settings.critical, snapshot):
        if critical.name not in there:
            yield _absent(f"table {critical.name}", remedy)
            continue
        for column in critical.columns:
            if f"{critical.name}.{column}" not in columns:
                yield _absent(f"column {critical.name}.{column}", remedy)


def _drifted(situation: Situation, *, is_ahead: bool) -> Iterator[Finding]:
    """Repeat the drift found when a file was applied; a newer version may have intended it."""
    settings = situation.settings
    standing = (one for one in situation.snapshot.drifts if not _is_superseded(situation, one))
    found = judge_standing(standing, dict(settings.accepted), settings.on_drift)
    for finding in found:
        yield replace(finding, exit_code=None) if is_ahead else finding


def _unlike(situation: Situation, *, is_ahead: bool) -> Iterator[Finding]:
    """Report what schema.sql declares and the database does not have, or has in another shape."""
    schema = situation.snapshot.schema
    if schema is None:
        return
    if schema.is_unread:
        for finding in schema.findings:
            yield replace(finding, exit_code=ExitCode.NOT_VERIFIED)
        return
    found = sync.differences(situation, schema)
    if is_ahead:
        yield from _lacking(found)
        yield from (replace(told, exit_code=None) for told in sync.unlike(situation, found))
        return
    said = situation.violated
    for change in (c for c in found.changes if c.fact.label not in said):
        what = f"{change.fact.label} is not there as schema.sql declares it"
        yield Finding("missing", what, "run `predeploy run`", ExitCode.NOT_VERIFIED)
    yield from sync.judged(situation, found)
    yield from sync.standing(found)


def _lacking(found: Difference) -> Iterator[Finding]:
    """Report missing objects that an older app needs; only what its queries name stops the run.

    The parts of a missing table are not reported one by one.
    """
    gone = {(f.schema, f.relation) for f in found.missing if f.kind in RELATIONS}
    for fact in found.missing:
        if fact.kind in RELATIONS or (fact.schema, fact.relation) not in gone:
            is_needed = fact.kind in RELATIONS or fact.kind == Kind.COLUMN.value
            what = f"{fact.label} is not there as schema.sql declares it"
            code = ExitCode.NOT_VERIFIED if is_needed else None
            yield Finding("missing", what, _FOR_AN_OLDER_APP if is_needed else "", code)
    missing = {fact.label for fact in found.missing}
    for change in (c for c in found.changes if c.fact.label not in missing):
        yield Finding("different", f"{change.fact.label} is not as schema.sql declares it")


def _is_superseded(situation: Situation, one: Standing) -> bool:
    """Whether a later file than the one that found the drift altered or removed the object."""
    known = situation.files
    later = dropwhile(lambda history: history.script.name != one.file, known)
    _, *parts = one.drift.name.split(".")
    names = {".".join(parts), parts[0] if parts else ""}
    return any(
        names & sql.alters(statement)
        for history in islice(later, 1, None)
        if history.is_whole
        for statement in sql.read(history.script.text).statements
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number else ""


def _absent(what: str, remedy: str) -> Finding:
    return Finding(
        "missing",
        f"{what} is missing",
        f"{remedy}; predeploy.toml declares it as critical",
        ExitCode.NOT_VERIFIED,
    )


def _failed_check(check: Response, exit_code: ExitCode | None) -> Finding:
    if check.sqlstate:
        return Finding(
            "check-broken",
            f"{check.path} could not be asked: {check.message} ({check.sqlstate})",
            check.remedy or "fix the query",
            ExitCode.DENIED if exit_code and check.remedy else exit_code,
        )
    shown = "; ".join(
        ", ".join(f"{n}={v}" for n, v in zip(check.columns, row, strict=True))
        for row in check.rows[:_SHOWN_ROWS]
    )
    rest = f" and {check.count - _SHOWN_ROWS} more" if check.count > _SHOWN_ROWS else ""
    return Finding(
        "check-failed",
        f"{check.path} returned {check.count} offending row(s): {shown}{rest}",
        "fix the rows, or the check",
        exit_code,
    )
