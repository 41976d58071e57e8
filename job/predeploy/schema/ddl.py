"""What comes of a difference: statements to run, by phase, or a report in words. Values only."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from predeploy.contract.plan import Drift
from predeploy.contract.quoting import identifier
from predeploy.schema.described import described
from predeploy.schema.facts import Fact


class Phase(Enum):
    """When and how a change's statements are run; the phases follow each other in this order."""

    BEFORE = 0  # each statement alone in autocommit: what cannot be used before its commit
    TOGETHER = 1  # one transaction for all changes of the phase
    ONLINE = 2  # each statement alone in autocommit; a rerun plans what is left
    AFTER = 3  # one transaction for all changes of the phase


@dataclass(frozen=True, slots=True)
class Change:
    """Statements that make `fact` true, in order, without semicolons.

    `order` sorts changes of a phase as their objects were created in the desired schema. With
    `is_brief` the statements write the catalog alone, so that all of their time is waiting.
    """

    fact: Fact
    phase: Phase
    statements: tuple[str, ...]
    order: int
    is_brief: bool = False


class Verdict(Enum):
    """What a report is about."""

    NOT_ADDABLE = "missing-and-not-addable"
    DRIFT = "drift"
    BREAKING = "breaking"  # it makes statements of the declared app fail
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Report:
    """Something that is never executed: the consequence and the remedy, in words.

    `code` is stable and kebab-case, `object` is `<kind> <identity>`. `declared` and `live` are the
    two shapes as texts; `live` is empty for what is missing. `key` and `shape` are how `[accept]`
    names what is there.
    """

    verdict: Verdict
    code: str
    object: str
    message: str
    remedy: str
    declared: str = ""
    live: str = ""
    key: str = ""
    shape: str = ""

    @property
    def as_drift(self) -> Drift:
        """The same as what `[accept]` can name and the ledger can hold."""
        kind, _, name = self.object.partition(" ")
        return Drift(kind, name, self.declared, self.live, key=self.key, shape=self.shape)


def change(fact: Fact, phase: Phase, *statements: str, order: int | None = None) -> Change:
    """Make a Change that stands where its fact does, unless `order` says otherwise."""
    return Change(fact, phase, statements, fact.order if order is None else order)


def not_addable(fact: Fact, code: str, because: str, remedy: str) -> Report:
    """Report a desired fact that is missing and that no additive statement makes."""
    message = f"{fact.label} is missing and is not added: {because}"
    return Report(Verdict.NOT_ADDABLE, code, fact.label, message, remedy, fact.definition)


def drift(
    desired: Fact, live: Fact, code: str, what: str, remedy: str, *, names: Sequence[str] = ()
) -> Report:
    """Report a fact that exists with another shape.

    The shapes told are those of the attributes that differ, or of those of them in `names`.
    """
    differing = [n for n in live.differing(desired) if not names or n in names]
    message = f"{live.label} is there with another shape: {what}; it stays as it is"
    declared, there = desired.told(differing), live.told(differing)
    return Report(
        Verdict.DRIFT, code, live.label, message, remedy, declared, there, *described(live)
    )


def breaking(live: Fact, code: str, message: str, remedy: str, told: str) -> Report:
    """Report something live that makes statements of the declared app fail; `told` is its shape."""
    return Report(Verdict.BREAKING, code, live.label, message, remedy, live=told)


def warning(fact: Fact, code: str, message: str, remedy: str) -> Report:
    """Report something about a live fact that does not lack, and may hurt."""
    return Report(Verdict.WARNING, code, fact.label, message, remedy, live=fact.definition)


def way_to_leave(table: str) -> str:
    """Return where to say that the partitions of a table are left to their maintenance."""
    return f'predeploy.toml: [sync.partitions] "{table}" = "leave"'


def relation(fact: Fact) -> str:
    """Return the quoted, qualified name of the relation that a fact is or hangs on."""
    return identifier(fact.schema, fact.relation)


def qualified(fact: Fact) -> str:
    """Return the quoted, qualified name of a fact without relation, such as a type."""
    return identifier(fact.schema, fact.name)
