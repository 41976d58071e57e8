"""Permission bits bite nobody who is root; here they do.

Root may read whatever it wants by two capabilities (capabilities(7)). Without these, root is a user
like any other: it may do with its own files what their bits allow.
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
    """Give up, in this thread and for the block, what lets root read past permission bits."""
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
    """Return what to put before a command that is to run so; nothing where we are not root."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv, "root needs setpriv (util-linux) for this test"
    dropped = "-dac_override,-dac_read_search"
    return [setpriv, f"--bounding-set={dropped}", f"--inh-caps={dropped}"]


def _call(name: str, *arguments: object) -> None:
    if getattr(_LIBC, name)(*arguments):
        raise OSError(ctypes.get_errno(), name)
