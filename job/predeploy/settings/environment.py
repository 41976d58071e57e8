"""Environment variables whose value is in a file, which is how most platforms mount secrets.

The environment is passed in; no message contains any part of a file's content.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

MAX_BYTES = 64 * 1024
"""The size of the largest file that is read; a larger file was probably mounted by mistake."""

_NOT_OPENED: Mapping[type[Exception], str] = {
    FileNotFoundError: "does not exist",
    IsADirectoryError: "is a directory",
    PermissionError: "cannot be read: permission denied",
}


class _UnusableFileError(Exception):
    """The message says why, and fits after the file's path."""


def with_files(
    environ: Mapping[str, str], names: Iterable[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return a copy of `environ` in which NAME holds the text of the file at NAME_FILE.

    The file is UTF-8 and at most MAX_BYTES long; one newline at its end is dropped. Blank counts as
    not set. Also returns one problem per name that is given both ways or whose file is unusable;
    such a NAME stays as it was. Reads files, raises nothing.
    """
    result = dict(environ)
    problems = []
    for name in names:
        path = environ.get(f"{name}_FILE", "").strip()
        if path and environ.get(name, "").strip():
            problems.append(f"{name} and {name}_FILE are both set: unset one of them")
        elif path:
            try:
                result[name] = _read(Path(path))
            except _UnusableFileError as error:
                problems.append(f"{name}_FILE: {_shown(path)} {error}")
    return result, tuple(problems)


def _shown(path: str) -> str:
    """Return a mounted file's path; any other text may be the secret, given by mistake."""
    return path if path.startswith("/") else "the file that it shall name (a path, not a value)"


def _read(path: Path) -> str:
    content = _content(path)
    if len(content) > MAX_BYTES:
        raise _UnusableFileError(f"is larger than {MAX_BYTES // 1024} KiB")
    if b"\0" in content:
        raise _UnusableFileError("holds a NUL byte")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # the decoder's own error carries the content
        raise _UnusableFileError("is not UTF-8") from None
    return re.sub(r"\r?\n\Z", "", text)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _UnusableFileError(_NOT_OPENED.get(type(error), "cannot be read")) from error
