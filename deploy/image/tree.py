"""Lays out /opt/predeploy: the job with an interpreter and libraries of its own, loader included.

    python3 tree.py SITE TREE

SITE holds the installed packages. TREE must be the path where it will stand, since compiled files
name their source. It then runs in any image of the same architecture, whatever libc that has:

    bin/predeploy           starts it with a shell, wherever the tree was copied to
    bin/python3             the interpreter of this image
    lib/ld.so               the loader of this image's libc
    lib/*.so.*              every library that something in the tree links to
    lib/python3.X/          the standard library, without what no job needs
    lib/predeploy/          the packages, with a __main__.py
    lib/dpkg/status.d/      which Debian packages the libraries are from, for scanners
    etc/ca-certificates.crt what libpq trusts with sslrootcert=system
"""

import compileall
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_UNUSED = shutil.ignore_patterns(
    *("__pycache__", "site-packages", "dist-packages", "config-*", "EXTERNALLY-MANAGED"),
    *("test", "tests", "_test*", "_xx*", "xx*", "idlelib", "tkinter", "turtle*", "_tkinter*"),
    *("ensurepip", "venv", "lib2to3", "pydoc_data", "_pyrepl", "unittest", "sitecustomize.py"),
    *("_sqlite3.*", "sqlite3", "_curses*", "curses", "readline.*", "multiprocessing"),
    *("_dbm.*", "_gdbm.*", "dbm", "nis.*", "_crypt.*", "_lzma.*", "_bz2.*", "_codecs_*"),
    *("http", "html", "xml", "xmlrpc", "wsgiref", "pyexpat.*", "_elementtree.*"),
)
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_LINKED = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)
# A file that another package diverts has a line of its own before.
_OWNER = re.compile(r"(?:diversion by .*\n)*([^:,\s]+)[:,]")
_MAIN = "from predeploy.__main__ import run_and_exit\n\nrun_and_exit()\n"
_STARTER = """\
#!/bin/sh
# Starts predeploy with the interpreter and the libraries beside it, wherever they were copied to.
tree=$(dirname "$(dirname "$(readlink -f "$0")")")
: "${SSL_CERT_FILE:=$tree/etc/ca-certificates.crt}"
export SSL_CERT_FILE
# A library of the image, such as another malloc, may not be for the libc of the tree.
unset LD_PRELOAD
exec "$tree/lib/ld.so" --library-path "$tree/lib" "$tree/bin/python3" -IS "$tree/lib/predeploy" "$@"
"""


def main(site: Path, tree: Path) -> None:
    """Build the tree."""
    version = f"python{sysconfig.get_python_version()}"
    for folder in ("bin", "etc", "lib"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(sys.executable).resolve(), tree / "bin/python3")
    shutil.copytree(sysconfig.get_path("stdlib"), tree / "lib" / version, ignore=_UNUSED)
    shutil.copytree(site, tree / "lib/predeploy", ignore=shutil.ignore_patterns("bin", "*.pyi"))
    (tree / "lib/predeploy/__main__.py").write_text(_MAIN)
    shutil.copy(_CA_BUNDLE, tree / "etc")
    starter = tree / "bin/predeploy"
    starter.write_text(_STARTER)
    starter.chmod(0o755)
    libraries = sorted(set(_libraries(tree)))
    for library in libraries:
        name = "ld.so" if library.name.startswith("ld-linux") else library.name
        shutil.copy(library, tree / "lib" / name)
    for name, record in _records([_CA_BUNDLE, Path(sys.executable).resolve(), *libraries]):
        target = tree / "lib/dpkg/status.d" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(record)
    # A read-only root cannot write caches, and the files here are never edited.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(tree / "lib", maxlevels=20, quiet=1, invalidation_mode=mode):
        sys.exit("something in the tree does not compile")


def _libraries(tree: Path) -> Iterator[Path]:
    """Yield what the interpreter and all extension modules link to, from outside the tree."""
    for binary in (tree / "bin/python3", *sorted(tree.rglob("*.so*"))):
        told = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
        if "not found" in told:
            sys.exit(f"{binary} links to what is not there:\n{told}")
        linked = (Path(name) for name in _LINKED.findall(told))
        yield from (path for path in linked if not path.is_relative_to(tree))


def _records(files: list[Path]) -> Iterator[tuple[str, str]]:
    """Yield name and dpkg's record of each package that owns one of the files."""
    for file in files:
        # dpkg knows a file by the path it was installed to, which may lead through /lib -> usr/lib.
        for path in dict.fromkeys((file, file.resolve(), Path(str(file).removeprefix("/usr")))):
            owner = _OWNER.match(_dpkg("--search", str(path)))
            if owner:
                yield owner[1], _dpkg("--status", owner[1])
                break


def _dpkg(*arguments: str) -> str:
    command = ["dpkg-query", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
