"""One file of SQL: its name, its text, its hash."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from job.errors import SourcesError
from job.sources.walk import read_bytes


@dataclass(frozen=True, slots=True)
class Script:
    """A file as the operator wrote it.

    `name` is the file's name alone, which the ledger keeps; `path` is relative to the SQL folder,
    for people. `raw_hash` is the SHA-256 of its bytes. `version` orders migrations; 0 elsewhere.
    """

    name: str
    path: str
    text: str
    raw_hash: str
    version: int = 0


def read_script(path: Path, label: str, *, version: int = 0) -> Script:
    """Read a file as UTF-8, without a byte order mark.

    Raises SourcesError when it cannot be read, is not UTF-8, or holds a NUL byte: psycopg and
    libpg_query would cut the text there without a word.
    """
    if any("\ud800" <= character <= "\udfff" for character in label):
        name = label.encode(errors="surrogateescape").decode(errors="replace")
        raise SourcesError((f"{name}: its name is not UTF-8; rename it",))
    try:
        raw = read_bytes(path)
        text = raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        problem = f"{label}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        raise SourcesError((problem,)) from None
    except OSError as error:
        raise SourcesError((f"{label}: cannot be read: {error.strerror}",)) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SourcesError((f"{label}:{line}: holds a NUL byte; PostgreSQL takes no such text",))
    return Script(path.name, label, text, hashlib.sha256(raw).hexdigest(), version)
