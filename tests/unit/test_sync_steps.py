"""Changes are cut into transactions that leave room in the server's lock table."""

from pathlib import Path

import pytest

from job.endpoint import Endpoint
from job.layers.base import Situation
from job.layers.sync import plan
from job.schema.facts import Fact
from job.settings import Settings
from job.snapshot import SchemaView, Snapshot
from job.sources import Sources

TABLES = frozenset(Fact("table", "public", f"t{n:04}", "", order=n) for n in range(1000))


@pytest.mark.parametrize(
    ("capacity", "sizes"),
    [(0, {500}), (6400, {400, 200}), (1600, {100}), (1, {1}), (1_000_000, {500})],
)
def test_a_transaction_takes_a_quarter_of_the_locks(capacity: int, sizes: set[int]) -> None:
    """And never so many changes that one that fails costs much."""
    settings = Settings(Endpoint("DATABASE_URL", ()), Path("sql"))
    schema = SchemaView(("public",), TABLES, lock_capacity=capacity)
    snapshot = Snapshot(180000, schema=schema)

    found = plan(Situation(settings, Sources((), (), (), digest=""), snapshot))

    assert {len(step.statements) for step in found.steps} == sizes
    assert sum(len(step.statements) for step in found.steps) == len(TABLES)
