"""The context that steps run in."""

import math
from dataclasses import dataclass

from predeploy import sql
from predeploy.contract.deadline import Deadline
from predeploy.contract.step import SchemaChange, Step
from predeploy.database.ledger.initial_state import InitialState
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.transaction import settings_sql, step_application
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


def step_settings(context: RunContext, step: Step, **more: str) -> str:
    """Return a step's settings; its lock timeout is short if the step may block readers."""
    limits = context.settings
    holds_ddl = sql.holds_ddl(step.statements)
    lock_wait_s = limits.ddl_lock_timeout_s if holds_ddl else limits.ddl_budget_s
    is_brief = isinstance(step, SchemaChange) and step.is_brief
    limit_s = lock_wait_s if is_brief else context.deadline.left_s
    # A statement_timeout of 0 would mean no limit, hence + 1; it also lets lock_timeout come first.
    return settings_sql(
        {
            "application_name": step_application(limits.ledger_schema),
            "lock_timeout": f"{math.ceil(lock_wait_s * 1000)}",
            "statement_timeout": f"{math.ceil(limit_s * 1000) + 1}",
            **more,
        }
    )
