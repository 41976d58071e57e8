"""The contract with platforms: numbers, names, and what may pass when run again."""

import re

from predeploy.contract.exit_codes import EXPLANATIONS, ExitCode

FROZEN = {
    "ok": 0,
    "unexpected": 1,
    "pending": 2,
    "usage": 64,
    "bad-sources": 65,
    "no-input": 66,
    "unavailable": 69,
    "internal": 70,
    "tempfail": 75,
    "wrong-endpoint": 76,
    "denied": 77,
    "config": 78,
    "failed": 80,
    "partial": 81,
    "not-verified": 82,
    "seed-failed": 83,
    "refused": 84,
    "interrupted": 130,
    "terminated": 143,
}


def test_numbers_and_names_are_frozen() -> None:
    """A number is never given another meaning; a new one is added here and in the README."""
    assert {code.label: int(code) for code in ExitCode} == FROZEN


def test_what_may_pass_when_run_again() -> None:
    """Platforms retry on these four and on nothing else."""
    retryable = {int(code) for code in ExitCode if code.is_retryable}

    assert retryable == {69, 75, 130, 143}


def test_every_code_is_explained() -> None:
    """An explanation is one or more sentences on one line."""
    odd = [c for c in ExitCode if not re.fullmatch(r"[A-Z][^\n]{20,200}\.", c.explanation)]

    assert odd == []


def test_explanations_tell_the_codes_apart() -> None:
    """Each code has its own explanation, and nobody can change one."""
    assert set(EXPLANATIONS) == set(ExitCode)
    assert len(set(EXPLANATIONS.values())) == len(ExitCode)
    assert not hasattr(EXPLANATIONS, "__setitem__")
