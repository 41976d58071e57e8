"""Migrations, run by the job as a process: what fails, what is left, what is refused."""

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import postgast
import psycopg
import pytest
from conftest import Database, run_job
from production import (
    applied,
    codes_of,
    contents,
    environ,
    has_ledger,
    jobs,
    ledger,
    objects,
    prepare,
    report_here,
    report_of,
    run_here,
    said,
    whole_files,
)

Folder = Callable[[Mapping[str, str]], Path]
Answer = dict[str, Any]

# Six statements, with comments and characters of one to four bytes among them.
SIX = """-- Größen ✓ 漢字 🎉
/* zwei
   Zeilen; mit Semikolon */
create table größe (id integer primary key, maß real); -- eins

create index größe_maß_idx on größe (maß);
insert into größe values (1, 1.5), (2, 2.5); /* 漢; */ insert into größe values (3, 3.5);
create view große as select id, '🎉; --' as zeichen from größe where maß > 2;
create function teile(n integer) returns integer language plpgsql as $körper$
begin
    return 1 / n; -- geteilt
end
$körper$;
"""
# ⟦ marks where the failure is, as a person would point at it.
SEVENTH = {
    "a text default on a real column": (
        "/* 漢字 🎉 */ ⟦alter table größe add column faktor real default 'viel';",
        "22P02",
    ),
    "an index on a missing column": ("\n    ⟦create index länge_idx on größe (länge);", "42703"),
    "a duplicate key": ("select 'ß'; ⟦insert into größe values (4, 0), (1, 9);", "23505"),
    "a syntax error": (
        "create table ß (é text,\n    漢 text default 'ü' ⟦unfug unfug);",
        "42601",
    ),
    "an unknown function in a later line": (
        "select 'größe 🎉',\n    '漢字', ⟦fehlt(1) from größe;",
        "42883",
    ),
    "a runtime error in a DO block": (
        "/* größe */ ⟦do $$ begin\n    perform teile(1);\n    perform teile(0); end $$;",
        "22012",
    ),
    "a runtime error in a function": ("-- ruft\n  ⟦select teile(1),\n    teile(0);", "22012"),
    "a message raised by a DO block": (
        "⟦do $$ begin\n raise exception 'nein ✓'; end $$;",
        "P0001",
    ),
}


def job(database: Database, folder: Path, **more: str) -> tuple[int, Answer]:
    """Run the job; return its exit code and its report."""
    done = run_job("run", environ=environ(database, folder, **more))
    return done.returncode, report_of(done)


def marked(text: str) -> tuple[str, int, int]:
    """Return the text without its mark, and the mark's line and column as a person counts."""
    before, _, after = text.partition("⟦")
    return before + after, before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1


def entries(database: Database) -> list[str]:
    """What the steps have written to the log table, in order."""
    return [what for (what,) in database.rows("select what from log order by id")]


def logged(what: str) -> str:
    return f"insert into log (what) values ('{what}');"


LOG = "create table log (id serial primary key, what text not null);"


# a file is renamed


TWO_STEPS = f"begin; {logged('two')} commit; begin; {logged('2b')} commit;"
RENAMED = {"1_log.sql": LOG, "2_b.sql": TWO_STEPS}


def in_migrations(files: Mapping[str, str]) -> dict[str, str]:
    return {f"migrations/{name}": text for name, text in files.items()}


@pytest.mark.parametrize("name", ["02_b.sql", "2_B.sql", "3_other.sql"])
def test_a_renamed_file_does_not_run_again(database: Database, folder: Folder, name: str) -> None:
    """65 with both names; nothing is done a second time, and the ledger may be told."""
    assert job(database, folder(in_migrations(RENAMED)))[0] == 0
    renamed = {"1_log.sql": LOG, name: TWO_STEPS}

    code, report = job(database, folder(in_migrations(renamed)))

    assert code == 65
    assert f"migrations/{name} does what 2_b.sql did" in report["message"]
    assert entries(database) == ["two", "2b"]
    telling = re.search(r"update [^()]* where file = '2_b.sql'", json.dumps(report))
    assert telling
    database.execute(telling[0])
    assert job(database, folder(in_migrations(renamed)))[0] == 0
    assert entries(database) == ["two", "2b"]


