"""Resolves host names within a time limit.

The system's resolver cannot be interrupted: with an unresponsive name server it outlasts every
signal and every budget. So it runs in a daemon thread, which the process does not wait for at exit.
"""

import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

_SHORTEST_S = 2  # libpq and psycopg take whole seconds, and at least this many for an address
_PAIRED = ("host", "hostaddr", "port")
_Found = list[str] | OSError | UnicodeError


def with_addresses(parameters: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """Return libpq's parameters with the addresses of their hosts, paired as libpq expects.

    A host with several addresses is repeated once for each. Raises psycopg.OperationalError: with
    psycopg's message if no host has an address, with predeploy's if no name server answered.
    """
    hosts = str(parameters.get("host") or "").split(",")
    if parameters.get("hostaddr") or not any(map(_is_name, hosts)):
        return dict(parameters)
    ports = str(parameters.get("port") or "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        return dict(parameters)  # libpq will refuse them
    found = _look_up(hosts, timeout_s)
    triples = [(h, a, p) for h, p in zip(hosts, ports, strict=True) for a in _addresses(found[h])]
    if not triples:
        raise psycopg.OperationalError(f"failed to resolve host: {found[hosts[-1]]}")
    names = ("host", "hostaddr", "port")
    columns = {n: ",".join(c) for n, c in zip(names, zip(*triples, strict=True), strict=True)}
    return {**parameters, **{n: c for n, c in columns.items() if c.strip(",")}}


def bounded(
    parameters: Mapping[str, Any], left_s: float, *, has_timeout: bool = False
) -> dict[str, Any]:
    """Return the parameters with the number of addresses and the timeout cut to the time left.

    Unless `has_timeout` is set, `connect_timeout` is lowered to each address's share of the time.
    """
    lists = {n: str(parameters[n]).split(",") for n in _PAIRED if parameters.get(n) is not None}
    count = max((len(values) for n, values in lists.items() if n != "port"), default=1)
    tried = min(count, max(1, int(left_s) // _SHORTEST_S))
    cut = {n: ",".join(v[:tried]) for n, v in lists.items() if tried < count}
    if has_timeout:
        return {**parameters, **cut}
    share_s = min(int(parameters["connect_timeout"]), int(left_s) // tried)
    return {**parameters, **cut, "connect_timeout": max(_SHORTEST_S, share_s)}


def _look_up(hosts: list[str], timeout_s: float) -> dict[str, _Found]:
    answers: queue.SimpleQueue[dict[str, _Found]] = queue.SimpleQueue()

    def ask() -> None:
        answers.put({host: _resolve(host) for host in hosts})

    # A daemon thread, so that a lookup that never returns does not keep the process alive.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty:
        raise psycopg.OperationalError("no name server has answered") from None


def _resolve(host: str) -> _Found:
    if not _is_name(host):
        return [""]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:  # UnicodeError: the name may be too long
        return error
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _addresses(found: _Found) -> Iterator[str]:
    if isinstance(found, list):
        yield from found


def _is_name(host: str) -> bool:
    """Whether it needs to be resolved: it is neither a socket path nor an address."""
    if not host or host.startswith(("/", "@")):
        return False
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return False
    return True
