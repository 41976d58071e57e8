"""New names: a shadow beside live schemas that are not ours to rename, under names of its own.

To create schemas is all the right that it takes, as on PostgreSQL 14, where `public` belongs to the
superuser. The names in the files are pointed at the shadow. What cannot be pointed with certainty
means a live object still: a relation is refused before anything is sent, the rest is found after.
"""

from job.database.shadow.places import Places
from job.database.shadow.rolled_back import Shadow
from job.database.shadow.survey import Survey
from job.database.wire import identifier
from job.exit_codes import ExitCode
from job.plan import Finding
from job.statements.desired import Desired
from job.statements.names import is_quoted_alike

PROVIDER = "new names"


def renamed(desired: Desired, seen: Survey, prefix: str) -> Places:
    """Return where things are when the shadow's schemas, not the live ones, have other names."""
    return Places(desired, seen, prefix, shadow={name: prefix + name for name in desired.schemas})


def beside(places: Places) -> Shadow:
    """Return the shadow beside the live schemas, which keep their names."""
    opening = (
        *places.survey.usual_rights,
        *(
            sql
            for name in places.desired.schemas
            for sql in (
                f"create schema {identifier(places.shadow[name])}",
                *places.dressing(name),
            )
        ),
    )
    remedy = (
        "declare it there; if it is declared, name it outside of literals, or let the role own the "
        "schemas, so that they can be swapped"
    )
    return Shadow(places, opening, PROVIDER, remedy)


def uncertain(places: Places) -> tuple[Finding, ...]:
    """Name what cannot be read under other names, since it would mean something live."""
    findings = [
        Finding(
            "no-new-name",
            f"the schema {name} needs quotes only while it has this name, so facts about it would "
            "differ under another",
            "name it otherwise, or let the role own it",
            ExitCode.DENIED,
        )
        for name in places.desired.schemas
        if not is_quoted_alike(name)
    ]
    findings += [
        Finding(
            "no-new-name",
            f"{statement.path}:{statement.line}: it cannot be told for certain which schema this "
            "statement means",
            'write the schema plainly, without U&"…" and without the database before it',
            ExitCode.DENIED,
        )
        for statement in places.strays()
    ]
    return tuple(findings)