def test_a_file_that_failed_and_was_renamed_does_not_begin_again(
    database: Database, folder: Folder
) -> None:
    """What it had done before it failed is not done twice."""
    failing = RENAMED | {"2_b.sql": TWO_STEPS.replace("'2b'", "null")}
    assert job(database, folder(in_migrations(failing)))[0] == 80

    renamed = {"1_log.sql": LOG, "2_c.sql": TWO_STEPS}

    code, _ = job(database, folder(in_migrations(renamed)))

    assert code == 65
    assert entries(database) == ["two"]


def test_a_copy_beside_its_original_runs(database: Database, folder: Folder) -> None:
    """It is another file then, and so is one like what was pruned."""
    assert job(database, folder(in_migrations(RENAMED)))[0] == 0
    copied = RENAMED | {"3_copy.sql": TWO_STEPS}
    assert job(database, folder(in_migrations(copied)))[0] == 0
    pruned = {"3_copy.sql": TWO_STEPS, "4_copy.sql": TWO_STEPS}

    code, _ = job(database, folder(in_migrations(pruned)))

    assert code == 0
    assert entries(database) == ["two", "2b"] * 3


# a statement fails


@pytest.mark.parametrize(("seventh", "sqlstate"), SEVENTH.values(), ids=SEVENTH)
def test_a_failing_statement_is_pointed_at(
    database: Database, folder: Folder, seventh: str, sqlstate: str
) -> None:
    """The report names file, line, column and SQLSTATE, and nothing of the step remains."""
    text, line, column = marked(f"{SIX}{seventh}\ncreate table danach (id integer);\n")
    files = {
        "migrations/1_davor.sql": "create table davor (id integer);",
        "migrations/2_größe.sql": text,
        "migrations/3_später.sql": "create table später (id integer);",
    }

    code, report = job(database, folder(files))

    failure = report["failure"]
    assert (code, report["exit_code"], report["outcome"]) == (80, 80, "failed")
    assert {key: failure[key] for key in ("file", "line", "column", "sqlstate")} == {
        "file": "migrations/2_größe.sql",
        "line": line,
        "column": column,
        "sqlstate": sqlstate,
    }
    assert report["layers"][0]["not_run"] == ["migrations/3_später.sql"]
    assert objects(database) == {"davor"}
    assert applied(database) == [("1_davor.sql", 1, True)]


@pytest.mark.parametrize("what", ["an index on a missing column", "a syntax error"])
def test_a_mended_file_goes_on(database: Database, folder: Folder, what: str) -> None:
    """Once the failing statement is fixed, a rerun applies the rest and ends with 0."""
    seventh, sqlstate = SEVENTH[what]
    failing, _, _ = marked(f"{SIX}{seventh}\ncreate table danach (id integer);\n")
    fixed = f"{SIX}select 1;\ncreate table danach (id integer);\n"
    before = {"migrations/1_davor.sql": "create table davor (id integer);"}
    after = {"migrations/3_später.sql": "create table später (id integer);"}
    first = run_here(
        environ(database, folder({**before, "migrations/2_größe.sql": failing, **after}))
    )
    assert first.failure is not None
    assert first.failure.sqlstate == sqlstate

    code, report = job(database, folder({**before, "migrations/2_größe.sql": fixed, **after}))

    assert (code, report["outcome"]) == (0, "ok")
    assert {"davor", "größe", "große", "teile", "danach", "später"} <= objects(database)
    assert database.rows("select id, maß from größe") == [(1, 1.5), (2, 2.5), (3, 3.5)]
    assert whole_files(database) == ["1_davor.sql", "2_größe.sql", "3_später.sql"]


def test_a_deferred_constraint_counts(database: Database, folder: Folder) -> None:
    """A deferred constraint that is violated at the end of a step fails it like any other."""
    tables = """
        create table parent (id integer primary key);
        create table child (
            parent integer references parent deferrable initially deferred
        );"""
    files = {
        "migrations/1_tables.sql": tables,
        "migrations/2_rows.sql": "insert into child values (7);\nselect 1;",
    }

    code, report = job(database, folder(files))

    assert (code, report["failure"]["sqlstate"]) == (80, "23503")
    assert report["failure"]["file"] == "migrations/2_rows.sql"
    assert database.rows("select * from child") == []
    assert whole_files(database) == ["1_tables.sql"]


def test_a_commit_inside_a_do_block_fails(database: Database, folder: Folder) -> None:
    """A DO block that tries to commit breaks no step open: it fails and nothing of it remains."""
    files = {
        "migrations/1_log.sql": LOG,
        "migrations/2_do.sql": f"{logged('a')} do $$ begin {logged('b')} commit; end $$;",
    }

    code, report = job(database, folder(files))

    assert (code, report["failure"]["sqlstate"]) == (80, "2D000")
    assert entries(database) == []
    assert whole_files(database) == ["1_log.sql"]


