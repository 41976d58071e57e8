"""Warm jobs: forked from a parent that has imported everything, as most tests run them.

Each is a process of its own, with its own environment, output and exit status, and ends by signals
as any other. It is only spared the half second of CPU in which Python starts and imports. What is
about that half second runs cold (`conftest.run_cold_job`). Light to import: every job does.
"""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import NamedTemporaryFile

# Of two threads that ask for a status only one is told it; starting one asks for those of all.
_ONE_AT_A_TIME = threading.Lock()
_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(
    ["job.cli", "job.run", "job.inspection", "job.pipeline", "bcrypt", "forked"]
)


@dataclass(frozen=True)
class Forked:
    """A job that runs, or has run."""

    process: BaseProcess
    stdout: Path
    stderr: Path

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
        """What it has written so far, stdout first."""
        return self.stdout.read_text() + self.stderr.read_text()


@contextmanager
def forked_job(*arguments: str, environ: Mapping[str, str]) -> Iterator[Forked]:
    """Start `python -m job` with exactly this environment; it does not outlive the block."""
    with NamedTemporaryFile(prefix="job-out-") as out, NamedTemporaryFile(prefix="job-err-") as err:
        process = _WARM.Process(target=_run, args=(arguments, dict(environ), out.name, err.name))
        with _ONE_AT_A_TIME:
            process.start()
        try:
            yield Forked(process, Path(out.name), Path(err.name))
        finally:
            process.kill()
            connection.wait([process.sentinel])
            with _ONE_AT_A_TIME:
                process.join()
                process.close()


def _run(arguments: Sequence[str], environ: dict[str, str], stdout: str, stderr: str) -> None:
    from job.__main__ import run_and_exit  # noqa: PLC0415 - only jobs need it

    for stream, path in ((sys.stdout, stdout), (sys.stderr, stderr)):
        written = os.open(path, os.O_WRONLY)
        os.dup2(written, stream.fileno())
        os.close(written)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir("/")
    warnings.simplefilter("error")
    sys.argv = ["predeploy", *arguments]
    run_and_exit()
