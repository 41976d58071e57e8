"""Reads a seed file: an optional presence question, then what to insert if it returns no row.

A leading SELECT is the presence question: if it returns a row, nothing is written.
`SET LOCAL row_security = on;` may precede everything.
"""

from dataclasses import dataclass, replace

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.statement import Statement
from predeploy.sources import filtered
from predeploy.sources.placeholders import SECRET, bind, leading_select
from predeploy.sources.script import Script


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement for the extended protocol: `sql` with $1, $2 …, and the parameter of each.

    `sql` is as long as the statement in the file, so the server's positions fit both.
    """

    statement: Statement
    sql: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed file: its presence question (None if it has none), and what to insert.

    `is_filtered` says that row-level security may filter both.
    """

    script: Script
    question: Bound | None
    inserts: tuple[Bound, ...]
    findings: tuple[Finding, ...]
    is_filtered: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The parameters that the file needs."""
        asked = self.question.names if self.question else ()
        return frozenset(asked).union(*(bound.names for bound in self.inserts))


def read_seed(script: Script) -> Seed:
    """Read a seed. A finding (65) names each statement that is not a plain INSERT."""
    is_filtered, text = filtered.apart(script.text)
    neutral, _ = bind(text)
    try:
        found = sql.read(neutral).statements
    except sql.UnreadableError as error:
        return Seed(script, None, (), (_refusal(script, error.line, f"cannot be read: {error}"),))
    bounds = [_bound(text, statement) for statement in found]
    asks = bool(found) and leading_select(text) is not None
    question = bounds[0] if asks else None
    inserts = tuple(bounds[1:] if asks else bounds)
    findings = [
        _refusal(script, b.statement.line, f"{b.statement.what} in a seed; a seed only inserts")
        for b in inserts
        if b.statement.node not in ("insert_stmt", "") or b.statement.what.startswith("INSERT …")
    ]
    if question and SECRET in question.names:
        line = question.statement.line
        findings.append(_refusal(script, line, f"the question may not use {SECRET}"))
    if question and (name := sql.acting_call(question.sql)):
        why = f"the question calls {name}, which does more than look"
        findings.append(_refusal(script, question.statement.line, why))
    return Seed(script, question, inserts, tuple(findings), is_filtered)


def _bound(text: str, neutral: Statement) -> Bound:
    original = text[neutral.start : neutral.end]
    sql, names = bind(original)
    return Bound(replace(neutral, source=text), sql, names)


def _refusal(script: Script, line: int, why: str) -> Finding:
    return Finding("bad-seed", f"{script.path}:{line}: {why}", exit_code=ExitCode.BAD_SOURCES)