# a file of several steps

STEPS = {
    1: f"-- first\nbegin;\n{logged('one')}\ncommit;",
    2: f"begin;\n{logged('two')}\n{logged('two again')}\ncommit;",
    3: f"begin;\n{logged('three')}\ncommit;",
}
FAILING_STEP = f"begin;\n{logged('two')}\ninsert into log (wat) values ('x');\ncommit;"


def steps(*parts: str, **files: str) -> dict[str, str]:
    """Build a folder with the log's table, a file of `parts`, and more files."""
    named = {f"migrations/{name}.sql": text for name, text in files.items()}
    return {"migrations/1_log.sql": LOG, "migrations/2_steps.sql": "\n".join(parts), **named}


@pytest.fixture
def half_applied(database: Database, folder: Folder) -> Database:
    """A database where the second of a file's three steps has failed."""
    failure = run_here(environ(database, folder(steps(STEPS[1], FAILING_STEP, STEPS[3])))).failure
    assert failure is not None
    assert (failure.exit_code, failure.line, failure.column) == (80, 7, 18)
    return database


def test_steps_before_the_failing_one_stay(half_applied: Database) -> None:
    """A file's own BEGIN and COMMIT bound its steps: the first stays when the second fails."""
    recorded = applied(half_applied)

    assert recorded == [("1_log.sql", 1, True), ("2_steps.sql", 1, False)]
    assert entries(half_applied) == ["one"]


def test_only_the_rest_of_a_mended_file_runs(half_applied: Database, folder: Folder) -> None:
    """After fixing the second step, the second and the third run, and the first does not."""
    code, report = job(half_applied, folder(steps(*STEPS.values())))

    assert (code, report["layers"][0]["steps"]) == (0, 2)
    assert entries(half_applied) == ["one", "two", "two again", "three"]
    assert applied(half_applied)[1:] == [
        ("2_steps.sql", 1, False),
        ("2_steps.sql", 2, False),
        ("2_steps.sql", 3, True),
    ]


def test_an_applied_step_of_a_half_applied_file_stays_as_it_is(
    half_applied: Database, folder: Folder
) -> None:
    """Editing the applied step is refused with its number and lines, and nothing runs."""
    edited = STEPS[1].replace("one", "uno")
    before = ledger(half_applied), objects(half_applied)

    code, report = job(
        half_applied, folder(steps(edited, STEPS[2], STEPS[3], **{"3_later": logged("later")}))
    )

    assert code == 65
    assert codes_of(report) == [("error", "edited")]
    assert "migrations/2_steps.sql: step 1 (now lines 3-3)" in report["message"]
    assert entries(half_applied) == ["one"]
    assert (ledger(half_applied), objects(half_applied)) == before


def test_the_failing_rest_may_be_deleted(half_applied: Database, folder: Folder) -> None:
    """A half-applied file whose failing rest is taken out is whole after a rerun."""
    code, _ = job(half_applied, folder(steps(STEPS[1])))

    assert code == 0
    assert whole_files(half_applied) == ["1_log.sql", "2_steps.sql"]
    assert entries(half_applied) == ["one"]


def test_a_shortened_file_stays_whole(half_applied: Database, folder: Folder) -> None:
    """A file that became whole without its failing rest may get a comment like any other."""
    prepare(environ(half_applied, folder(steps(STEPS[1]))))

    code, report = job(half_applied, folder(steps(STEPS[1], "-- the rest was taken out")))

    assert code == 0, report["message"]
    assert entries(half_applied) == ["one"]


def test_steps_may_repeat_a_text(database: Database, folder: Folder) -> None:
    """Two steps of the same text in one file are two steps, and each runs once."""
    twice = steps(STEPS[1], STEPS[1])

    codes = [job(database, folder(twice))[0], job(database, folder(twice))[0]]

    assert codes == [0, 0]
    assert entries(database) == ["one", "one"]


def test_a_new_enum_label_can_be_used_in_its_file(database: Database, folder: Folder) -> None:
    """ALTER TYPE … ADD VALUE is a step of its own, so that what follows may use the label."""
    text = """
        create type mood as enum ('calm');
        create table day (mood mood);
        alter type mood add value 'wild';
        insert into day values ('wild');"""

    code, _ = job(database, folder({"migrations/1_mood.sql": text}))

    assert code == 0
    assert database.rows("select mood::text from day") == [("wild",)]
    assert applied(database) == [
        ("1_mood.sql", 1, False),
        ("1_mood.sql", 2, False),
        ("1_mood.sql", 3, True),
    ]


