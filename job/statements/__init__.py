"""Reads SQL text: where its statements are and what each of them is. The only user of libpg_query.

Text in, values out: no file and no database. Offsets that leave this package count characters;
libpg_query's own count bytes of UTF-8.
"""

from job.statements.acting import acting_call
from job.statements.alteration import alters
from job.statements.classify import (
    holds_ddl,
    is_additive,
    is_unwatched,
    resets,
    sets_session,
)
from job.statements.composed import SEPARATOR, composed
from job.statements.concern import (
    Concern,
    Detach,
    IndexBuild,
    IndexDrop,
    Rebuild,
    Repeatable,
    concern,
)
from job.statements.conversion import Conversion, conversions
from job.statements.creation import (
    Creation,
    Departure,
    abouts,
    tolerates,
    without,
)
from job.statements.digest import digest
from job.statements.directives import Directive
from job.statements.effects import (
    Destruction,
    destruction,
    outlives_rollback,
    relations_reached,
)
from job.statements.forecast import forecast, may_lose
from job.statements.guarded import guarded_drops
from job.statements.homes import homes
from job.statements.isolation import isolation
from job.statements.net import NetResult, net_result
from job.statements.odd import odd_characters
from job.statements.reading import Reading, read
from job.statements.rows import filled, keeps_rows_alike
from job.statements.stall import Stall, stall
from job.statements.story import Thing
from job.statements.targets import schema_made
from job.statements.undone import Undone, undone
from job.statements.unparsed import UnreadableError
from job.statements.usable import may_use

__all__ = [
    "SEPARATOR",
    "Concern",
    "Conversion",
    "Creation",
    "Departure",
    "Destruction",
    "Detach",
    "Directive",
    "IndexBuild",
    "IndexDrop",
    "NetResult",
    "Reading",
    "Rebuild",
    "Repeatable",
    "Stall",
    "Thing",
    "Undone",
    "UnreadableError",
    "abouts",
    "acting_call",
    "alters",
    "composed",
    "concern",
    "conversions",
    "destruction",
    "digest",
    "filled",
    "forecast",
    "guarded_drops",
    "holds_ddl",
    "homes",
    "is_additive",
    "is_unwatched",
    "isolation",
    "keeps_rows_alike",
    "may_lose",
    "may_use",
    "net_result",
    "odd_characters",
    "outlives_rollback",
    "read",
    "relations_reached",
    "resets",
    "schema_made",
    "sets_session",
    "stall",
    "tolerates",
    "undone",
    "without",
]
