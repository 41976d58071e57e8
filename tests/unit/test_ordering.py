"""The order of changes: what needs something comes after it, whatever was created first."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from predeploy.schema.comparison.ordering import in_order
from predeploy.schema.ddl import Change, Phase, change
from predeploy.schema.facts import Fact, Key
from predeploy.schema.schema_pair import SchemaIndex, SchemaPair


def routine(name: str, created: int, *needs: str) -> Fact:
    keys = tuple(("routine", "public", "", need) for need in needs)
    return Fact("routine", "public", "", name, order=(created, 0), needs=keys)


def ordered(facts: Iterable[Fact], *changes: Change) -> list[str]:
    """The names of the facts in the order in which they are made on an empty database."""
    desired, nothing = SchemaIndex(facts), SchemaIndex(())
    pair = SchemaPair(desired, nothing, desired, nothing, nothing, {}, 180000, {}, may_alter=True)
    made = changes or tuple(change(f, Phase.TOGETHER, "") for f in desired.facts.values())
    return [c.fact.name for c in in_order([(c.fact, c) for c in made], pair)]


@pytest.mark.parametrize(
    ("facts", "order"),
    [
        pytest.param([routine("b", 1), routine("a", 2)], "b a", id="creation"),
        pytest.param([routine("a", 1, "b"), routine("b", 2)], "b a", id="a need"),
        pytest.param(
            [routine("a", 1, "c"), routine("b", 2), routine("c", 3)], "b c a", id="the rest as ever"
        ),
        pytest.param([routine("a", 1, "b"), routine("b", 2, "a")], "a b", id="each other"),
        pytest.param(
            [routine("a", 1, "b"), routine("b", 2, "c"), routine("c", 3, "a")],
            "b a c",
            id="a circle of three",
        ),
    ],
)
def test_creation_decides_where_needs_do_not(facts: list[Fact], order: str) -> None:
    """PostgreSQL allows circles; of one, the need that goes most against creation is given up."""
    assert ordered(facts) == order.split()


def test_what_waits_for_a_later_phase_comes_after_it() -> None:
    """All else of the earlier phase comes first."""
    late, key, free = routine("late", 1, "key"), routine("key", 2), routine("free", 3)
    online = change(key, Phase.ONLINE, "")

    found = ordered(
        [late, key, free],
        change(late, Phase.TOGETHER, ""),
        online,
        change(free, Phase.TOGETHER, ""),
    )

    assert found == ["free", "key", "late"]


def test_a_key_that_is_there_and_invalid_is_built_before_what_refers_to_it() -> None:
    """It is not missing; but PostgreSQL refuses a foreign key to it until then."""
    invalid = Fact("index", "public", "t", "key", (("invalid", "true"),))
    built = replace(invalid, attributes=(), order=(2, 0))
    key = Fact("constraint", "public", "u", "foreign", order=(1, 0), needs=(built.key,))
    desired, missing, nothing = SchemaIndex([built, key]), SchemaIndex([key]), SchemaIndex(())
    live = SchemaIndex([invalid])
    pair = SchemaPair(desired, live, missing, nothing, nothing, {}, 180000, {}, may_alter=True)
    made = [(key, change(key, Phase.TOGETHER, "")), (built, change(built, Phase.ONLINE, ""))]

    assert [c.fact.name for c in in_order(made, pair)] == ["key", "foreign"]


def test_a_sequence_is_made_before_the_table_that_owns_it() -> None:
    """Its need of the table is only for OWNED BY, and the table's default draws from it."""
    table = Fact("table", "public", "t", "", order=(1, 0), needs=(("sequence", "public", "s", ""),))
    owned = (("owned by", '["public", "t", "id"]'),)
    sequence = Fact("sequence", "public", "s", "", owned, order=(2, 0), needs=(table.key,))

    changes = [change(table, Phase.TOGETHER, ""), change(sequence, Phase.TOGETHER, "")]
    desired, nothing = SchemaIndex([table, sequence]), SchemaIndex(())
    pair = SchemaPair(desired, nothing, desired, nothing, nothing, {}, 180000, {}, may_alter=True)

    assert [c.fact.kind for c in in_order([(c.fact, c) for c in changes], pair)] == [
        "sequence",
        "table",
    ]


def test_what_a_change_says_counts_more_than_the_catalogs() -> None:
    """And two that both say so are not an endless loop."""
    a, b = routine("a", 1), routine("b", 2, "a")

    def said(fact: Fact, *needs: Key) -> Change:
        return change(fact, Phase.TOGETHER, "", needs=needs)

    assert ordered([a, b], said(a, b.key), said(b)) == ["b", "a"]
    assert ordered([a, b], said(a, b.key), said(b, a.key)) == ["a", "b"]
