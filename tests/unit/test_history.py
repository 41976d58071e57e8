"""Each file of the folder with its rows in the ledger: what is pending, and what was edited."""

import hashlib

import pytest

from predeploy.contract.step import LedgerEntry, LedgerRow
from predeploy.layers.migrating.pending import edited_rows, pending_steps
from predeploy.layers.situation.history import FileHistory, histories
from predeploy.settings.versions import version_of
from predeploy.sources import Sources
from predeploy.sources.script import Script
from predeploy.sources.steps import steps_of

NAME = "2_b.sql"
A, B, C = "select 'a'", "select 'b'", "select 'c'"


def script(name: str, text: str = A) -> Script:
    raw_hash = hashlib.sha256(text.encode()).hexdigest()
    return Script(name, f"migrations/{name}", text, raw_hash, version_of(name))


def sources(*scripts: Script) -> Sources:
    return Sources(scripts, (), (), digest="")


def stepwise(*steps: str) -> Script:
    """A file of one step each."""
    return script(NAME, "".join(f"begin; {step}; commit;\n" for step in steps))


def rows(of: Script, *positions: int) -> tuple[LedgerRow, ...]:
    """What the ledger holds after the steps at `positions` (none: all) have been applied."""
    entries = [step.entry for step in steps_of(of).steps if step.entry]
    return tuple(
        LedgerRow(entry, "2026-11-22T10:00:00Z", "run")
        for entry in entries
        if not positions or entry.position in positions
    )


def row(name: str) -> LedgerRow:
    return LedgerRow(LedgerEntry(name, "x", 1, 1, is_final=True, raw_hash=""), "", "")


def pending(now: Script, ledger: tuple[LedgerRow, ...]) -> list[str]:
    return [step.text for step in pending_steps(FileHistory(now, ledger), steps_of(now))]


def edited(now: Script, ledger: tuple[LedgerRow, ...]) -> list[int]:
    found = edited_rows(FileHistory(now, ledger), steps_of(now))
    return [row.entry.position for row in found]


def test_each_file_is_paired_with_its_rows() -> None:
    """Files keep the folder's order, their rows that of their positions; other rows are left."""
    one, other = script("1_a.sql"), stepwise(A, B)
    first, second = rows(other)

    found = histories(sources(one, other), (second, row("0_gone.sql"), first))

    assert found == (FileHistory(one, ()), FileHistory(other, (first, second)))


@pytest.mark.parametrize(
    ("positions", "is_whole"), [((), True), ((1,), False), ((2,), True), ((1, 2), True)]
)
def test_a_file_is_whole_when_its_last_row_says_so(
    positions: tuple[int, ...], *, is_whole: bool
) -> None:
    """Rows in the middle are not enough."""
    file = stepwise(A, B)

    assert FileHistory(file, rows(file, *positions)).is_whole is is_whole


def test_a_file_without_rows_is_not_whole() -> None:
    """Nothing has been applied, so nothing is untouched either."""
    history = FileHistory(script(NAME), ())

    assert (history.is_whole, history.is_untouched) == (False, False)


def test_a_file_is_untouched_until_a_byte_changes() -> None:
    """A comment more does not make it edited, but it has to be read again."""
    ledger = rows(script(NAME, A))

    same = FileHistory(script(NAME, A), ledger)
    commented = FileHistory(script(NAME, f"{A} -- why"), ledger)

    assert (same.is_untouched, commented.is_untouched) == (True, False)


@pytest.mark.parametrize(
    ("positions", "now", "expected_pending", "expected_edited"),
    [
        # the file as it was
        ((1,), (A, B, C), [B, C], []),
        ((1, 2), (A, B, C), [C], []),
        ((1, 2, 3), (A, B, C), [], []),
        # half applied, and fixed
        ((1,), (A, "select 'B'", C), ["select 'B'", C], []),
        ((1,), (A, C), [C], []),
        ((1,), ("/* why */ select   'a'", B), [B], []),
        ((1,), (B, A, C), [B, C], []),
        ((1,), (A, A, C), [A, C], []),
        ((1,), ("select 'A'", B, C), ["select 'A'", B, C], [1]),
        ((1, 2), (A, C), [C], [2]),
        # half applied, and what was left has been taken out: an empty step makes the file whole
        ((1,), (A,), [""], []),
        ((1, 2), (A, B), [""], []),
        ((1, 2), (B, A), [""], []),
        ((1,), (B, A), [B, ""], []),
        # whole, and edited
        ((1, 2, 3), ("select 'A'", B, C), ["select 'A'"], [1]),
        ((1, 2, 3), (A, C), [], [2]),
        ((1, 2, 3), (A, B), [], [3]),
        ((1, 2, 3), (), [""], [1, 2, 3]),
        ((1, 2, 3), (C, B, A), [], []),
        # whole, and grown
        ((1, 2, 3), (A, B, C, "select 'd'"), ["select 'd'"], []),
        ((1, 2, 3), (A, B, C, C), [C], []),
    ],
)
def test_the_ledger_decides_by_the_text_of_steps(
    positions: tuple[int, ...],
    now: tuple[str, ...],
    expected_pending: list[str],
    expected_edited: list[int],
) -> None:
    """A step that the ledger holds is not run again; one that it holds must still be there."""
    ledger = rows(stepwise(A, B, C), *positions)

    file = stepwise(*now)

    assert (pending(file, ledger), edited(file, ledger)) == (expected_pending, expected_edited)


def test_the_last_pending_step_makes_the_file_whole() -> None:
    """Whatever is left of a half-applied file, its last step carries the last row."""
    ledger = rows(stepwise(A, B, C), 1)

    for now in ((A, B, C), (A, C), (A,), (B, A)):
        file = stepwise(*now)
        steps = pending_steps(FileHistory(file, ledger), steps_of(file))
        finals = [step.entry.is_final for step in steps if step.entry]
        assert finals == [*[False] * (len(steps) - 1), True]


def test_the_step_that_makes_a_shortened_file_whole_comes_last() -> None:
    """Its position follows those of the rows that are there."""
    file = stepwise(A)

    (step,) = pending_steps(FileHistory(file, rows(stepwise(A, B), 1)), steps_of(file))

    assert step.entry == LedgerEntry(
        NAME, hashlib.sha256().hexdigest(), 1, 2, is_final=True, raw_hash=file.raw_hash
    )


def test_a_shortened_file_stays_applied_when_a_comment_changes() -> None:
    """The row that made it whole belongs to no step of the file, and is no edit."""
    short = stepwise(A)
    first = rows(stepwise(A, B), 1)
    last = pending_steps(FileHistory(short, first), steps_of(short))
    ledger = (*first, *(LedgerRow(step.entry, "", "") for step in last if step.entry))

    commented = script(NAME, f"-- why\n{short.text}")

    assert (pending(commented, ledger), edited(commented, ledger)) == ([], [])


def test_a_file_that_was_empty_may_not_be_filled() -> None:
    """It is whole in the ledger; what is written into it later belongs into a new file."""
    ledger = rows(script(NAME, "-- nothing yet"))

    assert edited(script(NAME, A), ledger) == [1]
    assert edited(script(NAME, "-- nothing at all"), ledger) == []
