"""Fixtures that run steps as the job does, without the rest of the job."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from predeploy.contract.deadline import Deadline
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Plan, StepResult
from predeploy.database.ledger import initial_state
from predeploy.database.server.connection import connect
from predeploy.database.server.wire import Connection, closing
from predeploy.database.session import ledger_setup
from predeploy.database.session.run_context import RunContext
from predeploy.database.steps.execute import execute
from predeploy.settings import Settings
from predeploy.settings.endpoint import parse_endpoint
from predeploy.sources import read_folder, sources_of
from predeploy.sources.steps import steps_of

if TYPE_CHECKING:
    from conftest import Database  # conftest imports this module


@pytest.fixture
def context(database: "Database") -> Iterator[RunContext]:
    """A run context on an empty database, with its ledger."""
    settings = Settings(parse_endpoint("DATABASE_URL", database.url), Path("sql"))
    deadline = Deadline.after(60)
    with closing(_open(settings)) as work, closing(_open(settings)) as guard:
        found = initial_state.find(work, settings.ledger_schema)
        context = RunContext(work, guard, settings, deadline, "this-run", found)
        ledger_setup.ensure(context, is_adopting=False)
        yield context


def _open(settings: Settings) -> Connection:
    return connect(settings.endpoint, Deadline.after(10))


@pytest.fixture
def run() -> Callable[[RunContext, Plan], list[StepResult | Failure | None]]:
    """Runs a plan; returns the outcome of each step."""
    return lambda context, plan: list(execute(context, plan, ExitCode.FAILED, lambda _: None))


@pytest.fixture
def plan_of(folder: Callable[[dict[str, str]], Path]) -> Callable[..., Plan]:
    """Plans migrations, given as name and text, as if none of them had been applied."""

    def plan(**files: str) -> Plan:
        written = folder({f"migrations/{n}.sql": t for n, t in files.items()})
        sources = sources_of(read_folder(written))
        return Plan(tuple(step for s in sources.migrations for step in steps_of(s).steps))

    return plan
