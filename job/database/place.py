"""What steps are run with."""

from dataclasses import dataclass

from job.database.pooler import Pooling
from job.database.premises import Premises
from job.database.wire import Connection
from job.deadline import Deadline
from job.settings import Settings


@dataclass(frozen=True, slots=True)
class Workplace:
    """Two connections (`guard` holds the advisory lock, `work` does the work), limits, the run.

    `premises` is what was there when the lock was obtained, and `pooling` what stands between them
    and the server. `is_blank` says that the run began on a database without rows, but for those
    that earlier runs of a first deploy had written: then each step notes what it makes.
    """

    work: Connection
    guard: Connection
    settings: Settings
    deadline: Deadline
    run_id: str
    premises: Premises
    pooling: Pooling = Pooling.NONE
    is_blank: bool = False
