"""What there is before a run does anything: a ledger or none, its owner, and other tables."""

from dataclasses import astuple, dataclass

from predeploy.contract.quoting import identifier, literal
from predeploy.database.catalog import trust
from predeploy.database.sentinel import sentinel
from predeploy.database.server import wire
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection


@dataclass(frozen=True, slots=True)
class InitialState:
    """Whether the ledger is there, or at least its schema, whose it is, and where tables are.

    `inhabited` are the schemas that hold tables, other than those of extensions and of ledgers.
    `stranger` is a role that owns a part of the ledger and is not trusted; empty where none does.
    `is_harmless` says that we may only read the ledger, and that reading it runs no code.
    """

    has_ledger: bool
    has_schema: bool
    inhabited: frozenset[str]
    stranger: str = ""
    is_harmless: bool = True


def find(conn: Connection, schema: str) -> InitialState:
    """Ask what is there."""
    return parse(wire.ask(conn, question_sql(schema)))


def parse(rows: list[wire.Row]) -> InitialState:
    """Turn what `question_sql` returned into values."""
    (found,) = typed(InitialState, rows)
    return found


def require_trusted(conn: Connection, schema: str, found: InitialState) -> None:
    """Raise DatabaseRefusedError (77) where a role that is not trusted owns part of the ledger."""
    if found.stranger:
        raise trust.refused(schema, found.stranger, conn.info.user)


def require_readable(conn: Connection, schema: str, found: InitialState) -> None:
    """Raise the same, but only where we may write to the ledger, or reading it could run code.

    A role that only reads is seldom a member of the deploying role. It would believe the ledger of
    a squatter, but the deploying role's own run has ended with 77 before.
    """
    if not found.is_harmless:
        require_trusted(conn, schema, found)


def question_sql(schema: str) -> str:
    """Return the query of what is there. Tables in the schema of another ledger do not count."""
    called = [name.rpartition(".")[2] for name in astuple(sentinel.functions(schema))]
    return f"""select {_exists_sql(schema)},
            pg_catalog.to_regnamespace({literal(identifier(schema))}) is not null,
            (select pg_catalog.json_agg(distinct n.nspname)::text
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p') and {theirs_sql(schema)}),
            {trust.stranger_sql(schema, called)}, {trust.harmless_sql(schema)}"""


def theirs_sql(schema: str) -> str:
    """Return a condition on pg_class c and pg_namespace n: no extension's, nor any ledger's."""
    return f"""n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}
              -- Not by to_regclass, which asks for USAGE on schemas that are none of our business.
              and (
                select pg_catalog.count(*) from pg_catalog.pg_class l
                where l.relnamespace = n.oid
                  and l.relname in ('meta', 'migration', 'run', 'state')) < 4
              and not exists (
                select from pg_catalog.pg_depend d
                where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  and d.objid = c.oid and d.deptype = 'e')"""


def _exists_sql(schema: str) -> str:
    """Return an expression: whether the ledger is there."""
    return f"pg_catalog.to_regclass({literal(identifier(schema) + '.meta')}) is not null"
