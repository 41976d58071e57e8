"""The kinds of facts, in an order in which objects can be created."""

from enum import Enum


class Kind(Enum):
    """What a fact is about; the value is the fact's `kind`."""

    EXTENSION = "extension"
    SCHEMA = "schema"
    COLLATION = "collation"
    ENUM = "enum"
    DOMAIN = "domain"
    DOMAIN_CONSTRAINT = "domain constraint"
    COMPOSITE = "composite type"
    RANGE = "range type"
    TEXT_SEARCH_DICTIONARY = "text search dictionary"
    TEXT_SEARCH_CONFIGURATION = "text search configuration"
    SEQUENCE = "sequence"
    TABLE = "table"
    COLUMN = "column"
    NOT_NULL = "not-null constraint"
    PARTITION_INDEX = "partition index"
    INDEX = "index"
    PARTITION_CONSTRAINT = "partition constraint"
    CONSTRAINT = "constraint"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"
    ROUTINE = "routine"
    AGGREGATE = "aggregate"
    CAST = "cast"
    TRIGGER = "trigger"
    RULE = "rule"
    POLICY = "policy"
    STATISTICS = "statistics"
    DEFAULT_PRIVILEGE = "default privilege"
    GRANT = "grant"
    COMMENT = "comment"
    UNMODELLED = "unmodelled"

    @property
    def rank(self) -> int:
        """Its position in this list."""
        return _RANKS[self]


_RANKS = {kind: rank for rank, kind in enumerate(Kind)}
