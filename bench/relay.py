"""A relay before a server that makes the way longer, and counts how often it is gone.

A round trip begins where a client sends something after the server has answered, or first of all.
The handshake of TCP is charged in time and not counted.
"""

import asyncio
import contextlib
import selectors
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass
class Relay:
    """A running relay: its port on the loopback, and what has passed so far.

    From `open_connections` something may still come.
    """

    server: tuple[str, int]
    round_trip_s: float
    port: int = 0
    connections: int = 0
    open_connections: int = 0
    round_trips: int = 0

    def reset(self) -> None:
        """Count from zero again."""
        self.connections = self.round_trips = 0

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Relay one connection until either end closes it."""
        self.connections += 1
        self.open_connections += 1
        with contextlib.ExitStack() as ends:
            ends.callback(self._forget)
            ends.callback(back.close)
            # A cancelled one is the relay's end, and would be reported as an error of ours.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(self.round_trip_s)
                server, forth = await asyncio.open_connection(*self.server)
                ends.callback(forth.close)
                turn = _Turn(self)
                ways = (
                    _Way(client, forth, self.round_trip_s / 2, turn.is_clients),
                    _Way(server, back, self.round_trip_s / 2, turn.is_servers),
                )
                await asyncio.gather(*(way.go() for way in ways))

    def _forget(self) -> None:
        self.open_connections -= 1


class _Turn:
    """Whose turn it is on a connection."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._answered = True

    def is_clients(self, data: bytes) -> None:
        if self._answered and data != _TERMINATE:
            self._relay.round_trips += 1
        self._answered = False

    def is_servers(self, _data: bytes) -> None:
        self._answered = True


# Nobody waits for an answer to it.
_TERMINATE = b"X\x00\x00\x00\x04"


@dataclass
class _Way:
    """One direction: what comes is passed on as it came, so much later."""

    source: asyncio.StreamReader
    sink: asyncio.StreamWriter
    delay_s: float
    seen: Callable[[bytes], None]

    async def go(self) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take(queue))
            tasks.create_task(self._give(queue))

    async def _take(self, queue: "asyncio.Queue[tuple[float, bytes]]") -> None:
        data = b"-"
        while data:
            try:
                data = await self.source.read(1 << 16)
            except OSError:
                data = b""
            if data:
                self.seen(data)
            await queue.put((asyncio.get_running_loop().time() + self.delay_s, data))

    async def _give(self, queue: "asyncio.Queue[tuple[float, bytes]]") -> None:
        data = b"-"
        while data:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            with contextlib.suppress(OSError):
                self.sink.write(data)
                await self.sink.drain()
        with contextlib.suppress(OSError):
            self.sink.close()


@contextlib.contextmanager
def relayed(port: int, round_trip_s: float = 0.0) -> Iterator[Relay]:
    """Run a relay before the server on this port of the loopback."""
    relay = Relay(("127.0.0.1", port), round_trip_s)
    started, over = threading.Event(), asyncio.Event()

    async def run() -> None:
        listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
        relay.port = listener.sockets[0].getsockname()[1]
        started.set()
        async with listener:
            await over.wait()

    # Closed, it cancels what still relays.
    with asyncio.Runner(loop_factory=_loop) as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=runner.run, args=(run(),), daemon=True)
        thread.start()
        started.wait()
        try:
            yield relay
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()


def _loop() -> asyncio.AbstractEventLoop:
    """Wait by select: epoll waits in whole milliseconds, which is more than some of the delays."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
