"""The schema swap: a shadow in the live schema's place, inside a transaction that is rolled back.

`ALTER SCHEMA x RENAME TO __live_…_x; CREATE SCHEMA x`: every name in the files, literals and
function bodies included, then means the shadow. No relation of the live schema is locked.
https://www.postgresql.org/docs/current/sql-alterschema.html
"""

from collections.abc import Iterator

from job.database.shadow.places import Places
from job.database.shadow.rolled_back import Shadow
from job.database.shadow.survey import LiveSchema, Survey
from job.database.wire import identifier, literal
from job.statements.desired import Desired


def swapped(desired: Desired, seen: Survey, prefix: str) -> Shadow:
    """Return the shadow that takes the live schemas' place; those have other names meanwhile."""
    places = Places(desired, seen, prefix, live={s.name: prefix + s.name for s in seen.schemas})
    fresh = (name for name in desired.schemas if name not in places.live)
    opening = (
        *seen.usual_rights,
        *(sql for schema in seen.schemas for sql in _away(places, schema)),
        *(f"create schema {identifier(name)}" for name in fresh),
    )
    return Shadow(places, opening, "swap", "declare it there")


def _away(places: Places, schema: LiveSchema) -> Iterator[str]:
    """Yield what puts an empty schema in the place of a live one, with its owner, ACL, comment."""
    name, mark = identifier(schema.name), f"predeploy{places.prefix.rstrip('_')}"
    yield f"alter schema {name} rename to {identifier(places.live[schema.name])}"
    yield f"""do ${mark}$ begin
        execute {literal(f"create schema {name} authorization {identifier(schema.owner)}")};
        exception when insufficient_privilege then execute {literal(f"create schema {name}")};
        end ${mark}$"""
    yield from places.dressing(schema.name)
