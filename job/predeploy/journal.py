"""What is known of a run while it goes on, over however many connections it takes."""

import time
import uuid
from dataclasses import dataclass, field

from predeploy import __version__
from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import ConnectionLostError, Interrupted, JobError, ProblemsError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, LayerReport, Outcome, Step
from predeploy.contract.report import Report
from predeploy.settings import Settings
from predeploy.sources import Sources

_IDLE = "no step was under way, and nothing is left half done"
_UNHEARD = (
    "the server did not answer the cancel request; it rolls back within 30 s of losing the "
    "connection, unless the step's COMMIT had reached it: the ledger tells"
)


@dataclass(slots=True)
class Journal:
    """One run as it stands.

    `layers` holds what came of each layer so far, and `left` what each leaves to the last one to
    say; `violated` what rows stand in the way of. `remembered` and `settlement` are what the end of
    the run writes down for the next one: what `schema.sql` declares, and that all is well.
    `has_begun` says whether the ledger knows of the run, `is_degraded` whether it can end no
    better than `degraded`, `is_blank` whether it began on a database without rows, `compared` what
    the database was compared with. `current` is the step that the server works on. `server_since`
    is when the server was started, and `lost` how the last connection ended, if it has not been the
    only one.
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
    is_degraded: bool = False
    is_blank: bool = False
    compared: str = ""
    current: Step | None = None
    server_since: str = ""
    lost: ConnectionLostError | None = None

    @property
    def verdict(self) -> ExitCode:
        """OK, or what the first finding that stops the run says."""
        found = (finding for came in self.layers.values() for finding in came.findings)
        return next((f.exit_code for f in found if f.exit_code is not None), ExitCode.OK)

    @property
    def where(self) -> str:
        """What the server works on, as the end of a message; empty where that is no step."""
        return f", in the middle of {self.current.label}" if self.current else ""

    def works_on(self, step: Step | None) -> None:
        """Know which step would be interrupted now."""
        self.current = step

    def note(self, came: LayerReport) -> None:
        """Add what came of a layer to what is known of it."""
        before = self.layers.get(came.name)
        self.layers[came.name] = before.with_more(came) if before else came

    def report(
        self,
        outcome: Outcome,
        exit_code: ExitCode,
        problems: tuple[str, ...] = (),
        pending: int = 0,
    ) -> Report:
        """Return the report as things stand."""
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
        """Report what ended the run from outside its layers."""
        match stop:
            case ProblemsError():
                problems = stop.problems
            case JobError():
                # what to do next is at the end of its message, so the step goes before it
                step = f"{self.current.label}: " if self.current else ""
                problems = (f"{step}{stop}",)
            case Interrupted() if stop.is_heard:
                left = "cancelled on the server and rolled back" if self.current else _IDLE
                problems = (f"{stop}{self.where}: {left}",)
            case Interrupted():
                problems = (f"{stop}{self.where}: {_UNHEARD}",)
        return self.report(Outcome.FAILED, stop.exit_code, problems)