# an applied file changes

APPLIED = """-- the log
create table log (id serial primary key, what text not null);
insert into log (what) values ('it''s; applied');
"""
BODY = """create function answer() returns integer language plpgsql as $$
begin
    return 42;
end
$$;
"""


@pytest.mark.parametrize(
    "changed",
    [
        APPLIED.replace("-- the log", "/* another\n comment; */ -- and one more"),
        APPLIED.replace("(id serial", "(\n\t\tid   serial").replace("\n", "\n\n"),
        APPLIED.replace("\n", "\r\n"),
        APPLIED.removesuffix(";\n"),
        "\ufeff" + APPLIED,
    ],
    ids=["comments", "blanks", "line ends", "last semicolon", "byte order mark"],
)
def test_what_does_not_count_may_change(
    database: Database, folder: Folder, tmp_path: Path, changed: str
) -> None:
    """Comments, blanks and line ends of an applied file may change: nothing runs."""
    prepare(environ(database, folder({"migrations/1_log.sql": APPLIED})))
    before = ledger(database)["migration"], contents(database)
    (tmp_path / "sql" / "migrations" / "1_log.sql").write_bytes(changed.encode())

    code, report = job(database, tmp_path / "sql")

    assert (code, report["outcome"]) == (0, "ok")
    assert (ledger(database)["migration"], contents(database)) == before


def test_line_ends_inside_a_function_do_not_count(
    database: Database, folder: Folder, tmp_path: Path
) -> None:
    """A checkout with other line ends changes no migration, not even a function's body in it."""
    prepare(environ(database, folder({"migrations/1_f.sql": BODY})))
    (tmp_path / "sql" / "migrations" / "1_f.sql").write_bytes(BODY.replace("\n", "\r\n").encode())

    code, report = job(database, tmp_path / "sql")

    assert code == 0, report["message"]


@pytest.mark.parametrize(
    "changed",
    [
        APPLIED.replace("applied", "edited"),
        APPLIED.replace("what text", "what varchar"),
        APPLIED + logged("appended"),
        f"{APPLIED}begin; {logged('appended')} commit;",
        APPLIED.partition("insert")[0],
        "-- nothing is left\n",
    ],
    ids=["a literal", "a type", "a statement more", "a step more", "a statement less", "emptied"],
)
def test_an_applied_file_is_never_edited(database: Database, folder: Folder, changed: str) -> None:
    """An edited or grown file is refused by name, and files that are pending do not run."""
    prepare(environ(database, folder({"migrations/1_log.sql": APPLIED})))
    before = ledger(database), contents(database)
    files = {"migrations/1_log.sql": changed, "migrations/2_later.sql": logged("later")}

    code, report = job(database, folder(files))

    assert code == 65
    assert codes_of(report) == [("error", "edited")]
    assert "migrations/1_log.sql: " in report["message"]
    assert (ledger(database), contents(database)) == before


# the order of the files


@pytest.mark.parametrize(
    "names",
    [
        ["1_a.sql", "2_b.sql", "10_c.sql"],
        ["0003_x.sql", "2024-01-05_y.sql", "20240106_z.sql", "2024-02-01-a.sql"],
        ["07_c.sql", "7_a.sql", "7_b.sql", "sub/8_a.sql", '9_it\'s 100% "ü".sql', "10.sql"],
    ],
    ids=["numbers", "dates and digits", "the same version"],
)
def test_files_run_in_the_order_of_their_versions(
    database: Database, folder: Folder, names: list[str]
) -> None:
    """Versions are compared as numbers, dates as their digits, and names break ties."""
    files = {f"migrations/{name}": logged(name.replace("'", "''")) for name in names}

    code, report = job(database, folder({"migrations/0_log.sql": LOG, **files}))

    assert code == 0, report["message"]
    assert entries(database) == names


