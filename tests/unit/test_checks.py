"""A file of `sql/verify/` is one query, or says why not."""

import pytest

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.sources.checks import Check, read_check
from predeploy.sources.script import Script

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


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("select 1 where dblink_connect('x') is null", "dblink_connect"),
        ("select * from extensions.dblink('x', 'select 1') d(a int)", "dblink"),
        ("select 1 from (select lo_unlink(oid) from pg_largeobject_metadata) s where false",
         "lo_unlink"),
        ("select 1 where exists (select pg_catalog.lo_put(1, 0, 'x'))", "lo_put"),
        ('with a as (select "lo_create"(0)) select * from a', "lo_create"),
        ("select 1 order by PG_NOTIFY('a', 'b')", "pg_notify"),
        ("frobnicate t where pg_terminate_backend (1)", "pg_terminate_backend"),
        ("select pg_stat_reset_shared('io')", "pg_stat_reset_shared"),
    ],
)  # fmt: skip
def test_a_check_that_acts_is_refused(text: str, name: str) -> None:
    """By the functions that it calls, wherever they stand, even where they never come to run."""
    why = f"calls {name}, which does more than look; a check only asks"

    assert check(text).findings == refused(1, why)


@pytest.mark.parametrize(
    "text",
    [
        "select 'lo_unlink(1)'",
        "select lo_unlink from t",
        "select app.nextval(1)",
        "select lo_get(oid), currval('s') from pg_largeobject_metadata -- lo_unlink(oid)",
        "select pg_replication_origin_progress('o', true), pg_try_advisory_xact_lock(1)",
    ],
)
def test_a_check_that_names_one_passes(text: str) -> None:
    """A column, a literal, another schema's function, or what only reads."""
    assert check(text).findings == ()
