"""What another tool has applied, by its own history table: recorded in the ledger, and not run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.quoting import identifier
from predeploy.layers.migrating.recording import not_there
from predeploy.layers.situation.base import Situation
from predeploy.layers.situation.lineage import named
from predeploy.sources.formats.format import TABLE, Applied, Records


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a tool's history says about files that the ledger does not know.

    `applied` names those that the tool has applied, and when. `is_certain` says that there is a
    history of this folder, so that what it does not name was not applied; an empty one is that only
    in a database without other tables.
    """

    applied: Mapping[str, str] = field(default_factory=dict)
    is_certain: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Fate:
    """What a run does with a file, and since when its tool has applied it, in the tool's words."""

    path: str
    fate: str
    applied_at: str = ""


def fates(situation: Situation, planned: Plan) -> tuple[Fate, ...]:
    """Return what a run does with each file of the folder, in order."""
    applied = take_over(situation).applied
    ways = {step.path: step.how for step in planned.steps}
    return tuple(
        Fate(
            file.script.path,
            "in the ledger"
            if file.is_whole
            else "refused"
            if planned.refusal
            else ways.get(file.script.path, "nothing to run"),
            applied.get(file.script.name, ""),
        )
        for file in situation.files
    )


def take_over(situation: Situation) -> Takeover:
    """Judge the tools' histories for the files that the ledger does not know.

    Refused (65) if a history says that a file was half applied, if several histories share files
    with the folder, or if what the recorded files make is not there. A baseline in predeploy.toml
    decides alone.
    """
    snapshot = situation.snapshot
    unknown = {file.script.name for file in situation.files if not file.is_known}
    if not unknown or (situation.settings.baseline and snapshot.is_unknown):
        return Takeover()
    judged = [
        (records, records.history.read(situation.sources.migrations, records.rows))
        for records in snapshot.histories
    ]
    sharing = [(records, applied) for records, applied in judged if applied.is_about_the_folder]
    if len(sharing) > 1:
        return Takeover(findings=(_ambiguous([records for records, _ in sharing]),))
    if not sharing:
        return Takeover(is_certain=_holds_nothing_else(situation))
    ((records, applied),) = sharing
    return _taken(situation, records, applied, unknown)


def _holds_nothing_else(situation: Situation) -> bool:
    """Whether the tools' tables are empty and there is no other: nothing has been applied."""
    snapshot = situation.snapshot
    empty = {(r.table.schema, r.table.name) for r in snapshot.histories if not r.rows}
    tables = {(schema, name) for kind, schema, _, name in snapshot.names if kind == "table"}
    return bool(empty) and tables == empty


def _taken(situation: Situation, records: Records, applied: Applied, unknown: set[str]) -> Takeover:
    files = {name: when for name, when in applied.files.items() if name in unknown}
    table = f"{identifier(records.table.schema)}.{identifier(records.table.name)}"
    findings = [
        replace(finding, remedy=finding.remedy.replace(TABLE, table))
        for name, finding in applied.refusals
        if name in unknown or not name
    ]
    if files:
        findings += applied.warnings
        findings.append(_note(records, tuple(files)))
        whole = {file.script.name for file in situation.files if file.is_whole}
        done = applied.files.keys() | whole
        through = [s.text for s in situation.sources.migrations if s.name in done]
        findings += not_there(
            situation.snapshot,
            situation.settings.accepted_missing,
            through,
            f"{records.history.tool} has recorded files in {records.table} whose work is not there",
            "bring back what they made, or run predeploy on the database that the history is of",
        )
    return Takeover(files, is_certain=True, findings=tuple(findings))


def _note(records: Records, names: tuple[str, ...]) -> Finding:
    many = "1 file" if len(names) == 1 else f"{len(names)} files"
    return Finding(
        "taken-over",
        f"{many} recorded, not run: {records.history.tool} has applied them, by {records.table}: "
        f"{named(names)}",
        is_note=True,
    )


def _ambiguous(found: list[Records]) -> Finding:
    where = ", ".join(f"{records.table} ({records.history.tool})" for records in found)
    return Finding(
        "ambiguous-history",
        f"several tables may tell which files have been applied here: {where}",
        'say whose the folder is with format = "TOOL" in predeploy.toml, or set the search_path in '
        "the connection string (options=-csearch_path=SCHEMA) to the schema of its table",
        ExitCode.BAD_SOURCES,
    )
