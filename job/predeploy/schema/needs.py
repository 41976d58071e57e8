"""The dependencies among facts of the declared schema, from the catalogs and from their keys.

They decide both which changes have to wait and the order of changes.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from functools import cached_property

from predeploy.schema.facts import Fact, Key
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaIndex, SchemaPair, parents

_RELATIONS = (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW, Kind.SEQUENCE)
_RELATION_KINDS = frozenset(kind.value for kind in _RELATIONS)
_NAMING = frozenset((Kind.COMMENT.value, Kind.GRANT.value))
# Of these only the existence matters to their dependents, and only existence matters to them.
_NAMED_ONLY = frozenset((Kind.SEQUENCE.value, Kind.SCHEMA.value))
INDEX_LIKE = (Kind.INDEX.value, Kind.CONSTRAINT.value)
PARTS = (Kind.PARTITION_INDEX.value, Kind.PARTITION_CONSTRAINT.value)
"""The kinds of parts: partitions' indexes and constraints that belong to one of the parent."""
# Comments name these by all words of their kind, not just by the last.
_NAMED_LIKE_THEIR_KIND = (
    Kind.TEXT_SEARCH_DICTIONARY.value, Kind.TEXT_SEARCH_CONFIGURATION.value,
)  # fmt: skip
_MEANT_BY = {
    "column": (Kind.COLUMN.value,),
    "constraint": (
        Kind.CONSTRAINT.value,
        Kind.PARTITION_CONSTRAINT.value,
        Kind.DOMAIN_CONSTRAINT.value,
        Kind.NOT_NULL.value,
    ),
    "index": (*INDEX_LIKE, *PARTS),
    "foreign table": (Kind.TABLE.value,),
} | {
    kind: (kind,)
    for kind in (
        *(k.value for k in (*_RELATIONS, Kind.TRIGGER, Kind.POLICY, Kind.RULE)),
        *_NAMED_LIKE_THEIR_KIND,
    )
}


