"""Orders changes: each comes after what it needs, and otherwise by phase and creation order."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from itertools import pairwise

from predeploy.schema.comparison.waiting import Made
from predeploy.schema.ddl import Change, Phase
from predeploy.schema.facts import Key
from predeploy.schema.kind import Kind
from predeploy.schema.needs import INDEX_LIKE, Needs
from predeploy.schema.schema_pair import SchemaPair

_Place = tuple[int, tuple[int, int], int, str]


def in_order(changes: Sequence[Made], pair: SchemaPair) -> tuple[Change, ...]:
    """Sort changes topologically; those that are ready at once go by phase, then by creation.

    For example, a view that groups by a primary key comes after the key, although keys are built
    online, in a later phase.
    """
    if not changes[1:]:
        return tuple(change for _, change in changes)
    graph = _Graph(changes, pair)
    return tuple(changes[number][1] for number in graph.sorted())


class _Graph:
    """The changes by number, and for each the numbers of the changes that must precede it."""

    def __init__(self, changes: Sequence[Made], pair: SchemaPair) -> None:
        self._changes = changes
        self._pair = pair
        self._of_fact: dict[Key, list[int]] = defaultdict(list)
        for number, (fact, _) in enumerate(changes):
            self._of_fact[fact.key].append(number)
        self._needs = Needs(pair, self._of_fact.keys())
        self._found: dict[Key, tuple[Key, ...]] = {}
        self._before = [self._needed_by(number) for number in range(len(changes))]
        self._fixed = [self._stated_needs(number) for number in range(len(changes))]
        for number, before in enumerate(self._before):
            self._before[number] = {n for n in before if not self._contradicts(n, number)}

    def sorted(self) -> Iterator[int]:
        """Yield the numbers in order."""
        sorter = self._sorter()
        ready: list[tuple[_Place, int]] = []
        while sorter.is_active():
            for number in sorter.get_ready():
                heappush(ready, (self._place(number), number))
            _, number = heappop(ready)
            yield number
            sorter.done(number)

    def _sorter(self) -> TopologicalSorter[int]:
        """Return the prepared sorter; break each cycle by dropping one need."""
        while True:
            pairs = zip(self._fixed, self._before, strict=True)
            sorter = TopologicalSorter({n: a | b for n, (a, b) in enumerate(pairs)})
            try:
                sorter.prepare()
            except CycleError as error:
                self._break(error.args[1])
            else:
                return sorter

    def _break(self, cycle: Sequence[int]) -> None:
        """Drop the need in a cycle whose required object was created last; best one not fixed."""
        edges = [*pairwise(cycle)]
        loose = [(before, number) for before, number in edges if before in self._before[number]]
        before, number = max(loose or edges, key=lambda pair: (self._created(pair[0]), pair))
        self._before[number].discard(before)
        self._fixed[number].discard(before)

    def _contradicts(self, before: int, number: int) -> bool:
        """Whether to drop a need because the opposite one is fixed or follows creation order."""
        if number in self._fixed[before]:
            return True
        is_mutual = number in self._before[before]
        return is_mutual and self._created(before) > self._created(number)

    def _stated_needs(self, number: int) -> set[int]:
        """Return the changes that `change.needs` lists, and the earlier ones of the same fact."""
        fact, change = self._changes[number]
        earlier = (n for n in self._of_fact[fact.key] if n < number)
        own = {n for n in earlier if self._phase(n) <= self._phase(number)}
        return own | {n for key in change.needs for n in self._made_for(key, number)}

    def _needed_by(self, number: int) -> set[int]:
        fact, _ = self._changes[number]
        needed = self._needs.before(fact)
        return {n for key in needed for n in self._made_for(key, number)}

    def _made_for(self, key: Key, number: int) -> Iterator[int]:
        """Yield the changes that must precede one that needs a key.

        The first change of a missing object creates it, and the first of an invalid index or key
        rebuilds it. All others only complete an object, so they precede `number` only if they are
        not of a later phase.
        """
        own, phase = self._changes[number][0].key, self._phase(number)
        for made in self._resolved(key):
            if made == own:
                continue
            first, *_ = numbers = self._of_fact[made]
            is_rebuilt = made[0] in INDEX_LIKE and self._phase(first) == Phase.ONLINE.value
            is_made = is_rebuilt or self._pair.is_missing(made)
            yield from (n for n in numbers if self._phase(n) <= phase or (n == first and is_made))

    def _resolved(self, key: Key) -> tuple[Key, ...]:
        """Return the key if a change makes it; else, if it is missing, the keys that it needs."""
        if key in self._of_fact:
            return (key,)
        if key not in self._found:
            self._found[key] = ()
            if self._pair.is_missing(key):
                needed = (k for k, _ in self._needs.of(self._pair.desired.facts[key]))
                found = (one for k in needed for one in self._resolved(k))
                self._found[key] = tuple(dict.fromkeys(found))
        return self._found[key]

    def _phase(self, number: int) -> int:
        return self._changes[number][1].phase.value

    def _created(self, number: int) -> tuple[int, int]:
        return self._changes[number][1].fact.order

    def _place(self, number: int) -> _Place:
        change = self._changes[number][1]
        fact = change.fact
        return (change.phase.value, fact.order, Kind(fact.kind).rank, fact.identity)
