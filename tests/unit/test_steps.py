"""How a file becomes steps, and what stands in the way."""

import hashlib
from dataclasses import replace

import pytest

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.step import Declaration, LedgerEntry, Migration, OnlineMigration
from predeploy.sources.script import Script
from predeploy.sources.steps import ScriptSteps, steps_of

PATH = "migrations/2024/0001_a.sql"
RAW_HASH = "f" * 64


def cut(text: str) -> ScriptSteps:
    return steps_of(Script("0001_a.sql", PATH, text, RAW_HASH, version=(1,)))


def entries(text: str) -> list[tuple[str, int, int, bool]]:
    """Each step's text, and what the ledger keeps of its place."""
    return [
        (step.text, step.entry.occurrence, step.entry.position, step.entry.is_final)
        for step in cut(text).steps
        if step.entry
    ]


def refused(code: str, line: int, why: str) -> Finding:
    return Finding(code, f"{PATH}:{line}: {why}", exit_code=ExitCode.BAD_SOURCES)


def test_a_file_is_one_step() -> None:
    """The step holds the text from the first statement to the last, and its ledger row."""
    text = "-- why\n create table t (a int);\n\ninsert into t values ('é'); -- done\n"

    found = cut(text)

    held = sql.read(text).statements
    entry = LedgerEntry("0001_a.sql", sql.digest(held), 1, 1, is_final=True, raw_hash="f" * 64)
    body = "create table t (a int);\n\ninsert into t values ('é')"
    span = (text.index(body), text.index(body) + len(body))
    step = Migration(PATH, text, held, entry, span=span)
    assert found == ScriptSteps((step,), ())
    assert step.text == body
    assert (found.steps[0].label, found.steps[0].lines) == (PATH, "lines 2-4")


@pytest.mark.parametrize("text", ["", " \n", "-- nothing yet\n", ";;"])
def test_a_file_without_statements_is_one_empty_step(text: str) -> None:
    """The ledger holds such a file too, so that it is not pending forever."""
    empty = LedgerEntry(
        "0001_a.sql", hashlib.sha256().hexdigest(), 1, 1, is_final=True, raw_hash=RAW_HASH
    )

    found = cut(text)

    assert found == ScriptSteps((Migration(PATH, "", (), empty),), ())
    assert found.steps[0].lines == "no statement"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("begin; select 1; select 2; commit;", [("select 1; select 2", 1, 1, True)]),
        (
            "select 0; BEGIN WORK; select 1; END; start transaction;\nselect 2; commit; select 3",
            [
                ("select 0", 1, 1, False),
                ("select 1", 1, 2, False),
                ("select 2", 1, 3, False),
                ("select 3", 1, 4, True),
            ],
        ),
        ("begin; commit; select 1", [("select 1", 1, 1, True)]),
        ("begin; commit", [("", 1, 1, True)]),
        (
            "select 1; alter type t add value 'x'; select 2",
            [
                ("select 1", 1, 1, False),
                ("alter type t add value 'x'", 1, 2, False),
                ("select 2", 1, 3, True),
            ],
        ),
        (
            "alter type t add value 'x'; alter type t add value 'x'",
            [
                ("alter type t add value 'x'", 1, 1, False),
                ("alter type t add value 'x'", 2, 2, True),
            ],
        ),
        (
            "begin; alter type t add value 'x'; select 2; commit",
            [("alter type t add value 'x'; select 2", 1, 1, True)],
        ),
        (
            "begin; select 1; commit; begin; select  1 /* again */; commit; select 2",
            [
                ("select 1", 1, 1, False),
                ("select  1 /* again */", 2, 2, False),
                ("select 2", 1, 3, True),
            ],
        ),
    ],
)
def test_steps_are_bounded(text: str, expected: list[tuple[str, int, int, bool]]) -> None:
    """BEGIN, COMMIT and a new enum label bound steps; repeats are counted; the last is final."""
    assert entries(text) == expected
    assert cut(text).findings == ()


