"""The state before a run changes anything: the ledger if any, its owner, and other tables."""

from dataclasses import astuple, dataclass

from predeploy.contract.quoting import identifier, literal
from predeploy.database.catalog import trust
from predeploy.database.sentinel import sentinel
from predeploy.database.server import wire
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.wire import Connection


@dataclass(frozen=True, slots=True)
class InitialState:
    """Whether the ledger or its schema exists, who owns it, and which schemas hold tables.

    `inhabited` are the schemas with tables, other than those of extensions and of ledgers.
    `stranger` is an untrusted role that owns a part of the ledger; empty if there is none.
    `is_harmless` is set if the connected role may only read the ledger, and reading it runs no
    code.
    """

    has_ledger: bool
    has_schema: bool
    inhabited: frozenset[str]
    stranger: str = ""
    is_harmless: bool = True


def find(conn: Connection, schema: str) -> InitialState:
    """Query the state; `schema` is the ledger's."""
    return parse(wire.ask(conn, question_sql(schema)))


def parse(rows: list[Row]) -> InitialState:
    """Convert the result of `question_sql`."""
    (found,) = typed(InitialState, rows)
    return found


def require_trusted(conn: Connection, schema: str, found: InitialState) -> None:
    """Raise DatabaseRefusedError (77) if an untrusted role owns part of the ledger."""
    if found.stranger:
        raise trust.refused(schema, found.stranger, conn.info.user)


def require_readable(conn: Connection, schema: str, found: InitialState) -> None:
    """Raise the same, but only if the role may write to the ledger or reading it could run code.

    A role that only reads is seldom a member of the deploying role. It would believe a forged
    ledger, but the deploying role's own run would already have ended with 77.
    """
    if not found.is_harmless:
        require_trusted(conn, schema, found)


def question_sql(schema: str) -> str:
    """Return the query of the state. Tables in the schema of another ledger do not count."""
    called = [name.rpartition(".")[2] for name in astuple(sentinel.functions(schema))]
    return f"""select {_exists_sql(schema)},
            pg_catalog.to_regnamespace({literal(identifier(schema))}) is not null,
            (select pg_catalog.json_agg(distinct n.nspname)::text
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p') and {theirs_sql(schema)}),
            {trust.stranger_sql(schema, called)}, {trust.harmless_sql(schema)}"""


def theirs_sql(schema: str) -> str:
    """Return a condition on pg_class c and pg_namespace n: belongs to no extension or ledger."""
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
    """Return an SQL expression: whether the ledger exists."""
    return f"pg_catalog.to_regclass({literal(identifier(schema) + '.meta')}) is not null"
