"""What `-- predeploy: allow drop-table old` means where the search_path is app, public."""

import pytest

from predeploy.contract.step import Declaration
from predeploy.losses.allowlist import Names, undeclared, unused
from predeploy.losses.loss import Loss, Verb

PATH = ("app", "public")


@pytest.mark.parametrize(
    ("said", "tables", "loss", "is_covered"),
    [
        ("old", {"app.old"}, "app.old", True),
        ("app.old", {"app.old"}, "app.old", True),
        ("old", {"public.old"}, "public.old", True),
        # The first schema that has the table hides the others.
        ("old", {"app.old", "public.old"}, "public.old", False),
        ("public.old", {"app.old", "public.old"}, "public.old", True),
        ("old.note", {"app.old", "public.old"}, "app.old.note", True),
        ("old.note", {"app.old", "public.old"}, "public.old.note", False),
        # Of types nothing is known beforehand.
        ("mood.sad", set(), "app.mood.sad", True),
        ("old", {"other.old"}, "other.old", False),
        # DROP TABLE IF EXISTS old, which was gone before: the file alone tells.
        ("old", set(), "old", True),
        ("public.old", set(), "old", True),
        ("other.old", set(), "old", False),
    ],
)
def test_a_declaration_means_what_the_path_leads_to(
    *, said: str, tables: set[str], loss: str, is_covered: bool
) -> None:
    """A loss is declared when the name means it, and a declaration is idle when it means none."""
    names = Names(PATH, frozenset(tables))
    lost, declared = Loss(Verb.DROP_TABLE, loss), Declaration("drop-table", said, 1)

    assert (undeclared([lost], [declared], names) == ()) == is_covered
    assert (unused([lost], [declared], names) == ()) == is_covered


def test_another_verb_means_something_else() -> None:
    names = Names(PATH, frozenset({"app.old"}))

    assert undeclared(
        [Loss(Verb.TRUNCATE, "app.old", 3)], [Declaration("drop-table", "old", 1)], names
    )
