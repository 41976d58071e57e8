"""Has each file recorded in its tool's own history table, too, in the step that completes it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.quoting import identifier, literal
from predeploy.contract.step import MIRRORED, LateMirror, Migration, OnlineMigration, Step
from predeploy.layers.situation.base import Situation
from predeploy.sources.formats import histories_of
from predeploy.sources.formats.format import History, Mirror, Table
from predeploy.sources.script import Script


@dataclass(frozen=True, slots=True)
class _Target:
    """Where to write: the tool's table, and of which files it tells; None if it is not there."""

    mirror: Mirror
    table: Table
    known: frozenset[str] | None

    @property
    def name(self) -> str:
        return f"{identifier(self.table.schema)}.{identifier(self.table.name)}"

    @property
    def creating(self) -> tuple[str, ...]:
        """What makes the table, if it is not there."""
        return self.mirror.create(self.name) if self.known is None else ()


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
    late = tuple(_late(situation, target))
    creating = target.creating if not late else ()
    return Plan((*late, *_mirrored(situation, steps, target, creating)))


def _target(situation: Situation) -> _Target | Finding:
    found = {records.history.tool: records for records in situation.snapshot.histories}
    if len(found) == 1:
        ((_, records),) = found.items()
        history, table = records.history, records.table
        said = history.read(situation.sources.migrations, records.rows)
        told: frozenset[str] | None = frozenset((*said.files, *(name for name, _ in said.refusals)))
    else:
        known = histories_of(situation.sources.tools, situation.sources.tool.table)
        if len(known) != 1:
            return _unclear(known)
        (history,) = known
        home = next(iter(situation.snapshot.search_path.schemas), "public")
        own = history.mirror.schema if history.mirror else ""
        schema = history.schema or own or home
        table, told = Table(schema, history.table, frozenset(), frozenset()), None
    if history.mirror is None:
        return _unclear(())
    return _Target(history.mirror, table, told)


def _unclear(known: Sequence[History]) -> Finding:
    tools = ", ".join(history.tool for history in known)
    what = f"several tools fit ({tools})" if tools else "predeploy's own format has no other tool"
    return Finding(
        "no-mirror",
        f"PREDEPLOY_MIRROR_HISTORY is on, and whose history table to write is not certain: {what}",
        "say whose the folder is with PREDEPLOY_FORMAT, or turn it off",
        ExitCode.CONFIG,
    )


def _late(situation: Situation, target: _Target) -> Iterator[LateMirror]:
    """Record what the ledger has and the tool's table lacks, as the settings did not ask for it.

    Not what has been written there before: then the tool itself has undone it. Nor on a database
    that is ahead, where the folder is not the newest.
    """
    done = (target.known or frozenset()) | situation.snapshot.mirrored
    late = [f.script for f in situation.files if f.is_whole and f.script.name not in done]
    if not late or situation.comparison.is_ahead:
        return
    writing = [text for script in late for text in _writing(situation, target, script)]
    many = "1 file" if len(late) == 1 else f"{len(late)} files"
    label = f"{many} applied before, in {target.table}"
    yield LateMirror(label, "", (), mirror=(*target.creating, *writing))


def _writing(situation: Situation, target: _Target, script: Script) -> Iterator[str]:
    """Yield what records a file in the tool's table, and in the ledger that it is there."""
    yield from target.mirror.write(script, target.name, target.table.columns)
    meta = f"{identifier(situation.settings.ledger_schema)}.meta"
    yield (
        f"insert into {meta} values ({literal(MIRRORED + script.name)}, 'true') "
        "on conflict do nothing"
    )


def _mirrored(
    situation: Situation, steps: Sequence[Step], target: _Target, creating: tuple[str, ...]
) -> Iterator[Step]:
    scripts = {script.name: script for script in situation.sources.migrations}
    for step in steps:
        entry = step.entry
        if not (isinstance(step, Migration | OnlineMigration) and entry and entry.is_final):
            yield step
            continue
        writing = _writing(situation, target, scripts[entry.file])
        yield replace(step, mirror=(*creating, *writing))
        creating = ()
