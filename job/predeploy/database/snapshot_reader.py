"""Looks at the database: the parts of a snapshot that a layer asked to see, in one transaction.

Read only, REPEATABLE READ: what a planner judges is one moment. The operator's own questions
(checks and presence questions) go along; one that fails is answered with its error, and the rest
is asked again without it.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from predeploy import sql
from predeploy.contract.deadline import Deadline
from predeploy.contract.quoting import literal
from predeploy.database.catalog import path_view, shape
from predeploy.database.catalog.fingerprint import fingerprint_sql
from predeploy.database.catalog.names import names_sql, parse_names
from predeploy.database.ledger import ledger, notes, other_histories
from predeploy.database.ledger.initial_state import InitialState
from predeploy.database.ledger.questions import (
    Question,
    check_questions,
    in_turn,
    refused,
    response,
    seed_questions,
)
from predeploy.database.server import wire
from predeploy.database.server.path import KEEP, SCHEMAS, operator_path_sql
from predeploy.database.server.rows import NamedAnswer, Row, typed
from predeploy.database.server.transaction import settings_sql
from predeploy.database.server.wire import Connection
from predeploy.database.shadow.declared import read_declared
from predeploy.schema import kinds
from predeploy.schema.facts import parse_facts
from predeploy.schema.kinds import KINDS, READ_WITH, Kind, gathered
from predeploy.settings import Settings
from predeploy.settings.declaration import CriticalTable
from predeploy.snapshot import PathView, Response, SchemaView, Snapshot, View
from predeploy.sources import Sources
from predeploy.sources.formats import histories_of
from predeploy.sources.formats.format import History
from predeploy.sources.squash import squash_of

_STATE = "state"  # the first question: the others are about a ledger that we know
_LOCKS_AND_ROLE = """select pg_catalog.current_setting('max_locks_per_transaction')::bigint
    * (pg_catalog.current_setting('max_connections')::int
       + pg_catalog.current_setting('max_prepared_transactions')::int), current_user"""


class SnapshotReader:
    """What a run sees of its database. It looks anew where something may have changed."""

    def __init__(
        self,
        conn: Connection,
        settings: Settings,
        sources: Sources,
        deadline: Deadline,
        initial: InitialState,
    ) -> None:
        """Look through an idle connection; `initial` is what there is to begin with."""
        self._initial = initial
        self._conn, self._settings, self._sources = conn, settings, sources
        self._deadline = deadline
        self._has_ledger = initial.has_ledger
        self._histories = histories_of(sources.tools, sources.tool.table)
        self._declared: SchemaView | None = None
        self._views: frozenset[View] = frozenset()
        self._last = Snapshot(conn.info.server_version)
        self._path: PathView | None = None
        self._in_use: bool | None = None

    @property
    def has_tables(self) -> bool:
        """Whether, at the last look, there was no ledger and the folder's schemas held tables."""
        return self._last.has_tables

    @property
    def search_path(self) -> tuple[str, ...]:
        """The schemas of the operator's search_path, at the last look."""
        return self._last.search_path.schemas

    def read(self, views: frozenset[View], beside: frozenset[View] = frozenset()) -> Snapshot:
        """Return a snapshot with `views`: the last one, or a new one, with those `beside` then.

        No query outlives the deadline. Raises DatabaseRefusedError (77) without a privilege.
        """
        if not views <= self._views:
            self._views = views | beside
            self._last = self._look(self._views)
        return self._last

    def invalidate(self) -> None:
        """Look anew the next time: something is about to be done. The ledger is there by now."""
        self._has_ledger = True
        self._views = frozenset()

    def _look(self, views: frozenset[View]) -> Snapshot:
        conn, settings, sources = self._conn, self._settings, self._sources
        declared = self._read_declared() if View.SCHEMA in views and sources.schema else None
        seeds = seed_questions(settings, sources) if View.SEEDED in views else ()
        checks = check_questions(sources) if View.CHECKS in views else ()
        known = _known(
            views, settings, sources, declared, self._histories, has_ledger=self._has_ledger
        )
        found, responses = _ask_all(conn, known, (*seeds, *checks), self._deadline, settings)
        has_ledger = self._has_ledger and not ledger.is_blank(found[_STATE])
        search_path = path_view.parse_view(found["path"], settings.endpoint)
        is_other = self._path is not None and search_path.names != self._path.names
        self._path = search_path
        if is_other and declared is not None:
            # Migrations have made a schema of the path, or removed one: the files mean others now.
            self._declared = None
            return self._look(views)
        return Snapshot(
            server_version=conn.info.server_version,
            has_ledger=has_ledger,
            # With a ledger it is not asked, as reading the files for it takes time.
            has_tables=not has_ledger and self._holds_tables(search_path.schemas),
            names=parse_names(found["names"]),
            histories=other_histories.read(
                conn, self._histories, found["histories"], search_path.schemas
            ),
            ledger=ledger.parse_rows(found["ledger"]),
            squashes=notes.parse_squashes(found["squashes"]),
            lost=notes.parse_lost(found["lost"]),
            mirrored=frozenset(name for (name,) in typed(tuple[str], found["mirrored"])),
            is_adopting=("adopting",) in found["adoption"],
            has_synced=("synced",) in found["adoption"],
            adopted=tuple(typed(tuple[str, str], found["adopted"])),
            facts=parse_facts(found["critical"]),
            fingerprint=(found["fingerprint"][0][0] or "") if found["fingerprint"] else "",
            drifts=shape.standing(conn, found["drifts"]),
            search_path=search_path,
            schema=_both_sides(declared, found) if declared is not None else None,
            seeded=responses[: len(seeds)],
            checks=responses[len(seeds) :],
        )

    def _holds_tables(self, search_path: Sequence[str]) -> bool:
        """Whether there are tables in the schemas that the folder uses.

        Those are the schemas of the search_path, and those in which its files make something.
        """
        if self._in_use is None:
            here = self._initial.inhabited & {*search_path}
            others = self._initial.inhabited - here
            self._in_use = bool(here or sql.homes(_made_by(self._sources), others))
        return self._in_use

    def _read_declared(self) -> SchemaView:
        """Return what the schema files declare, which only one look per run says is new.

        Under the search_path of the last look: the next one notices if it has changed.
        """
        if self._declared is not None:
            return self._declared
        if self._path is None:
            self._path = path_view.read_view(self._conn, self._settings.endpoint)
        read = read_declared(
            self._conn,
            self._settings,
            self._sources,
            self._deadline,
            self._path.names,
            has_ledger=self._initial.has_ledger,
        )
        self._declared = replace(read, is_new=False)
        return read


