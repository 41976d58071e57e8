"""Each benchmark runs, at its smallest, and prints its tables. No test asks how fast it was."""

import subprocess
import sys

import pytest
from conftest import ROOT, job_environ
from tiers import sampled

from bench.__main__ import BENCHMARKS

pytestmark = pytest.mark.dear

BENCHES = ROOT / "docs" / "benchmarks.md"


@pytest.mark.parametrize("name", sampled(BENCHMARKS, 1))
def test_a_benchmark_prints_its_tables(name: str) -> None:
    """It ends well, under its own title, and no row of its tables lacks a figure."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", name, "--small"],
        env=job_environ({}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"## {BENCHMARKS[name].title}\n")
    header, _rule, *rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(rows) >= 2
    assert all("nan" not in row and row.count("|") >= 3 for row in (header, *rows))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_documentation_shows_each_benchmark(name: str) -> None:
    """Its figures stand below the command that made them."""
    text = BENCHES.read_text()
    _, begun, rest = text.partition(f"<!-- {name} -->\n")
    figures, ended, _ = rest.partition(f"<!-- end of {name} -->\n")

    assert begun
    assert ended
    assert f"make bench BENCH={name}" in figures
