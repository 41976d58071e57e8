"""The operator's own command as the migrate layer: whether it may run, and what it may do. Pure."""

from collections.abc import Iterator

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.step import CommandStep
from predeploy.layers.situation.base import Situation
from predeploy.losses.allowlist import Names, undeclared
from predeploy.settings import Destructive
from predeploy.settings.command import Command, Retry
from predeploy.sources import Sources
from predeploy.sources.directives import declared_for

# With these, a migration commits while it runs: what it has done stays if it is cancelled.
_COMMITS_INSIDE = (b"autocommit_block", b"atomic = False", b"atomic=False")


def plan_command(situation: Situation, command: Command) -> Plan:
    """Plan to run the command; not after an undeclared loss of an earlier run."""
    declarations, refused = declared_for(command.allows)
    step = CommandStep(
        command.label,
        source="",
        statements=(),
        may_retry=_may_retry(command, situation.sources),
        declarations=declarations,
        schemas=situation.snapshot.search_path.schemas,
    )
    lost = [] if refused else [*_lost(situation, step)]
    return Plan((step,), (*refused, *lost))


def _may_retry(command: Command, sources: Sources) -> bool:
    """Whether the command leaves nothing behind if it is cancelled; False if it is not known."""
    if command.may_retry is not None:
        return command.may_retry
    files = sources.inputs.files if sources.inputs else ()
    commits = any(mark in each.content for each in files for mark in _COMMITS_INSIDE)
    return command.retry is Retry.KNOWN and bool(files) and not commits


def _lost(situation: Situation, step: CommandStep) -> Iterator[Finding]:
    missing = undeclared(situation.snapshot.lost, step.declarations, Names(step.schemas))
    if missing and situation.settings.destructive is Destructive.REFUSE:
        lines = ", ".join(f'"{loss.verb.value} {loss.target}"' for loss in missing)
        yield Finding(
            "lost",
            f"an earlier run of {step.path} took away what nobody had declared: "
            f"{', '.join(map(str, missing))}",
            f"restore it where it is needed; then accept it: allow = [{lines}] under [migrate] in "
            "predeploy.toml, and run again",
            ExitCode.REFUSED,
        )
