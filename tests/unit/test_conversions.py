"""Which changes of a column's type may lose values, and which have."""

import pytest

from predeploy import sql
from predeploy.losses.loss import Loss, Verb
from predeploy.losses.values import Column, Values, lost_values
from predeploy.sql import Conversion

NONE = -1
VARCHAR_10, NUMERIC_10_2, NUMERIC_10 = 14, (10 << 16 | 2) + 4, (10 << 16) + 4


def pg(name: str) -> str:
    return f'"pg_catalog"."{name}"'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("alter table t alter c type bigint", Conversion("", "t", "c", pg("int8"))),
        ('alter table s."T" alter column "C" set data type varchar(5)',
         Conversion("s", "T", "C", pg("varchar"), (5,))),
        ("alter table t alter c type int using c::int", Conversion("", "t", "c", pg("int4"))),
        ("alter table t alter c type int using (c)", Conversion("", "t", "c", pg("int4"))),
        ("alter table t alter c type int using cast(t.c as integer)",
         Conversion("", "t", "c", pg("int4"))),
        ("alter table t alter c type s.mood[] using c::s.mood[]",
         Conversion("", "t", "c", '"s"."mood"[]')),
        ("alter table t alter c type int using null",
         Conversion("", "t", "c", pg("int4"), is_plain=False)),
        ("alter table t alter c type int using d::int",
         Conversion("", "t", "c", pg("int4"), is_plain=False)),
        ("alter table t alter c type numeric(5, 1) using c::numeric(5, 0)",
         Conversion("", "t", "c", pg("numeric"), (5, 1), is_plain=False)),
        ("alter table t alter c type int using nullif(c, '')::int",
         Conversion("", "t", "c", pg("int4"), is_plain=False)),
        ("alter table t alter c type int using c::text::int",
         Conversion("", "t", "c", pg("int4"), is_plain=False, is_by_text=True)),
        ('create type "R" as enum (); alter table t alter c type "R"[] using (c::text[]::"R"[])',
         Conversion("", "t", "c", '"R"[]', is_plain=False, is_by_text=True, makes_enum=True)),
    ],
)  # fmt: skip
def test_a_conversion_is_read_from_its_text(text: str, found: Conversion) -> None:
    """The column, the type, and whether USING does more than cast to it."""
    assert conversions(text) == (found,)


@pytest.mark.parametrize(
    "text",
    [
        "alter table t rename b to c; alter table t rename c to d; alter table t alter d type text",
        "alter table t rename b to c; alter table t rename to u; alter table u alter c type text",
        "alter table s.t set schema x; alter table x.t alter b type text",
        (
            "alter table t rename to u; alter table u rename b to c; alter table u rename to t;"
            " alter table t alter c type text"
        ),
    ],
)
def test_a_column_is_told_by_its_name_from_before_the_step(text: str) -> None:
    """That is the one that is there when its values are counted."""
    assert conversions(text) == (Conversion("", "t", "b", '"text"'),)


@pytest.mark.parametrize(
    "text",
    ["alter table t add c text", "alter type ty alter attribute a type text",
     "alter table t alter c set default 'type'", "select 'alter table t alter c type int'"],
)  # fmt: skip
def test_other_statements_convert_nothing(text: str) -> None:
    """A composite type's attributes cannot change where a table has values of it."""
    assert conversions(text) == ()


@pytest.mark.parametrize(
    ("old", "modifier", "new", "modifiers"),
    [
        ("int4", NONE, "int8", ()), ("int4", NONE, "float8", ()), ("int8", NONE, "numeric", ()),
        ("int4", NONE, "numeric", (12, 2)), ("numeric", NUMERIC_10_2, "numeric", ()),
        ("numeric", NUMERIC_10_2, "numeric", (12, 4)), ("float4", NONE, "float8", ()),
        ("varchar", VARCHAR_10, "varchar", (20,)), ("varchar", VARCHAR_10, "text", ()),
        ("text", NONE, "text", ()), ("text", NONE, "varchar", ()), ("uuid", NONE, "text", ()),
        ("jsonb", NONE, "text", ()), ("date", NONE, "timestamptz", ()),
        ("timestamp", 3, "timestamp", ()), ("timestamp", 3, "timestamp", (6,)),
        ("int4[]", NONE, "int8[]", ()), ("varchar[]", VARCHAR_10, "text[]", ()),
    ],
)  # fmt: skip
def test_a_cast_that_keeps_every_value_needs_no_count(
    old: str, modifier: int, new: str, modifiers: tuple[int, ...]
) -> None:
    """Wider numbers, longer texts, and text for anything."""
    assert not column(old, modifier, new, modifiers).may_lose


