"""The difference of two schemas takes time with what they hold, not with its square."""

from collections.abc import Iterable, Iterator

import pytest

from predeploy.schema.comparison.difference import Difference, difference
from predeploy.schema.facts import Fact

SERVER = 180000


def app(tables: int) -> Iterator[Fact]:
    """Tables as pg_dump writes them: a default that was set later, a sequence, an index."""
    for n in range(tables):
        name, first = f"t{n:04}", n * 16
        number, numbers = (
            ("column", "public", name, "id"),
            ("sequence", "public", f"{name}_seq", ""),
        )
        yield Fact("table", "public", name, "", order=(first, 0))
        columns = (("type", "bigint"), ("default", f"nextval('public.{name}_seq'::regclass)"))
        yield Fact(*number, columns, (first + 2, 1), (numbers,))
        yield Fact("column", "public", name, "title", (("type", "text"),), (first, 2))
        counting = (("type", "bigint"), ("owned by", f'["public", "{name}", "id"]'))
        yield Fact(*numbers, counting, (first + 1, 0), (number,))
        defined = (("definition", "USING btree (title)"),)
        yield Fact("index", "public", name, f"{name}_title", defined, (first + 3, 0))


def without(kind: str, facts: Iterable[Fact]) -> frozenset[Fact]:
    return frozenset(fact for fact in facts if fact.kind != kind)


def untitled(facts: Iterable[Fact]) -> frozenset[Fact]:
    """Lack a column that cannot be added, as it is NOT NULL, and which an index is on."""
    return without("index", (fact for fact in facts if fact.name != "title"))


def not_null(facts: Iterable[Fact]) -> frozenset[Fact]:
    titles = (("type", "text"), ("not null", "true"))
    return frozenset(
        Fact(f.kind, f.schema, f.relation, f.name, titles, f.order) if f.name == "title" else f
        for f in facts
    )


def other_names(facts: Iterable[Fact]) -> frozenset[Fact]:
    return frozenset(
        Fact(f.kind, f.schema, f"old_{f.relation}", f.name, f.attributes, f.order) for f in facts
    )


def nothing(_: Iterable[Fact]) -> frozenset[Fact]:
    return frozenset()


SITUATIONS = {
    "an empty database": (frozenset, nothing),
    "indexes that are built online": (frozenset, lambda facts: without("index", facts)),
    "what waits for what is not added": (not_null, untitled),
    "tables of other names": (frozenset, other_names),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_ten_times_the_tables_are_looked_at_ten_times_as_often(
    situation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted by what is asked of facts, since time tells little on a busy machine."""
    wants, has = SITUATIONS[situation]
    asked = 0
    get = Fact.get

    def counting(fact: Fact, name: str) -> str:
        nonlocal asked
        asked += 1
        return get(fact, name)

    monkeypatch.setattr(Fact, "get", counting)

    def questions(tables: int) -> int:
        nonlocal asked
        facts, asked = frozenset(app(tables)), 0
        assert difference(wants(facts), has(facts), {}, SERVER)
        return asked

    assert questions(400) < 15 * questions(40)


def test_what_is_alike_says_nothing() -> None:
    """Whatever order it comes in."""
    facts = tuple(app(10))

    assert difference(facts, reversed(facts), {}, SERVER) == Difference((), (), (), ())
