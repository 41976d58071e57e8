"""The sentinel's two functions, by name."""

import pytest

from job.database import sentinel


def test_the_two_functions_change_their_names_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a version that changes one of them makes both, and meets neither of an older one."""
    older = sentinel.functions("predeploy")
    monkeypatch.setattr(sentinel, "_GUARD_BODY", "begin end")

    assert not set(older) & set(sentinel.functions("predeploy"))
