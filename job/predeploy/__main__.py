"""The process edge: arguments, environment, signals, exit status. Nothing else touches them."""

import gc
import json
import os
import signal
import sys
from contextlib import suppress
from io import FileIO, TextIOWrapper
from types import FrameType
from typing import NoReturn

from predeploy.contract.errors import Interrupted
from predeploy.contract.exit_codes import ExitCode

# Facts are plain values, and there may be a hundred thousand: looking for cycles among them after
# every 700 objects takes a tenth of the run's time, and finds none.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000
_BY_SIGNAL = {
    signal.SIGTERM: (ExitCode.TERMINATED, "SIGTERM"),
    signal.SIGINT: (ExitCode.INTERRUPTED, "SIGINT"),
    signal.SIGALRM: (ExitCode.TEMPFAIL, "the deadline is used up (PREDEPLOY_DEADLINE)"),
}


class Output(TextIOWrapper):
    """Stdout that ignores a closed reader or a full disk, so that neither fails a deploy.

    Always UTF-8, whatever the locale; a file name that is not valid text is written with escapes.
    """

    @classmethod
    def of_process(cls) -> "Output":
        """Take over stdout; if it is closed, discard the output."""
        stdout = sys.stdout if isinstance(sys.stdout, TextIOWrapper) else None
        raw = stdout.detach() if stdout else FileIO(os.devnull, "wb")
        return cls(raw, encoding="utf-8", errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write the text; ignore failures."""
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream; ignore failures."""
        with suppress(OSError):
            super().flush()


class Signals:
    """Turns the first signal into Interrupted; the second ends the process at once."""

    def __init__(self) -> None:
        """Catch SIGTERM, SIGINT and the deadline's alarm. As PID 1 an uncaught one is ignored."""
        self._asked = 0
        self._is_quiet = False
        for number in _BY_SIGNAL:
            signal.signal(number, self._on_signal)

    def set_deadline(self, seconds: float) -> None:
        """Begin a command: interrupt it after `seconds`, or when a signal arrives."""
        self._is_quiet = False
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def quiet(self) -> None:
        """Stop interrupting, so that the report can be written after the work is over."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._is_quiet = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        exit_code, why = _BY_SIGNAL[signal.Signals(number)]
        self._asked += 1
        if self._asked > 1:
            os._exit(exit_code)
        if not self._is_quiet:
            raise Interrupted(exit_code, why)


def run_and_exit() -> NoReturn:
    """Run the command line and exit with its status."""
    signals = Signals()
    sys.stdout = Output.of_process()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        from predeploy.cli import main  # noqa: PLC0415 - a signal counts from the first millisecond

        status = main(sys.argv[1:], dict(os.environ), signals)
    except Interrupted as early:
        status = early.exit_code
        message = f"{status.label} ({int(status)}): {early}, before anything was done"
        print(json.dumps({"message": message, "level": "error", "exit_code": int(status)}))
    sys.stdout.flush()
    # Not sys.exit: while Python shuts down, a signal would change the status that was reported.
    os._exit(status)


if __name__ == "__main__":
    run_and_exit()
