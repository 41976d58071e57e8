"""Warm jobs: forked from a parent that has imported everything, as most tests run them.

Each job is a separate process with its own environment, output and exit status, and reacts to
signals like any other process. It only skips the half second of CPU time in which Python starts and
imports modules. Tests of that half second run a cold job (`conftest.run_cold_job`). This module
must be cheap to import, because every job imports it.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol, Self

# If two threads ask for a status, only one gets it; starting a process asks for those of all.
_ONE_AT_A_TIME = threading.Lock()
_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(
    [
        "predeploy.cli",
        "predeploy.run",
        "predeploy.inspection",
        "predeploy.pipeline",
        "bcrypt",
        "forked",
    ]
)


class Warm:
    """A running job with the interface of `subprocess.Popen`; stdout and stderr share a pipe."""

    def __init__(self, *arguments: str, environ: Mapping[str, str]) -> None:
        """Start `python -m predeploy` with exactly this environment."""
        ours, theirs = os.pipe()
        self._process = _start(arguments, environ, theirs, theirs)
        os.close(theirs)
        self.args, self.pid = ["predeploy", *arguments], self._process.pid
        self.stdout = os.fdopen(ours, encoding="utf-8")
        self._said: list[str] = []
        self._reader = threading.Thread(
            target=lambda: self._said.append(self.stdout.read()), daemon=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._reader.is_alive():
            self.stdout.close()
        self.wait()

    @property
    def returncode(self) -> int | None:
        return _status(self._process)

    def poll(self) -> int | None:
        return _status(self._process)

    def wait(self, timeout: float | None = None) -> int:
        connection.wait([self._process.sentinel], timeout)
        status = _status(self._process)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Return the rest of the output, and wait for the end of the job.

        Raises TimeoutExpired if that takes too long; no output is lost then.
        """
        if self._reader.ident is None:
            self._reader.start()
        self._reader.join(timeout)
        if self._reader.is_alive():
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.stdout.close()
        self.wait(timeout)
        return self._said[0], None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        _send(self._process, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True)
class Forked:
    """A job, running or ended, that writes its output to files."""

    process: BaseProcess
    stdout: Path
    stderr: Path

    @property
    def status(self) -> int | None:
        """The job's exit status: -9 if it was killed, None while it runs."""
        return _status(self.process)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        _send(self.process, number)

    def wait(self, seconds: float) -> int:
        """Return the exit status; fail the test if the job runs longer than `seconds`."""
        connection.wait([self.process.sentinel], seconds)
        status = self.status
        assert status is not None, f"still runs after {seconds} s:\n{self.said}"
        return status

    @property
    def said(self) -> str:
        """The output so far, stdout first."""
        return self.stdout.read_text() + self.stderr.read_text()


@contextmanager
def forked_job(*arguments: str, environ: Mapping[str, str]) -> Iterator[Forked]:
    """Start `python -m predeploy` with exactly this environment; kill it at the block's end."""
    with NamedTemporaryFile(prefix="job-out-") as out, NamedTemporaryFile(prefix="job-err-") as err:
        process = _start(arguments, environ, out.fileno(), err.fileno())
        try:
            yield Forked(process, Path(out.name), Path(err.name))
        finally:
            process.kill()
            connection.wait([process.sentinel])
            with _ONE_AT_A_TIME:
                process.join()
                process.close()


def _start(
    arguments: Sequence[str], environ: Mapping[str, str], stdout: int, stderr: int
) -> BaseProcess:
    process = _WARM.Process(target=_Job(tuple(arguments), dict(environ), stdout, stderr))
    process.daemon = True
    with _ONE_AT_A_TIME:
        process.start()
    return process


def _status(process: BaseProcess) -> int | None:
    with _ONE_AT_A_TIME:
        return process.exitcode


def _send(process: BaseProcess, number: int) -> None:
    if _status(process) is None and process.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


class _Handed(Protocol):
    def detach(self) -> int:
        """Return the file descriptor in the process that received the file."""


class _Job:
    """The work of a forked process. Pickling it passes its file descriptors to that process."""

    def __init__(self, arguments: tuple[str, ...], environ: dict[str, str], *files: int) -> None:
        self._arguments, self._environ, self._files = arguments, environ, files

    def __reduce__(self) -> tuple[Any, ...]:
        return _Job.taken_over, (self._arguments, self._environ, *map(DupFd, self._files))

    @classmethod
    def taken_over(
        cls, arguments: tuple[str, ...], environ: dict[str, str], *files: _Handed
    ) -> "_Job":
        return cls(arguments, environ, *(file.detach() for file in files))

    def __call__(self) -> None:
        from predeploy.__main__ import run_and_exit  # noqa: PLC0415 - only jobs need it

        for number, file in zip((1, 2), self._files, strict=True):
            os.dup2(file, number)
            os.close(file)
        # New objects, because those of the parent remember whether its own files are seekable.
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - a number, to the end
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - the same
        os.environ.clear()
        os.environ.update(self._environ)
        os.chdir("/")
        warnings.simplefilter("error")
        sys.argv = ["predeploy", *self._arguments]
        run_and_exit()
