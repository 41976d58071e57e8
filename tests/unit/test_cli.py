"""What the process edge does when predeploy itself is at fault."""

import json
from collections.abc import Iterator, Mapping

import pytest

from predeploy.cli import main
from predeploy.contract.exit_codes import ExitCode


class Broken(Mapping[str, str]):
    """Variables that cannot be read, as if predeploy had a bug in reading them."""

    def __getitem__(self, name: str) -> str:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        raise ArithmeticError("hunter" + "2")

    def __len__(self) -> int:
        return 0


class Edge:
    def set_deadline(self, seconds: float) -> None:
        raise NotImplementedError

    def quiet(self) -> None:
        pass


def test_a_bug_before_there_are_settings_has_a_report_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 1 with the place, and without the message, which might hold what nobody may see."""
    code = main(["plan"], Broken(), Edge())

    lines = capsys.readouterr().out.splitlines()
    assert code is ExitCode.UNEXPECTED
    assert json.loads(lines[-1])["exit_code"] == 1
    assert "ArithmeticError" in lines[0]
    assert "test_cli.py" in lines[0]
    assert "hunter2" not in "".join(lines)
