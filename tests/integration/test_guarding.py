"""Cases of the desired state guard something; `make guards` tries them all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_cases import FOUND
from tiers import FULL, drawn


@pytest.mark.dear
@pytest.mark.timeout(1800)
def test_a_change_of_the_code_fails_each_case(binaries: Path) -> None:
    """A case that nothing fails says nothing; those tried are drawn by CHAOS_SEED."""
    cases = [f"{case.parent.name}/{case.name}" for case in drawn(FOUND, 48 if FULL else 4)]
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "mutation.py", *cases],
        env={**os.environ, "WORKERS": "1", "TEST_POSTGRES_BIN": str(binaries)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
