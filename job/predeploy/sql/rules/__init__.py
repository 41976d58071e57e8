"""What may go wrong with a statement on a database in use: one rule for each.

A rule looks at the parser's nodes and knows no database; what is on a live table, and whether it is
large, is for those who ask it. Rules of one subject share a module, and each carries its examples,
which are its tests and its entry in docs/rules.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from predeploy.contract.statement import Creatable, Statement
from predeploy.sql.parser.parsing import node_of
from predeploy.sql.rules import (
    columns,
    compatibility,
    constraints,
    data,
    indexes,
    style,
    tables,
    transactions,
)
from predeploy.sql.rules.rule import Past, Rule, Severity, Subject
from predeploy.sql.statement.stall import tables_locked

__all__ = ["RULES", "Reader", "Risk", "Rule", "Severity"]
RULES: tuple[Rule, ...] = (
    *indexes.RULES,
    *constraints.RULES,
    *columns.RULES,
    *tables.RULES,
    *transactions.RULES,
    *data.RULES,
    *compatibility.RULES,
    *style.RULES,
)
"""All rules, in the order of docs/rules.md."""


@dataclass(frozen=True, slots=True)
class Risk:
    """That a rule applies to a statement: about which object, and the safe form as SQL."""

    rule: Rule
    statement: Statement
    about: str
    safe: str


class Reader:
    """Applies the rules to the files of a folder, one after the other.

    It remembers which columns hold no null, as CHECKs that were validated before say.
    """

    def __init__(self) -> None:
        """Know of nothing yet."""
        self._checks: dict[tuple[str, str], str] = {}
        self._past = Past()

    def risks(self, transactions: Iterable[Iterable[Statement]]) -> Iterator[Risk]:
        """Yield what the rules find in a file, whose statements are given by transaction, in order.

        Statements that the parser could not read are passed over.
        """
        self._past = Past(self._past.filled)
        for statements in transactions:
            past = self._past
            past.locked, past.unproved, past.told = [], set(), set()
            for statement in statements:
                if not statement.node:
                    continue
                subject = Subject(statement, node_of(statement), self._past)
                for rule in RULES:
                    for hit in rule.check(subject):
                        yield Risk(rule, statement, hit.about, hit.safe)
                        past.told.add(rule.name)
                self._remember(subject)

    def _remember(self, subject: Subject) -> None:
        past, statement = self._past, subject.statement
        past.locked += (
            name
            for name in tables_locked(statement)
            if subject.is_old(name) and name not in past.locked
        )
        past.made |= {a.name for a in statement.creates if a.kind is Creatable.TABLE}
        past.indexed.update(style.indexed(subject))
        past.unproved.update(constraints.unproved(subject))
        for table, name, column in constraints.not_null_checks(subject):
            self._checks[table, name] = column
        for table, name in constraints.validated(subject):
            if checked := self._checks.get((table, name)):
                past.filled.add((table, checked))