class Needs:
    """What each desired fact needs.

    `making` holds the keys of the facts that have a change. A column without one is created with
    its table, which then needs what the column needs.
    """

    def __init__(self, pair: SchemaPair, making: Container[Key] = ()) -> None:
        """Keep both arguments; dependencies are looked up on demand."""
        self._pair = pair
        self._making = making

    def of(self, fact: Fact) -> Iterator[tuple[Key, bool]]:
        """Yield the keys of the facts that `fact` needs, each with whether it is made of that one.

        What is made of another fact needs that as it is declared; all else only needs it to exist.
        """
        for key in fact.needs:
            yield key, key[0] not in _NAMED_ONLY and fact.kind not in _NAMED_ONLY
            if key[0] == Kind.COLUMN.value:  # the relation may be of any kind
                yield from (((kind.value, *key[1:3], ""), False) for kind in _RELATIONS)
        yield (Kind.SCHEMA.value, fact.schema, "", ""), False
        if fact.get("references"):  # the catalog lists only its columns and its key
            schema, referred = fact.listed("references")
            yield (Kind.TABLE.value, schema, referred, ""), True
        if fact.kind in _NAMING:
            yield from ((key, False) for key in self._named.meant_by(fact))
        if fact.kind == Kind.NOT_NULL.value:
            yield (Kind.COLUMN.value, fact.schema, fact.relation, fact.get("column")), True
            yield (Kind.DOMAIN.value, fact.schema, "", fact.relation), True
        if fact.kind in (*INDEX_LIKE, *PARTS):
            yield from self._of_parts(fact)
            whole = self._pair.desired.whole_of(fact)
            if whole is not None:
                yield whole.key, True
        if fact.relation and fact.kind not in _RELATION_KINDS:
            for kind in _RELATIONS:
                is_its_query = fact.kind == Kind.COLUMN.value and kind is not Kind.TABLE
                yield (kind.value, fact.schema, fact.relation, ""), is_its_query
        yield from self._of_columns(fact)

    def before(self, fact: Fact) -> Iterator[Key]:
        """Yield the keys of the facts that have to be made before `fact`.

        Not what owns a sequence, which only OWNED BY needs: a default there may need the sequence.
        Not the parts of an index or constraint, which its own change makes.
        """
        owner = fact.listed("owned by")[:2]
        return (key for key, _ in self.of(fact) if key[1:3] != owner and key[0] not in PARTS)

    def _of_parts(self, whole: Fact) -> Iterator[tuple[Key, bool]]:
        """Yield the named parts of an index or constraint, and the partitions that they are on."""
        for part in self._pair.desired.parts_of(whole):
            yield part.key, True
            yield (Kind.TABLE.value, part.schema, part.relation, ""), False
            yield from self._of_parts(part)

    def _of_columns(self, fact: Fact) -> Iterator[tuple[Key, bool]]:
        """Yield the columns that a new table is created with, and an inherited column's parents."""
        if fact.kind == Kind.TABLE.value and self._pair.is_missing(fact.key):
            for column in self._pair.desired.on((fact.schema, fact.relation), Kind.COLUMN):
                if column.key not in self._making:  # it is created with its table
                    yield column.key, True
        if fact.get("inherited"):
            table = self._pair.desired.get(Kind.TABLE, fact.schema, fact.relation)
            for parent in parents(table) if table is not None else ():
                yield (Kind.COLUMN.value, *parent, fact.name), False

    def leads_to(self, target: Key, keys: Iterable[Key]) -> bool:
        """Whether one of the keys is the target, or needs it through objects that are missing.

        Sequences are not followed: one needs the column that owns it only for OWNED BY.
        """
        seen: set[Key] = set()
        todo = list(keys)
        while todo:
            key = todo.pop()
            if key == target:
                return True
            if key in seen or key[0] == Kind.SEQUENCE.value or not self._pair.is_missing(key):
                continue
            seen.add(key)
            todo += (needed for needed, _ in self.of(self._pair.desired.facts[key]))
        return False

    @cached_property
    def _named(self) -> "_Names":
        return _Names(self._pair.desired)


class _Names:
    """Finds the subjects of comments and grants by their names."""

    def __init__(self, desired: SchemaIndex) -> None:
        self._desired = desired
        self._by_name: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        for fact in desired.facts.values():
            if fact.kind not in _NAMING:
                self._by_name[fact.schema, _bare(fact.name or fact.relation)].append(fact)

    def meant_by(self, fact: Fact) -> Iterator[Key]:
        """Yield the keys of what a comment or grant is about."""
        if fact.kind == Kind.COMMENT.value:
            word, _, name = fact.name.partition(" ")
            if fact.name in _MEANT_BY:
                word, name = fact.name, ""
            for kind in (kind for kind in _NAMED_LIKE_THEIR_KIND if fact.name.startswith(kind)):
                word, name = kind, fact.name.removeprefix(f"{kind} ")
            # A kind that sync does not create is found by its kind and name together.
            others = self._by_name.get((fact.schema, _bare(fact.name)), ())
            yield from (o.key for o in others if o.kind == Kind.UNMODELLED.value)
            kinds = _MEANT_BY.get(word)
            yield (Kind.COMPOSITE.value, fact.schema, "", fact.relation)
            for thing in self._by_name.get((fact.schema, _bare(name or fact.relation)), ()):
                if thing.kind in kinds if kinds else thing.kind not in _RELATION_KINDS:
                    is_on_another = fact.relation and name and thing.relation != fact.relation
                    if not is_on_another:
                        yield thing.key
            return
        if columns := fact.get("columns"):
            yield (Kind.COLUMN.value, fact.schema, fact.relation, _bare(columns.strip(" ()")))
        _, _, target = fact.get("on").partition(" ")
        name = _bare(target).removeprefix(f"{fact.schema}.")
        yield from (thing.key for thing in self._by_name.get((fact.schema, name), ()))


def _bare(name: str) -> str:
    return name.replace('"', "")
