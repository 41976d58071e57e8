"""Makes permission bits take effect for root.

Two capabilities let root read any file (see capabilities(7)). Without them, the permission bits of
its files apply to root as to any other user.
"""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def bits_count() -> Iterator[None]:
    """Drop the capabilities that bypass permission bits, in this thread and for the block."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    # effective, permitted, inheritable; then their upper halves
    held = (ctypes.c_uint32 * 6)()
    _call("capget", header, held)
    without = (ctypes.c_uint32 * 6)(*held)
    without[0] &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    _call("capset", header, without)
    try:
        yield
    finally:
        _call("capset", header, held)


def without_override() -> list[str]:
    """Return a prefix for a command that is to run without them; empty if not run as root."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv, "root needs setpriv (util-linux) for this test"
    dropped = "-dac_override,-dac_read_search"
    return [setpriv, f"--bounding-set={dropped}", f"--inh-caps={dropped}"]


def _call(name: str, *arguments: object) -> None:
    if getattr(_LIBC, name)(*arguments):
        raise OSError(ctypes.get_errno(), name)
