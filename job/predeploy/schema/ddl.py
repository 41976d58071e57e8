"""The outcome of a difference: statements to run, by phase, or a report. Values only."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from predeploy.contract.quoting import identifier
from predeploy.schema.facts import Fact, Key


class Phase(Enum):
    """When and how a change's statements run; the phases follow each other in this order."""

    BEFORE = 0  # each statement alone in autocommit: what cannot be used before it is committed
    TOGETHER = 1  # one transaction for all changes of the phase
    ONLINE = 2  # each statement alone in autocommit; a rerun plans what remains
    AFTER = 3  # one transaction for all changes of the phase


@dataclass(frozen=True, slots=True)
class Change:
    """Statements that make `fact` true, in order, without semicolons.

    `needs` are facts whose changes have to come first, besides what PostgreSQL says that `fact`
    depends on. With `is_brief` the statements write only the catalog, so that all of their time is
    waiting.
    """

    fact: Fact
    phase: Phase
    statements: tuple[str, ...]
    needs: tuple[Key, ...] = ()
    is_brief: bool = False


class Verdict(Enum):
    """What a report is about."""

    NOT_ADDABLE = "missing-and-not-addable"
    DRIFT = "drift"
    BREAKING = "breaking"  # makes statements of the declared app fail
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Report:
    """A report of something that is never executed: the consequence and the remedy, in words.

    `code` is stable and kebab-case, `object` is `<kind> <identity>`. `declared` and `live` are the
    two shapes as text; `live` is empty if the object is missing. `fact` is the live object, if
    `[accept]` names it by its own shape.
    """

    verdict: Verdict
    code: str
    object: str
    message: str
    remedy: str
    declared: str = ""
    live: str = ""
    fact: Fact | None = None


Outcome = Iterator[Change | Report]
"""What a kind plans for a fact: changes, and reports of what is not executed."""


def change(fact: Fact, phase: Phase, *statements: str, needs: Iterable[Key] = ()) -> Change:
    """Return a Change of some statements."""
    return Change(fact, phase, statements, tuple(needs))


def not_addable(fact: Fact, code: str, because: str, remedy: str) -> Report:
    """Return a report of a desired fact that is missing and cannot be added."""
    message = f"{fact.label} is missing and is not added: {because}"
    return Report(Verdict.NOT_ADDABLE, code, fact.label, message, remedy, fact.definition)


def drift(
    desired: Fact, live: Fact, code: str, what: str, remedy: str, *, names: Sequence[str] = ()
) -> Report:
    """Return a report of a fact that exists in another shape.

    The shapes shown are those of the differing attributes, limited to `names` if given.
    """
    differing = [n for n in live.differing(desired) if not names or n in names]
    message = f"{live.label} is there with another shape: {what}; it stays as it is"
    declared, there = desired.told(differing), live.told(differing)
    return Report(Verdict.DRIFT, code, live.label, message, remedy, declared, there, live)


def create_only(
    desired: Fact, live: Fact | None, code: str, remedy: str, *statements: str, what: str = ""
) -> Outcome:
    """Create what is missing by these statements; a live object of another shape is only reported.

    `what` is the live shape in words; by default its definition.
    """
    if live is None:
        yield change(desired, Phase.TOGETHER, *statements)
    else:
        yield drift(desired, live, code, what or live.definition, remedy)


def breaking(live: Fact, code: str, message: str, remedy: str, told: str) -> Report:
    """Return a report of a live object that makes the app fail; `told` is its shape."""
    return Report(Verdict.BREAKING, code, live.label, message, remedy, live=told)


def warning(fact: Fact, code: str, message: str, remedy: str) -> Report:
    """Return a report of a live fact that is not missing but may cause harm."""
    return Report(Verdict.WARNING, code, fact.label, message, remedy, live=fact.definition)


def relation(fact: Fact) -> str:
    """Return the quoted, qualified name of the relation that a fact is or belongs to."""
    return identifier(fact.schema, fact.relation)


def qualified(fact: Fact) -> str:
    """Return the quoted, qualified name of a fact without relation, such as a type."""
    return identifier(fact.schema, fact.name)
