"""The minimal schema that lets the app start if its migrations did not create what it needs."""

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.statement import Mode
from predeploy.contract.step import Addition
from predeploy.layers.situation.base import Layer, Situation
from predeploy.layers.situation.critical import missing_tables
from predeploy.snapshot import View
from predeploy.sources.script import Script
from predeploy.sources.steps import steps_of


def plan(situation: Situation) -> Plan:
    """Plan every file of `fallback/` if a critical table is missing; otherwise nothing."""
    sources, snapshot = situation.sources, situation.snapshot
    missing = missing_tables(situation.settings.critical, snapshot)
    if not missing or not sources.fallbacks or situation.comparison.is_ahead:
        return Plan()
    plans = [_plan_script(script) for script in sources.fallbacks]
    warning = Finding(
        "fallback",
        f"{', '.join(missing)} missing after the migrations; using the fallback schema instead",
        "fix the migrations: until then the database is degraded, and never settled",
    )
    return Plan(
        tuple(step for p in plans for step in p.steps),
        (warning, *(finding for p in plans for finding in p.findings)),
    )


LAYER = Layer("fallback", frozenset({View.LEDGER, View.CRITICAL}), plan, degrades=True)


def _plan_script(script: Script) -> Plan:
    """Plan one file as one step without a ledger row; refuse (65) what is not purely additive."""
    cut = steps_of(script)
    found = tuple(statement for step in cut.steps for statement in step.statements)
    unfit = [s for s in found if s.mode is not Mode.TRANSACTION or not sql.is_additive(s)]
    refusals = tuple(
        Finding(
            "bad-fallback",
            f"{script.path}:{s.line}: {s.what} in a fallback, which only adds what is missing",
            exit_code=ExitCode.BAD_SOURCES,
        )
        for s in unfit
    ) + tuple(
        Finding(
            "bad-fallback",
            f"{script.path}:{said.line}: allow {said.verb} in a fallback, which takes nothing away",
            exit_code=ExitCode.BAD_SOURCES,
        )
        for step in cut.steps
        for said in step.declarations
    )
    if not found:
        return Plan(findings=cut.findings)
    span = (found[0].start, found[-1].end)
    binds = tuple(() for _ in found)
    step = Addition(script.path, script.text, found, span=span, binds=binds)
    return Plan((step,), (*cut.findings, *refusals))
