"""`make measure` compares the source with that of a commit."""

import subprocess
import sys

from conftest import ROOT


def test_a_tree_measured_twice_has_the_same_figures() -> None:
    """Both columns are of HEAD where nothing is edited; each figure is there in any case."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "measure.py", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    header, _, *rows = [line.split(" | ") for line in done.stdout.splitlines()]

    assert header == ["|", "HEAD", "now |"]
    names = {row[0].removeprefix("| ") for row in rows}
    assert {"lines of the package", "longest chain of imports", "noqa"} <= names
    assert all(row[1] and row[2].removesuffix(" |") for row in rows)
