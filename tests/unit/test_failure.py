"""A failed statement: where it stands in the file, how the run ends, and what is not told."""

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.pq import DiagnosticField

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure
from predeploy.contract.secret import Secret
from predeploy.contract.step import Addition, Step
from predeploy.database.server.failure import READ_ONLY, failure_of, may_pass_again
from predeploy.sources.script import Script
from predeploy.sources.steps import steps_of

PATH = "migrations/1_a.sql"

OUTSIDE = (
    "this cannot run in a transaction: put the line -- predeploy: autocommit before the statement, "
    "and where a function or a block runs it, write it out in the file instead"
)


def step(text: str, number: int = 0) -> Step:
    return steps_of(Script("1_a.sql", PATH, text, "")).steps[number]


def error(
    sqlstate: str = "42703",
    message: str = "no such column",
    *,
    detail: str = "",
    hint: str = "",
    schema: str = "",
) -> psycopg.Error:
    """What psycopg raises for a server's message with these fields."""
    info = {
        DiagnosticField.SQLSTATE: sqlstate.encode(),
        DiagnosticField.MESSAGE_PRIMARY: message.encode(),
        DiagnosticField.MESSAGE_DETAIL: detail.encode() or None,
        DiagnosticField.MESSAGE_HINT: hint.encode() or None,
        DiagnosticField.SCHEMA_NAME: schema.encode() or None,
    }
    return psycopg.errors.lookup(sqlstate)(message, info=info, encoding="utf-8")


def failure(
    failed: Step,
    raised: psycopg.Error,
    *,
    index: int = 0,
    offset: int | None = None,
) -> Failure:
    return failure_of(failed, raised, index=index, offset=offset, failed=ExitCode.FAILED)


def test_a_failure_tells_place_code_and_statement() -> None:
    """Everything that a reader needs is in the value, on one line each."""
    broken = step("select 1;\n\nupdate t\n   set nmae = 1;")
    raised = error(detail="a detail", hint="a hint")

    found = failure(broken, raised, index=1, offset=broken.text.index("nmae"))

    assert found == Failure(
        exit_code=ExitCode.FAILED,
        path=PATH,
        line=4,
        column=8,
        sqlstate="42703",
        message="no such column",
        detail="a detail",
        remedy="a hint",
        statement="update t set nmae = 1",
    )
    assert found.place == f"{PATH}:4:8"


# where


@pytest.mark.parametrize(
    ("text", "number", "needle", "place", "statement"),
    [
        ("select x", 0, "x", (1, 8), "select x"),
        ("   select x", 0, "x", (1, 11), "select x"),
        ("-- é\n\n  select\n\tx;", 0, "x", (4, 2), "select x"),
        ("select 'é😀', x", 0, "x", (1, 14), "select 'é😀', x"),
        ("select 'é\n😀', x", 0, "x", (2, 5), "select 'é 😀', x"),
        ("select 1;\r\nselect 2,\r\n x", 0, "x", (3, 2), "select 2, x"),
        ("select 1; /* b */ select x; select 2", 0, "x", (1, 26), "select x"),
        ("select 1; /* x */ select 2", 0, "x", (1, 14), "select 1"),
        ("select 0; begin; select 1;\n select x; commit", 1, "x", (2, 9), "select x"),
        ("begin; select 0; commit; begin; select x; commit", 1, "x", (1, 40), "select x"),
        ("\n begin;\n  select x; commit", 0, "select", (3, 3), "select x"),
    ],
)
def test_the_server_s_position_becomes_line_and_column(
    text: str, number: int, needle: str, place: tuple[int, int], statement: str
) -> None:
    """An offset in the step counts characters; on the first line the step's own column is added."""
    broken = step(text, number)

    found = failure(broken, error(), index=0, offset=broken.text.index(needle))

    assert ((found.line, found.column), found.statement) == (place, statement)


