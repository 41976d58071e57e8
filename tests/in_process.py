"""The command line within the test's process, for tests that run hundreds of commands."""

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from predeploy.cli import main
from predeploy.contract.exit_codes import ExitCode


@dataclass(frozen=True)
class Command:
    """The exit code of a command, and its report, which is the last line of its output."""

    exit_code: ExitCode
    report: Mapping[str, Any]


class _Edge:
    """An edge that never interrupts."""

    def set_deadline(self, seconds: float) -> None:
        """Set no alarm."""

    def quiet(self) -> None:
        """Do nothing."""


def command(*arguments: str, environ: Mapping[str, str]) -> Command:
    """Run a command of predeploy with exactly this environment."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            exit_code = main(arguments, environ, _Edge())
    finally:
        structlog.reset_defaults()
    return Command(exit_code, json.loads(output.getvalue().splitlines()[-1]))
