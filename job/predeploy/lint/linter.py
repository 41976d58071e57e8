"""Applies the rules to migrations, with what silences them and what a run would refuse."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from predeploy.contract.plan import Ask
from predeploy.contract.step import FileStep
from predeploy.layers.migrating.asking import undeclared_in
from predeploy.lint.suppressions import Suppression, suppressions_in
from predeploy.losses.allowlist import Names
from predeploy.sources.script import Script
from predeploy.sources.steps import ScriptSteps, steps_of
from predeploy.sql.rules import Reader, Risk, Severity

_UNUSED = "unused-ignore"
_REASONLESS = "ignore-without-reason"
_UNDECLARED = "undeclared-loss"
_UNREAD = "not-looked-at"


@dataclass(frozen=True, slots=True)
class Problem:
    """What lint has to say about a place in a file; lines and columns count from 1.

    `lock` and `waits` are those of the rule. `safe` is what to write instead, as SQL.
    """

    rule: str
    severity: Severity
    path: str
    line: int
    column: int
    about: str
    why: str
    lock: str = ""
    waits: str = ""
    safe: str = ""
    aliases: tuple[str, ...] = ()


def lint(scripts: Sequence[Script], wanted: Collection[str] | None = None) -> tuple[Problem, ...]:
    """Return the problems of the migrations, in order; of those with a `wanted` path, if given.

    The others are read all the same, as they tell what is there.
    """
    cuts = [steps_of(script) for script in scripts]
    is_wanted = [wanted is None or script.path in wanted for script in scripts]
    reader = Reader()
    found: list[Problem] = []
    for script, cut, wants in zip(scripts, cuts, is_wanted, strict=True):
        risks = list(reader.risks(step.statements for step in cut.steps))
        if wants:
            found += [*_unreadable(script, cut), *_of_rules(script, cut.steps, risks)]
    steps = [step for cut in cuts for step in cut.steps]
    pending = [w for cut, w in zip(cuts, is_wanted, strict=True) for _ in cut.steps]
    found += [_refused(ask) for ask in undeclared_in(steps, pending, Names(("public",)))]
    order = {script.path: number for number, script in enumerate(scripts)}
    return tuple(sorted(found, key=lambda p: (order[p.path], p.line, p.column)))


def _unreadable(script: Script, cut: ScriptSteps) -> Iterator[Problem]:
    if script.only_by:
        why = f"only {script.only_by} can run it, so nothing of it was looked at"
        yield Problem(_UNREAD, Severity.WARNING, script.path, 1, 1, "", why)
        return
    for finding in cut.findings:
        severity = Severity.ERROR if finding.exit_code else Severity.WARNING
        where = finding.message.removeprefix(f"{script.path}:")
        line = where.partition(":")[0]
        yield Problem(
            finding.code,
            severity,
            script.path,
            int(line) if line.isdigit() else 1,
            1,
            "",
            where.partition(": ")[2] or finding.message,
            safe=finding.remedy,
        )


def _of_rules(
    script: Script, steps: Sequence[FileStep], risks: Sequence[Risk]
) -> Iterator[Problem]:
    file = [s for s in suppressions_in(script.text) if s.is_for_the_file]
    used: set[Suppression] = set()
    there: list[Suppression] = []
    last = 0
    by_statement: dict[int, list[Suppression]] = {}
    for step in steps:
        for statement in step.statements:
            lead = script.text[last : statement.start]
            first = script.text.count("\n", 0, last) + 1
            silent = [s for s in suppressions_in(lead, first) if not s.is_for_the_file]
            by_statement[statement.start] = [*silent, *file]
            there += silent
            last = statement.end
    for risk in risks:
        silent = [s for s in by_statement[risk.statement.start] if s.covers(risk.rule.name)]
        used.update(silent)
        if not silent:
            yield _problem(script, risk)
    for each in there:
        if each.is_ours:
            yield from _of_suppression(script, each, is_used=each in used)


def _problem(script: Script, risk: Risk) -> Problem:
    rule = risk.rule
    return Problem(
        rule.name,
        rule.severity,
        script.path,
        risk.statement.line,
        risk.statement.column,
        risk.about,
        rule.why,
        rule.lock,
        rule.waits,
        risk.safe,
        rule.aliases,
    )


def _of_suppression(script: Script, each: Suppression, *, is_used: bool) -> Iterator[Problem]:
    about = ", ".join((*sorted(each.rules), *each.unknown))
    if not is_used:
        why = "no rule says that of the next statement" if not each.unknown else "no such rule"
        yield _comment(script, each, _UNUSED, about, f"{why}; remove the line, or correct it")
    elif not each.reason:
        why = "say why, behind a colon: `-- predeploy: ignore RULE: reason`"
        yield _comment(script, each, _REASONLESS, about, why)


def _comment(script: Script, each: Suppression, rule: str, about: str, why: str) -> Problem:
    return Problem(rule, Severity.WARNING, script.path, each.line, 1, about, why)


def _refused(ask: Ask) -> Problem:
    about = ", ".join(f"{each.verb} {each.target}" for each in ask.declarations)
    return Problem(
        _UNDECLARED,
        Severity.ERROR,
        ask.path,
        ask.line,
        1,
        about,
        f"a run refuses it (84) where the table holds rows, unless it is declared {ask.where}",
        safe="\n".join(ask.lines),
    )
