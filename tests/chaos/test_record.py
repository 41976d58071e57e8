"""What is left out at which depth, and what its record and its table tell."""

from pathlib import Path

import pytest
import record as of_job
from messages import Depth, Messages
from proxy import Direction
from record import Record
from table import table

# A query, and its answer: the columns, five rows, the end of them, and the server is ready.
MESSAGES = Messages({Direction.TO_SERVER: b"Q", Direction.TO_CLIENT: b"TDDDDDCZ"})


@pytest.mark.parametrize(
    ("depth", "to_the_job"),
    [
        (Depth.TURNS, [8]),
        (Depth.EVERY, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_turns_leave_out_what_the_job_does_not_act_on(depth: Depth, to_the_job: list[int]) -> None:
    """Of an answer its end is tried, or all of it; all that is asked, is."""
    expected = [(Direction.TO_SERVER, 1), *((Direction.TO_CLIENT, at) for at in to_the_job)]
    assert MESSAGES.places(depth) == expected


def test_a_record_is_read_again(tmp_path: Path) -> None:
    """What was tried before it was stopped is known, and the messages are those of then."""
    place = (Direction.TO_CLIENT, 8)
    record = Record(tmp_path / "tried.jsonl")
    record.note_messages("seed", MESSAGES)
    record.note("seed", "cut", place, 75)
    record.note_messages("seed", Messages({}))

    again = Record(tmp_path / "tried.jsonl")
    assert again.messages == {"seed": MESSAGES}
    assert again.ended == {("seed", "cut", place): 75}


def test_what_was_tried_with_other_code_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it taken out of the file: it counts again where that code is checked out."""
    place = (Direction.TO_CLIENT, 8)
    path = tmp_path / "tried.jsonl"
    Record(path).note("seed", "cut", place, 75)
    with monkeypatch.context() as patch:
        patch.setattr(of_job, "digest_of_job", lambda: "of other code")
        other = Record(path)
        other.note("seed", "reset", place, 75)
        assert other.ended == {("seed", "reset", place): 75}

    assert Record(path).ended == {("seed", "cut", place): 75}


def test_the_table_tells_what_was_tried_and_what_was_not(tmp_path: Path) -> None:
    """Tried of possible at each depth; a try that was not made good has not survived."""
    record = Record(tmp_path / "tried.jsonl")
    record.note_messages("seed", MESSAGES)
    for place in MESSAGES.places(Depth.TURNS):
        record.note("seed", "sigkill", place, -9)
    record.note("seed", "sigkill", (Direction.TO_CLIENT, 1), None)

    rows = table(record).splitlines()[2:]
    assert rows == [
        "| seed | 1, 8 | sigkill | all 2 | 3 of 9 | 2 | 137 (killed): 2 times |",
        "| all | | | | 3 | 2 | |",
    ]
