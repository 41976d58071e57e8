"""A file of `sql/verify/` is one query, or says why not."""

import pytest

from job.exit_codes import ExitCode
from job.plan import Finding
from job.sources.checks import Check, read_check
from job.sources.script import Script

PATH = "verify/lost.sql"


def check(text: str) -> Check:
    return read_check(Script("lost.sql", PATH, text, ""))


def refused(line: int, why: str) -> tuple[Finding, ...]:
    return (Finding("bad-check", f"{PATH}:{line}: {why}", exit_code=ExitCode.BAD_SOURCES),)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("-- why\nselect id from t where x;\n", "select id from t where x"),
        ("with a as (select 1) select * from a", "with a as (select 1) select * from a"),
        ("table t", "table t"),
        ("(select ';') -- last", "(select ';') -- last"),
        ("frobnicate t;", "frobnicate t"),
    ],
)
def test_a_check_is_one_query(text: str, sql: str) -> None:
    """What is asked is the statement alone; unknown grammar is left to the server."""
    found = check(text)

    assert found == Check(Script("lost.sql", PATH, text, ""), sql, ())


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "holds 0 statements instead of one query"),
        ("-- select 1\n", 1, "holds 0 statements instead of one query"),
        ("select 1;\nselect 2", 1, "holds 2 statements instead of one query"),
        ("-- why\ndelete from t", 2, "DELETE FROM instead of a query"),
        ("begin", 1, "BEGIN instead of a query"),
        ("do $$ begin end $$", 1, "DO instead of a query"),
        ("copy t to stdout", 1, "COPY … TO STDOUT instead of a query"),
        ("explain select 1", 1, "EXPLAIN SELECT instead of a query"),
        ("select 1 where\n a = 'b", 2,
         "cannot be read: unterminated quoted string at or near \"'b\""),
        ("frobnicate;\ncommit", 1, 'cannot be read: syntax error at or near "frobnicate"'),
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str, line: int, why: str) -> None:
    """The finding names file, line and what is there instead."""
    found = check(text)

    assert found == Check(Script("lost.sql", PATH, text, ""), "", refused(line, why))
