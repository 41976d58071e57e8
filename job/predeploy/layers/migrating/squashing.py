"""Whether a squash is recorded, run or refused, depending on the ledger. Pure."""

from collections.abc import Iterator, Mapping
from enum import Enum

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.step import FileStep, Record
from predeploy.layers.migrating.recording import not_there
from predeploy.layers.situation.base import Situation
from predeploy.layers.situation.history import FileHistory, is_whole, rows_by_file
from predeploy.layers.situation.lineage import named
from predeploy.settings.versions import NO_VERSION, Version, version_of, written
from predeploy.sources.squash import Squash, header_for, squash_of


class _Recorded(Enum):
    ALL = "all"
    SOME = "some"
    NONE = "none"


def squash(
    history: FileHistory, pending: tuple[FileStep, ...], situation: Situation
) -> Plan | None:
    """Plan a file that replaces others: record it if the ledger holds all of them.

    Returns None if the ledger holds none, or the file replaces nothing: it runs like any other.
    Refused (65) if the ledger holds only some of them, or the file creates what does not exist.
    """
    said = squash_of(history.script)
    if said is None or not pending:
        return None
    names, recorded = _recorded(said, situation)
    path = history.script.path
    if recorded is _Recorded.NONE:
        return None
    if recorded is _Recorded.SOME:
        return Plan(
            findings=(
                Finding(
                    "half-squashed",
                    f"{path} replaces {said}, of which this database holds only {named(names)}",
                    "deploy the last version from before the squash first, and then this one",
                    ExitCode.BAD_SOURCES,
                ),
            )
        )
    what = f"{path} replaces {said}, which are applied; it is recorded, not run"
    steps = tuple(map(Record.of, pending))
    return Plan(steps, (Finding("squash", what, is_note=True), *_unlike(history, situation, said)))


def _unlike(history: FileHistory, situation: Situation, said: Squash) -> Iterator[Finding]:
    """Refuse a squash that makes more than there is now, behind the files applied after it."""
    files = situation.files
    applied = [file for file in files[files.index(history) + 1 :] if file.is_whole]
    yield from not_there(
        situation.snapshot,
        situation.settings.accepted_missing,
        (history.script.text, *(file.script.text for file in applied)),
        f"{history.script.path} replaces {said} and would be recorded, but it makes what is not "
        "there",
        "leave in it what those files made, and put what is new into a file of its own",
    )


def strays(situation: Situation) -> Iterator[Finding]:
    """Refuse files that a squash in the same folder replaces: they would run after it."""
    scripts = situation.sources.migrations
    for said in filter(None, map(squash_of, scripts)):
        for script in scripts:
            if script.name != said.file and said.replaces(script.version):
                yield Finding(
                    "replaced",
                    f"{script.path} is one of the files that {said.file} replaces ({said})",
                    "remove it, or, if it is new, give it a version above those",
                    ExitCode.BAD_SOURCES,
                )


def without_header(situation: Situation) -> Iterator[Finding]:
    """Refuse a new file at the start of the folder in place of applied files that are gone.

    It would repeat what they did.
    """
    comparison = situation.comparison
    absent = (*comparison.pruned, *comparison.missing)
    files = situation.files if absent else ()
    if not files or files[0].is_known or squash_of(files[0].script):
        return
    first = files[0].script
    known = [f.script.version for f in files if f.is_known and not f.script.is_repeatable]
    newest = max(map(version_of, absent), default=NO_VERSION)
    if known and newest >= min(known):
        return
    if first.version <= newest if known else _makes_what_is_there(first.text, situation):
        yield Finding(
            "squash-without-header",
            f"{first.path} is new, and {named(absent)}, which were applied, are gone from the "
            "folder: a squash of them would do all that once more",
            f"start it with the line `{header_for(absent)}`; if it is no squash, "
            + (
                f"give it a version above {written(newest)}"
                if known
                else "put the newest of them back"
            ),
            ExitCode.BAD_SOURCES,
        )


def _makes_what_is_there(text: str, situation: Situation) -> bool:
    """Whether the file creates a table that already exists."""
    there = {
        (schema, name) for kind, schema, _, name in situation.snapshot.names if kind == "table"
    }
    anywhere = {name for _, name in there}
    tables = (t for t in sql.net_result([text]).things if t.kind == "table")
    return any((t.schema, t.name) in there if t.schema else t.name in anywhere for t in tables)


def _recorded(said: Squash, situation: Situation) -> tuple[tuple[str, ...], _Recorded]:
    """Return what the ledger holds of the files that a squash replaces: their names, and how many.

    The files themselves are gone, so all are there when those at both ends of each span are, and
    none is half applied. A squash that was recorded before stands for those that it replaces.
    """
    by_file = rows_by_file(situation.snapshot.ledger)
    others = {s.file: s for s in situation.snapshot.squashes if s.file != said.file}
    found = (name for name in by_file if name != said.file and _concerns(said, name, others))
    names = sorted(found, key=lambda name: (version_of(name), name))
    if not names:
        return (), _Recorded.NONE
    whole = [name for name in names if is_whole(by_file[name])]
    ends = {end for span in said.spans for end in (span.first, span.last)}
    are_there = all(any(_stands_for(name, end, others) for name in whole) for end in ends)
    is_all = are_there and len(whole) == len(names)
    return tuple(names), _Recorded.ALL if is_all else _Recorded.SOME


def _concerns(said: Squash, name: str, others: Mapping[str, Squash]) -> bool:
    if name in others:
        return any(said.replaces(end) for s in others[name].spans for end in (s.first, s.last))
    return said.replaces(version_of(name))


def _stands_for(name: str, version: Version, others: Mapping[str, Squash]) -> bool:
    return others[name].replaces(version) if name in others else version_of(name) == version
