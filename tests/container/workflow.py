"""A GitHub runner, as far as our workflows and our action need one."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import ROOT
from ruamel.yaml import YAML

_EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")
# What a machine needs to reach its package index by; nothing else is inherited.
_KEPT = re.compile(r"PATH|HOME|LANG|PIP_.*|SSL_.*|https?_proxy|no_proxy", re.IGNORECASE)
_ACTION = re.compile(r"\./|OWNER/predeploy@.+")


def load(path: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(path)


def environ_of_a_machine() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}


@dataclass
class Runner:
    """Runs steps in `workspace`; keeps each one's exit code, and what it printed.

    What they install into `temp` may be there already, from another runner.
    """

    workspace: Path
    temp: Path
    scratch: Path
    environ: Mapping[str, str]
    codes: list[int] = field(default_factory=list)
    printed: str = ""

    @property
    def summary(self) -> str:
        return (self.scratch / "summary.md").read_text()

    def steps(
        self, steps: Sequence[Mapping[str, Any]], inputs: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Run steps until one fails; return the contexts that expressions see behind the last."""
        contexts: dict[str, Any] = {
            "steps": {},
            "inputs": inputs or {},
            "env": self.environ,
            "runner": {"temp": str(self.temp)},
            "github": {"action_path": str(ROOT)},
        }
        for step in steps:
            before = len(self.codes)
            if "run" in step:
                outputs = self._script(step, contexts)
            elif _ACTION.fullmatch(step["uses"]):
                outputs = self._action(step.get("with", {}))
            else:
                assert step["uses"].startswith("actions/checkout@"), step
                continue
            contexts["steps"][step.get("id")] = {"outputs": outputs}
            if any(self.codes[before:]):
                break
        return contexts

    def _action(self, given: Mapping[str, str]) -> dict[str, str]:
        action = load(ROOT / "action.yml")
        assert given.keys() <= action["inputs"].keys()
        inputs = {name: about["default"] for name, about in action["inputs"].items()} | given
        contexts = self.steps(action["runs"]["steps"], inputs)
        return {name: _text(about["value"], contexts) for name, about in action["outputs"].items()}

    def _script(self, step: Mapping[str, Any], contexts: Mapping[str, Any]) -> dict[str, str]:
        """Run a script with the options that GitHub gives bash; return its outputs."""
        options = ["--noprofile", "--norc", "-eo", "pipefail"] if "shell" in step else ["-e"]
        outputs = self.scratch / f"outputs-{len(self.codes)}"
        outputs.touch()
        script = self.scratch / f"script-{len(self.codes)}.sh"
        script.write_text(_text(step["run"], contexts))
        own = {
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(self.scratch / "summary.md"),
            **{name: _text(value, contexts) for name, value in step.get("env", {}).items()},
        }
        done = subprocess.run(
            ["bash", *options, script],
            cwd=self.workspace,
            env={**environ_of_a_machine(), **self.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.codes.append(done.returncode)
        self.printed += done.stdout
        return dict(line.split("=", 1) for line in outputs.read_text().splitlines())


def _text(template: str, contexts: Mapping[str, Any]) -> str:
    """Fill in the expressions: names joined by ||, of which the first that is not blank counts."""

    def value_of(match: re.Match[str]) -> str:
        return next(filter(None, (_look_up(name, contexts) for name in match[1].split(" || "))), "")

    return _EXPRESSION.sub(value_of, template)


def _look_up(name: str, contexts: Mapping[str, Any]) -> str:
    found: Any = contexts
    for part in name.split("."):
        found = found.get(part, {})
    return found or ""
