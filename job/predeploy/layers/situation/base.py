"""The definition of a layer: what it has to see, and how it plans."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Plan
from predeploy.layers.situation.history import FileHistory, histories
from predeploy.layers.situation.lineage import Comparison, Lineage, compare
from predeploy.settings import Settings
from predeploy.snapshot import Snapshot, View
from predeploy.sources import Sources


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a planner may know.

    `violated` names the declared objects that existing rows block; the run has already reported
    them. `has_migrated` says that this run has applied a file of the folder.
    """

    settings: Settings
    sources: Sources
    snapshot: Snapshot
    violated: frozenset[str] = frozenset()
    has_migrated: bool = False

    @property
    def comparison(self) -> Comparison:
        """How the folder's history and the ledger's are related.

        A run that has found something pending is not ahead for having applied it.
        """
        found = compare(self.sources, self.snapshot.ledger, self.snapshot.squashes)
        if found.is_ahead and self.has_migrated:
            return replace(found, lineage=Lineage.DIVERGED)
        return found

    def is_held_back(self, history: FileHistory) -> bool:
        """Whether a repeatable file does not run as a newer version of the app has been here."""
        return history.script.is_repeatable and self.comparison.is_ahead

    @property
    def files(self) -> tuple[FileHistory, ...]:
        """Each migration of the folder with its rows in the ledger."""
        return histories(self.sources, self.snapshot.ledger, self.snapshot.squashes)


@dataclass(frozen=True, slots=True)
class Layer:
    """`sees` names the parts of the database that `plan` needs; `plan` is pure.

    `failed` is how the run ends when a step of the layer fails, unless the layer `may_be_rescued`
    and the settings say so. A run with a step of a layer that `degrades` is never better than
    `degraded`. Steps of a layer that `asks` run the folder's own files: they may have to declare
    what they take away, and nobody knows beforehand what the layers behind will see.
    """

    name: str
    sees: frozenset[View]
    plan: Callable[[Situation], Plan]
    failed: ExitCode = ExitCode.FAILED
    may_be_rescued: bool = False
    degrades: bool = False
    asks: bool = False