lines_of_sql = st.lists(
    st.sampled_from(
        ("select 1;", "  select 'é😀' ,\r\n 2 ;", "-- ü\n", "\n", "/* é\n */", "do $$ $$;")
    ),
    min_size=1,
    max_size=6,
).map("".join)


@settings(max_examples=40, deadline=None)
@given(lines_of_sql, lines_of_sql, st.data())
def test_every_position_is_found_in_the_file(before: str, body: str, data: st.DataObject) -> None:
    """Line and column are those that an editor shows for the character in the file."""
    text = f"{before};begin;{body}select 0;commit"
    broken = step(text, -1)
    offset = data.draw(st.integers(0, len(broken.text) - 1))

    found = failure(broken, error(), offset=offset)

    at = broken.statements[0].start + offset
    assert found.line == text.count("\n", 0, at) + 1
    assert found.column == at - text.rfind("\n", 0, at)


@pytest.mark.parametrize(
    ("index", "offset", "line", "column", "statement"),
    [
        (0, None, 1, 2, "select 1"),
        (1, None, 2, 3, "select 2"),
        (2, None, 3, 1, "select 3"),
        (-1, None, 1, 2, "select 1"),
        (1, -1, 2, 3, "select 2"),
        (1, 10_000, 2, 3, "select 2"),
    ],
)
def test_without_a_position_the_failing_statement_is_the_place(
    index: int, offset: int | None, line: int, column: int, statement: str
) -> None:
    """Most errors carry none; one outside the step's text is as good as none."""
    broken = step(" select 1;\n  select 2;\nselect 3")

    found = failure(broken, error(), index=index, offset=offset)

    assert (found.line, found.column, found.statement) == (line, column, statement)
    assert found.message == "no such column"


def test_what_fails_at_the_end_of_a_step_is_said_to() -> None:
    """Deferred constraints are checked behind the last statement, which is then shown."""
    broken = step("select 1;\n  insert into t values (1)")

    found = failure(broken, error("23503", "key is not present"), index=2)

    assert (found.line, found.column, found.statement) == (2, 3, "insert into t values (1)")
    assert found.message == (
        "key is not present (a deferred constraint, checked at the end of the step)"
    )


def test_an_empty_step_has_no_place() -> None:
    """Zeros say that nothing is known."""
    found = failure(step("-- nothing"), error(), offset=3)

    assert (found.line, found.column, found.statement) == (0, 0, "")


def test_a_long_statement_is_whole() -> None:
    """Blanks are squeezed; it is the report that cuts it, behind the redaction."""
    broken = step("select\n\n   " + ", ".join(["1234567"] * 100))

    found = failure(broken, error())

    assert found.statement == "select " + ", ".join(["1234567"] * 100)


# how the run ends

LOCKED = "wait for who holds the lock, or end that session; run again"


@pytest.mark.parametrize(
    ("sqlstate", "expected", "remedy"),
    [
        ("42703", ExitCode.FAILED, "fix the statement, then run again"),
        ("23505", ExitCode.FAILED, "fix the statement, then run again"),
        ("P0001", ExitCode.FAILED, "fix the statement, then run again"),
        ("55P03", ExitCode.TEMPFAIL, LOCKED),
        ("40P01", ExitCode.TEMPFAIL, LOCKED),
        ("40001", ExitCode.TEMPFAIL, LOCKED),
        ("57014", ExitCode.TEMPFAIL,
         "give it more time (PREDEPLOY_DEADLINE), or find out who cancelled it; run again"),
        ("53100", ExitCode.TEMPFAIL, "make room on the server, then run again"),
        ("53400", ExitCode.TEMPFAIL, "make room on the server, then run again"),
        ("53300", ExitCode.TEMPFAIL,
         "raise max_connections, or close idle sessions, then run again"),
        ("25006", ExitCode.WRONG_ENDPOINT, READ_ONLY),
        ("42501", ExitCode.DENIED, "GRANT what is missing to this role, or connect as the owner"),
        ("25001", ExitCode.FAILED, OUTSIDE),
    ],
)  # fmt: skip
def test_the_sqlstate_decides_how_the_run_ends(
    sqlstate: str, expected: ExitCode, remedy: str
) -> None:
    """What may pass is 75, what is nobody's statement's fault says so, the rest is the layer's."""
    found = failure(step("select 1"), error(sqlstate))

    assert (found.exit_code, found.sqlstate, found.remedy) == (expected, sqlstate, remedy)


