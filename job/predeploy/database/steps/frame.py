"""The frame of a step: BEGIN, settings and fence; then reset, ledger row and COMMIT."""

import math
from collections.abc import Mapping, Sequence
from itertools import dropwhile, islice
from types import MappingProxyType

from predeploy import sql
from predeploy.contract.plan import Drift
from predeploy.contract.step import LedgerEntry, SchemaChange, Step
from predeploy.database.ledger import ledger, notes
from predeploy.database.sentinel import made, sentinel
from predeploy.database.sentinel.sequences import positions_sql
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.transaction import (
    END_OF_STATEMENTS,
    RESET,
    begin_sql,
    clean_up,
    settings_sql,
    step_application,
)
from predeploy.database.session import operator_settings
from predeploy.database.session.fence import fence_sql, restart_sql
from predeploy.database.session.run_context import RunContext
from predeploy.database.steps.message import Attempt, Part, Role, ours
from predeploy.judgment.gap import Gap, relies_on


def opening(
    attempt: Attempt,
    *,
    isolation: str = "",
    is_again: bool = False,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> list[Part]:
    """Return the start of a step, up to its preamble; `settings` are added to its own.

    If the step may draw from sequences, their positions are queried; on another try, also which of
    them earlier tries have drawn from.
    """
    context, step, delivery = attempt.context, attempt.step, attempt.delivery
    parts = [
        Part(begin_sql(step, isolation)),
        Part(step_settings(context, step, **dict(settings))),
        *ours(restart_sql(context, step)),
        Part(fence_sql(context, step), Role.FENCE),
        Part(sentinel.begin_sql(attempt.schema, step.texts)),
    ]
    if delivery.moves_sequences:
        parts.append(Part(positions_query(attempt, is_again=is_again), Role.POSITIONS))
    return parts


def closing(
    attempt: Attempt, drifts: tuple[Drift, ...] = (), gaps: Sequence[Gap] = ()
) -> list[Part]:
    """Return the end of a step; its guard fails if something may be lost."""
    texts = [
        *END_OF_STATEMENTS,
        sentinel.guard_sql(attempt.schema),
        *keep(attempt, (), drifts, gaps),
    ]
    return [Part(text, Role.CLOSING) for text in texts]


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


def preamble(attempt: Attempt) -> list[Part]:
    """Return what precedes the step's own statements, such as the operator's search_path."""
    return ours(operator_settings.before(attempt.context, attempt.step))


def end(attempt: Attempt, texts: Sequence[str]) -> None:
    """Send the statements that end the step."""
    wire.ask(attempt.context.work, "; ".join(texts))


def keep(
    attempt: Attempt, told: Sequence[str], drifts: tuple[Drift, ...], gaps: Sequence[Gap]
) -> list[str]:
    """Return the end of a step that is kept: its notes, the reset, its ledger row, COMMIT."""
    found = [drift.kept for drift in drifts]
    entry = attempt.step.entry
    done = [ledger.done_sql(attempt.schema, entry, told, found)] if entry else []
    is_shared = attempt.context.pooling is Pooling.TRANSACTION
    left = clean_up(attempt.step) if is_shared else []
    noted = [
        notes.note_gap_sql(attempt.schema, later, str(gap)) for later, gap in relying(attempt, gaps)
    ]
    # RESET ALL also resets the search_path, so predeploy's is set again after it.
    return [
        *what_is_made(attempt),
        *RESET,
        *left,
        OWN_PATH,
        *noted,
        *done,
        *attempt.step.mirror,
        "commit",
    ]


def what_is_made(attempt: Attempt) -> list[str]:
    """Return the statement that notes the step's transaction ids; none on an ordinary run.

    It is needed on a run that began without rows: removing what such a run made needs no
    declaration.
    """
    noting = made.note_sql(sentinel.functions(attempt.schema).made)
    return [noting] if attempt.context.is_blank else []


def relying(attempt: Attempt, gaps: Sequence[Gap]) -> list[tuple[LedgerEntry, Gap]]:
    """Return the later files with literal ids that a sequence has skipped."""
    if not gaps:
        return []
    from_here = dropwhile(lambda step: step is not attempt.step, attempt.steps)
    return [
        (later.entry, gap)
        for later in islice(from_here, 1, None)
        for gap in gaps
        if later.entry and relies_on(later, gap)
    ]


def positions_query(attempt: Attempt, *, is_again: bool = False) -> str:
    """Return the query of the positions of the sequences that the step may draw from."""
    function = sentinel.functions(attempt.schema).sequences
    pid = attempt.context.guard.info.backend_pid
    return positions_sql(function, pid, attempt.delivery.reached, is_again=is_again)
