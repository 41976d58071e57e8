"""What `predeploy lint` says of a folder's migrations, and what silences it."""

import pytest

from predeploy.lint.linter import Problem, lint
from predeploy.lint.suppressions import suppressions_in
from predeploy.sources.script import Script
from predeploy.sql.rules import Severity

INDEX = "create index i on t (a);"


def script(text: str, name: str = "1_a.sql") -> Script:
    return Script(name, f"migrations/{name}", text, "")


def found(*texts: str) -> list[tuple[str, int]]:
    """The rules and the lines of what is found in these files."""
    scripts = [script(text, f"{n}_a.sql") for n, text in enumerate(texts, start=1)]
    return [(problem.rule, problem.line) for problem in lint(scripts)]


def test_a_finding_says_where_what_and_what_instead() -> None:
    (problem,) = lint([script("select 1;\n\n  create index i on s.t (a);")])

    assert problem == Problem(
        "index-without-concurrently",
        Severity.WARNING,
        "migrations/1_a.sql",
        3,
        3,
        "s.t",
        "writes stand still for as long as the index is built",
        "SHARE",
        "writes",
        "CREATE INDEX CONCURRENTLY i ON s.t (a);",
        ("require-concurrent-index-creation", "add_index"),
    )


def test_a_table_is_new_in_its_own_file_only() -> None:
    """What an earlier file has made may be full of rows by now."""
    table = "create table t (a int);"

    assert found(table + INDEX) == []
    assert found(table, INDEX) == [("index-without-concurrently", 1)]


def test_other_files_tell_what_is_known() -> None:
    """A CHECK that an earlier file has validated proves that no row is null."""
    first = "alter table t add constraint c check (a is not null) not valid;"
    second = "alter table t validate constraint c;"
    third = "alter table t alter a set not null, drop constraint c;"

    assert "set-not-null-scans" in dict(found(first, third))
    assert "set-not-null-scans" not in dict(found(first, second, third))


def test_only_wanted_files_are_judged() -> None:
    scripts = [script(INDEX, "1_a.sql"), script("drop table t;", "2_b.sql")]

    assert {p.path for p in lint(scripts, {"migrations/2_b.sql"})} == {"migrations/2_b.sql"}
    assert lint(scripts, set()) == ()


def test_an_undeclared_loss_is_an_error_with_the_line_to_write() -> None:
    bare, declared = (
        [p for p in lint([script(text)]) if p.rule == "undeclared-loss"]
        for text in (
            "create table t (a int); alter table u drop column b;",
            "-- predeploy: allow drop-column u.b\nalter table u drop column b;",
        )
    )

    (problem,) = bare
    assert (problem.severity, problem.line) == (Severity.ERROR, 1)
    assert problem.safe == "-- predeploy: allow drop-column u.b"
    assert declared == []


def test_a_file_that_cannot_be_read_is_an_error_in_its_line() -> None:
    (problem,) = lint([script("select 1;\nselect 'never ends;")])

    assert (problem.severity, problem.line) == (Severity.ERROR, 2)
    assert problem.rule == "unreadable"


def test_what_was_not_looked_at_is_told() -> None:
    """A file in Go, and a statement that our parser does not know."""
    in_go = Script("1_a.go", "migrations/1_a.go", "", "", only_by="goose")

    assert [p.rule for p in lint([in_go])] == ["not-looked-at"]
    assert found("create table t (a int) in a future manner;") == [("unparsed", 1)]


SILENT = [
    f"-- predeploy: ignore index-without-concurrently: it is small\n{INDEX}",
    f"-- predeploy: ignore add_index, drop-index: as strong_migrations calls it\n{INDEX}",
    f"-- squawk-ignore require-concurrent-index-creation\n{INDEX}",
    f"-- squawk-ignore prefer-text-field, require-concurrent-index-creation\n{INDEX}",
    f"-- squawk-ignore\n{INDEX}",
    "-- squawk-ignore constraint-missing-not-valid\nalter table t add constraint c unique (a);",
    f"/* squawk-ignore require-concurrent-index-creation */\n{INDEX}",
    f"-- pgfence-ignore: index-without-concurrently\n{INDEX}",
    f"-- atlas:nolint\n{INDEX}",
    f"-- migrationpilot-disable\n{INDEX}",
    f"{INDEX}\n-- squawk-ignore-file require-concurrent-index-creation",
    f"-- a note\n-- squawk-ignore\n-- another\n{INDEX}",
]


@pytest.mark.parametrize("text", SILENT)
def test_a_comment_silences_a_statement(text: str) -> None:
    silenced = {"index-without-concurrently", "unique-builds-index"}
    assert silenced.isdisjoint(rule for rule, _ in found(text))


@pytest.mark.parametrize(
    "text",
    [
        f"-- squawk-ignore ban-drop-column\n{INDEX}",
        f"-- squawk-ignore\nselect 1;\n{INDEX}",
        f"{INDEX} -- squawk-ignore",
        f"-- we ignore the index here\n{INDEX}",
        f"select '-- predeploy: ignore add_index: no';\n{INDEX}",
    ],
)
def test_what_is_about_something_else_silences_nothing(text: str) -> None:
    assert "index-without-concurrently" in dict(found(text))


def test_a_comment_of_ours_needs_a_reason_and_a_use() -> None:
    """One that is not needed any more would hide the next finding."""
    no_reason = f"-- predeploy: ignore index-without-concurrently\n{INDEX}"
    no_use = "-- predeploy: ignore index-without-concurrently: once\nselect 1;"
    no_rule = f"-- predeploy: ignore idnex: typo\n{INDEX}"

    assert found(no_reason) == [("ignore-without-reason", 1)]
    assert found(no_use) == [("unused-ignore", 1)]
    assert found(no_rule) == [("unused-ignore", 1), ("index-without-concurrently", 2)]


def test_a_lock_that_is_held_is_told_once() -> None:
    later = "".join(f"create index i{n} on t (a);" for n in range(3))

    told = [rule for rule, _ in found(f"alter table t add b int; {later}")]

    assert told.count("lock-held") == 1
    assert told.count("index-without-concurrently") == 3


def test_suppressions_know_their_lines() -> None:
    (one,) = suppressions_in("\n\n-- squawk-ignore ban-drop-column", 10)

    assert (one.line, one.rules, one.is_ours) == (12, {"drop-column"}, False)