def _made_by(sources: Sources) -> tuple[str, ...]:
    files = (*sources.migrations, *sources.schema, *sources.fallbacks)
    return tuple(script.text for script in files)


def _wants_names(
    settings: Settings, sources: Sources, histories: Sequence[History], *, has_ledger: bool
) -> str:
    """Return the condition under which a planner needs the names of what is there; empty: never."""
    schema, files = settings.ledger_schema, [script.name for script in sources.migrations]
    recorded = [other_histories.there_sql(histories)] if histories and files else []
    if not has_ledger:
        return "true" if settings.baseline else " or ".join(recorded)
    unknown = [ledger.unknown_sql(schema)] if settings.baseline else []
    unshared = [ledger.unshared_sql(schema, files)] if files else []
    squashes = [said.file for script in sources.migrations if (said := squash_of(script))]
    if recorded:
        recorded = [f"({recorded[0]} and {ledger.lacks_any_sql(schema, files)})"]
    return " or ".join(
        [*unknown, *unshared, *recorded, *(ledger.lacks_sql(schema, f) for f in squashes)]
    )


def _known(
    views: frozenset[View],
    settings: Settings,
    sources: Sources,
    declared: SchemaView | None,
    histories: Sequence[History],
    *,
    has_ledger: bool,
) -> dict[Hashable, str]:
    """Return the questions of ours that `views` need, by what they are about."""
    schema = settings.ledger_schema
    known: dict[Hashable, str] = {_STATE: ledger.state_sql(schema)} if has_ledger else {}
    known["path"] = path_view.view_sql(settings.endpoint)
    if has_ledger and View.LEDGER in views:
        known |= _of_the_ledger(settings)
    wants_names = _wants_names(settings, sources, histories, has_ledger=has_ledger)
    if View.LEDGER in views and wants_names:
        known["names"] = names_sql(wants_names)
    if View.LEDGER in views and histories and sources.migrations:
        known["histories"] = other_histories.tables_sql(histories)
    if has_ledger and View.DRIFTS in views:
        known["drifts"] = shape.standing_sql(schema)
        known["adopted"] = notes.adopted_sql(schema)
    if View.CRITICAL in views:
        known["critical"] = facts_sql(settings.critical)
    if {View.CHECKS, View.SCHEMA} & views:
        known["fingerprint"] = f"select {fingerprint_sql(schema)}"
    if declared is not None:
        known["live"] = kinds.facts_sql(declared.schemas)
        known["partitions"] = kinds.partitions_sql(declared.schemas)
        if tables := _with_names(declared):
            known["named only"] = kinds.named_only_sql(tables)
        known["sizes"] = _sizes_sql(declared.schemas)
        known["users"] = kinds.COLUMN_USERS_SQL
        known["locks"] = _LOCKS_AND_ROLE
    return known


def _of_the_ledger(settings: Settings) -> dict[Hashable, str]:
    schema = settings.ledger_schema
    return {
        "ledger": ledger.rows_sql(schema),
        "adoption": notes.adoption_sql(schema),
        "squashes": notes.squashes_sql(schema),
        **({"lost": notes.lost_sql(schema)} if settings.command else {}),
        **({"mirrored": notes.mirrored_sql(schema)} if settings.mirror_history else {}),
    }


