"""Reading SQL: where each statement stands, what it is, and what must not pass unread."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predeploy.contract.statement import Mode, Statement
from predeploy.sql import (
    SEPARATOR,
    Directive,
    Reading,
    UnreadableError,
    abouts,
    composed,
    digest,
    holds_ddl,
    read,
    tolerates,
    without,
)

bounded = settings(max_examples=40, deadline=None)

WRITTEN = (
    "select 1",
    "select 'é;''x'",
    'select "a;""b"',
    "select $$;--$$",
    "select $é$ ; $$ $é$",
    "insert into t values (E'\\';', '😀')",
    "create table t (\n  a int\n)",
    "create table t (\r\n  a int\r\n)",
    "do $$ begin perform 1; commit; end $$",
    "select /* ; /* é */ ; */ 2 -- 😀;\n + 3",
)
BLANKS = (" ", "\n", "\r\n", "\t", "\f", "-- é; '\n", "/* ; /* 😀 */ \n $$ */")
UNKNOWN = "frobnicate t"

written = st.sampled_from(WRITTEN)
blank = st.lists(st.sampled_from(BLANKS), max_size=3).map("".join)
scripts = st.lists(st.tuples(blank, written, blank), max_size=6)


def texts(sql: str) -> list[str]:
    return [statement.text for statement in read(sql).statements]


def only(sql: str) -> Statement:
    (statement,) = read(sql).statements
    return statement


def place(text: str, start: int) -> tuple[int, int]:
    """Line and column from 1, by counting."""
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def refusal(sql: str) -> tuple[str, int, int]:
    with pytest.raises(UnreadableError) as caught:
        read(sql)
    return str(caught.value), caught.value.line, caught.value.column


# where statements stand


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (" \r\n\t", []),
        (" ; ;;\n;", []),
        ("/* nothing; */ -- nothing;\n", []),
        ("select 1", [("select 1", 1, 1)]),
        ("select 1;;select 2;", [("select 1", 1, 1), ("select 2", 1, 11)]),
        ("\n\n  select 1 ;\n", [("select 1", 3, 3)]),
        ("-- é\r\n  select 'é';\r\nselect 2", [("select 'é'", 2, 3), ("select 2", 3, 1)]),
        ("select '😀'; select 'ü'; select 3",
         [("select '😀'", 1, 1), ("select 'ü'", 1, 13), ("select 3", 1, 25)]),
        ("/* a /* b; */ c; */ select 1; -- d", [("select 1", 1, 21)]),
        ("select 1 -- why\n; select 2", [("select 1 -- why", 1, 1), ("select 2", 2, 3)]),
        ("select E'\\';'; select 2", [("select E'\\';'", 1, 1), ("select 2", 1, 16)]),
        ("select '\\'; select 2", [("select '\\'", 1, 1), ("select 2", 1, 13)]),
        ("select U&'\\0061;'; select 2", [("select U&'\\0061;'", 1, 1), ("select 2", 1, 20)]),
        ("select $a$;$$;$a$; select 2", [("select $a$;$$;$a$", 1, 1), ("select 2", 1, 20)]),
        ("select a$b; select 2", [("select a$b", 1, 1), ("select 2", 1, 13)]),
    ],
)  # fmt: skip
def test_a_script_is_split_where_postgresql_splits_it(
    sql: str, expected: list[tuple[str, int, int]]
) -> None:
    """Semicolons in literals, names and comments end nothing; empty statements are none."""
    found = read(sql).statements

    assert [(s.text, s.line, s.column) for s in found] == expected
    assert [sql[s.start : s.end] for s in found] == [text for text, _, _ in expected]


@pytest.mark.parametrize(
    "sql",
    [
        "create function f() returns int language sql begin atomic select 1; select 2; end",
        "create procedure p() begin atomic insert into a values (1); end",
        "create rule r as on insert to t do also (insert into a values (1); delete from b)",
        "do $$ begin commit; end $$",
        "create function f() returns void language plpgsql as $f$ begin; end; $f$",
        "create schema s create table t (a int) create view v as select 1",
    ],
)
def test_a_body_with_semicolons_is_one_statement(sql: str) -> None:
    """BEGIN ATOMIC, a rule's actions and a quoted body belong to the statement around them."""
    found = texts(f"select 1; {sql}; select 2")

    assert found == ["select 1", sql, "select 2"]


