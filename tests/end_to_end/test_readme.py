"""The README's commands do what it says."""

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, SQL, Database
from conftest import run_cold_job as run_job

from predeploy.settings.command import read_command

README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    """Every `predeploy` line in a shell block of the README."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("predeploy")]


def test_the_readme_shows_commands() -> None:
    """There is something to run."""
    assert len(commands()) >= 4


def test_the_readmes_commands_run_in_the_order_they_are_shown(database: Database) -> None:
    """Each exits with 0 on a database that was empty at first."""
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(SQL)}

    codes = {
        line: run_job(*shlex.split(line)[1:], environ=environ).returncode for line in commands()
    }

    assert set(codes.values()) == {0}, codes


def test_the_readmes_predeploy_toml_is_understood(
    database: Database, folder: Callable[[dict[str, str]], Path]
) -> None:
    """The example declares two tables, and names a setting by its short name."""
    examples = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (command,) = (each for each in examples if "command" in each)
    declaration, accept, baseline = (each for each in examples if each != command)
    assert read_command(tomllib.loads(command)["migrate"], (), {}, []) is not None
    root = folder({"predeploy.toml": baseline + declaration + accept})

    done = run_job("run", environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)})

    assert done.returncode == 82
    assert "table public.users is missing" in done.stdout


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_readmes_make_targets_exist(target: str) -> None:
    """What a newcomer types first is in the Makefile."""
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_other_shell_block_is_run_by_a_test_of_its_own() -> None:
    """make: .ci/run. docker: test_image. compose: test_compose. helm: test_kubernetes."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    others = [block for block in blocks if "predeploy plan\n" not in block]

    assert [block.split()[0] for block in others] == ["make", "docker", "cd", "helm"]
    assert "docker compose up --detach\n" in others[2]
    assert others[3] in (ROOT / "docs/kubernetes.md").read_text()
