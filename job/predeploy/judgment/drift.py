"""Drift: objects whose shape differs from what a file declares, and how it is judged. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import ABSENT, Drift, Finding
from predeploy.schema.facts import read_back
from predeploy.settings import OnDrift

DRIFT = "drift"
_ENUM, _NOT_VALID = "enum ", " NOT VALID"


@dataclass(frozen=True, slots=True)
class Standing:
    """A drift that the ledger holds, the file that found it, and the shape of the live object."""

    file: str
    drift: Drift
    live: str


def satisfies(declared: str, live: str) -> bool:
    """Whether an object of shape `live` has at least what is declared.

    Additional enum labels are allowed, and so is a constraint that has been validated since. An
    expression may be printed as it was first written, or as it is after a dump was restored.
    """
    declared, live = read_back(declared), read_back(live)
    if declared.startswith(_ENUM) and live.startswith(_ENUM):
        there = iter(json.loads(live.removeprefix(_ENUM)))
        return all(label in there for label in json.loads(declared.removeprefix(_ENUM)))
    return live in (declared, declared.removesuffix(_NOT_VALID))


def unaccepted(drifts: Iterable[Drift], accepted: Mapping[str, str]) -> tuple[Drift, ...]:
    """Return the drifts that predeploy.toml does not list with the live object's shape."""
    return tuple(drift for drift in drifts if not drift.is_accepted_by(accepted))


def tell(drift: Drift) -> str:
    """Return a sentence that says what differs."""
    if drift.live == ABSENT:
        return f"{drift.object} is missing, and {drift.declared} is declared"
    return f"{drift.object} is there as {drift.live}, and {drift.declared} is declared"


def way_to_accept(drifts: Iterable[Drift]) -> str:
    """Return the lines to paste into predeploy.toml, one for each object, in TOML syntax."""
    lines = dict.fromkeys(drift.line for drift in drifts)
    return "under [accept] in predeploy.toml: " + "\n".join(
        f"{_toml(key)} = {_toml(shape)}" for key, shape in lines
    )


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def judge_standing(
    standing: Iterable[Standing], accepted: Mapping[str, str], policy: OnDrift
) -> Iterator[Finding]:
    """Repeat the drifts in the ledger that are neither accepted nor fixed.

    A part that is still missing stops the run (82) whatever the policy. A different shape stops it
    (84) if the policy is to block. An object that no longer exists is no longer drift.
    """
    for one in standing:
        now = replace(one.drift, live=one.live)
        is_known = one.drift.is_adopted and one.live == one.drift.live != ABSENT
        is_gone = one.live == ABSENT != one.drift.live
        if is_known or is_gone or satisfies(now.declared, now.live):
            continue
        if not unaccepted([now], accepted):
            continue
        if now.live == ABSENT:
            remedy = f"add it in a migration, or accept that {way_to_accept([now])}"
            yield Finding("missing", f"{one.file}: {tell(now)}", remedy, ExitCode.NOT_VERIFIED)
        else:
            code = ExitCode.REFUSED if policy is OnDrift.BLOCK else None
            remedy = f"fix it in a migration, or accept it {way_to_accept([now])}"
            yield Finding(DRIFT, f"{one.file}: {tell(now)}", remedy, code)