@bounded
@given(scripts, blank, st.sampled_from(("", ";")), st.sampled_from(("", f"{UNKNOWN};")))
def test_offsets_lines_and_columns_agree_with_counting(
    parts: list[tuple[str, str, str]], end: str, last: str, first: str
) -> None:
    """Whatever stands between them, each statement is found at the place where it was written."""
    text, starts = first, []
    for number, (before, statement, after) in enumerate(parts, start=1):
        starts.append(len(text) + len(before))
        text += before + statement + after + (";" if number < len(parts) else last)
    text += end

    found = read(text).statements[1 if first else 0 :]

    assert [s.start for s in found] == starts
    assert [(s.line, s.column) for s in found] == [place(text, start) for start in starts]
    assert [text[s.start : s.end] for s in found] == [s.text for s in found]
    assert all(s.text.startswith(w) for s, (_, w, _) in zip(found, parts, strict=True))


def test_a_statement_keeps_a_name_that_ends_in_a_character_like_a_blank() -> None:
    """PostgreSQL takes a no-break space for a letter, so it belongs to the name before it."""
    sql = "select 1 as x\u00a0"

    found = only(sql)

    assert found.text == sql


@pytest.mark.parametrize(
    "sql",
    [
        "select " + " || ".join(["'a'"] * 3000),
        "select " + "(" * 1000 + "1" + ")" * 1000,
        " union all ".join(["select 1"] * 1000),
        "select " + "case when a then 1 else " * 300 + "2" + " end" * 300,
    ],
    ids=["operators", "parentheses", "unions", "cases"],
)
def test_deep_expressions_are_read(sql: str) -> None:
    """Ordinary SQL of great depth is no problem for the parser."""
    reading = read(f"{sql}; select 2")

    assert [s.node for s in reading.statements] == ["select_stmt", "select_stmt"]
    assert reading.complaint == ""


# what they are

