"""A server and a job in two network namespaces, with a link between them that a test can cut."""

import os
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from conftest import Database, job_environ
from production import until

from predeploy.embedded import server


def why_not() -> str:
    """Return why a network partition is not possible here; an empty string if it is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "iptables", "nsenter", "unshare") if not shutil.which(name)]
    if missing:
        return f"no {', '.join(missing)} here"
    tried = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    return "" if tried.returncode == 0 else "network namespaces are not allowed here"


@dataclass(frozen=True)
class Cable:
    """The link between the job's namespace and the server's.

    `database` is the database as the test itself reaches it, not over the link.
    """

    namespace: str
    outer: str
    database: Database
    url: str

    def start(self, environ: Mapping[str, str]) -> "subprocess.Popen[str]":
        """Start a job at the far end of the link."""
        command = [sys.executable, "-m", "predeploy"]
        return subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.namespace}", *command],
            env=job_environ({"DATABASE_URL": self.url, **environ}),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
        )  # fmt: skip

    def drop(self) -> None:
        """Drop every packet from now on, without notifying either side."""
        for chain in ("INPUT", "OUTPUT"):
            self._inside("iptables", "-A", chain, "-j", "DROP")

    def pull(self) -> None:
        """Take the link down at the server's end."""
        _run("ip", "link", "set", self.outer, "down")

    def plug_in(self) -> None:
        """Bring the link up again."""
        _run("ip", "link", "set", self.outer, "up")

    def _inside(self, *command: str) -> None:
        _run("ip", "netns", "exec", self.namespace, *command)


def start_without_answers(environ: Mapping[str, str], folder: Path) -> "subprocess.Popen[str]":
    """Start a job whose name server receives every query and answers none."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "nsswitch.conf").write_text("hosts: dns\n")
    script = """
        ip link set lo up && iptables -A INPUT -p udp -j DROP &&
        mount --bind "$1/resolv.conf" /etc/resolv.conf &&
        mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf && exec "$2" -m predeploy"""
    return subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", "-c", script, "sh", str(folder), sys.executable],
        env=job_environ(environ),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
    )  # fmt: skip


@contextmanager
def cable(binaries: Path) -> Iterator[Cable]:
    """Create a namespace, and a server that is reached from it over a link; remove both later."""
    name = f"pd{uuid.uuid4().hex[:8]}"
    outer, inner = f"{name}o", f"{name}i"
    # From the range for network tests (RFC 2544); random, so that two of them rarely collide.
    first = f"198.{random.choice((18, 19))}.{random.randrange(256)}"  # noqa: S311 - no secret
    ours, theirs = f"{first}.1", f"{first}.2"
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        _run("ip", "addr", "add", f"{ours}/30", "dev", outer)
        _run("ip", "link", "set", outer, "up")
        _run("ip", "-n", name, "addr", "add", f"{theirs}/30", "dev", inner)
        _run("ip", "-n", name, "link", "set", inner, "up")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        with server(binaries, settings={"listen_addresses": f"127.0.0.1,{ours}"}) as started:
            with (started.data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {ours}/30 trust\n")
            with psycopg.connect(started.url(), autocommit=True) as conn:
                conn.execute("select pg_reload_conf()")
            url = f"postgresql://postgres@{ours}:{started.port}/postgres"
            until(lambda: _lets_in(url), "the server to read its rules anew")
            yield Cable(name, outer, Database("postgres", started.url()), url)
    finally:
        # this also removes the outer end of the link
        _run("ip", "netns", "del", name)


def _lets_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
