"""The `-- predeploy:` lines of a file: what they declare, and which of them are invalid."""

from dataclasses import replace

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.step import Declaration
from predeploy.losses.allowlist import names_all
from predeploy.losses.loss import Verb
from predeploy.sources.script import Script
from predeploy.sources.squash import REPLACES
from predeploy.sql import Directive

_AUTOCOMMIT = "autocommit"
IGNORE = "ignore"
"""Silences a rule of `predeploy lint`: `ignore RULE: reason`."""
COMMIT_INSIDE = "commit-inside"
"""What lets a file's routines commit, behind `allow`."""
EVERYWHERE = -1
"""The offset of a declaration outside the file, which is meant for each of its steps."""
_COMMIT_INSIDE = f"allow {COMMIT_INSIDE}"
_KNOWN = ", ".join(f"allow {verb.value} OBJECT" for verb in Verb)


def allows_commit_inside(directives: tuple[Directive, ...]) -> bool:
    """Whether the file declares that the routines it calls may commit."""
    return any(" ".join(d.text.lower().split()) == _COMMIT_INSIDE for d in directives)


def is_replacing(directive: Directive) -> bool:
    """Whether the line is meant as the header of a squash."""
    return directive.text.lower().partition(" ")[0] == REPLACES


def read_declarations(
    path: str, directives: tuple[Directive, ...]
) -> tuple[tuple[tuple[int, Declaration], ...], tuple[Finding, ...]]:
    """Return the declarations, each with the offset where its line ends, and the refusals (65)."""
    verbs = {verb.value for verb in Verb}
    declared: list[tuple[int, Declaration]] = []
    findings: list[Finding] = []
    for directive in directives:
        words = directive.text.split(None, 2)  # a name may have blanks in it
        lowered = " ".join(words).lower()
        if lowered in (_AUTOCOMMIT, _COMMIT_INSIDE) or is_replacing(directive):
            continue
        if lowered.partition(" ")[0] == IGNORE:
            continue
        match words:
            case [allow, verb, target] if names_all(target) and verb.lower() in verbs:
                findings.append(_means_all(path, directive))
            case [allow, verb, target] if allow.lower() == "allow" and verb.lower() in verbs:
                declared.append((directive.end, Declaration(verb.lower(), target, directive.line)))
            case _:
                findings.append(_unknown(path, directive))
    return tuple(declared), tuple(findings)


def declared_outside(
    script: Script,
) -> tuple[tuple[tuple[int, Declaration], ...], tuple[Finding, ...]]:
    """Return what predeploy.toml declares for a file, and the refusals (65), as above.

    It counts for each step, so that it may be idle for some.
    """
    said = tuple(Directive(f"allow {each}", 0, EVERYWHERE) for each in script.allows)
    declared, refused = read_declarations(f'predeploy.toml: [allow] "{script.name}"', said)
    return tuple((at, replace(each, is_seen=True)) for at, each in declared), refused


def declared_for(said: tuple[str, ...]) -> tuple[tuple[Declaration, ...], tuple[Finding, ...]]:
    """Return what predeploy.toml declares for the operator's command, and the refusals (65)."""
    lines = tuple(Directive(f"allow {each}", 0, EVERYWHERE) for each in said)
    declared, refused = read_declarations("predeploy.toml: [migrate] allow", lines)
    return tuple(each for _, each in declared), refused


def _means_all(path: str, directive: Directive) -> Finding:
    return Finding(
        "unknown-directive",
        f"{_at(path, directive)}: {directive.text!r} names nothing, so it would allow everything",
        "name what is meant, with * in a part of it: allow drop-column *.inventory.old",
        ExitCode.BAD_SOURCES,
    )


def _at(path: str, directive: Directive) -> str:
    return f"{path}:{directive.line}" if directive.line else path


def _unknown(path: str, directive: Directive) -> Finding:
    return Finding(
        "unknown-directive",
        f"{_at(path, directive)}: unknown directive {directive.text!r}",
        f"write {_AUTOCOMMIT}, {_COMMIT_INSIDE}, {IGNORE} RULE: reason, "
        f"replaces 0001..0050, or one of {_KNOWN}",
        ExitCode.BAD_SOURCES,
    )
