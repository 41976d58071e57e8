"""Words in texts: whole, in any case, and in a large text without a copy of it."""

import tracemalloc

from predeploy.contract.words import mentions, named


def test_a_name_is_found_by_all_of_its_words() -> None:
    """Quoted or not: what a name is made of has to stand there, each word by itself."""
    texts = ["select * from Shop.items", 'create table "a b".t ()']

    assert named(texts, ["shop", "sho", "a b", "a c", "ITEMS"]) == {"shop", "a b", "ITEMS"}


def test_a_word_is_found_in_any_case_and_where_pieces_meet() -> None:
    text = "x" * ((1 << 17) - 3) + "ALTER" + "y" * 100

    assert mentions(text, "alter")
    assert not mentions(text, "altery ")


def test_a_large_text_is_not_copied() -> None:
    """With a character beyond Latin 1 each takes four bytes."""
    text = "insert into t values (1, 'x😀');\n" * 500_000
    part = text[:1_000_000]
    tracemalloc.start()
    try:
        mentions(text, "absent")
        named([part], ["absent"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * len(part)
