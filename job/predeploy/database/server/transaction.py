"""The settings of predeploy's transactions, set locally so that none leaks through a pooler.

Startup options are never used: poolers refuse or drop them. Settings that a server does not know
(`transaction_timeout` before 17) are recognized by their missing current value and left out. The
view pg_settings could be asked, too, but takes as long as a small step, since it assembles all
settings.
"""

from collections.abc import Hashable, Mapping

from predeploy.contract.quoting import literal
from predeploy.contract.step import Migration, Step
from predeploy.contract.words import mentions
from predeploy.database.server.path import OURS
from predeploy.database.server.rows import Answer

# An inherited timeout must never end a migration or release the lock; if the client vanishes from
# the network, the lock must be released within half a minute.
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

# Both are sent inside each step's transaction, so that nothing leaks into the next one, whoever
# uses the connection behind a pooler. The role is reset first, because what follows runs as
# predeploy's role.
RESET_ROLE = ("reset session authorization", "reset role")
RESET = ("reset all", "set local row_security to off", "discard temp", "discard sequences")
# Work deferred to the end of a step must happen before its effects are examined: otherwise COMMIT
# would run the query of a cursor WITH HOLD unseen by the guard.
END_OF_STATEMENTS = ("close all", "set constraints all immediate", *RESET_ROLE)
# What also outlives a transaction; a later step may need it, but no other client. Only what was
# prepared by SQL: poolers keep their own prepared statements in a session.
_OUTLIVING = {
    "prepare_stmt": """do $$ declare prepared text; begin
        for prepared in select name from pg_catalog.pg_prepared_statements where from_sql loop
            execute pg_catalog.format('deallocate %I', prepared);
        end loop; end $$""",
    "listen_stmt": "unlisten *",
    "declare_cursor_stmt": "close all",
}
_SESSION_LOCK = "advisory_lock"  # of pg_advisory_lock and pg_try_advisory_lock
_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY")


def settings_sql(settings: Mapping[str, str]) -> str:
    """Return one SELECT that applies these settings on top of those common to all transactions.

    It returns their number: a row for each would be one message each. It calls no operator and
    qualifies every function, because predeploy's search_path applies only afterwards. From then on
    a query that row-level security would filter fails, instead of returning a partial result.
    """
    return _set_sql({"search_path": OURS, "row_security": "off", **settings}, "true")


def session_sql(settings: Mapping[str, str]) -> str:
    """Return the same for a whole session, for a connection that is closed afterwards.

    search_path and row_security are unchanged: a step's text sets its own.
    """
    return _set_sql(settings, "false")


def row_security_sql(scope: str = "local", *, is_on: bool = False) -> str:
    """Return a SET that lets row-level security hide rows, or (the default) makes that an error."""
    return f"set {scope} row_security to {'on' if is_on else 'off'}"


def between_policies(name: Hashable, sql: str, *, is_filtered: bool) -> dict[Hashable, str]:
    """Return a named query; if row-level security may hide its rows, with the SETs around it."""
    if not is_filtered:
        return {name: sql}
    allow, forbid = row_security_sql(is_on=True), row_security_sql()
    return {("allow", name): allow, name: sql, ("forbid", name): forbid}


def step_application(ledger_schema: str) -> str:
    """Return the application name of a session while it runs a step of this ledger.

    PostgreSQL truncates names at 63 bytes, and so does this function.
    """
    return f"predeploy step {ledger_schema}"[:63]


def command_applications(ledger_schema: str) -> str:
    """Return how the application names begin that the operator's commands get, of this ledger."""
    return f"predeploy command {ledger_schema}"[:54] + " "


def command_application(ledger_schema: str, run_id: str) -> str:
    """Return the application name that the sessions of a run's command get; 63 bytes at most."""
    return command_applications(ledger_schema) + run_id[:8]


STEP_NAMED = r"^/\* predeploy (.*?) \*/"
"""A regular expression of PostgreSQL that matches the comment that `name_sql` returns."""


def name_sql(step: Step) -> str:
    """Return a comment with the step's name, for those who watch the server's activity."""
    name = step.label.replace("*/", "* /").replace("/*", "/ *")
    return f"/* predeploy {name} */ "


def begin_sql(step: Step, isolation: str = "") -> str:
    """Return a step's BEGIN; the file's own isolation level takes precedence over `isolation`."""
    own = step.isolation if isinstance(step, Migration) else ""
    words = own if "level" in own.lower() else ", ".join(filter(None, (isolation, own)))
    return f"{name_sql(step)}begin {words}".rstrip()


def clean_up(step: Step) -> list[str]:
    """Return statements that remove all that a step may leave in a session that is shared."""
    nodes = dict.fromkeys(statement.node for statement in step.statements)
    found = [_OUTLIVING[node] for node in nodes if node in _OUTLIVING]
    if any(mentions(text, _SESSION_LOCK) for text in step.texts):
        found.append("select pg_catalog.pg_advisory_unlock_all()")
    return found


def rows_written(answer: Answer, index: int) -> int:
    """Return the number of rows written by one statement; 0 if it was not reached."""
    results = answer.results[index : index + 1]
    statuses = [(result.command_status or b"").decode() for result in results]
    return sum(int(s.split()[-1]) for s in statuses if s.startswith(_WRITES))


def _set_sql(settings: Mapping[str, str], is_local: str) -> str:
    pairs = ", ".join(
        f"({literal(name)}, {literal(value)})" for name, value in (_ALWAYS | dict(settings)).items()
    )
    return (
        f"select pg_catalog.count(pg_catalog.set_config(v.name, v.setting, {is_local})) "
        f"from (values {pairs}) v(name, setting) "
        "where pg_catalog.current_setting(v.name, true) is not null"
    )