def test_an_older_file_that_comes_later_runs_with_a_warning(
    database: Database, folder: Folder
) -> None:
    """A pending file older than the newest applied one runs, and the report warns of the order."""
    files = {"migrations/1_log.sql": LOG, "migrations/3_c.sql": logged("three")}
    prepare(environ(database, folder(files)))

    code, report = job(database, folder({**files, "migrations/2_b.sql": logged("two")}))

    assert code == 0
    assert codes_of(report) == [("warn", "out-of-order")]
    assert "migrations/2_b.sql" in report["findings"][0]["message"]
    assert entries(database) == ["three", "two"]
    assert whole_files(database) == ["1_log.sql", "3_c.sql", "2_b.sql"]


@pytest.mark.parametrize("text", ["", "-- only words\n/* and more */\n", " \n\t\n", ";;\n"])
def test_a_file_without_statements_is_recorded(
    database: Database, folder: Folder, text: str
) -> None:
    """An empty file, or one of comments only, runs as nothing and is in the ledger."""
    files = {"migrations/1_empty.sql": text, "migrations/2_log.sql": LOG}

    code, _ = job(database, folder(files))

    assert code == 0
    assert applied(database) == [("1_empty.sql", 1, True), ("2_log.sql", 1, True)]


def test_a_byte_order_mark_is_no_part_of_the_text(database: Database, folder: Folder) -> None:
    """A file that begins with a byte order mark runs like one without."""
    code, _ = job(database, folder({"migrations/1_log.sql": "\ufeff" + LOG}))

    assert code == 0
    assert objects(database) >= {"log"}


# what the folder may not hold

UNUSABLE: dict[str, tuple[dict[str, bytes], str]] = {
    "the same name in two folders": (
        {"migrations/a/1_x.sql": b"select 1", "migrations/b/1_x.sql": b"select 2"},
        "migrations/b/1_x.sql: has the name of migrations/a/1_x.sql",
    ),
    "no version": ({"migrations/tags.sql": b"select 1"}, "migrations/tags.sql: has no version"),
    "a down file": ({"migrations/3_x.down.sql": b"select 1"}, "migrations/3_x.down.sql: undoes"),
    "a down section": (
        {"migrations/3_x.sql": b"select 1;\n-- migrate:down\nselect 2;"},
        "migrations/3_x.sql:2: '-- migrate:down'",
    ),
    "a program": ({"migrations/0003_x.ts": b"export {}"}, "migrations/0003_x.ts: cannot be run"),
    "not UTF-8": (
        {"migrations/4_x.sql": "select 'größe'".encode("latin-1")},
        "migrations/4_x.sql: byte 11 is not UTF-8",
    ),
    "a NUL byte": (
        {"migrations/5_x.sql": b"select 1;\nselect '\0';"},
        "migrations/5_x.sql:2: holds a NUL byte",
    ),
}


