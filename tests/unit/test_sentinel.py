"""The sentinel's functions, by name."""

from dataclasses import astuple

import pytest

from predeploy.database.sentinel import sentinel, sequences


@pytest.mark.parametrize(
    ("module", "body"),
    [
        (sentinel, "_SIGNS_BODY"),
        (sentinel, "_SUSPECTS_BODY"),
        (sentinel, "_GUARD_BODY"),
        (sequences, "BODY"),
    ],
)
def test_the_functions_change_their_names_together(
    monkeypatch: pytest.MonkeyPatch, module: object, body: str
) -> None:
    """So a version that changes one of them makes all, and meets none of an older one."""
    sentinel.functions.cache_clear()
    older = sentinel.functions("predeploy")
    monkeypatch.setattr(module, body, "begin end")
    sentinel.functions.cache_clear()

    assert not set(astuple(older)) & set(astuple(sentinel.functions("predeploy")))
    sentinel.functions.cache_clear()
