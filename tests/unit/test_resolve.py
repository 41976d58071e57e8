"""The addresses of hosts, as libpq wants them beside their names."""

import socket
import threading
from typing import Any

import psycopg
import pytest

from predeploy.database.server import resolve
from predeploy.database.server.resolve import bounded, with_addresses

KNOWN = {"one": ["10.0.0.1"], "two": ["10.0.0.2", "fd00::2"]}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only two names be known."""

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        if host not in KNOWN:
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in KNOWN[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


PAIRED = [
    ({"host": "one"}, {"host": "one", "hostaddr": "10.0.0.1"}),
    ({"host": "one", "port": "5433"}, {"host": "one", "hostaddr": "10.0.0.1", "port": "5433"}),
    ({"host": "two"}, {"host": "two,two", "hostaddr": "10.0.0.2,fd00::2"}),
    (
        {"host": "two,one", "port": "1,2"},
        {"host": "two,two,one", "hostaddr": "10.0.0.2,fd00::2,10.0.0.1", "port": "1,1,2"},
    ),
    (
        {"host": "nobody,one", "port": "1"},
        {"host": "one", "hostaddr": "10.0.0.1", "port": "1"},
    ),
    ({"host": "/run,one"}, {"host": "/run,one", "hostaddr": ",10.0.0.1"}),
]


@pytest.mark.parametrize(("given", "paired"), PAIRED)
def test_each_address_stands_beside_its_name(given: dict[str, str], paired: dict[str, str]) -> None:
    """The name stays, as certificates are checked against it; ports go with their hosts."""
    assert with_addresses(given, 1) == paired


@pytest.mark.parametrize(
    "given",
    [
        {"host": "10.1.1.1"},
        {"host": "fd00::1"},
        {"host": "/run/postgresql"},
        {"host": "@abstract"},
        {"host": "one", "hostaddr": "10.9.9.9"},
        {"dbname": "shop"},
        {"host": "one,two", "port": "1,2,3"},
    ],
)
def test_what_needs_no_look_up_gets_none(given: dict[str, str]) -> None:
    """Addresses, sockets, and what libpq will refuse."""
    assert with_addresses(given, 1) == given


def test_an_unknown_name_is_told_as_psycopg_tells_it() -> None:
    """So that one table knows all refusals."""
    with pytest.raises(psycopg.OperationalError, match=r"failed to resolve host: .* not known"):
        with_addresses({"host": "nobody"}, 1)


TEN = {"host": "h,h,h", "hostaddr": "1,2,3", "port": "5,6,7", "connect_timeout": 10}


@pytest.mark.parametrize(
    ("left_s", "addresses", "seconds"),
    [
        (150, "1,2,3", 10),
        (20, "1,2,3", 6),
        (6, "1,2,3", 2),
        (5, "1,2", 2),
        (1, "1", 2),
        (0, "1", 2),
    ],
)
def test_all_addresses_together_take_what_is_left(
    left_s: float, addresses: str, seconds: int
) -> None:
    """Each gets its share, two seconds at least; for whom that is too much, there is no time."""
    found = bounded(TEN, left_s)

    assert (found["hostaddr"], found["connect_timeout"]) == (addresses, seconds)
    assert len({len(found[name].split(",")) for name in ("host", "hostaddr", "port")}) == 1


def test_one_port_stays_the_port_of_all() -> None:
    """And a timeout of the operator's stays as it is."""
    given = {"host": "a,b,c", "port": "5432", "connect_timeout": "7"}

    found = bounded(given, 4, has_timeout=True)

    assert found == {"host": "a,b", "port": "5432", "connect_timeout": "7"}


def test_a_socket_needs_no_host() -> None:
    """Nothing is paired where nothing is named."""
    assert bounded({"dbname": "shop", "connect_timeout": 10}, 150)["connect_timeout"] == 10


def test_a_silent_name_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that asks it is left to itself."""
    over = threading.Event()
    monkeypatch.setattr(resolve, "_resolve", lambda _: over.wait(5))

    with pytest.raises(psycopg.OperationalError, match="no name server has answered"):
        with_addresses({"host": "one"}, 0.1)

    over.set()
