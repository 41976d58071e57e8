"""The settings for reading facts, which fix how values are printed in them."""

from predeploy.contract.quoting import literal
from predeploy.schema.kinds import READ_WITH


def pins_sql() -> str:
    """Return the SELECT that applies the settings of READ_WITH, local to the transaction."""
    pins = (
        f"pg_catalog.set_config({literal(k)}, {literal(v)}, true)" for k, v in READ_WITH.items()
    )
    return f"select {', '.join(pins)}"