@pytest.mark.parametrize(("files", "complaint"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_file_stops_everything(
    database: Database, tmp_path: Path, files: dict[str, bytes], complaint: str
) -> None:
    """What cannot be run is refused by name, and no other file runs either."""
    folder = _write(tmp_path, {"migrations/1_log.sql": LOG.encode(), **files})

    code, report = job(database, folder)

    assert code == 65
    assert [problem[: len(complaint)] for problem in report["problems"]] == [complaint]
    assert objects(database) == set()
    assert not has_ledger(database)


def test_every_problem_of_the_folder_is_told_at_once(database: Database, tmp_path: Path) -> None:
    """One report names every file that is wrong, so that one fixing is enough."""
    files = {path: text for files, _ in UNUSABLE.values() for path, text in files.items()}
    del files["migrations/3_x.sql"]

    code, report = job(database, _write(tmp_path, files))

    told = " ".join(report["problems"])
    complaints = [text for name, (_, text) in UNUSABLE.items() if name != "a down section"]
    assert code == 65
    assert len(report["problems"]) == len(complaints)
    assert [text for text in complaints if text not in told] == []


@pytest.mark.parametrize("names", [(), ("sql",)], ids=["missing", "empty"])
def test_without_a_folder_there_is_no_input(
    database: Database, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """An SQL folder that is missing or empty ends with 66 and names the folder."""
    for name in names:
        (tmp_path / name).mkdir()

    code, report = job(database, tmp_path / "sql")

    assert (code, report["exit_name"]) == (66, "no-input")
    assert str(tmp_path / "sql") in report["message"]
    assert not has_ledger(database)


def test_an_unreadable_file_stops_everything(database: Database, folder: Folder) -> None:
    """A file whose statements cannot be told apart is refused with 65, and no other file runs."""
    files = {
        "migrations/1_log.sql": LOG,
        "migrations/2_quote.sql": "select 1;\nselect 'never ends;",
        "migrations/3_later.sql": logged("later"),
    }

    code, report = job(database, folder(files))

    assert code == 65, report["message"]
    assert codes_of(report) == [("error", "unreadable")]
    assert "migrations/2_quote.sql:2: " in report["message"]
    assert objects(database) == set()
    assert not has_ledger(database)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("begin; create index concurrently i on log (what); commit;", "CREATE INDEX CONCURRENTLY"),
        ("begin; drop index concurrently i; commit;", "DROP INDEX CONCURRENTLY"),
        ("begin; vacuum log; commit;", "VACUUM"),
        ("begin;\n-- predeploy: autocommit\ncreate table t (id integer); commit;", "CREATE TABLE"),
        ("rollback;", "ROLLBACK"),
        ("savepoint s;", "SAVEPOINT"),
        ("copy log (what) from stdin;", "COPY … FROM STDIN"),
        (f"begin;\n{logged('x')}", "BEGIN"),
        (f"{logged('x')} commit;", "COMMIT"),
        ("begin; begin; commit;", "BEGIN"),
        ("begin; rollback; commit;", "ROLLBACK"),
        ("prepare transaction 'x';", "PREPARE"),
        ("begin; commit and chain;", "COMMIT"),
        ("set standard_conforming_strings = off;", "SET standard_conforming_strings"),
    ],
)
def test_what_would_break_a_step_open_is_refused(
    database: Database, folder: Folder, text: str, complaint: str
) -> None:
    """Such a statement is refused by name and place, before any pending file runs."""
    files = {"migrations/1_log.sql": LOG, "migrations/2_x.sql": f"select 1;\n\n{text}"}

    code, report = job(database, folder(files))

    told = [finding["message"] for finding in report["findings"]]
    assert code == 65
    assert [line for line in told if line.startswith("migrations/2_x.sql:") and complaint in line]
    assert objects(database) == set()
    assert not has_ledger(database)


# nothing leaks


@pytest.fixture
def role(superuser_url: str) -> Iterator[str]:
    """A role of the test's own, which may log in."""
    name = f"role_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f"create role {name} login password 'secret'")
        yield name
        conn.execute(f"drop role {name}")


@pytest.fixture
def cleared(role: str, make_database: Callable[..., Database]) -> Iterator[tuple[Database, str]]:
    """An empty database and a role that has nothing left in it when the test is over."""
    database = make_database()
    yield database, role
    database.execute(f"drop owned by {role}")


def test_a_file_leaves_nothing_to_the_next(cleared: tuple[Database, str], folder: Folder) -> None:
    """search_path, role, settings and temporary tables of one file are unknown to the next."""
    database, role = cleared
    name = urlsplit(database.url).username or os.environ.get("USER", "postgres")
    first = f"""
        create schema side;
        grant all on schema side to {role};
        create temporary table scratch (id integer);
        set search_path = side;
        set role {role};
        set statement_timeout = '7min';
        set datestyle = 'German';
        create table inside (id integer);"""
    second = """
        create table seen as
        select current_user::text as who, current_setting('search_path') as path,
               to_regclass('scratch')::text as scratch, current_setting('datestyle') as style;
        create temporary table scratch (id integer);"""
    expected = database.rows(
        "select current_user::text, current_setting('search_path'), null::text, "
        "current_setting('datestyle')"
    )

    code, report = job(
        database, folder({"migrations/1_a.sql": first, "migrations/2_b.sql": second})
    )

    assert code == 0, report["message"]
    assert objects(database, "side") == {"inside"}
    assert database.rows("select * from public.seen") == expected
    assert database.rows(
        "select tableowner::text from pg_tables where tablename in ('inside', 'seen') order by 1"
    ) == [(name,), (role,)]


@pytest.mark.parametrize(
    "between",
    ["begin; select 1; commit;", "create type mood as enum (); alter type mood add value 'x';"],
    ids=["its own BEGIN", "ADD VALUE"],
)
def test_a_setting_is_not_lost_inside_its_file(
    database: Database, folder: Folder, between: str
) -> None:
    """A SET at the top of a file counts to its end, or is refused: no table goes astray."""
    text = f"create schema app; set search_path = app; {between} create table inside (id integer);"

    code, report = job(database, folder({"migrations/1_app.sql": text}))

    assert (code, objects(database, "app") >= {"inside"}) in {(0, True), (65, False)}, report
    assert objects(database) == set()


def test_a_role_that_is_no_superuser_can_deploy(
    cleared: tuple[Database, str], folder: Folder
) -> None:
    """A role that may create schemas and tables in its database needs nothing more."""
    database, role = cleared
    database.execute(f'grant create on database "{database.name}" to {role}')
    database.execute(f"grant create on schema public to {role}")
    files = {"migrations/1_log.sql": LOG, "migrations/2_row.sql": logged("mine")}
    settings = environ(Database(database.name, _as(role, database.url)), folder(files))

    outcomes = [report_of(run_job("run", environ=settings, check=0))["outcome"] for _ in range(2)]

    assert outcomes == ["ok", "settled"]
    assert entries(database) == ["mine"]


def test_a_lacking_privilege_is_told(cleared: tuple[Database, str], folder: Folder) -> None:
    """A statement for which the role lacks a privilege ends with 77 and leaves nothing."""
    database, role = cleared
    database.execute(f'grant create on database "{database.name}" to {role}')
    database.execute("revoke create on schema public from public")
    files = {"migrations/1_log.sql": LOG}
    owned = Database(database.name, _as(role, database.url))

    code, report = job(owned, folder(files))

    assert (code, report["failure"]["sqlstate"]) == (77, "42501")
    assert objects(database) == set()
    assert applied(database) == []


# a database that we don't know


def test_an_unknown_database_is_left_alone(database: Database, folder: Folder) -> None:
    """Tables without a ledger are somebody's: 65, nothing run, and no schema of ours made."""
    database.execute("create table theirs (id integer); insert into theirs values (1)")
    before = contents(database), objects(database)

    code, report = job(database, folder({"migrations/1_log.sql": f"{LOG} delete from log;"}))

    assert code == 65
    assert codes_of(report) == [("error", "unknown-database")]
    assert (contents(database), objects(database)) == before
    assert not has_ledger(database)


# somebody else holds a lock


@pytest.fixture
def busy(database: Database, folder: Folder) -> Iterator[tuple[Database, psycopg.Connection]]:
    """A database with a table that another session is reading, in a transaction."""
    files = {"migrations/1_log.sql": LOG + logged("old")}
    prepare(environ(database, folder(files)))
    with database.connect() as reader:
        reader.execute("begin; select * from log")
        yield database, reader


BEHIND_A_LOCK = {
    "migrations/1_log.sql": LOG + logged("old"),
    "migrations/2_alter.sql": f"{logged('new')} alter table log add column why text;",
    "migrations/3_later.sql": logged("later"),
}


@pytest.mark.dear
def test_a_lock_that_never_comes_free_is_told(
    busy: tuple[Database, psycopg.Connection], folder: Folder
) -> None:
    """When the budget is used up the run ends with 75 and names the session in its way."""
    database, reader = busy
    limits = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "300ms", "PREDEPLOY_DDL_BUDGET": "2s"}

    code, report = job(database, folder(BEHIND_A_LOCK), **limits)

    assert (code, report["retryable"], report["failure"]["sqlstate"]) == (75, True, "55P03")
    assert f"blocked by pid {reader.info.backend_pid} " in report["failure"]["message"]
    assert report["failure"]["file"] == "migrations/2_alter.sql"
    assert entries(database) == ["old"]
    assert whole_files(database) == ["1_log.sql"]


