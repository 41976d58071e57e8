"""Where sequences stand when a step is tried: returned by a function of the ledger.

A rollback does not take back what was drawn from a sequence. `restart` decides what is put back
before the next try.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from predeploy.contract.quoting import literal
from predeploy.database.server.path import OURS

_FEW = 50
# All sequences where they are few, as triggers and functions draw from sequences that no text
# names; else those that the named relations are, own, or have in a column's default. What is read
# stays locked to the end of the transaction, though only against DDL on the sequence. Where
# another session's DDL has locked one, or dropped it, nothing is known, and nothing put back.
# Privileges are asked of what pg_sequence lists: of a relation of another kind
# has_sequence_privilege() fails, and which condition a plan tries first nobody knows. What the
# session has drawn from since it last discarded its sequences, currval() knows, and a rollback does
# not make it forget.
_BODY = f"""
declare
    found oid[];
    tables oid[];
    defaults oid[];
    positions jsonb := '{{}}';
    drawn jsonb := '[]';
    one record;
    last bigint;
begin
    found := array(select seqrelid from pg_catalog.pg_sequence limit {_FEW + 1});
    if cardinality(found) > {_FEW} then
        tables := array(select oid from pg_catalog.pg_class where relname = any (reached));
        defaults := array(select oid from pg_catalog.pg_attrdef where adrelid = any (tables));
        found := array(
            select s.seqrelid from pg_catalog.pg_sequence s
            where s.seqrelid = any (tables || array(
                select objid from pg_catalog.pg_depend
                where refclassid = 'pg_catalog.pg_class'::regclass and refobjid = any (tables)
                  and classid = 'pg_catalog.pg_class'::regclass
                union all
                select refobjid from pg_catalog.pg_depend
                where classid = 'pg_catalog.pg_attrdef'::regclass and objid = any (defaults)
                  and refclassid = 'pg_catalog.pg_class'::regclass)));
    end if;
    begin
        for one in
            select c.oid, format('%I.%I', n.nspname, c.relname) as name,
                   pg_catalog.pg_sequence_last_value(c.oid) as last
            from pg_catalog.pg_sequence s join pg_catalog.pg_class c on c.oid = s.seqrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where s.seqrelid = any (found) and c.relpersistence <> 't'
              and has_schema_privilege(n.oid, 'usage')
              and has_sequence_privilege(s.seqrelid, 'select')
        loop
            last := one.last;
            if last is null then
                execute format('select last_value from %s', one.name) into last;
            end if;
            positions := positions || jsonb_build_object(
                one.oid, jsonb_build_array(last, one.last is not null));
            continue when not again;
            begin
                perform pg_catalog.currval(one.oid);
                drawn := drawn || to_jsonb(one.oid::bigint);
            exception when object_not_in_prerequisite_state then null;
            end;
        end loop;
    exception when lock_not_available or undefined_table or internal_error then
        positions := '{{}}';
    end;
    perform pg_catalog.pg_stat_clear_snapshot();
    return jsonb_build_object(
        'sequences', positions, 'drawn', drawn, 'company', COMPANY);
end
"""
# How many other sessions there are, and how many there have ever been. A session whose columns we
# may not see (NULL) counts as one of them.
_COMPANY = """jsonb_build_array(
        (select count(*) from pg_catalog.pg_stat_get_activity(null) a
         where a.datid = (select oid from pg_catalog.pg_database where datname = current_database())
           and a.pid not in (pg_catalog.pg_backend_pid(), guard)
           and coalesce(a.backend_type, 'client backend') = 'client backend'),
        (select pg_catalog.pg_stat_get_db_sessions(oid) from pg_catalog.pg_database
         where datname = current_database()))"""
BODY = _BODY.replace("COMPANY", _COMPANY)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a sequence stands; `is_called` says that `last` was given out already."""

    last: int
    is_called: bool

    def next(self, increment: int) -> int:
        """Return what it gives out next."""
        return self.last + increment if self.is_called else self.last


@dataclass(frozen=True, slots=True)
class SequencePositions:
    """A moment: where sequences stand, by OID, and who else is connected to the database.

    `others` counts the sessions of clients other than our two, `ever` all that were begun so far.
    `drawn` are the sequences that our session has drawn from, where it was asked.
    """

    positions: Mapping[int, Position]
    drawn: frozenset[int]
    others: int
    ever: int


def create_sql(function: str) -> str:
    """Return the statement that makes the function that `positions_sql` asks."""
    return f"""create or replace function {function}(guard int, reached name[], again boolean)
            returns jsonb
            language plpgsql volatile set search_path = {OURS} set lock_timeout = '100ms'
            as {literal(BODY)}"""


def positions_sql(
    function: str, pid: int, reached: Collection[str], *, is_again: bool = False
) -> str:
    """Return the SELECT of where sequences stand, for the relations that a step reaches.

    `pid` is that of our other session. With `is_again` the answer includes
    the sequences from which earlier tries have drawn.
    """
    names = ", ".join(literal(name) for name in sorted(reached))
    return f"select {function}({pid}, array[{names}]::pg_catalog.name[], {is_again})"


def parse_positions(told: str | None) -> SequencePositions | None:
    """Parse what `positions_sql` returned; None if the statement was not reached."""
    if told is None:
        return None
    found = json.loads(told)
    positions = {int(oid): Position(*position) for oid, position in found["sequences"].items()}
    return SequencePositions(positions, frozenset(found["drawn"]), *found["company"])
