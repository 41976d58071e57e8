"""Every case of the desired state names the line that it guards, and that line is there."""

from pathlib import Path

from mutation import GUARDS, ROOT, read_guards

CASES = {f"{p.parent.parent.name}/{p.parent.name}" for p in Path(GUARDS.parent).glob("*/*/*.sql")}


def test_each_case_guards_a_line() -> None:
    """A case that no broken line can fail says nothing."""
    guarded = {case for guard in read_guards() for case in guard.cases}

    assert guarded == {case for case in CASES if not case.startswith("cases/")}


def test_each_guarded_line_stands_once() -> None:
    """Where a line was changed, its guard changes with it."""
    counts = {g.old: (ROOT / g.file).read_text().count(g.old) for g in read_guards()}

    assert {old: count for old, count in counts.items() if count != 1} == {}
