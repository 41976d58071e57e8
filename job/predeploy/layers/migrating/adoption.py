"""A database that is older than its ledger: what may be replayed, and what counts as done.

Replaying history can undo later changes. So a file is replayed only if every statement in it is
additive, and kept only if it changed no existing object; with a baseline it is only recorded.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.step import FileStep, Record, Step
from predeploy.layers.situation.base import Situation
from predeploy.settings.versions import Version, written
from predeploy.snapshot import Snapshot
from predeploy.sources.script import Script
from predeploy.sql import NamedObject

_NEAREST = 3
_SHOWN = 5
_WHOLES = ("table", "view", "materialized view")
_WITHOUT_SCHEMA = ("schema", "extension")

WAYS_OUT = (
    'say up to which file the database is done: baseline = "VERSION" in predeploy.toml (those '
    "files are recorded, not run), or start from an empty database"
)


def judge_baseline(situation: Situation, recorded: Sequence[Step]) -> Iterator[Finding]:
    """Judge what a baseline says is done: `recorded` are the steps that would not be run.

    It must be the version of a file, and the net result of the files up to it must exist (65).
    """
    baseline, files = situation.settings.baseline, situation.sources.migrations
    if not baseline or not files or not situation.snapshot.is_unknown:
        return
    if all(script.version != baseline for script in files):
        names = ", ".join(sorted(script.name for script in _nearest(baseline, files)))
        yield Finding(
            "unknown-baseline",
            f"baseline {written(baseline)} matches no file in migrations/; the nearest are {names}",
            "make it the whole version of the last file that was run here",
            ExitCode.BAD_SOURCES,
        )
        return
    if recorded:
        yield from not_there(
            situation,
            (s.text for s in files if s.version <= baseline),
            f"baseline {written(baseline)} would record files whose work is not there",
            "make it the version of the last file that was run here; in a new database, move or "
            "drop the other tables",
        )


def _nearest(baseline: Version, files: Sequence[Script]) -> Sequence[Script]:
    """Return the files whose versions begin as the baseline does, else those around it."""
    alike = [s for s in files if written(s.version).startswith(written(baseline))]
    at = bisect_left([script.version for script in files], baseline)
    around = files[max(0, min(at - _NEAREST // 2, len(files) - _NEAREST)) :]
    return (alike or around)[:_NEAREST]


def not_there(
    situation: Situation, texts: Iterable[str], what: str, remedy: str
) -> Iterator[Finding]:
    """Refuse (65) to record files, given as `texts` in their order, whose net result is missing.

    `what` and `remedy` begin the message and what to do; accepting the absence ends it.
    """
    snapshot, settings = situation.snapshot, situation.settings
    done = sql.net_result(texts)
    absent = tuple(_absent(done.things, snapshot))
    home = next(iter(snapshot.search_path.schemas), "public")
    labels = [label for t in absent if (label := _label(t, home)) not in settings.accepted_missing]
    if done.unseen:
        yield Finding(
            "not-judged",
            f"what {done.unseen} statement(s) of the recorded files (DO, CALL, SELECT, or not "
            "readable) may have made was not checked",
            is_note=True,
        )
    if labels:
        more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
        listed = ", ".join(json.dumps(label, ensure_ascii=False) for label in labels)
        yield Finding(
            "not-there",
            f"{what}: {', '.join(labels[:_SHOWN])}{more}",
            f"{remedy}; or accept it under [accept] in predeploy.toml: missing = [{listed}]",
            ExitCode.BAD_SOURCES,
        )


def _absent(things: Iterable[NamedObject], snapshot: Snapshot) -> Iterator[NamedObject]:
    """Yield the missing objects, but not the parts of missing objects.

    Unqualified names are looked up in the search_path: a part in the schema of its table, the first
    that has one, anything else in any of them. Another schema's `users` is not the folder's.
    """
    exact = {(kind, schema, _of(kind, of), name) for kind, schema, of, name in snapshot.names}
    wholes = {(schema, name) for kind, schema, _, name in snapshot.names if kind in _WHOLES}
    path = snapshot.search_path.schemas

    def homes(thing: NamedObject) -> Sequence[str]:
        if thing.schema or thing.kind in _WITHOUT_SCHEMA:
            return (thing.schema,)
        return [schema for schema in path if (schema, thing.of) in wholes][:1] or path

    gone: set[tuple[str, str]] = set()
    for thing in things:
        named = (_of(thing.kind, thing.of), thing.name)
        is_there = any((thing.kind, home, *named) in exact for home in homes(thing))
        if is_there or (thing.of and (thing.schema, thing.of) in gone):
            continue
        if thing.kind in _WHOLES:
            gone.add((thing.schema, thing.name))
        yield thing


def _of(kind: str, table: str) -> str:
    """Return the table that qualifies a part's name; an index is named within its schema."""
    return "" if kind == "index" else table


def _label(thing: NamedObject, home: str) -> str:
    schema = "" if thing.kind in _WITHOUT_SCHEMA else thing.schema or home
    parts = (schema, _of(thing.kind, thing.of), thing.name)
    return f"{thing.kind}:{'.'.join(filter(None, parts))}"


def adopt(script: Script, pending: tuple[FileStep, ...], baseline: Version) -> Plan:
    """Plan a file's pending steps on a database whose history is not known.

    With a baseline, files up to it are recorded and later ones run as usual. Without one they are
    replayed, or the plan is refused (65) at the first statement that cannot be replayed.
    """
    if baseline:
        if script.version > baseline or script.is_repeatable:
            return Plan(pending)
        return Plan(tuple(map(Record.of, pending)))
    unfit = next((s for step in pending for s in step.statements if not sql.is_additive(s)), None)
    if unfit is None:
        return Plan(tuple(replace(step, is_replay=True) for step in pending))
    return Plan(
        findings=(
            Finding(
                "unknown-database",
                f"{script.path}:{unfit.line}: {unfit.what} may have been run here before, and the "
                "database has tables but no ledger that would tell",
                WAYS_OUT,
                ExitCode.BAD_SOURCES,
            ),
        )
    )
