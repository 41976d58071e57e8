"""The operator's own queries: those of `verify/`, and whether a seed is present."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from psycopg.errors import InsufficientPrivilege

from predeploy.contract.quoting import literal
from predeploy.database.catalog import row_security
from predeploy.database.catalog.advice import for_refusal
from predeploy.database.server.failure import is_filtered
from predeploy.database.server.rows import NamedAnswer
from predeploy.database.server.transaction import between_policies
from predeploy.database.server.wire import Connection
from predeploy.settings import Settings
from predeploy.snapshot import Response
from predeploy.sources import Sources
from predeploy.sources.checks import read_check
from predeploy.sources.placeholders import presence_question
from predeploy.sources.seeds import read_seed

_SHOWN_ROWS = 10


@dataclass(frozen=True, slots=True)
class Question:
    """One of the operator's queries, and the file that it comes from."""

    path: str
    sql: str
    is_filtered: bool = False
    """Whether row-level security may filter the rows of the query."""


def seed_questions(settings: Settings, sources: Sources) -> tuple[Question, ...]:
    """Return the presence queries of the seeds, with their values inserted.

    A refused seed's query is left out: it may do more than read.
    """
    admin = settings.admin
    literals = {name: literal(value) for name, value in admin.identity} if admin else {}
    asked = [(s, presence_question(s, literals)) for s in sources.seeds]
    return tuple(
        Question(seed.script.path, sql, seed.is_filtered)
        for seed, sql in ((read_seed(script), sql) for script, sql in asked if sql)
        if not seed.findings
    )


def check_questions(sources: Sources) -> tuple[Question, ...]:
    """Return the queries of `verify/` that were not refused."""
    checks = [read_check(script) for script in sources.checks]
    return tuple(Question(c.script.path, c.sql, c.is_filtered) for c in checks if not c.findings)


def in_turn(questions: Iterable[Question]) -> dict[Hashable, str]:
    """Return what is sent for each query; policies may filter it if its file allows that."""
    sent: dict[Hashable, str] = {}
    for question in questions:
        sent |= between_policies(question, question.sql, is_filtered=question.is_filtered)
    return sent


def response(question: Question, reply: NamedAnswer) -> Response:
    """Return the query's result, with the first ten rows to show."""
    rows = reply.rows(question)
    return Response(question.path, reply.columns(question), tuple(rows[:_SHOWN_ROWS]), len(rows))


def refused(conn: Connection, question: Question, reply: NamedAnswer) -> Response:
    """Return why the query failed and what to do; needs an idle connection."""
    error = reply.answer.error
    assert error is not None  # noqa: S101 - only called with one
    sqlstate, message = error.sqlstate or "", error.diag.message_primary or ""
    remedy = ""
    if is_filtered(error):
        remedy = row_security.way_out(conn, message, question.path)
    elif sqlstate == InsufficientPrivilege.sqlstate:
        remedy = for_refusal(conn, message, to_read=True)
    return Response(question.path, sqlstate=sqlstate, message=message, remedy=remedy)
