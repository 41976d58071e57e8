"""What a statement that runs outside a transaction is about, so that its traces can be judged.

A job that was killed leaves no word of how such a statement ended; the catalog does. Names are
quoted as they must be in SQL, and unqualified where the statement leaves it to the search_path.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """CREATE INDEX CONCURRENTLY. `probe` is the same index, built plainly on `PROBE_TABLE`.

    `name` is as the catalog has it, not quoted; empty where the server is to choose one.
    """

    table: str
    name: str
    probe: str


@dataclass(frozen=True, slots=True)
class IndexDrop:
    """DROP INDEX CONCURRENTLY: done when none of the indexes is there any more."""

    indexes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detach:
    """ALTER TABLE … DETACH PARTITION … CONCURRENTLY: done when `child` has no such parent."""

    parent: str
    child: str


@dataclass(frozen=True, slots=True)
class Repeatable:
    """What may simply be run again: VACUUM, REINDEX, CLUSTER, ALTER SYSTEM, DISCARD."""


Concern = IndexBuild | IndexDrop | Detach | Repeatable
PROBE_TABLE = "pg_temp.predeploy_probe"
PROBE_INDEX = "predeploy_probe_index"
