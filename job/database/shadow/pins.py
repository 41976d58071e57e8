"""How values are printed in facts."""

from job.database.wire import literal

# Who compares with facts of the live side pins the same there.
PINNED = {
    "search_path": "",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
}


def pins_sql() -> str:
    """Return the SELECT that makes the settings of PINNED, local to the transaction."""
    pins = (f"pg_catalog.set_config({literal(k)}, {literal(v)}, true)" for k, v in PINNED.items())
    return f"select {', '.join(pins)}"
