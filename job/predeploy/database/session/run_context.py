"""The context that steps run in."""

from dataclasses import dataclass

from predeploy.contract.deadline import Deadline
from predeploy.contract.quoting import literal
from predeploy.database.ledger.initial_state import InitialState
from predeploy.database.server import wire
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.transaction import step_application
from predeploy.database.server.wire import Connection
from predeploy.settings import Settings


@dataclass(frozen=True, slots=True)
class RunContext:
    """Two connections (`guard` holds the advisory lock, `work` runs the steps), limits, the run.

    `initial` is the state when the lock was obtained; `pooling` is what is between the connections
    and the server. `is_blank` is set if the database held no rows when the run began, other than
    those of earlier runs of a first deploy: each step then notes what it makes.
    """

    work: Connection
    guard: Connection
    settings: Settings
    deadline: Deadline
    run_id: str
    initial: InitialState
    pooling: Pooling = Pooling.NONE
    is_blank: bool = False

    @property
    def work_pid_sql(self) -> str:
        """A query for the backend that does the work.

        Behind a pooler it is found by the application name that every step sets; under the lock
        only this run uses it.
        """
        if self.pooling is Pooling.NONE:
            return f"select {self.work.info.backend_pid}"
        name = literal(step_application(self.settings.ledger_schema))
        return f"""select pid from pg_catalog.pg_stat_activity
            where datname = current_database() and application_name = {name}"""

    def guard_pid(self) -> int:
        """Return the guard's backend; behind a pooler the guard is asked for it."""
        if self.pooling is Pooling.NONE:
            return self.guard.info.backend_pid
        return int(wire.ask(self.guard, "select pg_catalog.pg_backend_pid()")[0][0] or 0)