IN_A_TRANSACTION = (
    "create index i on t (a)",
    "drop index i",
    "reindex table t",
    "reindex (verbose) index i",
    "analyze",
    "analyze t",
    "cluster t",
    "cluster (verbose) t using i",
    "discard temp",
    "discard plans",
    "alter table p detach partition c",
    "alter table p detach partition c finalize",
    "alter table p attach partition c default",
    "alter database d rename to e",
    "alter database d set work_mem = '1MB'",
    "alter database d connection limit 3",
    "alter subscription s enable",
    "alter subscription s set publication p with (refresh = false)",
    "alter subscription s add publication p with (refresh = off)",
    "alter type t rename value 'x' to 'y'",
    "alter type t add attribute a int",
    "alter tablespace a rename to b",
    "refresh materialized view concurrently v",
    "prepare p as select 1",
    "do $$ begin commit; end $$",
    "call p()",
    "truncate t",
    "copy t from '/tmp/x'",
    "copy t (a) to '/tmp/x' with (format csv)",
    "copy t from program 'cat x'",
    "copy t to program 'cat'",
    "copy (select 1) to '/tmp/x'",
    "copy (select 1) to program 'cat'",
    "insert into t values (1) on conflict do nothing",
    "select 1 into t",
    "set search_path = a, b",
    "select set_config('search_path', '', false)",
    "reset all",
    "set constraints all deferred",
    "checkpoint",
    "lock table t",
)
# Every PreventInTransactionBlock of PostgreSQL's source that the text alone can tell of.
IN_NO_TRANSACTION = {
    "create index concurrently i on t (a)": "CREATE INDEX CONCURRENTLY",
    "create unique index concurrently if not exists i on t (a)": "CREATE INDEX CONCURRENTLY",
    "drop index concurrently if exists i": "DROP INDEX CONCURRENTLY",
    "reindex index concurrently i": "REINDEX CONCURRENTLY",
    "reindex (verbose, concurrently) table t": "REINDEX CONCURRENTLY",
    "reindex schema concurrently s": "REINDEX CONCURRENTLY",
    "reindex schema s": "REINDEX of a schema or a database",
    "reindex database": "REINDEX of a schema or a database",
    "reindex (verbose) system d": "REINDEX of a schema or a database",
    "vacuum": "VACUUM",
    "vacuum full t": "VACUUM",
    "vacuum (analyze, verbose) t": "VACUUM",
    "cluster": "CLUSTER of every table",
    "cluster (verbose)": "CLUSTER of every table",
    "discard all": "DISCARD ALL",
    "alter table p detach partition c concurrently": "DETACH PARTITION CONCURRENTLY",
    "alter database d set tablespace t": "ALTER DATABASE … SET TABLESPACE",
    "create database d": "CREATE DATABASE",
    "drop database if exists d with (force)": "DROP DATABASE",
    "alter system set work_mem = '1MB'": "ALTER SYSTEM",
    "alter system reset all": "ALTER SYSTEM",
    "create tablespace t location '/x'": "CREATE TABLESPACE",
    "drop tablespace if exists t": "DROP TABLESPACE",
    "create subscription s connection 'c' publication p": "CREATE SUBSCRIPTION",
    "drop subscription s": "DROP SUBSCRIPTION",
    "alter subscription s refresh publication": "ALTER SUBSCRIPTION … REFRESH",
}
BOUNDS_AND_BREAKS = {
    "begin": (Mode.BEGIN, "BEGIN"),
    "BEGIN WORK": (Mode.BEGIN, "BEGIN"),
    "begin transaction": (Mode.BEGIN, "BEGIN"),
    "start transaction": (Mode.BEGIN, "START"),
    "begin isolation level serializable": (Mode.BEGIN, "BEGIN"),
    "begin read only": (Mode.REFUSED, "BEGIN READ ONLY"),
    "start transaction deferrable": (Mode.BEGIN, "START"),
    "set transaction isolation level serializable": (Mode.TRANSACTION, "SET TRANSACTION"),
    "set transaction read only": (Mode.REFUSED, "SET TRANSACTION READ ONLY"),
    "set transaction deferrable": (Mode.REFUSED, "SET TRANSACTION DEFERRABLE"),
    "set transaction snapshot 'x'": (Mode.REFUSED, "SET TRANSACTION SNAPSHOT"),
    "commit": (Mode.COMMIT, "COMMIT"),
    "commit work": (Mode.COMMIT, "COMMIT"),
    "END TRANSACTION": (Mode.COMMIT, "COMMIT"),
    "commit and no chain": (Mode.COMMIT, "COMMIT"),
    "commit and chain": (Mode.REFUSED, "COMMIT with options"),
    "end and chain": (Mode.REFUSED, "COMMIT with options"),
    "rollback": (Mode.REFUSED, "ROLLBACK"),
    "rollback and chain": (Mode.REFUSED, "ROLLBACK"),
    "abort": (Mode.REFUSED, "ROLLBACK"),
    "rollback to s": (Mode.REFUSED, "ROLLBACK TO"),
    "savepoint s": (Mode.REFUSED, "SAVEPOINT"),
    "release savepoint s": (Mode.REFUSED, "RELEASE"),
    "prepare transaction 'x'": (Mode.REFUSED, "PREPARE"),
    "commit prepared 'x'": (Mode.REFUSED, "COMMIT PREPARED"),
    "rollback prepared 'x'": (Mode.REFUSED, "ROLLBACK PREPARED"),
    "copy t from stdin": (Mode.REFUSED, "COPY … FROM STDIN"),
    "copy t (a) from stdin with (format csv)": (Mode.REFUSED, "COPY … FROM STDIN"),
    "copy t to stdout": (Mode.REFUSED, "COPY … TO STDOUT"),
    "copy (select 1) to stdout": (Mode.REFUSED, "COPY … TO STDOUT"),
    "set standard_conforming_strings = off": (Mode.REFUSED, "SET standard_conforming_strings"),
    "SET LOCAL Standard_Conforming_Strings TO 'off'": (
        Mode.REFUSED,
        "SET standard_conforming_strings",
    ),
}


