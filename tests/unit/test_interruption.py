"""A signal counts wherever it comes, in the middle of an import, too."""

from collections.abc import Callable

import pytest
from conftest import SQL

from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import (
    ConnectionLostError,
    Interrupted,
    JobError,
    interruption_behind,
)
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.report import Report
from predeploy.journal import Journal
from predeploy.run import _report
from predeploy.settings import Settings
from predeploy.settings.endpoint import parse_endpoint
from predeploy.sources import read_folder, sources_of

SIGTERM = Interrupted(ExitCode.TERMINATED, "SIGTERM")


class _Late:
    """An attribute that is named at the moment of the signal."""

    def __set_name__(self, owner: type, name: str) -> None:
        raise SIGTERM


def as_it_is() -> None:
    raise SIGTERM


def while_a_class_is_made() -> None:
    type("Fact", (), {"order": _Late()})


def wrapped() -> None:
    try:
        raise SIGTERM
    except Interrupted as interruption:
        raise RuntimeError from interruption


def while_something_else_is_handled() -> None:
    try:
        raise SIGTERM
    finally:
        [].pop()


@pytest.mark.parametrize(
    "comes", [as_it_is, while_a_class_is_made, wrapped, while_something_else_is_handled]
)
def test_an_interruption_is_found_behind_what_python_makes_of_it(comes: Callable[[], None]) -> None:
    """Whatever is raised in the end, it is told as the signal that it was."""
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - of any kind
        comes()

    assert interruption_behind(raised.value) is SIGTERM


def test_nobody_connects_again_behind_a_signal() -> None:
    """What ends a run may lose the connection on its way; the run ends all the same."""
    tried = []

    def attempt(journal: Journal) -> Report:
        tried.append(journal)
        try:
            raise Interrupted(ExitCode.TERMINATED, "SIGTERM")
        finally:
            raise ConnectionLostError("the server did not answer to ROLLBACK")

    settings = Settings(parse_endpoint("DATABASE_URL", "postgresql://app@db/shop"), SQL)

    report = _report(Journal(settings, sources_of(read_folder(SQL)), Deadline.after(60)), attempt)

    assert report.exit_code is ExitCode.TERMINATED
    assert len(tried) == 1


def test_a_bug_is_no_interruption() -> None:
    """An error without one behind it stays what it is."""
    error = JobError("no")
    error.__cause__ = IndexError("pop from empty list")

    assert interruption_behind(error) is None