def test_a_lock_that_comes_free_is_waited_for(
    busy: tuple[Database, psycopg.Connection], folder: Folder
) -> None:
    """The step is tried again until the other session ends, and then runs once."""
    database, reader = busy
    limits = {"PREDEPLOY_DDL_LOCK_TIMEOUT": "300ms", "PREDEPLOY_DDL_BUDGET": "60s"}
    blocked = f"blocked by pid {reader.info.backend_pid} "
    with jobs(environ(database, folder(BEHIND_A_LOCK), **limits)) as (process,):
        told = next((line for line in process.stdout or () if blocked in line), "")

        reader.rollback()

        rest, _ = process.communicate(timeout=60)
    assert told, rest
    assert process.returncode == 0, rest
    assert entries(database) == ["old", "new", "later"]
    assert whole_files(database) == ["1_log.sql", "2_alter.sql", "3_later.sql"]


def test_the_log_says_what_was_applied(database: Database, folder: Folder) -> None:
    """Each step that is applied is a log line with its file, its statements and its rows."""
    files = {"migrations/1_log.sql": LOG, "migrations/2_rows.sql": logged("a") + logged("b")}

    done = run_job("run", environ=environ(database, folder(files)), check=0)

    told = [
        (line["message"], line["statements"], line["rows"])
        for line in said(done)
        if line["message"].startswith("applied ")
    ]
    assert told == [
        ("applied migrations/1_log.sql", 1, 0),
        ("applied migrations/2_rows.sql", 2, 2),
    ]


