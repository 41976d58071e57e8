"""A proxy between a job and its server, which does harm at the n-th message of one direction.

Messages are counted as PostgreSQL frames them, over all connections of the job, from 1:
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import re
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
_LATE_S = 0.7
_READY_FOR_QUERY = b"Z"
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
    LATE = "late"  # the job is cut off, and what it has sent arrives later


@dataclass(frozen=True)
class Harm:
    """A fault at a message, or what a test does there itself, before the message passes."""

    direction: Direction
    at: int
    fault: Fault | Callable[[], object]

    def at_message(
        self, direction: Direction, number: int, _message: bytes
    ) -> Fault | Callable[[], object] | None:
        """Return what is to be done at this message, the so manieth of its direction."""
        return self.fault if (direction, number) == (self.direction, self.at) else None


class Moment(Enum):
    """When a request's connection dies."""

    BEFORE = "before the server saw it"
    LATE = "and the server sees it later"
    AFTER = "when it was done, before the answer arrived"


@dataclass
class Lost:
    """A connection that dies, once, at the first request in which the pattern is found."""

    pattern: bytes
    moment: Moment
    is_asked: bool = False
    is_over: bool = False

    def at_message(self, direction: Direction, _number: int, message: bytes) -> Fault | None:
        """Return what is to be done at this message: nothing, mostly."""
        is_request = bool(
            direction is Direction.TO_SERVER and re.search(self.pattern, message[_TYPED:])
        )
        is_answered = self.is_asked and message[:1] == _READY_FOR_QUERY
        self.is_asked |= is_request
        if self.is_over or not (is_answered if self.moment is Moment.AFTER else is_request):
            return None
        self.is_over = True
        return Fault.LATE if self.moment is Moment.LATE else Fault.CUT


@dataclass
class Proxy:
    """A listening proxy; `kinds` grows as messages pass, by the first byte of each."""

    server: tuple[str, int]
    harm: Harm | Lost | None = None
    kinds: dict[Direction, bytearray] = field(
        default_factory=lambda: {way: bytearray() for way in Direction}
    )
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
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += (client, server)
                pair = _Pair(self, client, server)
                threading.Thread(target=pair.serve, daemon=True).start()

    def close(self) -> None:
        """End everything, the thread that waits for connections too."""
        for end in (self.listener, *self._open):
            _shut(end)

    def count(self, direction: Direction, message: bytes) -> Fault | Callable[[], object] | None:
        """Count a message; return the harm that is to be done now."""
        with self._lock:
            self.kinds[direction].append(message[0])
            if self.harm is None:
                return None
            return self.harm.at_message(direction, len(self.kinds[direction]), message)


@contextmanager
def proxied(port: int, harm: Harm | Lost | None = None) -> Iterator[Proxy]:
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
                    self._pass_on(way, way.messages(chunk))
        if not self.is_stalled:
            for end in ways:
                _shut(end)

    def _pass_on(self, way: "_Way", messages: Iterator[bytes]) -> None:
        """Send in one go what no harm comes between."""
        passing = bytearray()
        for message in messages:
            harm = self.proxy.count(way.direction, message)
            if harm is not None:
                way.sink.sendall(passing)
                passing.clear()
                self._do(harm)
            if not self.is_stalled:
                passing += message
        if passing:
            way.sink.sendall(passing)

    def _do(self, harm: Fault | Callable[[], object]) -> None:
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
            case Fault.LATE:
                _shut(self.client)
                time.sleep(_LATE_S)
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
