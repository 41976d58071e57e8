"""Jobs forked from a parent that has imported them already, for tests that need thousands.

Each is a process of its own, which ends by signals as any other; it is only spared the fifth of a
second in which Python starts and imports. Light to import, since every one of them does.
"""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import NamedTemporaryFile

# Of two threads that ask for a status only one is told it; starting one asks for those of all.
_ONE_AT_A_TIME = threading.Lock()
_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(["job.cli", "job.run", "job.pipeline", "bcrypt", "forked"])


@dataclass(frozen=True)
class Forked:
    """A job that runs, or has run."""

    process: BaseProcess
    output: Path

    @property
    def status(self) -> int | None:
        """Its exit status, -9 when it was killed, None while it runs."""
        with _ONE_AT_A_TIME:
            return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.status is None and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def wait(self, seconds: float) -> int:
        """Return its exit status; fail when it takes longer."""
        connection.wait([self.process.sentinel], seconds)
        status = self.status
        assert status is not None, f"still runs after {seconds} s:\n{self.said}"
        return status

    @property
    def said(self) -> str:
        return self.output.read_text()


@contextmanager
def forked_job(environ: Mapping[str, str]) -> Iterator[Forked]:
    """Start `python -m job run` with exactly this environment; it does not outlive the block."""
    with NamedTemporaryFile(prefix="predeploy-job-") as output:
        process = _WARM.Process(target=_run, args=(dict(environ), output.name))
        with _ONE_AT_A_TIME:
            process.start()
        try:
            yield Forked(process, Path(output.name))
        finally:
            process.kill()
            connection.wait([process.sentinel])
            with _ONE_AT_A_TIME:
                process.join()
                process.close()


def _run(environ: dict[str, str], output: str) -> None:
    from job.__main__ import run_and_exit  # noqa: PLC0415 - only jobs need it

    written = os.open(output, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(written, stream.fileno())
    os.environ.clear()
    os.environ.update(environ)
    os.chdir("/")
    warnings.simplefilter("error")
    sys.argv = ["predeploy", "run"]
    run_and_exit()
