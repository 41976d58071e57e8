"""Whether a database came out as an undisturbed one: facts, ledger, every row, and no leftovers.

Of the rows all is compared but when they were made, and numbers drawn from a sequence, which does
not take back what was drawn in a transaction that failed.
"""

from dataclasses import dataclass

from conftest import Database
from production import orphans
from two_sides import SCHEMAS, facts

from predeploy.schema.kinds import READ_WITH, facts_sql

_LEDGER = """select file, position, occurrence, step_hash, is_final, is_done
    from predeploy.migration order by 1, 2"""
_TABLES = """
    select format('%I.%I', nspname, relname), string_agg(quote_ident(attname), ', ' order by attnum)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute on attrelid = c.oid
    left join pg_attrdef on adrelid = c.oid and adnum = attnum
    where relkind = 'r' and nspname !~ '^(pg_|information_schema$|predeploy$)'
      and attnum > 0 and not attisdropped and atttypid::regtype::text !~ '^(time|date)'
      and attidentity = '' and coalesce(pg_get_expr(adbin, adrelid), '') !~ 'nextval'
    group by 1 order by 1"""


@dataclass(frozen=True)
class State:
    """Schema facts, the ledger's rows, and every row."""

    facts: frozenset
    ledger: tuple
    rows: dict

    @staticmethod
    def of(database: Database) -> "State":
        rows = {
            table: database.rows(f"select row({columns})::text from {table} order by 1")
            for table, columns in database.rows(_TABLES)
        }
        return State(facts(database), tuple(database.rows(_LEDGER)), rows)


class Undisturbed:
    """What came of an undisturbed run, to compare others with.

    The server makes a digest of it all; only where that differs both are read.
    """

    def __init__(self, database: Database) -> None:
        self.state = State.of(database)
        self._rows = " union all ".join(
            f"select '{table}', count(*), sum(hashtextextended(row({columns})::text, 0)) "
            f"from {table}"
            for table, columns in database.rows(_TABLES)
        )
        self._digest = self._digest_of(database)

    def require_like(self, database: Database, story: str) -> None:
        """Fail unless the database is like it, and nothing is left of a run that died."""
        if self._digest_of(database) != self._digest:
            found = State.of(database)
            assert found.facts ^ self.state.facts == frozenset(), story
            assert found.ledger == self.state.ledger, story
            assert found.rows == self.state.rows, story
        assert orphans(database) == [], story

    def _digest_of(self, database: Database) -> list[tuple]:
        settings = ", ".join(f"set_config('{k}', '{v}', false)" for k, v in READ_WITH.items())
        with database.connect() as conn:
            conn.execute(f"select {settings}")
            every = facts_sql(SCHEMAS)
            # The last is from object numbers, of which no two databases have the same.
            shapes = (
                f"select fact - 5 from ({every}) f(facts), jsonb_array_elements(facts::jsonb) fact"
            )
            digests = ", ".join(
                f"(select md5(string_agg(f::text, ' ' order by f::text)) from ({sql}) f)"
                for sql in (shapes, _LEDGER, self._rows)
            )
            return conn.execute(f"select {digests}").fetchall()
