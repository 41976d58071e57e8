"""docs/platforms.md: what a reader copies is valid, and asks for what there is."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, SQL
from ruamel.yaml import YAML

from predeploy.cli import _parser
from predeploy.settings import parse_settings

TEXT = (ROOT / "docs/platforms.md").read_text()
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:/opt/predeploy/bin/|`)predeploy ([a-z]+(?: --?[\w-]+)*(?: [a-z]+(?=`))?)")


def snippet(name: str) -> Any:  # noqa: ANN401 - as the file is
    """The file of that name, read as its platform would."""
    (kind, text), *more = [pair for pair in SNIPPETS if pair[1].startswith(f"# {name}\n")]
    assert not more
    return tomllib.loads(text) if kind == "toml" else YAML(typ="safe", pure=True).load(text)


def test_every_snippet_is_asked_for_below() -> None:
    names = {text.split("\n")[0] for kind, text in SNIPPETS if kind != "dockerfile"}

    assert names == {"# fly.toml", "# render.yaml", "# heroku.yml", "# .do/app.yaml"}


def test_fly_gives_more_time_than_the_job_takes() -> None:
    fly = snippet("fly.toml")
    environ = {"PGHOST": "db", "RELEASE_COMMAND": "1", **fly["env"]}
    minutes = int(fly["deploy"]["release_command_timeout"].removesuffix("m"))

    assert fly["deploy"].keys() == {"release_command", "release_command_timeout"}
    assert 270 < parse_settings(environ, default_sql_dir=SQL).deadline_s < 60 * minutes
    assert (
        parse_settings({**environ, "PREDEPLOY_DEADLINE": ""}, default_sql_dir=SQL).deadline_s < 300
    )


def test_render_s_service_gets_its_database() -> None:
    render = snippet("render.yaml")
    (service,) = render["services"]

    assert service["plan"] != "free"
    assert service["envVars"][0]["fromDatabase"]["name"] == render["databases"][0]["name"]


def test_heroku_releases_with_an_image_that_it_built() -> None:
    heroku = snippet("heroku.yml")

    assert heroku["release"]["image"] in heroku["build"]["docker"]


def test_digitalocean_s_job_gates_and_gets_its_database() -> None:
    app = snippet(".do/app.yaml")
    (job,) = app["jobs"]

    assert job["kind"] == "PRE_DEPLOY"
    assert job["envs"][0]["value"] == f"${{{app['databases'][0]['name']}.DATABASE_URL}}"


def commands() -> set[str]:
    """Every command of predeploy that the pages for platforms name."""
    pages = ("docs/platforms.md", "docs/railway.md")
    return {match[1] for page in pages for match in COMMAND.finditer((ROOT / page).read_text())}


@pytest.mark.parametrize("command", sorted(commands()))
def test_the_commands_exist(command: str) -> None:
    assert _parser().parse_args(command.split())


def test_enough_commands_are_found_to_be_tried() -> None:
    assert {"run", "verify", "status --exit-code"} <= commands()


@pytest.mark.parametrize("text", [text for kind, text in SNIPPETS if kind == "dockerfile"])
def test_the_dockerfiles_are_clean(text: str) -> None:
    linted = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert linted.returncode == 0, linted.stdout
