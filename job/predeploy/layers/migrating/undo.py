"""Refuses a pending file that undoes its own changes, so that nothing of it would remain."""

from collections.abc import Iterator

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Ask, Finding
from predeploy.contract.step import Declaration, Record, Step
from predeploy.settings import Destructive
from predeploy.sources.steps import ScriptSteps


def undone_again(
    cut: ScriptSteps, pending: tuple[Step, ...], destructive: Destructive
) -> Iterator[Finding]:
    """Refuse (84) what no line declares; only warn if `PREDEPLOY_DESTRUCTIVE` is `allow`."""
    running = [step for step in pending if not isinstance(step, Record)]
    code = ExitCode.REFUSED if destructive is Destructive.REFUSE else None
    for one in cut.undone:
        step = next((step for step in running if one.gone in step.statements), None)
        if step is not None:
            yield Finding("undone", _message(step.path, one), _remedy(step, one), code)


def _message(path: str, one: sql.Undone) -> str:
    return (
        f"{path}:{one.gone.line}: {one.gone.what} undoes what {one.made.what} on line "
        f"{one.made.line} did for {one.what}; nothing of it is left"
    )


def _remedy(step: Step, one: sql.Undone) -> str:
    said = (Declaration(one.verb.value, one.target, 0),)
    ask = Ask(step.path, one.gone.line, said, step.allow_key)
    temporary = "use CREATE TEMP TABLE, or " if one.what.startswith("table ") else ""
    return (
        "predeploy only goes forward: if a section of the file undoes it, remove that; if "
        f"{one.target} is meant to be temporary, {temporary}declare it {ask.where}: "
        f"{ask.lines[0]}"
    )
