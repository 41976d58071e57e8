"""Versions of migrations: what a file name starts with, as a number."""

import re

_DATE = re.compile(r"(\d{4})[-_](0[1-9]|1[0-2])[-_](0[1-9]|[12]\d|3[01])(?!\d)")
_DIGITS = re.compile(r"\d+")


def version_of(name: str) -> int | None:
    """Return the leading date or the leading digits; None without either."""
    if date := _DATE.match(name):
        return int("".join(date.groups()))
    digits = _DIGITS.match(name)
    return int(digits[0]) if digits else None
