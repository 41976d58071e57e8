"""The settings of our transactions, made local to them, so that nothing leaks through a pooler.

Startup options are never used: poolers refuse or drop them. Names that a server does not know
(`transaction_timeout` before 17) are left out by asking pg_settings for them.
"""

from collections.abc import Mapping

from job.database.wire import literal

# An inherited timeout must never kill a migration or the lock; a client that has vanished from
# the network must free the lock within half a minute.
_ALWAYS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "client_connection_check_interval": "1s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25s",
}

RESET = "reset session authorization; reset role; reset all; discard temp; discard sequences"


def settings_sql(settings: Mapping[str, str]) -> str:
    """Return one SELECT that makes these settings, over the ones that all transactions share."""
    return _set_sql(settings, "true")


def session_sql(settings: Mapping[str, str]) -> str:
    """Return the same for a whole session: only on a connection that is closed afterwards."""
    return _set_sql(settings, "false")


def step_application(ledger_schema: str) -> str:
    """Return the application name that a session bears while it runs a step of this ledger.

    PostgreSQL cuts names at 63 bytes, and so does this.
    """
    return f"predeploy step {ledger_schema}"[:63]


def _set_sql(settings: Mapping[str, str], is_local: str) -> str:
    pairs = ", ".join(
        f"({literal(name)}, {literal(value)})" for name, value in (_ALWAYS | dict(settings)).items()
    )
    return (
        f"select pg_catalog.set_config(s.name, v.setting, {is_local}) "
        f"from (values {pairs}) v(name, setting) join pg_catalog.pg_settings s on s.name = v.name"
    )
