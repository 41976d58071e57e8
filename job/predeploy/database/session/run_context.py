"""The context that steps run in."""

from dataclasses import dataclass

from predeploy.contract.deadline import Deadline
from predeploy.database.ledger.initial_state import InitialState
from predeploy.database.server.pooler import Pooling
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
