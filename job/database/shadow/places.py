"""What schemas are called while a shadow stands, and what the files' statements become by that."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from job.database.shadow.block import Ready
from job.database.shadow.survey import Survey
from job.statements.desired import Desired
from job.statements.piece import DEFAULT_SCHEMA
from job.statements.prepared import DesiredStatement, Turn
from job.statements.qualifiers import Qualified, qualify
from job.statements.repointed import Schemas, repoint, strays
from job.statements.targets import Name


@dataclass(frozen=True, slots=True)
class Places:
    """The managed schemas in the shadow, and the live ones, where they are called otherwise.

    `prefix` is random and stands nowhere in the files, so that it can be taken out of whatever the
    server says. Either the shadow's schemas begin with it, or the live ones, or none.
    """

    desired: Desired
    survey: Survey
    prefix: str
    shadow: Mapping[str, str] = field(default_factory=dict)
    live: Mapping[str, str] = field(default_factory=dict)

    @property
    def schemas(self) -> tuple[str, ...]:
        """The managed schemas, as the shadow calls them."""
        return tuple(self.shadow.get(name, name) for name in self.desired.schemas)

    def ready(self, *turns: Turn) -> tuple[Ready, ...]:
        """Return the statements of some turns as they are sent.

        What creates an extension is not among them where the live database has it.
        """
        installed = {name for name, _ in self.survey.extensions}
        kept = self._kept()
        return tuple(
            Ready(statement, self._pointed(statement.text, kept), self._search_path(statement))
            for statement in self.desired.statements
            if statement.turn in turns and statement.extension not in installed
        )

    def dressing(self, name: str) -> Iterator[str]:
        """Yield what gives a schema of the shadow what the files say nothing about."""
        desired, kept = self.desired, self._kept()
        for dressing in self.survey.dressings:
            own = desired.own_grants if dressing.is_grant else desired.own_comments
            if dressing.schema == name and name not in own:
                yield self._pointed(dressing.sql, kept).text

    def strays(self) -> tuple[DesiredStatement, ...]:
        """Return the statements that would still concern a live relation of a managed schema."""
        schemas = Schemas(self.shadow.keys(), self._kept())
        return tuple(
            ready.statement for ready in self.ready(*Turn) if strays(ready.qualified.text, schemas)
        )

    def told(self, text: str) -> str:
        """Return a text of the server's with the names that people know."""
        return text.replace(self.prefix, "")

    def _kept(self) -> frozenset[Name]:
        """Return the members of extensions, which are the live ones; not what is declared."""
        return self.survey.members - self.desired.names

    def _pointed(self, text: str, kept: frozenset[Name]) -> Qualified:
        """Let a statement mean the shadow's objects, and the live members of extensions."""
        if self.shadow:
            return repoint(text, Schemas(self.shadow.keys(), kept), self.prefix)
        return qualify(text, kept if self.live else frozenset(), self.prefix)

    def _search_path(self, statement: DesiredStatement) -> tuple[str, ...]:
        """Return a statement's search_path; extensions are found where the live ones are.

        Without a path of the file's own they all are, else when it names their schema.
        """
        path, where = statement.search_path, self.survey.extension_schemas
        if path is None:
            live = (self.live.get(name, name) for name in where)
            return (self.shadow.get(DEFAULT_SCHEMA, DEFAULT_SCHEMA), *live)
        ours = [self.shadow.get(name, name) for name in path]
        beside = (self.live.get(name, name) for name in path if name in where)
        return (*ours, *(name for name in beside if name not in ours))
