"""The declarations that pending files need if their tables hold rows, all reported at once.

A run stops at the first step that it refuses, and on a database without rows it refuses none. So
what the text of the other steps shows is reported with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from predeploy import sql
from predeploy.contract.plan import Ask
from predeploy.contract.step import Migration, Step
from predeploy.layers.situation.base import Situation
from predeploy.losses.allowlist import Names, to_declare, undeclared
from predeploy.losses.loss import Loss, Verb
from predeploy.sources.steps import steps_of


def expected(situation: Situation, steps: Sequence[Step]) -> tuple[Ask, ...]:
    """Return the declarations missing from these pending steps, as far as the files' text shows."""
    asked = {(s.path, s.lines) for s in steps if isinstance(s, Migration) and s.statements}
    if not any(sql.may_lose(step.statements) for step in steps):
        return ()
    followed = [step for h in situation.files for step in steps_of(h.script).steps]
    pending = [(step.path, step.lines) in asked for step in followed]
    return undeclared_in(followed, pending, Names(situation.snapshot.search_path.schemas))


def undeclared_in(
    followed: Sequence[Step], pending: Sequence[bool], names: Names
) -> tuple[Ask, ...]:
    """Return the declarations that the `pending` ones of these steps lack, by their text alone."""
    losses = sql.forecast([step.statements for step in followed], pending)
    found = (_lacking(step, lost, names) for step, lost in zip(followed, losses, strict=True))
    return tuple(ask for ask in found if ask is not None)


def with_expected(
    known: Iterable[Ask], text: Iterable[Ask], search_path: tuple[str, ...]
) -> tuple[Ask, ...]:
    """Merge what is known about steps with what else their text shows, in the order of steps."""
    names = Names(search_path)
    found = {(ask.path, ask.line): ask for ask in known}
    for ask in text:
        there = found.get((ask.path, ask.line))
        said = there.declarations if there else ()
        more = undeclared((_loss(d.verb, d.target) for d in ask.declarations), said, names)
        lines = (*said, *(loss.declaration for loss in more))
        found[ask.path, ask.line] = replace(ask, declarations=lines)
    return tuple(found[key] for key in sorted(found))


def _lacking(step: Step, lost: tuple[Loss, ...], names: Names) -> Ask | None:
    missing = to_declare(undeclared(lost, step.declarations, names), names)
    if not missing:
        return None
    declarations = tuple(loss.declaration for loss in missing)
    return Ask(step.path, step.statements[0].line, declarations, step.allow_key)


def _loss(verb: str, target: str) -> Loss:
    return Loss(Verb(verb), target)