def test_what_a_transaction_may_hold() -> None:
    """What PostgreSQL runs inside a transaction block is left in one."""
    found = {sql: only(sql).mode for sql in IN_A_TRANSACTION}

    assert found == dict.fromkeys(IN_A_TRANSACTION, Mode.TRANSACTION)


@pytest.mark.parametrize(
    "sql",
    [
        "set standard_conforming_strings = on",
        "reindex (concurrently false) table t",
        "create subscription s connection 'c' publication p with (create_slot = false)",
        "create subscription s connection 'c' publication p with (connect = false)",
    ],
)
def test_an_option_may_make_a_statement_harmless(sql: str) -> None:
    """What pg_dump writes, and what is switched off, PostgreSQL runs in a transaction."""
    assert only(sql).mode is Mode.TRANSACTION


def test_what_no_transaction_may_hold() -> None:
    """What PostgreSQL refuses inside a transaction block (25001) is found, and named."""
    found = {sql: (only(sql).mode, only(sql).what) for sql in IN_NO_TRANSACTION}

    assert found == {sql: (Mode.AUTOCOMMIT, what) for sql, what in IN_NO_TRANSACTION.items()}


@pytest.mark.parametrize("verb", ["set", "add", "drop"])
def test_a_subscription_is_refreshed_unless_told_otherwise(verb: str) -> None:
    """Changing a subscription's publications refreshes it, which no transaction may hold."""
    assert only(f"alter subscription s {verb} publication p").mode is Mode.AUTOCOMMIT


def test_an_added_enum_label_needs_a_transaction_of_its_own() -> None:
    """A label cannot be used in the transaction that adds it (55P04)."""
    statement = only("ALTER TYPE a.t ADD VALUE IF NOT EXISTS 'x' BEFORE 'y'")

    assert (statement.mode, statement.what) == (Mode.OWN_TRANSACTION, "ALTER TYPE … ADD VALUE")


def test_plain_begin_and_commit_bound_steps_and_the_rest_would_break_them() -> None:
    """Transaction control with options, savepoints, and COPY with the client are refused."""
    found = {sql: (only(sql).mode, only(sql).what) for sql in BOUNDS_AND_BREAKS}

    assert found == BOUNDS_AND_BREAKS


NAMED = {
    "create table t (a int)": "CREATE TABLE",
    "  drop\n  view v": "DROP VIEW",
    "analyze": "ANALYZE",
    "vacuum t": "VACUUM",
    "update t set a = 1": "UPDATE",
    "truncate t": "TRUNCATE",
    "insert into t values (1)": "INSERT INTO",
    "select '" + "x" * 100 + "'": "SELECT",
    "notify " + "x" * 60: "NOTIFY " + "X" * 33,
    "do $$ begin end $$": "DO",
    "create or replace view v as select 1": "CREATE OR REPLACE VIEW",
    "create event trigger e on ddl_command_start execute function f()": "CREATE EVENT TRIGGER",
    "create foreign data wrapper w": "CREATE FOREIGN DATA WRAPPER",
    "create foreign table t () server s": "CREATE FOREIGN TABLE",
    "create unique index concurrently_not on t (a)": "CREATE UNIQUE INDEX",
    "create user u": "CREATE USER",
    "alter default privileges grant select on tables to u": "ALTER DEFAULT PRIVILEGES",
    "insert into t select on conflict (a) do update set a = 2": "INSERT … ON CONFLICT DO UPDATE",
}


