"""What is known about a run while it is in progress, across all of its connections."""

import time
import uuid
from dataclasses import dataclass, field

from predeploy import __version__
from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import ConnectionLostError, Interrupted, JobError, ProblemsError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, LayerReport, Outcome
from predeploy.contract.report import Report
from predeploy.contract.step import Step
from predeploy.settings import Settings
from predeploy.sources import Sources

_IDLE = "no step was under way, and nothing is left half done"
_UNHEARD = (
    "the server did not answer the cancel request; it rolls back within 30 s of losing the "
    "connection, unless the step's COMMIT had reached it: the ledger tells"
)


@dataclass(slots=True)
class Journal:
    """The state of one run.

    `layers` holds the report of each layer so far, `left` what each leaves for the last layer to
    report, and `violated` what existing rows block. `remembered` and `settlement` are what the end
    of the run records for the next one: what `schema.sql` declares, and that the database is
    settled. `has_begun` says whether the run is in the ledger, `has_ended` whether its end has been
    written there or given up, `is_degraded` whether it can end no better than `degraded`,
    `is_blank` whether it began on a database without rows, `compared` what the database was
    compared with. `current` is the step that the server is running.
    `server_since` is when the server was started, and `lost` how the last connection ended, if
    there has been more than one.
    """

    settings: Settings
    sources: Sources
    deadline: Deadline
    command: str = "run"
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started_s: float = field(default_factory=time.monotonic)
    layers: dict[str, LayerReport] = field(default_factory=dict)
    left: dict[str, tuple[Finding, ...]] = field(default_factory=dict)
    violated: set[str] = field(default_factory=set)
    server_version: int = 0
    remembered: str = ""
    settlement: str = ""
    has_begun: bool = False
    has_ended: bool = False
    is_degraded: bool = False
    is_blank: bool = False
    compared: str = ""
    current: Step | None = None
    server_since: str = ""
    lost: ConnectionLostError | None = None

    @property
    def verdict(self) -> ExitCode:
        """OK, or the exit code of the first finding that stops the run."""
        found = (finding for came in self.layers.values() for finding in came.findings)
        return next((f.exit_code for f in found if f.exit_code is not None), ExitCode.OK)

    @property
    def where(self) -> str:
        """The step that the server is running, as the end of a message; empty without one."""
        return f", in the middle of {self.current.label}" if self.current else ""

    def works_on(self, step: Step | None) -> None:
        """Record which step an interruption would stop now."""
        self.current = step

    def note(self, came: LayerReport) -> None:
        """Add a layer's results to its report."""
        before = self.layers.get(came.name)
        self.layers[came.name] = before.with_more(came) if before else came

    def report(
        self,
        outcome: Outcome,
        exit_code: ExitCode,
        problems: tuple[str, ...] = (),
        pending: int = 0,
    ) -> Report:
        """Return the report of the run so far."""
        return Report(
            command=self.command,
            version=__version__,
            outcome=outcome,
            exit_code=exit_code,
            duration_s=time.monotonic() - self.started_s,
            run_id=self.id,
            target=self.settings.endpoint.target,
            server_version=self.server_version,
            layers=tuple(
                came.with_more(LayerReport(name, findings=self.left.get(name, ())))
                for name, came in self.layers.items()
            ),
            problems=problems,
            pending=pending,
            compared=self.compared,
        )

    def stopped(self, stop: JobError | Interrupted) -> Report:
        """Return the report of a run that was stopped from outside its layers."""
        match stop:
            case ProblemsError():
                problems = stop.problems
            case JobError():
                # what to do next is at the end of its message, so the step goes before it
                step = f"{self.current.label}: " if self.current else ""
                problems = (f"{step}{stop}",)
            case Interrupted() if stop.remains:
                problems = (f"{stop}{self.where}: {stop.remains}",)
            case Interrupted() if stop.is_heard:
                left = "cancelled on the server and rolled back" if self.current else _IDLE
                problems = (f"{stop}{self.where}: {left}",)
            case Interrupted():
                problems = (f"{stop}{self.where}: {_UNHEARD}",)
        return self.report(Outcome.FAILED, stop.exit_code, problems)
