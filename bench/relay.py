"""A relay in front of a server that adds latency and counts round trips.

A round trip begins when a client sends something after the server has answered, or first of all.
The TCP handshake is delayed but not counted.
"""

import asyncio
import contextlib
import selectors
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass
class Relay:
    """A running relay: its port on the loopback interface, and its counts so far.

    `open_connections` may still have traffic.
    """

    server: tuple[str, int]
    round_trip_s: float
    port: int = 0
    connections: int = 0
    open_connections: int = 0
    round_trips: int = 0

    def reset(self) -> None:
        """Reset the counts."""
        self.connections = self.round_trips = 0

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Relay one connection until either end closes it."""
        self.connections += 1
        self.open_connections += 1
        with contextlib.ExitStack() as ends:
            ends.callback(self._forget)
            ends.callback(back.close)
            # It is cancelled when the relay ends, and would otherwise be reported as an error.
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
    """Whose turn it is to send on a connection."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._answered = True

    def is_clients(self, data: bytes) -> None:
        if self._answered and data != _TERMINATE:
            self._relay.round_trips += 1
        self._answered = False

    def is_servers(self, _data: bytes) -> None:
        self._answered = True


# A client expects no answer to it.
_TERMINATE = b"X\x00\x00\x00\x04"


@dataclass
class _Way:
    """One direction: data is passed on unchanged, after a delay."""

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
    """Run a relay in front of the server on this loopback port."""
    relay = Relay(("127.0.0.1", port), round_trip_s)
    started, over = threading.Event(), asyncio.Event()

    async def run() -> None:
        listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
        relay.port = listener.sockets[0].getsockname()[1]
        started.set()
        async with listener:
            await over.wait()

    # Closing the runner cancels connections that are still open.
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
    """Return a loop with select: epoll waits in whole milliseconds, too coarse for some delays."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
