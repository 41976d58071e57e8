"""The known kinds of object: one entry each, in an order in which they can be created.

A new kind is an entry: its query, its comparison and its DDL are together in one module.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType

from predeploy.contract.quoting import literal
from predeploy.schema.entry import Entry
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.columns import COLUMN
from predeploy.schema.kinds.columns.not_nulls import NOT_NULL
from predeploy.schema.kinds.columns.retyped import COLUMN_USERS_SQL
from predeploy.schema.kinds.comments import COMMENT
from predeploy.schema.kinds.indexes.indexes import INDEX, PARTITION_INDEX
from predeploy.schema.kinds.needs import needs_sql
from predeploy.schema.kinds.privileges import DEFAULT_PRIVILEGE, GRANT
from predeploy.schema.kinds.programs.attached import POLICY, RULE, STATISTICS, TRIGGER
from predeploy.schema.kinds.programs.routines import AGGREGATE, ROUTINE
from predeploy.schema.kinds.programs.views import MATERIALIZED_VIEW, VIEW
from predeploy.schema.kinds.schemas import EXTENSION, SCHEMA
from predeploy.schema.kinds.tables.constraints import CONSTRAINT, PARTITION_CONSTRAINT
from predeploy.schema.kinds.tables.tables import TABLE
from predeploy.schema.kinds.types.casts import CAST
from predeploy.schema.kinds.types.collations import COLLATION
from predeploy.schema.kinds.types.sequences import SEQUENCE
from predeploy.schema.kinds.types.text_search import (
    TEXT_SEARCH_CONFIGURATION,
    TEXT_SEARCH_DICTIONARY,
)
from predeploy.schema.kinds.types.types import COMPOSITE, DOMAIN, DOMAIN_CONSTRAINT, ENUM, RANGE
from predeploy.schema.kinds.unmodelled import UNMODELLED

__all__ = [
    "COLUMN_USERS_SQL",
    "KINDS",
    "READ_WITH",
    "Entry",
    "Kind",
    "declared_sql",
    "every_sql",
    "facts_sql",
    "gathered",
    "named_only_sql",
    "partitions_sql",
]

# Settings for reading facts, so that both sides are printed alike. Without JIT, because compiling
# the one large query takes four times as long as running it on a thousand tables.
READ_WITH = MappingProxyType(
    {
        "search_path": "pg_catalog, pg_temp",
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres",
        "TimeZone": "UTC",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "quote_all_identifiers": "off",
        "jit": "off",
    }
)

KINDS = MappingProxyType(
    {
        entry.kind: entry
        for entry in (
            EXTENSION,
            SCHEMA,
            COLLATION,
            ENUM,
            DOMAIN,
            DOMAIN_CONSTRAINT,
            COMPOSITE,
            RANGE,
            TEXT_SEARCH_DICTIONARY,
            TEXT_SEARCH_CONFIGURATION,
            SEQUENCE,
            TABLE,
            COLUMN,
            NOT_NULL,
            PARTITION_INDEX,
            INDEX,
            PARTITION_CONSTRAINT,
            CONSTRAINT,
            VIEW,
            MATERIALIZED_VIEW,
            ROUTINE,
            AGGREGATE,
            CAST,
            TRIGGER,
            RULE,
            POLICY,
            STATISTICS,
            DEFAULT_PRIVILEGE,
            GRANT,
            COMMENT,
            UNMODELLED,
        )
    }
)


# Most of these have no name that anybody chose, and there may be many.
_NAMED_ONLY = (PARTITION_INDEX, PARTITION_CONSTRAINT, NOT_NULL)


def facts_sql(schemas: Sequence[str]) -> str:
    """Return one query of all facts about `schemas`, and about what belongs to no schema.

    For `parse_facts`; read it with the settings READ_WITH. Without what
    `named_only_sql` is about.
    """
    entries = (entry for entry in KINDS.values() if entry not in _NAMED_ONLY)
    return gathered(entries, _within(schemas))


def declared_sql(schemas: Sequence[str]) -> str:
    """Return the query of `facts_sql`, with all that it leaves out, and what facts need."""
    facts = gathered(KINDS.values(), _within(schemas))
    return f"{facts} union all {needs_sql(schemas)}"


def named_only_sql(tables: Iterable[tuple[str, str]]) -> str:
    """Return one query of what is a fact only where files name it, of some tables.

    That is what partitions have of their parents' indexes and constraints, and NOT NULLs.
    """
    places = ", ".join(f"({literal(schema)}, {literal(name)})" for schema, name in sorted(tables))
    return gathered(_NAMED_ONLY, f"(q.schema, q.relation) in ({places})")


def _within(schemas: Sequence[str]) -> str:
    names = ", ".join(literal(name) for name in ("", *sorted(set(schemas))))
    return f"q.schema in ({names})"


def partitions_sql(schemas: Sequence[str]) -> str:
    """Return one query of the partitions in other schemas of tables in `schemas`.

    It has the form of `facts_sql` and includes their indexes: an index of a parent is built on each
    of them.
    """
    names = ", ".join(literal(name) for name in sorted(set(schemas)))
    elsewhere = f"""q.schema not in ({names}) and (q.schema, q.relation) in (
        with recursive tree(relid) as (
            select c.oid from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind = 'p' and n.nspname in ({names})
            union select h.inhrelid from tree join pg_catalog.pg_inherits h on h.inhparent = relid)
        select n.nspname, c.relname from tree join pg_catalog.pg_class c on c.oid = relid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace)"""
    return gathered((TABLE, INDEX), elsewhere)


def every_sql(kinds: Iterable[Kind], condition: str) -> str:
    """Return one query of all objects of some kinds that satisfy `condition`, as facts.

    A name is taken by any of them, whether or not it is a fact of a schema.
    """
    return gathered((replace(KINDS[kind], own="") for kind in kinds), condition)


def gathered(entries: Iterable[Entry], condition: str) -> str:
    """Return one query of some kinds' facts, for those rows `q` that satisfy `condition`.

    Its only row is a JSON list: a row for each fact would be thousands of messages.
    """
    parts = " union all ".join(
        f"""select pg_catalog.json_build_array({literal(entry.kind.value)}, q.schema, q.relation,
            q.name, q.attributes, q.position)
        from ({entry.query}) q(schema, relation, name, attributes, position) where {condition}"""
        for entry in entries
    )
    return f"select pg_catalog.json_agg(fact)::text from ({parts}) facts(fact)"
