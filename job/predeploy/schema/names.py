"""Names that predeploy generates: at most as long as PostgreSQL allows, the same on every run."""

import hashlib

LONGEST = 63  # bytes: NAMEDATALEN - 1
_HASH = 8


def derived(*parts: str) -> str:
    """Join parts to a name; truncate one that is too long and add a hash of the whole."""
    whole = "_".join(parts)
    if len(whole.encode()) <= LONGEST:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH]
    kept = whole.encode()[: LONGEST - _HASH - 1].decode(errors="ignore")
    return f"{kept}_{digest}"
