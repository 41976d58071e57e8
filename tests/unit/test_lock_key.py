"""The advisory lock's key, on which images of all versions must agree."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predeploy.database.session.lock import lock_key


@pytest.mark.parametrize(
    ("ledger_schema", "key"),
    [
        ("predeploy", 5807117780548457273),
        ("house", 4838997853305391080),
        ("Predeploy", -871254098806395859),
        ("", 4144278696533350405),
        ("größe", -5703520827578324748),
    ],
)
def test_the_key_is_frozen(ledger_schema: str, key: int) -> None:
    """The first 8 bytes, big-endian and signed, of the SHA-256 of `predeploy:` and the schema."""
    assert lock_key(ledger_schema) == key


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",))), st.text("ab_ ", max_size=2))
def test_every_schema_has_a_key_of_its_own(one: str, other: str) -> None:
    """A key fits PostgreSQL's bigint, and two ledgers never share one."""
    key = lock_key(one)

    assert -(2**63) <= key < 2**63
    assert (key == lock_key(other)) is (one == other)