def test_steps_of_one_text_have_one_hash_whatever_their_layout() -> None:
    """A step's identity is its text without comments and blanks, and how often it came before."""
    one, other = cut("begin; select 1; commit; begin; -- again\nselect   1; commit").steps

    assert one.entry is not None
    assert other.entry is not None
    assert one.entry.step_hash == other.entry.step_hash
    assert (one.entry.identity, other.entry.identity) == (
        (one.entry.step_hash, 1),
        (one.entry.step_hash, 2),
    )


def test_a_step_of_several_is_named_with_its_number_and_lines() -> None:
    """Logs and reports tell the steps of one file apart."""
    steps = cut("begin;\nselect 1;\ncommit;\n\nselect\n2;\nselect 3\n").steps

    assert [(s.label, s.lines) for s in steps] == [
        (f"{PATH} step 1", "lines 2-2"),
        (f"{PATH} step 2", "lines 5-7"),
    ]


def test_a_step_knows_whether_it_holds_ddl() -> None:
    """Each step is judged by its own statements."""
    steps = cut("begin; insert into t values (1); commit; alter table t add a int").steps

    assert [sql.holds_ddl(step.statements) for step in steps] == [False, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nbegin;\nselect 1", [("open-transaction", 2, "BEGIN has no COMMIT after it")]),
        ("begin;\nstart transaction;\ncommit",
         [("nested-transaction", 2, "START inside a transaction")]),
        ("select 1;\n commit", [("stray-commit", 2, "COMMIT without a BEGIN before it")]),
        ("begin; commit;\nend", [("stray-commit", 2, "COMMIT without a BEGIN before it")]),
        ("begin; select 1;\nrollback;\ncommit",
         [("unrunnable", 2, "ROLLBACK cannot be part of a migration")]),
        ("select 'é\n';savepoint s;\nrelease s",
         [("unrunnable", 2, "SAVEPOINT cannot be part of a migration"),
          ("unrunnable", 3, "RELEASE cannot be part of a migration")]),
        ("begin read only;\ncommit",
         [("unrunnable", 1, "BEGIN READ ONLY: a step writes, at least its row in the ledger")]),
        ("set transaction read only",
         [("unrunnable", 1,
           "SET TRANSACTION READ ONLY: a step writes, at least its row in the ledger")]),
        ("begin;\ncommit and chain;\ncommit",
         [("unrunnable", 2, "COMMIT with options cannot be part of a migration")]),
        ("prepare transaction 'x'", [("unrunnable", 1, "PREPARE cannot be part of a migration")]),
        ("copy t from stdin",
         [("unrunnable", 1, "COPY … FROM STDIN cannot be part of a migration")]),
        ("set standard_conforming_strings = off",
         [("unrunnable", 1, "SET standard_conforming_strings cannot be part of a migration")]),
        ("set client_encoding = latin1",
         [("unrunnable", 1, "SET client_encoding cannot be part of a migration")]),
        ("set names 'latin1'",
         [("unrunnable", 1, "SET client_encoding cannot be part of a migration")]),
        ("begin;\nvacuum t;\ncommit",
         [("autocommit", 2, "VACUUM inside BEGIN … COMMIT, where PostgreSQL refuses it")]),
        ("select 1;\n-- predeploy: autocommit",
         [("idle-directive", 2, "autocommit says nothing here: no statement follows it")]),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused(text: str, expected: list[tuple[str, int, str]]) -> None:
    """Each refusal has its code and names file, line and reason; all are told at once."""
    found = [replace(finding, remedy="") for finding in cut(text).findings]
    assert found == [refused(*finding) for finding in expected]


@pytest.mark.parametrize(
    "line",
    [
        "autocomit",
        "",
        "allow",
        "allow drop-table",
        "allow destroy t",
        "alow delete t",
    ],
)
def test_a_directive_that_nobody_knows_is_refused(line: str) -> None:
    """A misspelt line must not be silently ignored; the finding says what there is."""
    (finding,) = cut(f"select 1;\n-- predeploy: {line}\nselect 2").findings

    assert (finding.code, finding.exit_code) == ("unknown-directive", ExitCode.BAD_SOURCES)
    assert finding.message == f"{PATH}:2: unknown directive {line!r}"


@pytest.mark.parametrize(
    "text", ["set client_encoding = 'UTF8'", "set names 'utf-8'", "set client_encoding to default"]
)
def test_the_encoding_may_be_the_one_that_files_have(text: str) -> None:
    """As pg_dump writes it."""
    assert cut(text).findings == ()


def test_a_declared_name_may_have_blanks() -> None:
    """It is the name as the catalog has it, to the end of the line."""
    (step,) = cut(
        '-- predeploy: allow  drop-table  My old  table \ndrop table "My old  table"'
    ).steps

    assert step.declarations == (Declaration("drop-table", "My old  table", 1),)


def test_declarations_belong_to_the_step_they_stand_before() -> None:
    """Each step knows what it may take away, with names as they are written."""
    steps = cut(
        "-- predeploy: allow delete Items\nbegin; delete from items; commit;\n"
        "-- predeploy: ALLOW Drop-Table old\ndrop table old"
    ).steps

    assert [step.declarations for step in steps] == [
        (Declaration("delete", "Items", 1),),
        (Declaration("drop-table", "old", 3),),
    ]


def test_a_declaration_waits_for_a_step_in_a_transaction() -> None:
    """A step outside one counts nothing, so it declares nothing for the step that does it."""
    text = "-- predeploy: allow drop-table old\nvacuum t; drop table old; vacuum u"
    steps = cut(text).steps

    assert [step.declarations for step in steps] == [(), (Declaration("drop-table", "old", 1),), ()]
    assert cut(text).findings == ()


def test_a_declaration_without_a_step_in_a_transaction_is_refused() -> None:
    """Nobody would notice that it is misspelt."""
    text = "-- predeploy: allow drop-table old\nvacuum t"
    why = "allow drop-table old declares what no step in a transaction does"

    assert list(cut(text).findings) == [refused("idle-directive", 1, why)]


@pytest.mark.parametrize(
    "text",
    ["delete from t", "drop table t", "truncate t", "select f()", "alter table t drop a",
     "call p()", "do ''", "with d as (delete from t returning *) select * from d", "frobnicate t"],
)  # fmt: skip
def test_what_nobody_watches_has_to_be_declared(text: str) -> None:
    """Outside its transaction a statement commits before the sentinel can look."""
    text = f"-- predeploy: autocommit\n{text}"

    assert "commit-inside" in [finding.code for finding in cut(text).findings]
    allowed = cut(f"-- predeploy: allow commit-inside\n{text}").findings
    assert "commit-inside" not in [finding.code for finding in allowed]


def test_a_database_is_not_dropped_unless_it_is_declared() -> None:
    """It cannot be taken back either, with all the tables that are in it."""
    assert [f.code for f in cut("drop database other").findings] == ["commit-inside"]


@pytest.mark.parametrize(
    "text",
    ["analyze t", "create index i on t (a)", "reindex table t", "alter type m add value 'x'"],
)
def test_what_takes_nothing_away_may_leave_its_transaction(text: str) -> None:
    """There is nothing to watch."""
    assert cut(f"-- predeploy: autocommit\n{text}").findings == ()


@pytest.mark.parametrize(
    "text",
    ["vacuum t", "create index concurrently i on t (a)", "-- predeploy: autocommit\nselect 1"],
)
def test_what_needs_autocommit_is_never_run_in_a_transaction(text: str) -> None:
    """It is a step of its own, between the transactions before and after it."""
    steps = cut(f"select 0;\n{text};\nselect 2").steps

    assert [type(step) for step in steps] == [Migration, OnlineMigration, Migration]


def test_settings_count_to_the_end_of_the_file() -> None:
    """A later step gets the SETs of the earlier ones, but not those of a transaction alone."""
    steps = cut(
        "set search_path = app; set local lock_timeout = 1; begin; select 1; commit; "
        "select set_config('a.b', 'c', false); vacuum t"
    ).steps

    first = "set search_path = app"
    config = "select set_config('a.b', 'c', false)"
    assert [s.preamble for s in steps] == [(), (first,), (first,), (first, config)]


def test_lines_for_psql_are_no_part_of_a_step() -> None:
    """As pg_dump writes them around its output; every line stays where it is."""
    found = cut(
        "\\restrict abc\nselect 1;\n\\echo done\nselect '\n\\i no command';\n\\unrestrict abc"
    )

    (step,) = found.steps
    assert found.findings == ()
    assert [(s.text, s.line) for s in step.statements] == [
        ("select 1", 2),
        ("select '\n\\i no command'", 4),
    ]
    assert "echo" not in step.text


@pytest.mark.parametrize(
    ("name", "rest"),
    [("i", " other.sql"), ("connect", " other"), ("set", " v 1"), ("gexec", ""), ("q", "")],
)
def test_a_command_that_only_psql_can_carry_out_is_refused(name: str, rest: str) -> None:
    """What follows it would mean something else."""
    (finding,) = cut(f"select 1;\n\\{name}{rest}\nselect 2").findings

    assert (finding.code, finding.exit_code) == ("unreadable", ExitCode.BAD_SOURCES)
    assert finding.message.startswith(f"{PATH}:2: cannot be read: \\{name} is a command of psql")


def test_a_text_that_is_not_safe_to_run_has_no_steps() -> None:
    """Where a quote never ends nothing is cut; the finding names the line."""
    found = cut("select 1;\nselect 'abc")

    why = 'cannot be read: unterminated quoted string at or near "\'abc"'
    assert found == ScriptSteps((), (refused("unreadable", 2, why),))


def test_unknown_grammar_is_a_warning() -> None:
    """A newer server may know what our parser does not: it decides."""
    found = cut("select 1;\nfrobnicate t")

    message = (
        f'{PATH}: our parser stops at it (syntax error at or near "frobnicate"); the server decides'
    )
    assert found.findings == (Finding("unparsed", message),)
    assert entries("select 1;\nfrobnicate t") == [("select 1;\nfrobnicate t", 1, 1, True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("begin isolation level serializable; select 1; commit", "isolation level serializable"),
        ("START TRANSACTION\n  READ WRITE; select 1; commit", "READ WRITE"),
        ("begin; set transaction isolation level serializable; commit",
         "isolation level serializable"),
        ("set lock_timeout = '1s'; set transaction read write, isolation level repeatable read",
         "read write, isolation level repeatable read"),
        ("begin isolation level serializable; set transaction isolation level read committed; end",
         "isolation level read committed"),
        ("select 1; set transaction isolation level serializable", ""),
        ("begin work; select 1; commit", ""),
        ("set session characteristics as transaction isolation level serializable", ""),
    ],
)  # fmt: skip
def test_what_a_file_says_of_its_transaction_is_said_by_the_steps_begin(
    text: str, expected: str
) -> None:
    """As psql runs it. Behind a query PostgreSQL refuses it, and so it stays where it is."""
    (step,) = cut(text).steps

    assert step.isolation == expected


def test_a_file_that_its_tool_runs_without_a_transaction_is_a_step_a_statement() -> None:
    """Its own BEGIN … COMMIT is one step all the same; a SET counts for those behind it."""
    text = "set a.b = 1; select 1; begin; select 2; select 3; commit; vacuum t"

    steps = steps_of(Script("1_a.sql", PATH, text, RAW_HASH, version=(1,), commits_each=True)).steps

    assert [step.text for step in steps] == [
        *("set a.b = 1", "select 1", "select 2; select 3", "vacuum t")
    ]
    assert [step.preamble for step in steps[1:]] == [("set a.b = 1",)] * 3
