"""Reads a file of `sql/verify/`: one query, each of whose rows is a problem.

`SET LOCAL row_security = on;` may precede it.
"""

from dataclasses import dataclass

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.sources import filtered
from predeploy.sources.script import Script


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its query, or why it has none, and whether row-level security may filter it."""

    script: Script
    sql: str
    findings: tuple[Finding, ...] = ()
    is_filtered: bool = False


def read_check(script: Script) -> Check:
    """Read a check; a finding (65) says what the file has instead of one query."""
    is_filtered, text = filtered.apart(script.text)
    try:
        reading = sql.read(text)
    except sql.UnreadableError as error:
        return Check(script, "", (_refusal(script, error.line, f"cannot be read: {error}"),))
    found = reading.statements
    if len(found) != 1:
        return Check(
            script,
            "",
            (_refusal(script, 1, f"holds {len(found)} statements instead of one query"),),
        )
    if found[0].node not in ("select_stmt", ""):
        what = found[0].what
        return Check(script, "", (_refusal(script, found[0].line, f"{what} instead of a query"),))
    if name := sql.acting_call(found[0].text):
        why = f"calls {name}, which does more than look; a check only asks"
        return Check(script, "", (_refusal(script, found[0].line, why),))
    return Check(script, found[0].text, is_filtered=is_filtered)


def _refusal(script: Script, line: int, why: str) -> Finding:
    return Finding("bad-check", f"{script.path}:{line}: {why}", exit_code=ExitCode.BAD_SOURCES)
