"""Names that the planner makes up."""

from predeploy.contract.quoting import identifier, literal
from predeploy.schema.names import derived


def test_a_short_name_is_its_parts() -> None:
    assert derived("users", "email", "check") == "users_email_check"


def test_a_long_name_is_cut_to_what_postgresql_keeps_and_stays_apart() -> None:
    """63 bytes, never half a character, and different for different wholes."""
    one, other = derived("é" * 40, "a"), derived("é" * 40, "b")

    assert len(one.encode()) <= 63
    assert one != other
    assert one == derived("é" * 40, "a")
    assert one.startswith("é" * 27)


def test_names_and_values_are_quoted() -> None:
    """A backslash means itself, whatever standard_conforming_strings says."""
    assert identifier('a"b') == '"a""b"'
    assert literal("it's") == "'it''s'"
    assert literal("a\\b") == "E'a\\\\b'"
