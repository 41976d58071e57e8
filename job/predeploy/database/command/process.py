"""A process that ends when this one does, however that ends.

A keeper, forked before the command is started, leads the command's process group. It waits for the
end of a pipe that only this process holds open: if this process is killed, the keeper ends the
group. Until then it also holds this process's connections open, and with them the advisory lock, so
that no other run starts while the command still works.
"""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

GRACE_S = 5.0
"""How long a command may take to end after a signal, before it is killed."""
_TICK_S = 0.25
_CHUNK = 65_536
_LONGEST_LINE = 16_384  # bytes
_LINE_ENDS = re.compile(rb"\r\n|\n|\r")
# Control sequences of terminals: colours, cursor movements, titles.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]"
)


class Process:
    """A command that was started, with its output."""

    def __init__(self, popen: "subprocess.Popen[bytes]", group: int) -> None:
        """Wrap a process whose stdout and stderr are one pipe, in a process group of its own."""
        self._popen, self._group = popen, group
        self._rest = b""
        self._is_open = True

    def follow(self, hear: Callable[[str], None], tick: Callable[[], None]) -> int:
        """Pass each line of output to `hear` until the command ends; return its status.

        `tick` is called every quarter of a second. A negative status is the number of the signal
        that ended it.
        """
        while self._popen.poll() is None:
            self._listen(hear, _TICK_S)
            tick()
        return self._ended(hear)

    def stop(self, number: int, hear: Callable[[str], None]) -> int:
        """Pass a signal to the group, kill it after the grace period; return the status."""
        end = time.monotonic() + GRACE_S
        self._signal(number)
        while self._popen.poll() is None and time.monotonic() < end:
            self._listen(hear, 0.05)
        self._signal(signal.SIGKILL)
        self._popen.wait()
        return self._ended(hear)

    def _ended(self, hear: Callable[[str], None]) -> int:
        # Others of its group may hold the pipe open for as long as they like.
        while self._is_open and self._listen(hear, 0.0):
            pass
        if self._rest:
            hear(_text(self._rest))
        return self._popen.returncode

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._group, number)

    def _listen(self, hear: Callable[[str], None], wait_s: float) -> bool:
        """Wait for output, and pass its lines on; return whether there was any."""
        assert self._popen.stdout is not None  # noqa: S101 - it was started with a pipe
        if not self._is_open:
            time.sleep(wait_s)
            return False
        end = time.monotonic() + wait_s
        has_heard = False
        while select.select([self._popen.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            chunk = os.read(self._popen.stdout.fileno(), _CHUNK)
            if not chunk:
                self._is_open = False
                break
            has_heard = True
            *lines, self._rest = _LINE_ENDS.split(self._rest + chunk)
            for line in lines:
                hear(_text(line))
            if len(self._rest) > _LONGEST_LINE:
                hear(_text(self._rest))
                self._rest = b""
            if self._popen.poll() is not None or time.monotonic() >= end:
                break
        return has_heard


@contextmanager
def started(argv: Sequence[str], environ: Mapping[str, str]) -> Iterator[Process]:
    """Start a command without input; at the end, kill what is left of its group.

    Raises OSError if it cannot be started.
    """
    keeper, alive = _keep()
    try:
        with subprocess.Popen(
            argv,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=keeper,
        ) as popen:
            try:
                yield Process(popen, keeper)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(keeper, signal.SIGKILL)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(keeper, signal.SIGKILL)
        os.close(alive)
        os.waitpid(keeper, 0)


def _keep() -> tuple[int, int]:
    """Fork the keeper; return its process group, and the pipe that it waits for the end of."""
    theirs, ours = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        os.close(ours)
        _wait_for_the_end(theirs)
    os.close(theirs)
    with suppress(OSError):  # the keeper does the same
        os.setpgid(keeper, keeper)
    return keeper, ours


def _wait_for_the_end(pipe: int) -> None:
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        for stream in range(3):  # who reads the job's output waits for its end
            os.close(stream)
        while os.read(pipe, 1):
            pass
        os.killpg(0, signal.SIGTERM)
        time.sleep(GRACE_S)
        os.killpg(0, signal.SIGKILL)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _text(line: bytes) -> str:
    return _ESCAPES.sub("", line.decode(errors="replace")).rstrip()