def test_the_layer_says_how_else_a_run_ends() -> None:
    """A seed's failed statement ends with 83, unless the SQLSTATE says better."""
    broken = step("select 1")

    found = [
        failure_of(broken, error(code), index=0, offset=None, failed=ExitCode.SEED_FAILED).exit_code
        for code in ("23502", "57014")
    ]

    assert found == [ExitCode.SEED_FAILED, ExitCode.TEMPFAIL]


def test_a_remedy_of_ours_outweighs_the_server_s_hint() -> None:
    """Where we know what helps, the server's general hint is not needed."""
    broken = step("select 1")

    found = [failure(broken, error(code, hint="a hint")).remedy for code in ("42501", "42703")]

    assert found == ["GRANT what is missing to this role, or connect as the owner", "a hint"]


def test_only_locks_are_tried_again() -> None:
    """A lock that was not obtained, a deadlock and a serialization failure may pass."""
    states = ("55P03", "40P01", "40001", "40002", "57014", "55006", "42P07", "53100", "25006", "")
    found = [
        state
        for state in states
        if may_pass_again(Failure(ExitCode.TEMPFAIL, PATH, 0, 0, state, ""))
    ]

    assert found == ["55P03", "40P01", "40001"]


@pytest.mark.parametrize(
    ("raised", "is_race"),
    [
        (error("XX000", "tuple concurrently updated"), True),
        (error("XX000", "tuple concurrently deleted"), True),
        (error("XX000", "cache lookup failed for relation 1"), False),
        (error("XX001", "tuple concurrently updated"), False),
        (error("23505", "duplicate key", schema="pg_catalog"), True),
        (error("23505", "duplicate key", schema="public"), False),
        (error("23505", "duplicate key"), False),
        (error("23514", "a check", schema="pg_catalog"), False),
    ],
)
def test_a_race_is_told_from_a_users_own_duplicate(raised: psycopg.Error, *, is_race: bool) -> None:
    """By the schema of the index, and by words of the server's that it does not translate."""
    found = failure(step("select 1"), raised)

    assert found.is_race == may_pass_again(found) == is_race
    assert found.exit_code is (ExitCode.TEMPFAIL if is_race else ExitCode.FAILED)


def test_an_error_without_fields_is_told_by_its_text() -> None:
    """The driver's own errors carry no fields of the server's."""
    found = failure(step("select 1"), psycopg.OperationalError("sending failed"))

    assert (found.sqlstate, found.message, found.detail) == ("", "sending failed", "")


# what is not told

HASH = "$2b$12$abcdefghijklmnopqrstuv"
SEED = Addition(
    "seed/admin.sql",
    "insert into t values (%(admin_password_hash)s)",
    step("insert into t values ($1)").statements,
    binds=((Secret(HASH), "ann"),),
)


def test_a_seed_s_detail_is_not_told() -> None:
    """Details quote rows, and a seed's rows hold what nobody may read."""
    raised = error("23502", "null value", detail=f"Failing row contains (1, {HASH}).")

    found = failure(SEED, raised)

    assert (found.message, found.detail) == ("null value", "")


def test_a_seed_s_secret_is_not_told_in_the_message_either() -> None:
    """Some messages quote the value that did not fit."""
    raised = error("22P02", f'invalid input syntax for type integer: "{HASH}"')

    found = failure(SEED, raised)

    assert HASH not in found.message
