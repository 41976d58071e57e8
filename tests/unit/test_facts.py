"""The difference of two schemas, as facts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.schema.facts import Difference, Fact, compare

bounded = settings(max_examples=25, deadline=None)

ID = Fact("column", "public.t.id", "integer")
BIG = Fact("column", "public.t.id", "bigint")
NAME = Fact("column", "public.t.name", "text")
TABLE = Fact("table", "public.t", "table")
INDEX = Fact("index", "public.t", "CREATE INDEX …")

facts = st.frozensets(
    st.builds(
        Fact,
        st.sampled_from(("table", "column")),
        st.sampled_from(("public.a", "public.b", "public.B")),
        st.sampled_from(("text", "integer")),
    ),
    max_size=6,
)


def schema(found: frozenset[Fact]) -> dict[tuple[str, str], Fact]:
    """One fact of a kind and identity, as every schema has."""
    return {(fact.kind, fact.identity): fact for fact in sorted(found)}


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
    """Facts are matched by kind and identity, and each part is sorted."""
    found = compare(desired, current)

    assert found == Difference(missing, extra, changed)
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

    mended = set(current.values()) - set(there.extra) - {old for _, old in there.changed}
    assert mended | set(there.missing) | {new for new, _ in there.changed} == set(desired.values())
    assert (there.missing, there.extra) == (back.extra, back.missing)
    assert [(new, old) for old, new in back.changed] == list(there.changed)
    assert bool(there) is (desired != current)
