"""Has each file recorded in its tool's own history table, too, in the step that completes it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.quoting import identifier
from predeploy.contract.step import Migration, OnlineMigration, Step
from predeploy.layers.situation.base import Situation
from predeploy.sources.formats import histories_of
from predeploy.sources.formats.format import History, Mirror, Table


@dataclass(frozen=True, slots=True)
class _Target:
    """Where to write: the tool's table, and whether it has to be made first."""

    mirror: Mirror
    table: Table
    is_new: bool

    @property
    def name(self) -> str:
        return f"{identifier(self.table.schema)}.{identifier(self.table.name)}"


def mirror(situation: Situation, steps: Sequence[Step]) -> Plan:
    """Return the steps with what they write to the tool's table, if the settings ask for that.

    Refused (78) if it is not certain which tool's table is meant, or if the tool keeps none that
    predeploy can write.
    """
    if not situation.settings.mirror_history or not situation.sources.migrations:
        return Plan(tuple(steps))
    target = _target(situation)
    if isinstance(target, Finding):
        return Plan(findings=(target,))
    return Plan(tuple(_mirrored(situation, steps, target)))


def _target(situation: Situation) -> _Target | Finding:
    found = {records.history.tool: records for records in situation.snapshot.histories}
    if len(found) == 1:
        ((_, records),) = found.items()
        history, table, is_new = records.history, records.table, False
    else:
        known = histories_of(situation.sources.tools)
        if len(known) != 1:
            return _unclear(known)
        (history,) = known
        home = next(iter(situation.snapshot.search_path.schemas), "public")
        schema = history.mirror.schema or home if history.mirror else home
        table, is_new = Table(schema, history.table, frozenset(), frozenset()), True
    if history.mirror is None:
        return _unclear(())
    return _Target(history.mirror, table, is_new)


def _unclear(known: Sequence[History]) -> Finding:
    tools = ", ".join(history.tool for history in known)
    what = f"several tools fit ({tools})" if tools else "predeploy's own format has no other tool"
    return Finding(
        "no-mirror",
        f"PREDEPLOY_MIRROR_HISTORY is on, and whose history table to write is not certain: {what}",
        "say whose the folder is with PREDEPLOY_FORMAT, or turn it off",
        ExitCode.CONFIG,
    )


def _mirrored(situation: Situation, steps: Sequence[Step], target: _Target) -> Iterator[Step]:
    scripts = {script.name: script for script in situation.sources.migrations}
    creating = target.mirror.create(target.name) if target.is_new else ()
    for step in steps:
        entry = step.entry
        if not (isinstance(step, Migration | OnlineMigration) and entry and entry.is_final):
            yield step
            continue
        writing = target.mirror.write(scripts[entry.file], target.name, target.table.columns)
        yield replace(step, mirror=(*creating, *writing))
        creating = ()