def test_a_statement_is_named_by_its_first_words() -> None:
    """Messages call a statement by its first words, as many as say what it is."""
    assert {sql: only(sql).what for sql in NAMED} == NAMED


MAY_BE_DDL = {
    "": False,
    "select 1; insert into t values (1); update t set a = 1; delete from t": False,
    "merge into t using s on t.a = s.a when matched then delete": False,
    "set search_path = a; show work_mem; set constraints all deferred; notify c": False,
    "explain select 1; prepare p as select 1; execute p; deallocate p": False,
    "select 1; create table t (a int)": True,
    "truncate t": True,
    "lock table t": True,
    "do $$ begin end $$": True,
    "call p()": True,
    UNKNOWN: True,
}


def test_only_reading_and_writing_rows_is_surely_no_ddl() -> None:
    """A DO, a CALL and what the parser cannot read may take a lock that readers feel."""
    assert {sql: holds_ddl(read(sql).statements) for sql in MAY_BE_DDL} == MAY_BE_DDL


# directives


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("-- predeploy: autocommit\nselect 1", [("autocommit", 1)]),
        ("--predeploy:autocommit\nselect 1", [("autocommit", 1)]),
        ("\n--  PreDeploy:\tAutoCommit  \r\nselect 1", [("AutoCommit", 2)]),
        ("select 1; -- predeploy: allow drop-table Old", [("allow drop-table Old", 1)]),
        ("-- predeploy:", [("", 1)]),
        ("-- é\n-- predeploy: a\nselect 'é';\n-- predeploy: b", [("a", 2), ("b", 4)]),
        (f"-- predeploy: a\n{UNKNOWN};\n-- predeploy: b", [("a", 1), ("b", 3)]),
        ("select '\n-- predeploy: a\n', $$\n-- predeploy: b\n$$ as \"\n-- predeploy: c\n\"", []),
        ("/*\n-- predeploy: autocommit\n*/ select 1", []),
        ("/* predeploy: autocommit */ -- see predeploy: autocommit\nselect 1", []),
    ],
)
def test_directives_are_comment_lines(sql: str, expected: list[tuple[str, int]]) -> None:
    """A directive counts in any letter case, as it is written, as a comment of its own."""
    assert [(d.text, d.line) for d in read(sql).directives] == expected


@pytest.mark.parametrize(
    ("sql", "marked"),
    [
        ("select 1; -- predeploy: AUTOCOMMIT\nselect 2; select 3", ["select 2"]),
        ("-- predeploy: autocommit\n-- predeploy: autocommit\nselect 1; select 2", ["select 1"]),
        (
            "-- predeploy: autocommit\nselect 'é';\n-- predeploy: autocommit\nselect 2; select 3",
            ["select 'é'", "select 2"],
        ),
        (f"-- predeploy: autocommit\n{UNKNOWN}; select 2", [UNKNOWN]),
    ],
)
def test_autocommit_marks_the_statement_after_it(sql: str, marked: list[str]) -> None:
    """Only the statement that follows the directive runs outside a transaction."""
    found = read(sql).statements

    assert [s.text for s in found if s.mode is Mode.AUTOCOMMIT] == marked


# what the parser cannot read


