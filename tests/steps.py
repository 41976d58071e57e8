"""Steps that are run as the job runs them, without the rest of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job.database import founding, premises
from job.database.connection import connect
from job.database.execute import execute
from job.database.place import Workplace
from job.database.wire import Connection, closing
from job.deadline import Deadline
from job.endpoint import parse_endpoint
from job.exit_codes import ExitCode
from job.plan import Failure, Plan, StepResult
from job.settings import Settings
from job.sources import read_folder, sources_of
from job.sources.steps import steps_of

if TYPE_CHECKING:
    from conftest import Database  # which loads this


@pytest.fixture
def place(database: "Database") -> Iterator[Workplace]:
    """A workplace on an empty database, with its ledger."""
    settings = Settings(parse_endpoint("DATABASE_URL", database.url), Path("sql"))
    deadline = Deadline.after(60)
    with closing(_open(settings)) as work, closing(_open(settings)) as guard:
        found = premises.find(work, settings.ledger_schema)
        place = Workplace(work, guard, settings, deadline, "this-run", found)
        founding.ensure(place, is_adopting=False)
        yield place


def _open(settings: Settings) -> Connection:
    return connect(settings.endpoint, Deadline.after(10))


@pytest.fixture
def run() -> Callable[[Workplace, Plan], list[StepResult | Failure | None]]:
    """Runs a plan; returns what came of each step."""
    return lambda place, plan: list(execute(place, plan, ExitCode.FAILED, lambda _: None))


@pytest.fixture
def plan_of(folder: Callable[[dict[str, str]], Path]) -> Callable[..., Plan]:
    """Plans the files of a folder as if nothing had been applied."""

    def plan(**files: str) -> Plan:
        written = folder({f"migrations/{n}.sql": t for n, t in files.items()})
        sources = sources_of(read_folder(written))
        return Plan(tuple(step for s in sources.migrations for step in steps_of(s).steps))

    return plan
