"""The positions of sequences when a step is tried, returned by a function in the ledger's schema.

A rollback does not undo what was drawn from a sequence. `restart` decides which sequences are reset
before the next try.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from predeploy.contract.quoting import literal
from predeploy.database.server.path import OURS

_FEW = 50
# Reads all sequences if there are few, because triggers and functions draw from sequences that no
# text names; otherwise those among the named relations, those that these own, and those in the
# defaults of their columns. A sequence that is read stays locked until the end of the transaction,
# but only against DDL on it. If another session's DDL has locked or dropped one, no positions are
# returned, and no sequence is reset.
# Privileges are checked on rows of pg_sequence, because has_sequence_privilege() fails for other
# relations, and the order in which a plan evaluates conditions is undefined. currval() shows
# whether the session has drawn from a sequence since its last DISCARD, even after a rollback.
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
# How many other sessions there are, and how many there have ever been. A session whose columns are
# NULL, because the role may not see them, counts as a client's.
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
    """The position of a sequence; `is_called` says that `last` was already returned."""

    last: int
    is_called: bool

    def next(self, increment: int) -> int:
        """Return the value that the sequence returns next."""
        return self.last + increment if self.is_called else self.last


@dataclass(frozen=True, slots=True)
class SequencePositions:
    """The positions of sequences at one moment, by OID, and the number of other sessions.

    `others` counts the clients' sessions in the database, without predeploy's two; `ever` counts
    all sessions that were ever started there. `drawn` are the sequences that predeploy's session
    has drawn from, if that was queried.
    """

    positions: Mapping[int, Position]
    drawn: frozenset[int]
    others: int
    ever: int


def create_sql(function: str) -> str:
    """Return the statement that creates the function that `positions_sql` calls."""
    return f"""create or replace function {function}(guard int, reached name[], again boolean)
            returns jsonb
            language plpgsql volatile set search_path = {OURS} set lock_timeout = '100ms'
            as {literal(BODY)}"""


def positions_sql(
    function: str, pid: int, reached: Collection[str], *, is_again: bool = False
) -> str:
    """Return the SELECT of the positions of sequences, for the relations that a step reaches.

    `pid` is the backend's pid of predeploy's other session. With `is_again` the result includes the
    sequences from which earlier tries have drawn.
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
