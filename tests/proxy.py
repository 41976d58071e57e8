"""A proxy between a job and its server, which does harm at the n-th message of one direction.

Messages are counted as PostgreSQL frames them, over all connections of the job, from 1:
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

_CHUNK = 65536
_DELAY_S = 0.3
_UNTYPED = 4  # bytes of the length, with which a client's first message begins
_TYPED = 5
_AT_ONCE = struct.pack("ii", 1, 0)


class Direction(Enum):
    """Whose messages are counted."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the job"


class Fault(Enum):
    """What happens instead of passing the message on; afterwards connections are let through."""

    CUT = "cut"  # both ends are closed
    RESET = "reset"  # both ends get a RST
    STALL = "stall"  # nothing passes on that connection any more, and nobody is told
    DELAY = "delay"  # this message and what follows it come later


@dataclass(frozen=True)
class Harm:
    """A fault at a message, or what a test does there itself, before the message passes."""

    direction: Direction
    at: int
    fault: Fault | Callable[[], object]


@dataclass
class Proxy:
    """A listening proxy; `counted` grows as messages pass."""

    server: tuple[str, int]
    harm: Harm | None = None
    counted: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def accept(self) -> None:
        """Serve connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    server = socket.create_connection(self.server)
                except OSError:
                    client.close()
                    continue
                self._open += (client, server)
                pair = _Pair(self, client, server)
                threading.Thread(target=pair.serve, daemon=True).start()

    def close(self) -> None:
        """End everything."""
        self.listener.close()
        for end in self._open:
            _shut(end)

    def count(self, direction: Direction) -> Fault | Callable[[], object] | None:
        """Count a message; return the harm that is to be done now."""
        with self._lock:
            self.counted[direction] += 1
            if self.harm is None or direction is not self.harm.direction:
                return None
            return self.harm.fault if self.counted[direction] == self.harm.at else None


@contextmanager
def proxied(port: int, harm: Harm | None = None) -> Iterator[Proxy]:
    """Run a proxy before the server on this port of the loopback."""
    proxy = Proxy(("127.0.0.1", port), harm)
    with ExitStack() as stack:
        stack.callback(proxy.close)
        threading.Thread(target=proxy.accept, daemon=True).start()
        yield proxy


@dataclass
class _Pair:
    """One connection: the job's end and the server's.

    One thread serves both: an end that another thread reads from would not be closed at once.
    """

    proxy: Proxy
    client: socket.socket
    server: socket.socket
    is_stalled: bool = False

    def serve(self) -> None:
        """Pass on what comes, message by message, until an end closes."""
        ways = {
            self.client: _Way(Direction.TO_SERVER, self.server, _UNTYPED),
            self.server: _Way(Direction.TO_CLIENT, self.client, _TYPED),
        }
        with selectors.DefaultSelector() as ready, suppress(OSError, ValueError):
            for end in ways:
                ready.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    way = ways[key.fileobj]
                    chunk = key.fileobj.recv(_CHUNK)
                    if not chunk:
                        raise OSError("an end is closed")
                    for message in way.messages(chunk):
                        self._do(self.proxy.count(way.direction))
                        if not self.is_stalled:
                            way.sink.sendall(message)
        if not self.is_stalled:
            for end in ways:
                _shut(end)

    def _do(self, harm: Fault | Callable[[], object] | None) -> None:
        match harm:
            case Fault.CUT:
                for end in (self.client, self.server):
                    _shut(end)
            case Fault.RESET:
                for end in (self.client, self.server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    end.close()
            case Fault.STALL:
                self.is_stalled = True
            case Fault.DELAY:
                time.sleep(_DELAY_S)
            case None:
                pass
            case _:
                harm()


@dataclass
class _Way:
    """What comes one way; `header` is the size of what the next message begins with."""

    direction: Direction
    sink: socket.socket
    header: int
    pending: bytearray = field(default_factory=bytearray)

    def messages(self, chunk: bytes) -> Iterator[bytes]:
        """Take what came; yield the messages that are whole by now."""
        self.pending += chunk
        while len(self.pending) >= self.header:
            length = struct.unpack_from("!I", self.pending, self.header - 4)[0]
            size = self.header - 4 + length
            if len(self.pending) < size:
                break
            yield bytes(self.pending[:size])
            del self.pending[:size]
            self.header = _TYPED


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
