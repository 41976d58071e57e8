"""The DDL of indexes and of the keys that own one, of one table."""

import re
from collections.abc import Iterator

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import Change, Phase, Report, change, drift, relation
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.names import derived
from predeploy.schema.schema_pair import SchemaPair

# Storage parameters, at the end of an index definition.
_STORED = re.compile(r" WITH \([^()\"]+\)$")


def create_sql(index: Fact, name: str, how: str = "", on: str = "") -> str:
    """Return a CREATE INDEX; `how` comes before the name, `on` replaces the table."""
    unique = "UNIQUE " if index.get("unique") else ""
    return (
        f"CREATE {unique}INDEX {how}{identifier(name)} ON {on or relation(index)} "
        f"{index.get('definition')}"
    )


def index_name(thing: Fact) -> str:
    """Return the quoted, qualified name of an index, or of a key's index."""
    return identifier(thing.schema, thing.name)


def index_of(key: Fact) -> Fact:
    """Return the index that a unique constraint or a primary key takes over."""
    shape = (("unique", "true"), ("definition", key.get("index")))
    return Fact(Kind.INDEX.value, key.schema, key.relation, key.name, shape, key.order)


def is_twin(desired: Fact, live: Fact) -> bool:
    """Whether they are the same except for the name and for being valid."""
    return desired.is_alike(live, "unique", "definition", "type", "index")


_OPENING = """'CREATE ' || case when x.indisunique then 'UNIQUE ' else '' end || 'INDEX '
    || pg_catalog.quote_ident(i.relname) || ' ON '
    || case when c.relkind = 'p' then 'ONLY ' else '' end
    || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) || ' '"""
DEFINITION = f"substr(pg_catalog.pg_get_indexdef(x.indexrelid), pg_catalog.length({_OPENING}) + 1)"
"""An SQL expression for what follows the table's name: `USING btree (id) WHERE …`."""
IS_NO_KEY = """not exists (
            select from pg_catalog.pg_constraint k
            where k.conrelid = x.indrelid and k.conindid = i.oid
              and k.contype in ('p', 'u', 'x'))"""
"""An SQL condition for a query with pg_index x and its pg_class i: no constraint owns the index."""


def named(constraint: Fact) -> str:
    """Return it as in ADD; the storage parameters are known only from its index."""
    when = timing(constraint)
    stored = _STORED.search(constraint.get("index"))
    definition = constraint.get("definition")
    if stored:
        definition = definition.removesuffix(when) + stored[0] + when
    return f"CONSTRAINT {identifier(constraint.name)} {definition}"


def timing(constraint: Fact) -> str:
    """Return when a constraint is checked, as in ADD."""
    deferrable = " DEFERRABLE" if constraint.get("deferrable") else ""
    return f"{deferrable} INITIALLY DEFERRED" if constraint.get("deferred") else deferrable


def add_key(key: Fact) -> str:
    """Return the statement that adds a unique constraint or primary key, with a new index."""
    return f"ALTER TABLE {relation(key)} ADD {named(key)}"


def take_over(key: Fact, index_name: str) -> str:
    """Return the statement that makes an existing index a key and renames it to the key's name."""
    return (
        f"ALTER TABLE {relation(key)} ADD CONSTRAINT {identifier(key.name)} "
        f"{key.get('type').upper()} USING INDEX {identifier(index_name)}{timing(key)}"
    )


def otherwise_defined(desired: Fact, live: Fact) -> Report:
    """Return the drift of a live index whose definition is not the declared one."""
    return drift(
        desired,
        live,
        "index-definition",
        live.get("definition"),
        "build the new one under another name and drop this one, in a migration",
    )


def identifying(desired: Fact, live: Fact | None) -> Iterator[Change]:
    """Let the index, or that of a key, tell the rows that are replicated, if it is declared so."""
    if desired.get("replica identity") and not (live and live.get("replica identity")):
        name = identifier((live or desired).name)
        statement = f"ALTER TABLE {relation(desired)} REPLICA IDENTITY USING INDEX {name}"
        yield change(desired, Phase.AFTER, statement)


def leaf(own: Fact, table: Fact, pair: SchemaPair) -> Iterator[str]:
    """Yield the statements that build a table's own index or key online, if it is missing."""
    there = twin(own, table, pair)
    is_built = there is not None and not there.get("invalid")
    if own.kind == Kind.INDEX.value:
        if not is_built:
            yield create_sql(own, own.name, "CONCURRENTLY IF NOT EXISTS ")
    elif there is None:
        yield from _key(own, table, pair)
    elif not is_built:
        yield f"REINDEX INDEX CONCURRENTLY {index_name(own)}"


def name_on(thing: Fact, table: Fact, pair: SchemaPair) -> str:
    """Return the name of a table's counterpart of its parent's index or key, present or future.

    The files' name for it takes precedence over a generated one.
    """
    there = twin(thing, table, pair)
    if there is not None:
        return there.name
    place = (table.schema, table.relation)
    written = (
        part.name
        for part in pair.desired.parts_of(thing)
        if (part.schema, part.relation) == place and part.key not in pair.live.facts
    )
    return next(written, derived(table.relation, thing.name))


def twin(thing: Fact, table: Fact, pair: SchemaPair) -> Fact | None:
    """Return the live table's own index or key that is the same except for the name."""
    found = pair.live.on((table.schema, table.relation), Kind(thing.kind))
    return next((fact for fact in found if is_twin(thing, fact)), None)


def _key(own: Fact, table: Fact, pair: SchemaPair) -> Iterator[str]:
    index = twin(index_of(own), table, pair)
    name = own.name if index is None else index.name
    if index is None or index.get("invalid"):
        yield create_sql(index_of(own), name, "CONCURRENTLY IF NOT EXISTS ")
    yield take_over(own, name)
