"""Which steps may draw from a sequence that is there before them. Pure.

Where a step draws from none but those of tables that it makes itself, a rollback takes the
sequences with it, and there is nothing to put back before the next try.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from predeploy import sql
from predeploy.contract.statement import Address, Creatable, Rows, Statement
from predeploy.contract.step import Step

Name = tuple[str, str]

_WORD = re.compile(r"\w+")
# A statement is looked at where that takes less time than to ask where the sequences stand.
_MOST_CHARACTERS = 20_000
_FILLS = frozenset(("insert_stmt", "copy_stmt"))
_LOOKED_AT = frozenset(("alter_table_stmt", "index_stmt"))
_ATTACHES_CODE = frozenset(("create_trig_stmt", "rule_stmt", "create_policy_stmt"))
# What leaves every table as it is, and every name with its meaning.
_HARMLESS = frozenset((
    *_FILLS, "update_stmt", "delete_stmt", "merge_stmt", "create_seq_stmt", "view_stmt",
    "create_enum_stmt", "composite_type_stmt", "create_domain_stmt", "create_range_stmt",
    "create_function_stmt", "comment_stmt", "grant_stmt", "constraints_set_stmt",
    "create_stats_stmt",
))  # fmt: skip
_MEANINGFUL_SETTINGS = ("search_path", "role", "session_authorization", "all")


@dataclass(frozen=True, slots=True)
class SequenceUse:
    """Whether a step may draw from a sequence that is there before it, as far as its text tells.

    Where it does not, that may rest on tables that earlier steps make: `rests_on` has those that
    must not have been there before them. `outlives` says that a rollback would have to put
    something back if what the step makes were there already.
    """

    may_draw: bool = False
    outlives: bool = False
    rests_on: frozenset[Address] = frozenset()


NOTHING = SequenceUse()


def sequence_uses(steps: Iterable[Step]) -> tuple[SequenceUse, ...]:
    """Decide for each step; those that are not migrations draw nothing that is put back here."""
    return tuple(_drawings(steps))


def _drawings(steps: Iterable[Step]) -> Iterator[SequenceUse]:
    tables = _Tables()
    preamble: tuple[str, ...] = ()
    for step in steps:
        if step.preamble != preamble:
            tables.forget()
        preamble = step.preamble
        yield tables.go_through(step)


class _Tables:
    """Tables that the steps so far have made, whose rows draw from nothing but the table's own.

    `_plain` are those of which no row is numbered. Of a name that has once meant something else,
    nothing is said.
    """

    def __init__(self) -> None:
        self._of_step: set[Name] = set()
        self._plain: dict[Name, Address] = {}
        self._by_word: defaultdict[str, set[Name]] = defaultdict(set)
        self._seen: set[Name] = set()
        self._is_elsewhere = False

    def forget(self) -> None:
        """Forget all: names may mean others, or code of the user's may have been attached."""
        self._of_step.clear()
        self._plain.clear()

    def go_through(self, step: Step) -> SequenceUse:
        self._of_step.clear()
        self._is_elsewhere = False
        may_draw = outlives = False
        rests_on: set[Address] = set()
        room = _MOST_CHARACTERS
        for statement in step.statements:
            room -= len(statement.text)
            if sql.outlives_rollback(statement):
                outlives = True
                if not may_draw and not (room > 0 and self._fills_own(statement, rests_on)):
                    may_draw = True
            self._add(statement, is_looked_at=room > 0)
        if self._is_elsewhere:
            self.forget()
        return SequenceUse(may_draw, outlives, frozenset() if may_draw else frozenset(rests_on))

    def _fills_own(self, statement: Statement, rests_on: set[Address]) -> bool:
        known = self._of_step | self._plain.keys()
        filled = sql.filled(statement) if known and statement.node in _FILLS else None
        if filled is None or not filled <= known:
            return False
        rests_on.update(self._plain[name] for name in filled - self._of_step)
        return True

    def _add(self, statement: Statement, *, is_looked_at: bool) -> None:
        node = statement.node
        if node == "create_stmt":
            self._add_table(statement)
        elif node in _LOOKED_AT:
            if not (is_looked_at and sql.keeps_rows_alike(statement)):
                self._lose(statement)
        elif node in _ATTACHES_CODE:
            self._lose(statement)
        elif node == "variable_set_stmt":
            if any(word in statement.text.lower() for word in _MEANINGFUL_SETTINGS):
                self._move()
        elif node not in _HARMLESS:
            self.forget()

    def _add_table(self, statement: Statement) -> None:
        address = next((a for a in statement.creates if a.kind is Creatable.TABLE), None)
        if address is None:
            self._move()  # a temporary table hides another one of its name
            return
        name = (address.schema, address.relation)
        rows = statement.rows
        word = address.relation.lower()
        if rows is None or self._is_elsewhere or name in self._seen or not _WORD.fullmatch(word):
            self._lose(statement)
        else:
            self._by_word[word].add(name)
            self._of_step.add(name)
            if rows is Rows.PLAIN:
                self._plain[name] = address
        self._seen.add(name)

    def _move(self) -> None:
        """Trust no name up to the step's end: it may mean another table than it did before."""
        self.forget()
        self._is_elsewhere = True

    def _lose(self, statement: Statement) -> None:
        """Forget the tables that a statement may have to do with, by its words."""
        for word in set(_WORD.findall(statement.text.lower())):
            for name in self._by_word.get(word, ()):
                self._of_step.discard(name)
                self._plain.pop(name, None)
