"""The queries that a job sends to its server, by connection, as a proxy sees them."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from proxy import Direction, proxied

_QUERY, _PARSE, _HEADER = b"Q", b"P", 5


@dataclass
class Spoken:
    """The texts of all queries, in order, by connection.

    The proxy serves each connection in a separate thread.
    """

    connections: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def at_message(self, direction: Direction, _number: int, message: bytes) -> None:
        """Keep the text of a query of the simple or extended protocol. Never return a fault."""
        if direction is not Direction.TO_SERVER:
            return
        body = message[_HEADER:]
        if message[:1] == _PARSE:
            _, body, _ = body.split(b"\0", 2)
        elif message[:1] != _QUERY:
            return
        self.connections[threading.get_ident()].append(body.rstrip(b"\0").decode())

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of all connections."""
        return tuple(text for texts in self.connections.values() for text in texts)


@contextmanager
def listening(url: str) -> Iterator[tuple[Spoken, str]]:
    """Record the queries of all clients that connect by the yielded URL."""
    spoken = Spoken()
    port = int(psycopg.conninfo.conninfo_to_dict(url)["port"])
    with proxied(port, spoken) as proxy:
        place = {"host": "127.0.0.1", "port": proxy.port, "sslmode": "disable"}
        yield spoken, psycopg.conninfo.make_conninfo(url, **place)