def test_what_the_parser_cannot_read_is_left_to_the_server() -> None:
    """Unknown grammar is split at its semicolons, unclassified, and the reading says so."""
    sql = "-- why\nselect 1;\n frobnicate (a; b) 'é;' ; -- predeploy: note\nselect 'ü'"

    reading = read(sql)

    assert reading == Reading(
        (
            Statement("select 1", 7, 2, 1, "", Mode.TRANSACTION, "SELECT"),
            Statement("frobnicate (a; b) 'é;'", 18, 3, 2, "", Mode.TRANSACTION, "FROBNICATE (A;"),
            Statement("select 'ü'", 62, 4, 1, "", Mode.TRANSACTION, "SELECT"),
        ),
        (Directive("note", 3, 61),),
        'syntax error at or near "frobnicate"',
        3,
        2,
    )


def test_foreign_text_gets_a_complaint() -> None:
    """psql's own commands, other tools' placeholders and torn text never pass for SQL."""
    foreign = (
        "select 1 \\gexec",
        "select :'v'",
        "select %(x)s",
        "\ufeffselect 1",
        "create table t (a",
    )

    readings = [read(sql) for sql in foreign]

    assert all(reading.complaint.startswith("syntax error at ") for reading in readings)
    assert [s.text for reading in readings for s in reading.statements] == list(foreign)


@pytest.mark.parametrize(
    ("sql", "complaint", "line", "column"),
    [
        ("select 'abc", 'unterminated quoted string at or near "\'abc"', 1, 8),
        ('select 1;\n\n  select "abc', 'unterminated quoted identifier at or near ""abc"', 3, 10),
        ("select $a$b$$", 'unterminated dollar-quoted string at or near "$a$b$$"', 1, 8),
        ("select E'b\\'", "unterminated quoted string at or near \"E'b\\'\"", 1, 8),
        (" /* a /* b */", 'unterminated /* comment at or near "/* a /* b */"', 1, 2),
        ("-- ééé\n\nselect 'x", 'unterminated quoted string at or near "\'x"', 3, 8),
        ("select '😀😀😀';\nselect 'x", 'unterminated quoted string at or near "\'x"', 2, 8),
        (f"select 'ü';\n\n {UNKNOWN}; commit", 'syntax error at or near "frobnicate"', 3, 2),
    ],
)
def test_a_refused_text_names_the_place(sql: str, complaint: str, line: int, column: int) -> None:
    """Line and column count characters, up to where the parser gave up."""
    assert refusal(sql) == (complaint, line, column)


WEDGES = (
    "begin", "START transaction", "commit", "End", "rollback", "abort", "savepoint s", "release s",
    "prepare transaction 'x'", "COPY t from stdin",
)  # fmt: skip


def test_an_unread_text_may_not_hold_what_could_break_a_step() -> None:
    """Transaction control and COPY are refused where the parser cannot vouch for the rest."""
    texts = [f"{UNKNOWN};\nselect 1; /* ; */ -- x\n {opening}" for opening in WEDGES]

    found = [refusal(sql) for sql in texts]

    assert found == [('syntax error at or near "frobnicate"', 1, 1)] * len(WEDGES)


def test_the_words_of_transaction_control_are_harmless_elsewhere() -> None:
    """Only the first word of a statement can be transaction control."""
    sql = f"{UNKNOWN};select commit from t;\"commit\";'copy';committed;/* end; */ x -- copy"

    assert texts(sql) == sql.removesuffix(" -- copy").replace("/* end; */ ", "").split(";")


# digests


def digest_of(sql: str) -> str:
    return digest(read(sql).statements)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select 1", "  select\r\n\t1 ;; -- why\n"),
        ("select 1; select 2", "/* a /* b */ */ select 1;\n\nselect/**/2 -- c"),
        ("create table t (\n  a int\n)", "create table t (\r\n  a int\r\n);\r\n"),
        ("select a||b", "select a || b"),
        ("select 'é' , 1", "select\n'é', 1"),
        ("select 'a'\n'b'", "select 'a'\r\n'b'"),
        ("select 'a'\n'b'", "select 'a'\n\n    'b'"),
    ],
)
def test_layout_does_not_change_the_digest(one: str, other: str) -> None:
    """Comments, blanks and line ends between tokens don't count."""
    assert digest_of(one) == digest_of(other)


