"""Resets sequences before a step is tried again, so that its rows get the ids of a first run.

Only if no other session can have used them; otherwise the gap stays, and is reported.
"""

from collections.abc import Collection
from dataclasses import dataclass

from predeploy.contract.quoting import literal
from predeploy.database.sentinel.sequences import SequencePositions, parse_positions
from predeploy.database.server import wire
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.rows import typed
from predeploy.database.session.run_context import RunContext
from predeploy.judgment.gap import Column, Gap

_SAVEPOINT = "predeploy_sequences"


@dataclass(frozen=True, slots=True)
class Made:
    """What this run has made so far: relations by name, all with OIDs above `newest`."""

    newest: int
    names: frozenset[str]


def put_back(
    context: RunContext, asked: str, first: SequencePositions, now: SequencePositions, made: Made
) -> tuple[Gap, ...]:
    """Reset sequences to where the first try found them; return the gaps that remain.

    Runs in the open transaction of the next try, before its statements, so it is undone if that try
    fails, too. `asked` is the query for the positions. A sequence is locked from its restart to the
    end of the transaction, so the number of other sessions is queried once more after the restart.
    """
    was_alone = _was_alone(first, now)
    moved = [
        oid
        for oid, position in first.positions.items()
        if now.positions.get(oid, position) != position
        # What other sessions have drawn meanwhile is not a gap of this step.
        and (was_alone or oid in now.drawn or context.pooling is Pooling.TRANSACTION)
    ]
    if not moved:
        return ()
    found = _look(context, moved)
    own = [s for s in found if s.is_ours_to_alter]
    of_run = [s for s in own if s.oid > made.newest and made.names & s.names]
    # Other sessions cannot have used a sequence that this run itself has made.
    wanted = own if was_alone else of_run
    after = _restart(context, asked, first, wanted)
    if after is not None and wanted is own and not _was_alone(first, after):
        wire.ask(context.work, f"rollback to savepoint {_SAVEPOINT}")
        wanted = of_run
        after = _restart(context, asked, first, wanted)
    done = {s.oid for s in wanted} if after is not None else set()
    return tuple(
        Gap(
            s.label,
            first.positions[s.oid].next(s.increment),
            now.positions[s.oid].next(s.increment),
            _columns(context, s.oid),
        )
        for s in found
        if s.oid not in done
    )


@dataclass(frozen=True, slots=True)
class _Sequence:
    oid: int
    name: str
    label: str
    increment: int
    is_ours_to_alter: bool
    names: frozenset[str]


def _was_alone(first: SequencePositions, then: SequencePositions) -> bool:
    return first.others == then.others == 0 and first.ever == then.ever


def _look(context: RunContext, oids: Collection[int]) -> list[_Sequence]:
    rows = wire.ask(
        context.work,
        f"""select c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname),
               pg_catalog.concat_ws('.', n.nspname, c.relname), s.seqincrement,
               pg_catalog.pg_has_role(c.relowner, 'usage'), c.relname, (
                   select t.relname from pg_catalog.pg_depend d
                   join pg_catalog.pg_class t on t.oid = d.refobjid
                   where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                     and d.objid = c.oid and d.deptype in ('a', 'i')
                     and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass limit 1)
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_sequence s on s.seqrelid = c.oid
        where c.oid in ({", ".join(map(str, oids))}) order by 3""",
    )
    return [
        _Sequence(oid, name, label, increment, is_ours, frozenset(filter(None, (relation, owner))))
        for oid, name, label, increment, is_ours, relation, owner in typed(
            tuple[int, str, str, int, bool, str, str], rows
        )
    ]


def _restart(
    context: RunContext, asked: str, first: SequencePositions, wanted: Collection[_Sequence]
) -> SequencePositions | None:
    """Restart the sequences after a savepoint, and query again; None if that fails."""
    parts = [f"savepoint {_SAVEPOINT}"]
    for sequence in wanted:
        at = first.positions[sequence.oid]
        parts += [
            # After RESTART the sequence has a new file, so that setval() is rolled back with the
            # transaction.
            f"alter sequence {sequence.name} restart",
            f"select pg_catalog.setval({literal(sequence.name)}, {at.last}, {at.is_called})",
        ]
    answer = wire.send(context.work, ";\n".join([*parts, asked]))
    if answer.error is not None:
        wire.ask(context.work, f"rollback to savepoint {_SAVEPOINT}")
        return None
    return parse_positions(answer.last[0][0])


def _columns(context: RunContext, oid: int) -> tuple[Column, ...]:
    """Return the columns with the sequence's numbers: by default, or by a foreign key."""
    rows = wire.ask(
        context.work,
        f"""with source(relid, attnum) as (
            select d.refobjid, d.refobjsubid from pg_catalog.pg_depend d
            where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = {oid}
              and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjsubid > 0
            union
            select a.adrelid, a.adnum from pg_catalog.pg_depend d
            join pg_catalog.pg_attrdef a on a.oid = d.objid
            where d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
              and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = {oid}
        ), everywhere(relid, attnum) as (
            select relid, attnum from source
            union
            select k.conrelid, k.conkey[pg_catalog.array_position(k.confkey, s.attnum::int2)]
            from pg_catalog.pg_constraint k join source s on k.confrelid = s.relid
            where k.contype = 'f' and s.attnum = any (k.confkey)
        )
        select c.relname, a.attname from everywhere e
        join pg_catalog.pg_class c on c.oid = e.relid
        join pg_catalog.pg_attribute a on a.attrelid = e.relid and a.attnum = e.attnum""",
    )
    return tuple(typed(Column, rows))
