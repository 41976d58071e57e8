"""A file's own word that row-level security may hide rows from it."""

import pytest

from predeploy import sql
from predeploy.sources.checks import read_check
from predeploy.sources.filtered import apart, says_so
from predeploy.sources.placeholders import presence_question
from predeploy.sources.script import Script
from predeploy.sources.seeds import read_seed

ON = "SET LOCAL row_security = on;"


def script(text: str) -> Script:
    return Script("a.sql", "verify/a.sql", text, "")


@pytest.mark.parametrize(
    "words",
    [
        ON,
        "set row_security = on;",
        "set session row_security to true ;",
        "set local row_security='on';",
        "SET LOCAL ROW_SECURITY\n=\nON;",
        "-- why; set row_security = off;\n/* and /* how */ ; */ set row_security = on;",
    ],
)
def test_a_leading_word_is_taken_apart_in_place(words: str) -> None:
    """What stays has the same offsets, so that the server's positions fit the file."""
    is_filtered, rest = apart(f"{words}\nselect 1")

    assert is_filtered
    assert len(rest) == len(f"{words}\nselect 1")
    assert rest.rstrip().endswith("select 1")
    (only,) = sql.read(rest).statements
    assert only.text == "select 1"


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        f"select 1; {ON}",
        "set row_security = off; select 1",
        "set row_security = only; select 1",
        "set row_security_x = on; select 1",
        "-- set row_security = on;\nselect 1",
        "/* set row_security = on; */ select 1",
        "",
    ],
)
def test_anything_else_stays_as_it_is(text: str) -> None:
    assert apart(text) == (False, text)


def test_a_check_may_begin_with_it() -> None:
    check = read_check(script(f"{ON}\nselect id from t"))

    assert (check.sql, check.is_filtered, check.findings) == ("select id from t", True, ())


def test_it_is_no_check_by_itself() -> None:
    (finding,) = read_check(script(ON)).findings

    assert "holds 0 statements instead of one query" in finding.message


def test_a_seed_may_begin_with_it() -> None:
    """Line and column of what follows are those of the file."""
    text = f"{ON}\nselect 1 from t;\ninsert into t values (1);"

    seed = read_seed(script(text))

    assert (seed.is_filtered, seed.findings) == (True, ())
    assert [bound.statement.line for bound in seed.inserts] == [3]
    assert (presence_question(script(text), {}) or "").strip() == "select 1 from t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ON, True),
        ("set row_security to yes", True),
        ("select set_config('row_security', 'on', true)", True),
        ("do $$ begin set local row_security = on; end $$", True),
        ("set row_security = off", False),
        ("reset row_security", False),
        ("select current_setting('row_security')", False),
    ],
)
def test_a_migrations_statement_says_so(*, text: str, expected: bool) -> None:
    assert says_so(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reset all", ("search_path", "row_security")),
        ("RESET search_path", ("search_path",)),
        ("set search_path to default", ("search_path",)),
        ("set local row_security = default", ("row_security",)),
        ("reset work_mem", ()),
        ("set search_path = reset", ()),
        ("set row_security = on", ()),
        ("select 1 as reset", ()),
    ],
)
def test_what_a_reset_sets_back(text: str, expected: tuple[str, ...]) -> None:
    assert sql.resets(text) == expected
