"""PgBouncers for the tests: the installed one, and one from a newer Debian release."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
from bases import mirror
from conftest import Database, url_of
from production import until

from predeploy.embedded import _credentials, _die_with_parent, free_port

# Where Debian installs it, which is not on everybody's path.
_INSTALLED = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
_NEWER_SUITE = "trixie"


@dataclass(frozen=True)
class Program:
    """The command that starts a PgBouncer, and its version, such as (1, 24, 1)."""

    command: tuple[str, ...]

    @property
    def version(self) -> tuple[int, ...]:
        said = subprocess.check_output([*self.command, "--version"], text=True)
        (found,) = re.findall(r"^PgBouncer ([\d.]+)", said, re.MULTILINE)
        return tuple(int(part) for part in found.split("."))


@dataclass(frozen=True)
class Bouncer:
    """A running PgBouncer: its URL, its pool mode and its pool size."""

    url: str
    mode: str
    size: int

    def to(self, database: Database) -> Database:
        """Return the same database, seen through the pooler."""
        return replace(database, url=url_of(self.url, database.name))


Start = Callable[..., AbstractContextManager[Bouncer]]


@contextmanager
def running(
    program: Program,
    server_url: str,
    mode: str,
    size: int = 5,
    known: str = "*",
    **more: object,
) -> Iterator[Bouncer]:
    """Run a PgBouncer in front of a server, as an unprivileged user, on a free port.

    `known` is the database name that it serves, `*` for all; `more` are further settings.
    """
    server = psycopg.conninfo.conninfo_to_dict(server_url)
    port = free_port()
    password = f" password={server['password']}" if server.get("password") else ""
    options = {
        "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "",
        "auth_type": "any", "pool_mode": mode, "default_pool_size": size, **more,
    }  # fmt: skip
    home = Path(tempfile.mkdtemp(prefix="predeploy-pgbouncer-"))
    home.chmod(0o755)
    (home / "pgbouncer.ini").write_text(
        f"[databases]\n{known} = host={server['host']} port={server.get('port', 5432)} "
        f"user={server.get('user', 'postgres')}{password}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in options.items())
    )
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*_die_with_parent(), *program.command, str(home / "pgbouncer.ini")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
            **_credentials(),
        )  # fmt: skip
    try:
        until(lambda: b"process up" in (home / "log").read_bytes(), "PgBouncer to be up")
        yield Bouncer(f"postgresql://postgres@127.0.0.1:{port}/postgres", mode, size)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def installed_pgbouncer() -> Program:
    if not _INSTALLED:
        pytest.skip("there is no pgbouncer")
    return Program((_INSTALLED,))


@pytest.fixture(scope="session")
def newer_pgbouncer() -> Iterator[Program]:
    """A PgBouncer from a newer Debian release, with that release's libraries and loader."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        pytest.skip("a newer PgBouncer takes root and mmdebstrap")
    if not (source := mirror()):
        pytest.skip("a newer PgBouncer takes a mirror of Debian's, and apt here has none")
    home = Path(tempfile.mkdtemp(prefix="predeploy-trixie-"))
    home.chmod(0o755)
    tree = home / "tree"
    try:
        done = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=extract", "--include=pgbouncer",
             _NEWER_SUITE, tree, source],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            start_new_session=True,  # when it fails it ends its whole process group
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        (loader,) = (tree / "usr").glob("lib*/ld-linux-*.so.?")
        libraries = loader.resolve().parent
        yield Program((str(loader), "--library-path", str(libraries),
                       str(tree / "usr" / "sbin" / "pgbouncer")))  # fmt: skip
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module", params=["installed", "newer"])
def pgbouncer(request: pytest.FixtureRequest) -> Program:
    """The installed PgBouncer, and then the newer one."""
    found: Program = request.getfixturevalue(f"{request.param}_pgbouncer")
    return found


@pytest.fixture(scope="module")
def bouncer(pgbouncer: Program) -> Start:
    """Runs a PgBouncer in front of a server; takes the arguments of `running` after `program`."""
    return partial(running, pgbouncer)
