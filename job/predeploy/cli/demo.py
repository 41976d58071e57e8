"""`predeploy demo`: starts a private PostgreSQL, runs the job on it twice, and cleans up."""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from predeploy.contract.exit_codes import ExitCode
from predeploy.embedded import server

# In a wheel the example is package data; in a checkout it is the folder at the top.
_PACKAGE = Path(__file__).resolve().parents[1]
_EXAMPLES = (_PACKAGE / "example", _PACKAGE.parents[1] / "sql")
_ADMIN = {"ADMIN_USERNAME": "admin", "ADMIN_EMAIL": "admin@example.com"}


def demo(environ: Mapping[str, str], run: Callable[[Mapping[str, str]], ExitCode]) -> ExitCode:
    """Run the job twice on an empty database; the second run finds nothing to do.

    The folder is the shipped one unless PREDEPLOY_SQL_DIR names another; of `environ` only
    predeploy's settings count. Returns the first exit code that is not OK. Raises NoServerError if
    no server can be started.
    """
    kept = {key: value for key, value in environ.items() if key.startswith("PREDEPLOY_")}
    with server() as started:
        settings = {
            "PREDEPLOY_SQL_DIR": str(next(folder for folder in _EXAMPLES if folder.is_dir())),
            **kept,
            **_ADMIN,
            "DATABASE_URL": started.url(),
            "ADMIN_PASSWORD": secrets.token_urlsafe(12),
        }
        for title in ("an empty database", "the same again: nothing to do"):
            print(f"--- predeploy run: {title}", flush=True)
            exit_code = run(settings)
            if exit_code is not ExitCode.OK:
                return exit_code
    return ExitCode.OK
