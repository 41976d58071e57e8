"""A server for one test that can be crashed; its commits survive the crash."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from predeploy.embedded import Server, running, server

# The machine itself does not crash, so nothing is lost without waiting for the disk.
_SETTINGS = {"synchronous_commit": "on", "full_page_writes": "on"}


@dataclass
class Crashing:
    """The current server process; port and data stay the same after a restart."""

    server: Server
    executables: Path
    restarts: ExitStack
    settings: Mapping[str, str]

    def crash(self) -> None:
        """Shut the server down as `pg_ctl stop -m immediate` does, and start it again."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Shut the server down as `pg_ctl stop -m immediate` does."""
        self.server.process.send_signal(signal.SIGQUIT)
        self.server.process.wait(30)

    def start(self) -> None:
        """Start the server again.

        The calling thread has to stay alive: the server dies with the thread that started it.
        """
        # The old log already says that the server is ready.
        self.server.log.write_text("")
        again = running(
            self.executables, self.server.data, settings=self.settings, port=self.server.port
        )
        self.server = self.restarts.enter_context(again)

    @property
    def is_down(self) -> bool:
        return self.server.process.poll() is not None


@contextmanager
def crashing(binaries: Path, more: Mapping[str, str] | None = None) -> Iterator[Crashing]:
    """Run a server that can be crashed, with `more` settings."""
    settings = {**_SETTINGS, **(more or {})}
    with server(binaries, settings=settings) as started, ExitStack() as restarts:
        copy = started.data.parent / "pginstall" / "bin"
        yield Crashing(started, copy if copy.exists() else binaries, restarts, settings)
