"""What steps are run with."""

from dataclasses import dataclass

from job.database.pooler import Pooling
from job.database.wire import Connection
from job.deadline import Deadline
from job.settings import Settings


@dataclass(frozen=True, slots=True)
class Workplace:
    """Two connections (`guard` holds the advisory lock, `work` does the work), limits, the run.

    `pooling` is what stands between them and the server.
    """

    work: Connection
    guard: Connection
    settings: Settings
    deadline: Deadline
    run_id: str
    pooling: Pooling = Pooling.NONE
