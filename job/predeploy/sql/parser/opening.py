"""The first words of a statement, which name it in messages."""

import re

_MOST_WORDS = 6
# A verb and the kind of its object, without the object's name; some verbs suffice alone.
_ATTRIBUTES = (
    r"EVENT|FOREIGN(?: DATA)?|TEXT SEARCH|MATERIALIZED|UNIQUE|TEMP|TEMPORARY|UNLOGGED|ACCESS"
    r"|CONSTRAINT|DEFAULT|USER(?= MAPPING)|OPERATOR(?= CLASS| FAMILY)"
)
# Such a verb is followed by a name, not by a kind of object.
_VERBS = "SELECT|VALUES|WITH|DO|CALL|UPDATE|TRUNCATE|COPY|LOCK|VACUUM|ANALYZE|CLUSTER"
_OPENING = re.compile(rf"(?:{_VERBS})\b|\S+(?: OR REPLACE)?(?: (?:{_ATTRIBUTES}))?(?: \S+)?")


def opening(text: str) -> str:
    """Return the first words, for messages: `CREATE TABLE`, `CREATE EVENT TRIGGER`."""
    found = _OPENING.match(" ".join(text.split(None, _MOST_WORDS)[:_MOST_WORDS]).upper())
    return found[0][:40] if found else ""