def _with_names(declared: SchemaView) -> frozenset[tuple[str, str]]:
    """Return the tables of which files name what is a fact only then.

    Also partitions with something of their own: what they have of their parents' can have its name.
    """
    kinds_of_parts = (
        Kind.INDEX.value, Kind.PARTITION_INDEX.value, Kind.CONSTRAINT.value,
        Kind.PARTITION_CONSTRAINT.value,
    )  # fmt: skip
    tables = (f for f in declared.declared if f.kind == Kind.TABLE.value)
    partitions = {(f.schema, f.relation) for f in tables if f.get("partition of")}
    parts = (f for f in declared.declared if f.kind in kinds_of_parts)
    not_nulls = (f for f in declared.declared if f.kind == Kind.NOT_NULL.value)
    return frozenset(
        {(f.schema, f.relation) for f in parts} & partitions
        | {(f.schema, f.relation) for f in not_nulls}
    )


def _both_sides(declared: SchemaView, found: Mapping[Hashable, list[Row]]) -> SchemaView:
    sizes = dict(typed(tuple[str, int], found["sizes"]))
    ((capacity, role),) = typed(tuple[int, str], found["locks"])
    live = parse_facts([*found["live"], *found["partitions"], *found["named only"]])
    users = dict(typed(tuple[str, str], found["users"]))
    return replace(
        declared,
        live=live,
        sizes=sizes,
        users=users,
        lock_capacity=capacity,
        role=role,
    )


def _sizes_sql(schemas: Sequence[str]) -> str:
    names = ", ".join(literal(name) for name in schemas)
    return f"""select concat_ws('.', n.nspname, c.relname), coalesce(
            case when c.relhassubclass then (
                with recursive tree(relid) as (
                    select c.oid union select i.inhrelid
                    from tree join pg_catalog.pg_inherits i on i.inhparent = relid)
                select sum(pg_catalog.pg_relation_size(relid)) from tree)
            else pg_catalog.pg_relation_size(c.oid) end, 0)
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'm') and n.nspname in ({names})"""


def facts_sql(critical: Sequence[CriticalTable]) -> str:
    """Return the query of the facts about the critical tables, views among them.

    For one without a schema, about all of its name that the operator's search_path holds.
    """
    placed = ", ".join(f"({literal(t.schema)}, {literal(t.table)})" for t in critical if t.schema)
    unplaced = ", ".join(literal(t.table) for t in critical if not t.schema)
    scopes = [f"(q.schema, q.relation) in (values {placed})"] if placed else []
    if unplaced:
        scopes.append(f"q.relation in ({unplaced}) and q.schema = any ({SCHEMAS})")
    scope = " or ".join(scopes) or "false"
    wanted = (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW, Kind.COLUMN)
    return gathered((KINDS[kind] for kind in wanted), scope)


def _ask_all(
    conn: Connection,
    known: Mapping[Hashable, str],
    questions: Sequence[Question],
    deadline: Deadline,
    settings: Settings,
) -> tuple[Mapping[Hashable, list[Row]], tuple[Response, ...]]:
    """Ask everything in one message; once more without each question that fails."""
    schema = settings.ledger_schema
    failed: dict[Question, Response] = {}
    limit = {"statement_timeout": f"{int(deadline.left_s * 1000) + 1}"}
    operator_path = operator_path_sql(settings.endpoint)
    names = ", ".join(literal(name) for name in READ_WITH if name != "search_path")
    unpin = f"""select pg_catalog.set_config(name, reset_val, true)
        from pg_catalog.pg_settings where name in ({names})"""
    while True:
        # Our questions run under our search_path, the operator's under theirs.
        texts: dict[Hashable, str] = {
            "begin": "begin isolation level repeatable read read only",
            "resolve": operator_path,
            "keep": KEEP,
            "pin": settings_sql({**limit, **READ_WITH}),
            **known,
            "unpin": unpin,
            "operator's path": operator_path,
            **in_turn(q for q in questions if q not in failed),
            # Up to 15 a read-only transaction can write large objects, in whatever function.
            "end": "rollback",
        }
        reply = wire.send_named(conn, texts)
        error = reply.answer.error
        if error is None:
            break
        wire.roll_back(conn)
        _require_usable(known, reply, schema)  # what else failed may come of that
        question = reply.failed
        if not isinstance(question, Question):
            with wire.translated(conn):
                raise error
        failed[question] = refused(conn, question, reply)
    _require_usable(known, reply, schema)
    found = defaultdict(list, {name: reply.rows(name) for name in known})
    return found, tuple(failed.get(q) or response(q, reply) for q in questions)


def _require_usable(known: Mapping[Hashable, str], reply: NamedAnswer, schema: str) -> None:
    if _STATE in known and reply.has(_STATE):
        ledger.require_usable(schema, reply.rows(_STATE))
