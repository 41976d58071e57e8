"""Splits a file into steps, at its BEGIN and COMMIT and at statements that need their own step.

Most files are one step. Pure: looks only at the script's text.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.secret import constants_of, may_hold_secret, redact
from predeploy.contract.statement import Mode, Statement
from predeploy.contract.step import Declaration, FileStep, LedgerEntry, Migration, OnlineMigration
from predeploy.losses.loss import Verb
from predeploy.sources.directives import (
    COMMIT_INSIDE,
    EVERYWHERE,
    allows_commit_inside,
    declared_outside,
    is_replacing,
    read_declarations,
)
from predeploy.sources.script import Script
from predeploy.sources.squash import squash_of


@dataclass(frozen=True, slots=True)
class ScriptSteps:
    """A script's steps in order, and the findings about them.

    `undone` is what the script creates and removes again without declaring that this is intended.
    """

    steps: tuple[FileStep, ...]
    findings: tuple[Finding, ...]
    undone: tuple[sql.Undone, ...] = ()


def steps_of(script: Script) -> ScriptSteps:
    """Split a script into steps.

    A finding with an exit code (65) says that it cannot be run; one without says that the parser
    could not read it and the server will judge. A script without statements is one empty step, so
    that it is recorded in the ledger too.
    """
    try:
        reading = sql.read(script.text)
    except sql.UnreadableError as error:
        return ScriptSteps(
            (), (_refusal(script, "unreadable", error.line, f"cannot be read: {error}"),)
        )
    outside, misread = declared_outside(script)
    inside, refused = read_declarations(script.path, reading.directives)
    declared = (*outside, *inside)
    findings = [
        *misread,
        *refused,
        *_idle_directives(script, reading),
        *_commits_inside(script, reading),
    ]
    findings.extend(_unnamed_builds(script, reading))
    findings.extend(_idle_squash(script, reading))
    if reading.complaint:
        findings.append(
            Finding(
                "unparsed",
                f"{script.path}: our parser stops at it ({_complaint(reading)}); "
                "the server decides",
            )
        )
    groups = _Groups(script, findings)
    for statement in reading.statements:
        groups.add(statement)
    undone = sql.undone(reading.statements)
    declared = tuple((at, _judged_by(undone, said)) for at, said in declared)
    cut = list(zip(groups.finish(), groups.isolations, strict=True))
    steps = _entries(script, reading.text, cut, declared)
    findings.extend(_idle_declarations(script, steps, declared))
    meant = [u for u in undone if any(_means(said, u) for _, said in declared)]
    return ScriptSteps(steps, tuple(findings), tuple(u for u in undone if u not in meant))


def _judged_by(undone: tuple[sql.Undone, ...], said: Declaration) -> Declaration:
    return replace(said, is_seen=said.is_seen or any(_means(said, one) for one in undone))


def _means(said: Declaration, undone: sql.Undone) -> bool:
    return undone.is_meant_by(said.verb, said.target)


def _complaint(reading: sql.Reading) -> str:
    """Return the parser's error, which quotes the place where it stops, without any secret."""
    hidden = (constants_of(s.text) for s in reading.statements if may_hold_secret(s.text))
    return redact(reading.complaint, chain.from_iterable(hidden))


class _Groups:
    """Collects statements into steps, and obstacles into findings."""

    def __init__(self, script: Script, findings: list[Finding]) -> None:
        self._script = script
        self._findings = findings
        self._groups: list[list[Statement]] = []
        self.isolations: list[str] = []
        self._open: list[Statement] = []
        self._begin: Statement | None = None

    def add(self, statement: Statement) -> None:
        match statement.mode:
            case Mode.TRANSACTION:
                self._open.append(statement)
                if self._script.commits_each and self._begin is None:
                    self._close()
            case Mode.OWN_TRANSACTION | Mode.AUTOCOMMIT if self._begin is None:
                self._close()
                self._groups.append([statement])
                self.isolations.append("")
            case Mode.OWN_TRANSACTION:
                self._open.append(statement)
            case Mode.BEGIN if self._begin is None:
                self._close()
                self._begin = statement
            case Mode.COMMIT if self._begin is not None:
                self._close()
                self._begin = None
            case _:
                self._findings.append(_why_refused(self._script, statement))
                if statement.what.startswith("BEGIN"):
                    self._begin = self._begin or statement

    def finish(self) -> list[list[Statement]]:
        if self._begin is not None:
            self._findings.append(
                _refusal(
                    self._script,
                    "open-transaction",
                    self._begin.line,
                    "BEGIN has no COMMIT after it",
                )
            )
        self._close()
        if not self._groups:
            self._groups, self.isolations = [[]], [""]
        return self._groups

    def _close(self) -> None:
        if self._open:
            self._groups.append(self._open)
            self.isolations.append(sql.isolation(self._begin, self._open))
            self._open = []


