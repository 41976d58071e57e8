"""What the operator's SQL runs under: their search_path, and `row_security = off`.

A file's own SET holds from where it stands. Its RESET goes back to what was set before it: the path
of the connection string, which is not the session's default, and `row_security = off`.
"""

import re

from predeploy import sql
from predeploy.contract.statement import Statement
from predeploy.contract.step import Step, SyncStep
from predeploy.database.server.path import our_path, their_path
from predeploy.database.server.transaction import row_security_sql
from predeploy.database.session.run_context import RunContext

# No parenthesis and no constant: no expression, so that nothing is looked up for the text itself.
_VALIDATES = re.compile(r"ALTER (?:TABLE|DOMAIN) [^()']* VALIDATE CONSTRAINT [^()']*\Z")

# pg_dump writes it from 17 on, whatever server its output is for. It means what is so anyway.
_NO_TRANSACTION_TIMEOUT = re.compile(
    r"set\s+(?:session\s+|local\s+)?transaction_timeout\s*(?:=|to)\s*(?:'?0\w*'?|default)\Z",
    re.IGNORECASE,
)
_TRANSACTION_TIMEOUT_SINCE = 170000
_NOTHING = "select"


def text_of(context: RunContext, text: str) -> str:
    """Return a statement as it is sent: `SET transaction_timeout = 0` is nothing before 17."""
    is_known = context.work.info.server_version >= _TRANSACTION_TIMEOUT_SINCE
    return text if is_known or not _NO_TRANSACTION_TIMEOUT.match(text) else _NOTHING


def before(context: RunContext, step: Step, scope: str = "local") -> list[str]:
    """Return what stands before a step's own statements, with the SETs of the file's earlier steps.

    In its transaction, or for its `session`. A step of our own names every schema, and runs under
    our path. But one that only validates a constraint calls the functions of that constraint, which
    need the app's path.
    """
    theirs = their_path(context.settings.endpoint, scope)
    is_ours = isinstance(step, SyncStep) and not _VALIDATES.match(step.text)
    found = [our_path(scope) if is_ours else theirs]
    for text in step.preamble:
        found += [text_of(context, text), *_again(context, text, scope)]
    return found


def behind(context: RunContext, statement: Statement) -> list[str]:
    """Return what follows a RESET in a file, which takes back what `before` has set."""
    return _again(context, statement.text) if statement.node == "variable_set_stmt" else []


def _again(context: RunContext, text: str, scope: str = "local") -> list[str]:
    settings = {
        "search_path": their_path(context.settings.endpoint, scope),
        "row_security": row_security_sql(scope),
    }
    return [settings[name] for name in sql.resets(text)]