@pytest.mark.parametrize(
    ("old", "modifier", "new", "modifiers"),
    [
        ("timestamptz", NONE, "date", ()), ("timestamptz", NONE, "timestamp", ()),
        ("numeric", NONE, "int4", ()), ("numeric", NUMERIC_10_2, "numeric", (12, 1)),
        ("numeric", NONE, "numeric", (12, 1)), ("numeric", NUMERIC_10_2, "numeric", (12,)),
        ("text", NONE, "varchar", (5,)), ("varchar", VARCHAR_10, "varchar", (9,)),
        ("varchar", NONE, "varchar", (9,)), ("text", NONE, "bool", ()), ("int4", NONE, "bool", ()),
        ("float8", NONE, "float4", ()), ("int8", NONE, "float8", ()), ("int8", NONE, "int4", ()),
        ("timestamp", NONE, "timestamp", (0,)), ("timestamp", 3, "timestamp", (2,)),
        ("json", NONE, "jsonb", ()), ("text", NONE, "", ()), ("", NONE, "", ()),
        ("int4", NONE, "numeric", (3, -1)), ("int4", NONE, "int8[]", ()),
    ],
)  # fmt: skip
def test_a_cast_that_may_lose_a_value_is_counted(
    old: str, modifier: int, new: str, modifiers: tuple[int, ...]
) -> None:
    """Shorter, coarser, or of a type that is not PostgreSQL's own."""
    assert column(old, modifier, new, modifiers).may_lose


def test_another_enum_by_way_of_its_labels_needs_no_count() -> None:
    """As Prisma and TypeORM change one: a label that the new enum does not have is an error."""
    assert not column("enum", NONE, "enum", (), is_plain=False, is_by_text=True).may_lose
    assert not column("enum[]", NONE, "enum[]", (), is_plain=False, is_by_text=True).may_lose
    assert not column("text", NONE, "enum", ()).may_lose
    assert column("enum", NONE, "enum", (), is_plain=False).may_lose
    assert column("text", NONE, "int4", (), is_plain=False, is_by_text=True).may_lose


def test_a_using_that_is_more_than_a_cast_is_counted() -> None:
    """Whatever the types are: USING NULL keeps nothing."""
    assert column("text", NONE, "text", (), is_plain=False).may_lose


@pytest.mark.parametrize(
    ("was", "now", "detail"),
    [
        (Values(20, 20), Values(0, 0), "20 values that are not null before, 0 after"),
        (Values(20, 20), Values(20, 3), "20 different values before, 3 after"),
        (Values(20, 20), Values(19, 19), "20 values that are not null before, 19 after"),
    ],
)
def test_fewer_values_are_a_loss(was: Values, now: Values, detail: str) -> None:
    """Of those that are not null, or of different ones."""
    one = column("text", NONE, "int4", ())

    found = lost_values([one], {one.key: was}, {one.key: now}, [])

    assert found == (Loss(Verb.REWRITE, "public.t.c", detail=detail),)
    assert str(found[0]) == f"values of public.t.c ({detail})"


@pytest.mark.parametrize("now", [Values(20, 20), Values(21, 25), None])
def test_as_many_values_are_none(now: Values | None) -> None:
    """More may have come; a column that is gone is reported as such."""
    one = column("text", NONE, "int4", ())

    assert lost_values([one], {one.key: Values(20, 20)}, {one.key: now} if now else {}, []) == ()


def test_values_of_rows_that_are_gone_are_told_with_those() -> None:
    """Five rows were deleted, and what is left is all there."""
    one = column("text", NONE, "int4", ())
    gone = [Loss(Verb.DELETE, "public.t", 5)]

    assert lost_values([one], {one.key: Values(20, 20)}, {one.key: Values(15, 15)}, gone) == ()
    assert lost_values([one], {one.key: Values(20, 20)}, {one.key: Values(14, 14)}, gone)


def column(
    old: str,
    modifier: int,
    new: str,
    modifiers: tuple[int, ...],
    *,
    is_plain: bool = True,
    is_by_text: bool = False,
) -> Column:
    key, of = (1, 1), ("public.t", "c")
    return Column(key, *of, old, modifier, new, modifiers, is_plain, is_by_text=is_by_text)


def conversions(text: str) -> tuple[Conversion, ...]:
    return sql.conversions(sql.read(text).statements)
