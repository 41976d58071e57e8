"""Changes are cut into transactions that leave room in the server's lock table."""

from pathlib import Path

import postgast
import pytest

from predeploy.contract.step import Step
from predeploy.layers.situation.base import Situation
from predeploy.layers.sync import plan
from predeploy.schema.facts import Fact
from predeploy.settings import Settings
from predeploy.settings.endpoint import Endpoint
from predeploy.snapshot import SchemaView, Snapshot
from predeploy.sources import Sources

TABLES = frozenset(Fact("table", "public", f"t{n:04}", "", order=(n, 0)) for n in range(1000))


def steps(capacity: int = 0) -> tuple[Step, ...]:
    """Plan the tables for an empty database with so much room for locks."""
    settings = Settings(Endpoint("DATABASE_URL", ()), Path("sql"))
    schema = SchemaView(("public",), TABLES, lock_capacity=capacity)
    snapshot = Snapshot(180000, schema=schema)
    return plan(Situation(settings, Sources((), (), (), digest=""), snapshot)).steps


@pytest.mark.parametrize(
    ("capacity", "sizes"),
    [(0, {500}), (6400, {400, 200}), (1600, {100}), (1, {1}), (1_000_000, {500})],
)
def test_a_transaction_takes_a_quarter_of_the_locks(capacity: int, sizes: set[int]) -> None:
    """And never so many changes that one that fails costs much."""
    found = steps(capacity)

    assert {len(step.statements) for step in found} == sizes
    assert sum(len(step.statements) for step in found) == len(TABLES)


def test_what_we_have_written_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand tables are planned without the parser; it would say what we know."""
    parsed: list[str] = []
    monkeypatch.setattr(postgast, "parse", parsed.append)

    assert len(steps()) == 2
    assert parsed == []
