"""A proxy between a job and its server that injects a fault at the n-th message of one direction.

The messages of PostgreSQL's protocol are counted from 1, over all connections of the job:
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
_UNTYPED = 4  # bytes; a client's first message begins with its length, without a type
_TYPED = 5
_AT_ONCE = struct.pack("ii", 1, 0)


class Direction(Enum):
    """The direction in which messages are counted."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the job"


class Fault(Enum):
    """What happens instead of forwarding the message; later connections are not affected."""

    CUT = "cut"  # both ends are closed
    RESET = "reset"  # both ends get a RST
    STALL = "stall"  # nothing is forwarded on that connection any more, and it stays open
    DELAY = "delay"  # this message and those that follow it arrive later
    LATE = "late"  # the job is cut off, and what it has sent arrives later


@dataclass(frozen=True)
class Harm:
    """A fault at a message, or a function of the test that is called before it is forwarded."""

    direction: Direction
    at: int
    fault: Fault | Callable[[], object]

    def at_message(
        self, direction: Direction, number: int, _message: bytes
    ) -> Fault | Callable[[], object] | None:
        """Return what to do at this message; `number` is its number in its direction, from 1."""
        return self.fault if (direction, number) == (self.direction, self.at) else None


class Moment(Enum):
    """The moment at which the connection of a request is lost."""

    BEFORE = "before the server saw it"
    LATE = "and the server sees it later"
    AFTER = "when it was done, before the answer arrived"


@dataclass
class Lost:
    """A connection that is lost once, at the first request that matches the pattern."""

    pattern: bytes
    moment: Moment
    is_asked: bool = False
    is_over: bool = False

    def at_message(self, direction: Direction, _number: int, message: bytes) -> Fault | None:
        """Return the fault at this message; None for almost every message."""
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
    """A listening proxy; `kinds` collects the first byte of each message, by direction."""

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
        """Close all connections and the listener, which also ends the accepting thread."""
        for end in (self.listener, *self._open):
            _shut(end)

    def count(self, direction: Direction, message: bytes) -> Fault | Callable[[], object] | None:
        """Count a message; return the fault or function that is due now, or None."""
        with self._lock:
            self.kinds[direction].append(message[0])
            if self.harm is None:
                return None
            return self.harm.at_message(direction, len(self.kinds[direction]), message)


@contextmanager
def proxied(port: int, harm: Harm | Lost | None = None) -> Iterator[Proxy]:
    """Run a proxy in front of the server on this port of 127.0.0.1."""
    proxy = Proxy(("127.0.0.1", port), harm)
    with ExitStack() as stack:
        stack.callback(proxy.close)
        threading.Thread(target=proxy.accept, daemon=True).start()
        yield proxy


@dataclass
class _Pair:
    """One connection: the job's socket and the server's.

    One thread serves both, because a socket from which another thread reads is not closed at once.
    """

    proxy: Proxy
    client: socket.socket
    server: socket.socket
    is_stalled: bool = False

    def serve(self) -> None:
        """Forward messages in both directions until one side closes the connection."""
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
        """Forward messages, in one send as long as no fault is due between them."""
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
    """The bytes of one direction; `header` is the size of the next message's header."""

    direction: Direction
    sink: socket.socket
    header: int
    pending: bytearray = field(default_factory=bytearray)

    def messages(self, chunk: bytes) -> Iterator[bytes]:
        """Add received bytes; yield the messages that are complete now."""
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
