"""What a key is over, read from how PostgreSQL prints it."""

import pytest

from predeploy.schema.keys import elements


@pytest.mark.parametrize(
    ("definition", "found", "rest"),
    [
        ("USING btree (a, b)", ("a", "b"), ""),
        ("USING btree (email DESC NULLS LAST) WHERE (a > 1)", ("email",), " WHERE (a > 1)"),
        ("USING btree (lower(email), id)", ("lower(email)", "id"), ""),
        ("USING btree (((a + b)), c)", ("((a + b))", "c"), ""),
        ('USING btree ("a, (b" text_pattern_ops)', ('"a, (b"',), ""),
        ('USING btree (a COLLATE "C" DESC) INCLUDE (b)', ('a COLLATE "C"',), " INCLUDE (b)"),
        ("USING btree (public.f(a, ','::text), b)", ("public.f(a, ','::text)", "b"), ""),
        ("UNIQUE NULLS NOT DISTINCT (a)", ("a",), ""),
        ("no key", (), ""),
    ],
)
def test_the_elements_of_a_key(definition: str, found: tuple[str, ...], rest: str) -> None:
    """Columns and expressions as a query can name them, without how they are ordered."""
    assert elements(definition) == (found, rest)