DIFFERENT = (
    ("select 1", "select 2"),
    ("select 1", "select 1; select 1"),
    ("select 1; select 2", "select 2; select 1"),
    ("select a; select b", "select a b"),
    ("select 'a'", "select 'A'"),
    ("select 'a b'", "select 'a  b'"),
    ("select 'a' , 'b'", "select 'a ', 'b'"),
    ("select 'a'\n'b'", "select 'a\nb'"),
    ("select 'a -- b'", "select 'a'"),
    ("select '/* a */'", "select ''"),
    ("select $$a$$", "select $$ a$$"),
    ('select "a"', 'select "A"'),
    ("select ab", "select a b"),
    ("select 'é'", "select 'e\u0301'"),
    ("select E'a'", "select 'a'"),
)


def test_the_digest_is_frozen() -> None:
    """What is in a ledger stays recognised, whatever parser or version of ours reads the file."""
    text = "create table t (id int);\n-- a comment\ninsert into t values (1, 'é');"

    assert digest_of(text) == "3955b40f3cbdfe0f5f9d45a820f7f2b2a38f361dd592b850aa9e26d78c10ad85"


def test_content_changes_the_digest() -> None:
    """A changed literal, name, order or number of statements is another step."""
    equal = [pair for pair in DIFFERENT if digest_of(pair[0]) == digest_of(pair[1])]

    assert equal == []


@bounded
@given(scripts)
def test_any_layout_has_the_digest_of_the_plain_text(parts: list[tuple[str, str, str]]) -> None:
    """Whatever blanks and comments are put between statements, their digest is the same."""
    plain = ";".join(statement for _, statement, _ in parts)
    laid_out = "".join(f"{before}{statement}{after};" for before, statement, after in parts)

    assert digest_of(laid_out) == digest_of(plain)


# what is created, and what may be there already


def test_an_alter_table_can_go_without_what_is_done() -> None:
    """The rest keeps its order and its options."""
    text = "alter table if exists only t add a int, add check (b > 0) not valid, add b text"
    (statement,) = read(text).statements

    assert without(statement, {0}) == (
        "ALTER TABLE IF EXISTS ONLY t ADD CHECK (b > 0) NOT VALID, ADD COLUMN b text"
    )


@pytest.mark.parametrize(
    ("text", "homes"),
    [
        ("alter table a.t add x int, add constraint k check (x > 0)", ['"a"."t"', '"a"."t"']),
        ("alter table t add x int, drop y", [None]),
        ("alter table t drop y", ['"t"']),
        ("create temp table t (a int)", [None]),
        ("update t set a = 1", [None]),
    ],
)
def test_what_a_statement_is_about_is_known(text: str, homes: list[str | None]) -> None:
    """One thing each, more only of an ALTER TABLE that only adds, None where nobody can judge."""
    (statement,) = read(text).statements

    assert [about.home if about else None for about in abouts(statement, "p")] == homes


def test_statements_of_ours_stand_where_they_are_joined() -> None:
    """They are found in the text that is sent, and are in no file."""
    given = ["create table é (a int)", "create index i on é (a)"]
    text = SEPARATOR.join(given)
    found = composed(given)

    assert [text[s.start : s.end] for s in found] == given
    assert [(s.what, s.line, s.node) for s in found] == [
        ("CREATE TABLE", 0, ""),
        ("CREATE INDEX", 0, ""),
    ]
    assert [s.what for s in found] == [s.what for s in read(text).statements]


def test_what_nobody_has_read_is_read_when_it_fails() -> None:
    """What may be there already is told by the text; of what cannot be read, nobody can judge."""
    table, words = composed(["create table t (a int)", UNKNOWN])

    assert tolerates(table, "42P07")
    assert not tolerates(table, "42701")
    assert not tolerates(words, "42P07")
