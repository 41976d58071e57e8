"""The settings of our transactions, made local to them, so that nothing leaks through a pooler.

Startup options are never used: poolers refuse or drop them. Names that a server does not know
(`transaction_timeout` before 17) are left out: they have no current setting. The view pg_settings
would tell, too, and takes as long as a small step, since it puts all of them together.
"""

import re
from collections.abc import Mapping

from predeploy.contract.quoting import literal
from predeploy.contract.step import Migration, Step
from predeploy.database.server.path import OURS
from predeploy.database.server.wire import Answer

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

# Both go inside each step's transaction, so that nothing of it leaks into the next, whoever's that
# is behind a pooler. The role comes first: what follows is ours.
RESET_ROLE = ("reset session authorization", "reset role")
RESET = ("reset all", "set local row_security to off", "discard temp", "discard sequences")
# What a step puts off to its end happens before anybody looks at what it has done: COMMIT would run
# the query of a cursor WITH HOLD behind the guard's back.
END_OF_STATEMENTS = ("close all", "set constraints all immediate", *RESET_ROLE)
# What outlives a transaction beside that; the next step may want it, but nobody else. Only what SQL
# has prepared: poolers keep prepared statements of their own in a session.
_OUTLIVING = {
    "prepare_stmt": """do $$ declare prepared text; begin
        for prepared in select name from pg_catalog.pg_prepared_statements where from_sql loop
            execute pg_catalog.format('deallocate %I', prepared);
        end loop; end $$""",
    "listen_stmt": "unlisten *",
    "declare_cursor_stmt": "close all",
}
_SESSION_LOCK = re.compile(r"pg_(?:try_)?advisory_lock", re.IGNORECASE)
_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY")


def settings_sql(settings: Mapping[str, str]) -> str:
    """Return one SELECT that makes these settings, over the ones that all transactions share.

    It tells how many they are: a row for each would be as many messages. It calls no operator and
    nothing without its schema, since the search_path is ours from then on only. What row-level
    security would filter is an error from then on, and no answer that looks whole.
    """
    return _set_sql({"search_path": OURS, "row_security": "off", **settings}, "true")


def session_sql(settings: Mapping[str, str]) -> str:
    """Return the same for a whole session: only on a connection that is closed afterwards.

    search_path and row_security are left as they are: a step's text has its own.
    """
    return _set_sql(settings, "false")


def row_security_sql(scope: str = "local", *, is_on: bool = False) -> str:
    """Return what lets row-level security hide rows, or makes that an error, as is the default."""
    return f"set {scope} row_security to {'on' if is_on else 'off'}"


def step_application(ledger_schema: str) -> str:
    """Return the application name that a session bears while it runs a step of this ledger.

    PostgreSQL cuts names at 63 bytes, and so does this.
    """
    return f"predeploy step {ledger_schema}"[:63]


STEP_NAMED = r"^/\* predeploy (.*?) \*/"
"""A pattern of the server's for what `begin_sql` puts in front."""


def begin_sql(step: Step, isolation: str = "") -> str:
    """Return a step's BEGIN, with its name in front for who looks at what the server does.

    What its file says of its isolation comes before ours.
    """
    name = step.label.replace("*/", "* /").replace("/*", "/ *")
    own = step.isolation if isinstance(step, Migration) else ""
    words = own if "level" in own.lower() else ", ".join(filter(None, (isolation, own)))
    return f"/* predeploy {name} */ begin {words}".rstrip()


def clean_up(step: Step) -> list[str]:
    """Return what takes away all that a step can leave in its session: for one that is shared."""
    nodes = dict.fromkeys(statement.node for statement in step.statements)
    found = [_OUTLIVING[node] for node in nodes if node in _OUTLIVING]
    if _SESSION_LOCK.search(step.text):
        found.append("select pg_catalog.pg_advisory_unlock_all()")
    return found


def rows_written(answer: Answer, first: int, count: int) -> int:
    """Add up what `count` statements inserted, updated or deleted, from result `first` on."""
    results = answer.results[first : first + count]
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
