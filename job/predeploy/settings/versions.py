"""Versions of migrations: what a file's name starts with, as numbers that can be compared."""

import re

Version = tuple[int, ...]
"""The numbers of a version, the most significant first, without zeros at the end: 1.2 is (1, 2)."""
NO_VERSION: Version = ()
"""The version of what has none; it comes before every other."""

_DATE = re.compile(r"(\d{4})[-_](0[1-9]|1[0-2])[-_](0[1-9]|[12]\d|3[01])(?!\d)")
_DIGITS = re.compile(r"\d+")
# Flyway's names, in which an underscore is a dot: V1_2__users.sql.
_FLYWAY = re.compile(r"[VBU](\d+(?:[._]\d+)*)__")
_DOTTED = re.compile(r"\d+(?:\.\d+)+")


def version_of(name: str) -> Version:
    """Return the leading date or the leading digits, or Flyway's version; NO_VERSION without any.

    A name that is nothing but numbers and dots is a version as a whole.
    """
    if date := _DATE.match(name):
        return (int("".join(date.groups())),)
    if parts := _FLYWAY.match(name):
        return _numbers(parts[1])
    if _DOTTED.fullmatch(name):
        return _numbers(name)
    digits = _DIGITS.match(name)
    return (int(digits[0]),) if digits else NO_VERSION


def written(version: Version) -> str:
    """Return a version as messages and the ledger write it, such as 1.2."""
    return ".".join(map(str, version))


def _numbers(text: str) -> Version:
    numbers = [int(part) for part in re.split("[._]", text)]
    while len(numbers) > 1 and not numbers[-1]:
        del numbers[-1]
    return tuple(numbers)