def _entries(
    script: Script,
    whole: str,
    groups: list[tuple[list[Statement], str]],
    declared: tuple[tuple[int, Declaration], ...],
) -> tuple[FileStep, ...]:
    """Make the steps; a declaration belongs to the step that contains or follows its line.

    Only steps in a transaction get declarations: the losses of other steps are not counted.
    """
    seen: Counter[str] = Counter()
    steps: list[FileStep] = []
    preamble: tuple[str, ...] = ()
    bound = 0
    last = max(
        (n for n, (group, _) in enumerate(groups, start=1) if not _is_alone(group)), default=0
    )
    squash = squash_of(script)
    replaces = str(squash) if squash else ""
    key = script.name if script.tool else ""
    for position, (group, isolation) in enumerate(groups, start=1):
        step_hash = sql.digest(group)
        seen[step_hash] += 1
        entry = LedgerEntry(
            script.name, step_hash, seen[step_hash], position, position == len(groups),
            script.raw_hash, replaces,
        )  # fmt: skip
        alone = _is_alone(group)
        span = (group[0].start, group[-1].end) if group else None
        own = (script.path, whole if group else "", tuple(group), entry, preamble, span)
        if alone:
            steps.append(OnlineMigration(*own, allow_key=key))
        else:
            said = tuple(
                declaration
                for at, declaration in declared
                if at == EVERYWHERE or (at > bound and (position == last or at <= group[-1].end))
            )
            steps.append(Migration(*own, allow_key=key, declarations=said, isolation=isolation))
        preamble += tuple(s.text for s in group if sql.sets_session(s))
        bound = bound if alone or not group else group[-1].end
    return tuple(steps)


def _is_alone(group: list[Statement]) -> bool:
    return bool(group) and group[0].mode is Mode.AUTOCOMMIT


def _idle_declarations(
    script: Script, steps: tuple[FileStep, ...], declared: tuple[tuple[int, Declaration], ...]
) -> Iterator[Finding]:
    """Refuse declarations of what the file does not do, as far as its text shows that.

    It does for objects that the file is declared to undo, and for everything in a file without a
    step in a transaction.
    """
    is_unwatched = all(isinstance(step, OnlineMigration) for step in steps)
    for _, said in declared:
        what = f"allow {said.verb} {said.target} declares what"
        if said.verb == Verb.UNDO.value and not said.is_seen:
            yield _refusal(script, "idle-directive", said.line, f"{what} the file does not do")
        elif is_unwatched and not said.is_seen:
            why = f"{what} no step in a transaction does"
            yield _refusal(script, "idle-directive", said.line, why)


def _why_refused(script: Script, statement: Statement) -> Finding:
    what = statement.what
    match statement.mode:
        case Mode.AUTOCOMMIT:
            code, why = (
                "autocommit",
                f"{what} inside BEGIN … COMMIT, where PostgreSQL refuses it",
            )
        case Mode.BEGIN:
            code, why = "nested-transaction", f"{what} inside a transaction"
        case Mode.COMMIT:
            code, why = "stray-commit", f"{what} without a BEGIN before it"
        case _ if "READ ONLY" in what or "DEFERRABLE" in what:
            code, why = "unrunnable", f"{what}: a step writes, at least its row in the ledger"
            remedy = "take these words out"
            return replace(_refusal(script, code, statement.line, why), remedy=remedy)
        case _:
            code, why = "unrunnable", f"{what} cannot be part of a migration"
    return _refusal(script, code, statement.line, why)


def _idle_directives(script: Script, reading: sql.Reading) -> Iterator[Finding]:
    """Refuse an `autocommit` that no statement follows."""
    last = reading.statements[-1].start if reading.statements else 0
    for directive in reading.directives:
        if directive.text.lower() == "autocommit" and directive.end > last:
            why = "autocommit says nothing here: no statement follows it"
            yield _refusal(script, "idle-directive", directive.line, why)


def _idle_squash(script: Script, reading: sql.Reading) -> Iterator[Finding]:
    """Refuse a `replaces` that is not the file's header, or names no versions."""
    said = [d for d in reading.directives if is_replacing(d)]
    is_header = len(said) == 1 and squash_of(script) is not None
    for directive in () if is_header else said:
        why = f"{directive.text!r} is no header of a squash"
        finding = _refusal(script, "idle-directive", directive.line, why)
        remedy = "put one before all else, such as: -- predeploy: replaces 0001..0050"
        yield replace(finding, remedy=remedy)


def _unnamed_builds(script: Script, reading: sql.Reading) -> Iterator[Finding]:
    """Refuse a concurrent index build without a name: a failed one's index could not be found."""
    for statement in reading.statements:
        if statement.mode is Mode.AUTOCOMMIT and statement.node == "index_stmt":
            build = sql.autocommit_target(statement.text)
            if isinstance(build, sql.IndexBuild) and not build.name:
                why = "an index that is built concurrently needs a name"
                yield _refusal(script, "unnamed-index", statement.line, why)


def _commits_inside(script: Script, reading: sql.Reading) -> Iterator[Finding]:
    """Refuse hidden commits, which cannot be undone, unless the file allows them."""
    if allows_commit_inside(reading.directives) or COMMIT_INSIDE in script.allows:
        return
    for statement in filter(sql.is_unwatched, reading.statements):
        why = f"{statement.what} outside a transaction can commit what cannot be undone"
        remedy = "say so in a line: -- predeploy: allow commit-inside"
        if script.tool:
            remedy = (
                f'say so under [allow] in predeploy.toml: "{script.name}" = ["{COMMIT_INSIDE}"]'
            )
        finding = _refusal(script, "commit-inside", statement.line, why)
        yield replace(finding, remedy=remedy)


def _refusal(script: Script, code: str, line: int, why: str) -> Finding:
    return Finding(code, f"{script.path}:{line}: {why}", exit_code=ExitCode.BAD_SOURCES)
