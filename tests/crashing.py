"""A server of a test's own that can be crashed, and whose commits survive that."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from predeploy.embedded import Server, running, server

# Nothing is lost by a crash of the server alone, so the disk need not be waited for.
_SETTINGS = {"synchronous_commit": "on", "full_page_writes": "on"}


@dataclass
class Crashing:
    """The server that runs at the moment; its port and its data stay the same."""

    server: Server
    executables: Path
    restarts: ExitStack
    settings: Mapping[str, str]

    def crash(self) -> None:
        """Shut the server down as `pg_ctl stop -m immediate` does, and start it again."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Shut it down at once."""
        self.server.process.send_signal(signal.SIGQUIT)
        self.server.process.wait(30)

    def start(self) -> None:
        """Start it again, in a thread that lives on: with its thread a server dies, too."""
        # Its log says that it was ready, before.
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
    """Run such a server, with `more` settings."""
    settings = {**_SETTINGS, **(more or {})}
    with server(binaries, settings=settings) as started, ExitStack() as restarts:
        copy = started.data.parent / "pginstall" / "bin"
        yield Crashing(started, copy if copy.exists() else binaries, restarts, settings)
