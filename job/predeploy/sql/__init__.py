"""Reads SQL text: finds its statements and classifies them. The only user of libpg_query.

Text in, values out: no files, no database. Offsets returned by this package count characters;
libpg_query's own offsets count bytes of UTF-8.
"""

from predeploy.sql.outcome.conversion import Conversion, conversions
from predeploy.sql.outcome.forecast import forecast, may_lose
from predeploy.sql.outcome.homes import homes
from predeploy.sql.outcome.net import NetResult, net_result
from predeploy.sql.outcome.story import NamedObject
from predeploy.sql.outcome.undone import Undone, undone
from predeploy.sql.outcome.usable import may_use
from predeploy.sql.parser.digest import digest
from predeploy.sql.parser.odd_characters import odd_characters
from predeploy.sql.parser.unparsed import UnreadableError
from predeploy.sql.script.composed import SEPARATOR, composed
from predeploy.sql.script.directives import Directive
from predeploy.sql.script.reading import Reading, read
from predeploy.sql.statement.acting import acting_call
from predeploy.sql.statement.alteration import alters
from predeploy.sql.statement.autocommit_target import (
    AutocommitTarget,
    Detach,
    IndexBuild,
    IndexDrop,
    Rebuild,
    Repeatable,
    autocommit_target,
)
from predeploy.sql.statement.classify import (
    holds_ddl,
    is_additive,
    is_unwatched,
    resets,
    sets_session,
)
from predeploy.sql.statement.creation import ColumnRemoval, Creation, abouts, tolerates, without
from predeploy.sql.statement.effects import (
    Destruction,
    destruction,
    outlives_rollback,
    relations_reached,
)
from predeploy.sql.statement.guarded import guarded_drops
from predeploy.sql.statement.isolation import isolation
from predeploy.sql.statement.rows import filled, keeps_rows_alike
from predeploy.sql.statement.stall import Stall, stall
from predeploy.sql.statement.targets import schema_made

__all__ = [
    "SEPARATOR",
    "AutocommitTarget",
    "ColumnRemoval",
    "Conversion",
    "Creation",
    "Destruction",
    "Detach",
    "Directive",
    "IndexBuild",
    "IndexDrop",
    "NamedObject",
    "NetResult",
    "Reading",
    "Rebuild",
    "Repeatable",
    "Stall",
    "Undone",
    "UnreadableError",
    "abouts",
    "acting_call",
    "alters",
    "autocommit_target",
    "composed",
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
