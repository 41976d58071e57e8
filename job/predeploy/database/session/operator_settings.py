"""The settings that the operator's SQL runs with: its search_path, and `row_security = off`.

A file's own SET applies from its position on. Its RESET restores what was set before the file: the
path of the connection string, which is not the session's default, and `row_security = off`.
"""

import re

from predeploy import sql
from predeploy.contract.statement import Statement
from predeploy.contract.step import Step, SyncStep
from predeploy.database.server.path import operator_path_sql, own_path_sql
from predeploy.database.server.transaction import row_security_sql
from predeploy.database.session.run_context import RunContext

# Without a parenthesis or a constant it has no expression, so the text itself resolves no names.
_VALIDATES = re.compile(r"ALTER (?:TABLE|DOMAIN) [^()']* VALIDATE CONSTRAINT [^()']*\Z")

# pg_dump writes it from 17 on, for a server of any version. Its effect is predeploy's default.
_NO_TRANSACTION_TIMEOUT = re.compile(
    r"set\s+(?:session\s+|local\s+)?transaction_timeout\s*(?:=|to)\s*(?:'?0\w*'?|default)\Z",
    re.IGNORECASE,
)
_TRANSACTION_TIMEOUT_SINCE = 170000
_NOTHING = "select"


def text_of(context: RunContext, text: str) -> str:
    """Return a statement as it is sent; before 17 `SET transaction_timeout = 0` becomes a no-op."""
    is_known = context.work.info.server_version >= _TRANSACTION_TIMEOUT_SINCE
    return text if is_known or not _NO_TRANSACTION_TIMEOUT.match(text) else _NOTHING


def before(context: RunContext, step: Step, scope: str = "local") -> list[str]:
    """Return the statements before a step's own, with the SETs of the file's earlier steps.

    They are local to the transaction, or for the whole session if `scope` is `session`. A generated
    step qualifies every name and runs with predeploy's path, unless it only validates a constraint:
    that calls the constraint's functions, which need the app's path.
    """
    theirs = operator_path_sql(context.settings.endpoint, scope)
    is_ours = isinstance(step, SyncStep) and not _VALIDATES.match(step.text)
    found = [own_path_sql(scope) if is_ours else theirs]
    for text in step.preamble:
        found += [text_of(context, text), *_again(context, text, scope)]
    return found


def behind(context: RunContext, statement: Statement) -> list[str]:
    """Return the statements after a RESET in a file, which restore what `before` has set."""
    return _again(context, statement.text) if statement.node == "variable_set_stmt" else []


def _again(context: RunContext, text: str, scope: str = "local") -> list[str]:
    settings = {
        "search_path": operator_path_sql(context.settings.endpoint, scope),
        "row_security": row_security_sql(scope),
    }
    return [settings[name] for name in sql.resets(text)]