def _as(role: str, url: str) -> str:
    """Return the URL with another role in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:secret@{parts.hostname}:{parts.port}"))


def _write(tmp_path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a folder of bytes."""
    for name, content in files.items():
        path = tmp_path / "sql" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "sql"


# a grammar that only the server knows


@pytest.fixture
def old_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our parser from before the word MATERIALIZED: what a newer server has, it stops at."""
    parse = postgast.parse

    def stop_at_what_is_new(text: str) -> object:
        at = text.lower().find("materialized")
        if at < 0:
            return parse(text)
        message = 'syntax error at or near "materialized"'
        raise postgast.PgQueryError(message, cursorpos=at + 1)

    monkeypatch.setattr(postgast, "parse", stop_at_what_is_new)


NEW = "create materialized view seen as select count(*) as n from t"
KEPT = {"migrations/1_t.sql": "create table t (a integer); insert into t values (1), (2);"}


@pytest.mark.usefixtures("old_parser")
def test_a_newer_grammar_does_not_block_a_deploy(database: Database, folder: Folder) -> None:
    """The file is one step with a warning; the server reads it, and the ledger has it whole."""
    text = f"insert into t values (3);\n{NEW};\ncreate index i on t (a);"
    settings = environ(database, folder({**KEPT, "migrations/2_new.sql": text}))

    report = report_here(settings)
    again = report_here(settings)

    assert (report["exit_code"], again["outcome"]) == (0, "settled"), report
    assert codes_of(report) == [("warn", "unparsed")]
    assert database.rows("select n from seen") == [(3,)]
    assert whole_files(database) == ["1_t.sql", "2_new.sql"]
    steps = "select count(*) from predeploy.migration where file = '2_new.sql'"
    assert database.value(steps) == 1


@pytest.mark.usefixtures("old_parser")
@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ("delete from t where a = 1", "delete public.t (1 row)"),
        ("truncate t", "truncate public.t (2 rows)"),
        ("drop table t cascade", "drop-table public.t"),
        ("do $$ begin alter table t drop a cascade; end $$", "drop-column public.t.a"),
    ],
)
def test_a_newer_grammar_loses_nothing(
    database: Database, folder: Folder, loss: str, told: str
) -> None:
    """84: the guards are on the server, whoever has read the file."""
    prepare(environ(database, folder(KEPT)))
    before = contents(database)

    report = report_here(
        environ(database, folder({**KEPT, "migrations/2_new.sql": f"{NEW};\n{loss};"}))
    )

    assert report["exit_code"] == 84, report
    assert told in report["failure"]["message"]
    assert contents(database) == before
    assert whole_files(database) == ["1_t.sql"]


@pytest.mark.usefixtures("old_parser")
@pytest.mark.parametrize(
    "wedge",
    ["commit", "begin; create table u (); commit", "rollback", "savepoint s", "end", "abort",
     "copy t from stdin", "prepare transaction 'x'", "release s", "start transaction"],
)  # fmt: skip
def test_a_newer_grammar_may_not_wedge(database: Database, folder: Folder, wedge: str) -> None:
    """65 before anything is sent: it could end the step's transaction, or wait for data."""
    prepare(environ(database, folder(KEPT)))
    before = (contents(database), ledger(database))

    report = report_here(
        environ(database, folder({**KEPT, "migrations/2_new.sql": f"{NEW};\n{wedge};"}))
    )

    assert report["exit_code"] == 65, report
    assert "migrations/2_new.sql:1: cannot be read" in report["message"]
    assert (contents(database), ledger(database)) == before


@pytest.mark.dear
def test_what_is_nested_too_deeply_for_the_server_is_a_failure(
    database: Database, folder: Folder
) -> None:
    """Neither the parser nor the job ends by it: the server refuses, and 80 says where."""
    deep = " || ".join(["'a'"] * 100_000)
    root = folder({"migrations/1_deep.sql": f"select 1;\nselect {deep};"})

    done = run_job(environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)})

    assert done.returncode == 80
    assert "stack depth limit exceeded" in done.stdout
    assert "1_deep.sql:2" in done.stdout
