"""The comments by which a statement or a file asks a rule to be silent, also those of other tools.

Ours is `-- predeploy: ignore RULE: reason`. Rules are known by their names in other linters, too.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from predeploy.sql.rules import RULES

_OURS = re.compile(r"--\s*predeploy:\s*ignore\s+([\w, -]+?)\s*(?::\s*(.*))?$", re.IGNORECASE)
_OTHERS = re.compile(
    r"(?:--|/\*)\s*(?:squawk-ignore(?P<file>-file)?|pgfence-ignore:?|atlas:nolint"
    r"|migrationpilot-disable)(?=[\s*]|$)\s*(?P<names>[\w,: -]*?)\s*(?:\*/)?$",
    re.IGNORECASE,
)
_BY_NAME: dict[str, set[str]] = defaultdict(set)
for _rule in RULES:  # what one name means elsewhere may be several rules here
    for _name in (_rule.name, *_rule.aliases):
        _BY_NAME[_name].add(_rule.name)
ALL = "*"


@dataclass(frozen=True, slots=True)
class Suppression:
    """A comment that silences rules, by their own names; `*` is all of them.

    `line` is where it stands, from 1. `is_ours` is set for a comment of predeploy's, which has to
    name rules that exist, and a `reason`. `unknown` are names of no rule.
    """

    rules: frozenset[str]
    line: int
    reason: str = ""
    is_ours: bool = False
    is_for_the_file: bool = False
    unknown: tuple[str, ...] = ()

    def covers(self, rule: str) -> bool:
        """Whether it silences this rule."""
        return rule in self.rules or ALL in self.rules


def suppressions_in(text: str, first_line: int = 1) -> Iterator[Suppression]:
    """Yield the suppressions among the comments of a text that begins at this line."""
    for number, line in enumerate(text.splitlines(), start=first_line):
        if "ignore" not in line and "nolint" not in line and "disable" not in line:
            continue
        if ours := _OURS.search(line):
            yield _named(ours[1], number, reason=(ours[2] or "").strip(), is_ours=True)
        elif other := _OTHERS.search(line):
            yield _named(other["names"], number, is_for_the_file=bool(other["file"]))


def _named(names: str, line: int, **more: object) -> Suppression:
    said = [name for name in re.split(r"[\s,:]+", names.strip()) if name]
    known = frozenset(rule for name in said for rule in _BY_NAME.get(name, ()))
    unknown = tuple(name for name in said if name not in _BY_NAME)
    return Suppression(known if said else frozenset((ALL,)), line, unknown=unknown, **more)  # type: ignore[arg-type]
