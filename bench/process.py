"""A process that is measured: elapsed time, CPU time, memory, exit code, output."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# A forked process inherits its parent's peak memory, so a small process runs in between.
_BETWEEN = """
import os, sys, time
begun = time.perf_counter()
said = [(os.POSIX_SPAWN_DUP2, 2, 1)]
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=said)
_, status, used = os.wait4(pid, 0)
seconds = time.perf_counter() - begun
code = os.waitstatus_to_exitcode(status)
print(code, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
_PATIENCE_S = 600
HUNG = -1


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage and the result of a process and its children; HUNG if it had to be killed."""

    code: int
    seconds: float
    cpu_s: float
    rss_mb: float
    said: str


@dataclass(frozen=True, slots=True)
class Running:
    """A process that has been started and must be waited for."""

    process: "subprocess.Popen[str]"

    def wait(self) -> Usage:
        """Return what it used; kill it and its children if it hangs."""
        try:
            figures, said = self.process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._end()
            return Usage(HUNG, _PATIENCE_S, 0, 0, "it hung")
        if self.process.returncode:  # the command could not be started
            return Usage(self.process.returncode, 0, 0, 0, said)
        code, seconds, cpu_s, rss_mb = figures.split()
        return Usage(int(code), float(seconds), float(cpu_s), float(rss_mb), said)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


def start(command: Sequence[str], environ: Mapping[str, str], cwd: Path = Path("/")) -> Running:
    """Start a process, in a new session and process group."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _BETWEEN, *command],
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    return Running(process)
