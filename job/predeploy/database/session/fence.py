"""What only one runner passes: it stands at the start of each step."""

from predeploy.contract.quoting import literal
from predeploy.contract.step import Step, SyncStep
from predeploy.database.catalog.fingerprint import fingerprint_sql
from predeploy.database.ledger import ledger
from predeploy.database.session.run_context import RunContext

STOPPED = ("23505", "22012")
"""SQLSTATEs of a fence that lets nobody pass: the row is there, or the catalog has changed."""


def fence_sql(context: RunContext, step: Step) -> str:
    """Return the INSERT of the step's row; without one, a look at the catalog it was planned for.

    A step that keeps no row and is planned for any catalog has a fence that everybody passes.
    """
    schema = context.settings.ledger_schema
    if step.entry is not None:
        return ledger.insert_sql(schema, step.entry, context.run_id)
    if not (isinstance(step, SyncStep) and step.fingerprint):
        return "select"
    current = fingerprint_sql(schema)
    return f"select 1 / ({current} = {literal(step.fingerprint)})::int"
