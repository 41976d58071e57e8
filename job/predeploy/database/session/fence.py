"""The fence at the start of each step, which only one runner can pass."""

from predeploy.contract.quoting import literal
from predeploy.contract.step import Step, SyncStep
from predeploy.database.catalog.fingerprint import fingerprint_sql
from predeploy.database.ledger import ledger
from predeploy.database.session.run_context import RunContext

STOPPED = ("23505", "22012")
"""The SQLSTATEs of a fence that was not passed: the row exists, or the catalog has changed."""


def restart_sql(context: RunContext, step: Step) -> list[str]:
    """Return what precedes the fence: the removal of a repeatable file's former rows, if any."""
    if step.entry is None or not step.entry.restarts:
        return []
    return [ledger.remove_file_sql(context.settings.ledger_schema, step.entry.file)]


def fence_sql(context: RunContext, step: Step) -> str:
    """Return the INSERT of the step's row; without a row, a check of the catalog's fingerprint.

    For a step without a row and without a fingerprint, return a statement that always succeeds.
    """
    schema = context.settings.ledger_schema
    if step.entry is not None:
        return ledger.insert_sql(schema, step.entry, context.run_id)
    if not (isinstance(step, SyncStep) and step.fingerprint):
        return "select"
    # Without a row there is no key to violate, so it fails by a division by zero.
    current = fingerprint_sql(schema)
    return f"select 1 / ({current} = {literal(step.fingerprint)})::int"
