"""The difference of two schemas, as facts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predeploy.schema.facts import Comparison, Fact, Key, as_json, compare, from_json, parse_facts

bounded = settings(max_examples=25, deadline=None)

ID = Fact("column", "public", "t", "id", (("type", "integer"), ("not null", "true")))
BIG = Fact("column", "public", "t", "id", (("type", "bigint"),))
NAME = Fact("column", "public", "t", "name", (("type", "text"),))
TABLE = Fact("table", "public", "t", "")
INDEX = Fact("index", "public", "t", "", (("definition", "USING btree (id)"),))

facts = st.frozensets(
    st.builds(
        Fact,
        st.sampled_from(("table", "column")),
        st.sampled_from(("public", "")),
        st.sampled_from(("a", "b", "B")),
        st.just(""),
        st.sampled_from(((("type", "text"),), (("type", "integer"),))),
    ),
    max_size=6,
)


def schema(found: frozenset[Fact]) -> dict[Key, Fact]:
    """One fact of a key, as every schema has."""
    return {fact.key: fact for fact in sorted(found, key=str)}


@pytest.mark.parametrize(
    ("desired", "current", "missing", "extra", "changed"),
    [
        ([], [], (), (), ()),
        ([ID, TABLE], [TABLE, ID], (), (), ()),
        ([NAME, ID, TABLE], [], (ID, NAME, TABLE), (), ()),
        ([], [NAME, ID], (), (ID, NAME), ()),
        ([ID], [BIG], (), (), ((ID, BIG),)),
        ([TABLE], [INDEX], (TABLE,), (INDEX,), ()),
        ([NAME, ID, TABLE], [BIG, INDEX, NAME], (TABLE,), (INDEX,), ((ID, BIG),)),
    ],
)
def test_schemas_differ_in_what_lacks_is_beside_or_has_another_shape(
    desired: list[Fact],
    current: list[Fact],
    missing: tuple[Fact, ...],
    extra: tuple[Fact, ...],
    changed: tuple[tuple[Fact, Fact], ...],
) -> None:
    """Facts are matched by key, and each part is sorted."""
    found = compare(desired, current)

    assert found == Comparison(missing, extra, changed)
    assert bool(found) is bool(missing or extra or changed)


@bounded
@given(facts, facts)
def test_a_difference_leads_from_the_one_schema_to_the_other(
    one: frozenset[Fact], other: frozenset[Fact]
) -> None:
    """Taking away what is extra and adding what lacks gives what was desired, both ways."""
    desired, current = schema(one), schema(other)

    there, back = (
        compare(desired.values(), current.values()),
        compare(current.values(), desired.values()),
    )

    fixed = set(current.values()) - set(there.extra) - {old for _, old in there.changed}
    assert fixed | set(there.missing) | {new for new, _ in there.changed} == set(desired.values())
    assert (there.missing, there.extra) == (back.extra, back.missing)
    assert [(new, old) for old, new in back.changed] == list(there.changed)
    assert bool(there) is (desired != current)


@pytest.mark.parametrize(
    ("fact", "identity", "definition"),
    [
        (ID, "public.t.id", "type integer, not null"),
        (BIG, "public.t.id", "bigint"),
        (TABLE, "public.t", ""),
        (Fact("extension", "", "", "citext", (("schema", "x"),)), "citext", "x"),
        (Fact("enum", "app", "", "mood"), "app.mood", ""),
        (Fact("table", "app", "t", "", (("unlogged", "true"),)), "app.t", "unlogged"),
    ],
)
def test_a_fact_is_named_and_told_for_people(fact: Fact, identity: str, definition: str) -> None:
    """Empty parts are left out; a flag needs no value, and a single text no name."""
    assert (fact.identity, fact.definition) == (identity, definition)
    assert fact.label == f"{fact.kind} {identity}"


def test_rows_become_facts_whatever_their_order_is() -> None:
    """The order of creation is kept, and is no part of what a fact says."""
    row = '["column", "public", "t", "id", {"type": "integer", "not null": "true"}, [4097, 1]]'

    assert parse_facts([(f"[{row}, {row}]",), (f"[{row}]",), (None,)]) == {ID}
    assert [fact.order for fact in parse_facts([(f"[{row}]",)])] == [(4097, 1)]
    assert from_json(as_json([ID])) == {ID}
    assert ID.get("type") == "integer"
    assert ID.get("default") == ""
    assert Fact("enum", "", "", "e", (("labels", '["a", "b"]'),)).listed("labels") == ("a", "b")
