"""A file that undoes what it does: a section for the way back, which was run forward."""

import hashlib
from pathlib import Path

import pytest

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.step import LedgerRow
from predeploy.layers.migrate import plan
from predeploy.layers.situation.base import Situation
from predeploy.settings import Destructive, Settings
from predeploy.settings.endpoint import Endpoint
from predeploy.snapshot import Snapshot
from predeploy.sources import Sources
from predeploy.sources.script import Script
from predeploy.sources.steps import steps_of

# What the file does, then what undoes it; what is said of it, and what a line would declare.
UNDONE = {
    "a table": ("create table users (id int)", "drop table users", "table users"),
    "a table, if it exists": (
        "create table users (id int)", "drop table if exists users cascade", "table users",
    ),
    "a table of a schema": (
        "create table app.users (id int)", "drop table app.users", "table app.users",
    ),
    "a table whose schema is left out": (
        "create table public.users (id int)", "drop table users", "table public.users",
    ),
    "a table whose schema is named": (
        "create table users (id int)", "drop table public.users", "table users",
    ),
    "a quoted name": ('create table "User s" (id int)', 'drop table "User s"', "table User s"),
    "a name in capitals": ("create table Users (id int)", "DROP TABLE USERS", "table users"),
    "two tables at once": (
        "create table a (id int); create table b (id int)", "drop table b, a", "table b; table a",
    ),
    "a table that got rows": (
        "create table users (id int); insert into users values (1)", "drop table users",
        "table users",
    ),
    "a table under its later name": (
        "create table people (id int); alter table people rename to users", "drop table users",
        "table users",
    ),
    "a table that moved": (
        "create table users (id int); alter table users set schema app", "drop table app.users",
        "table app.users",
    ),
    "a table with its schema": (
        "create table app.users (id int)", "drop schema app cascade", "table app.users",
    ),
    "a table in the search_path": (
        "set search_path = app, public; create table users (id int)", "drop table app.users",
        "table app.users",
    ),
    "a table that was there, perhaps": (
        "create table if not exists users (id int)", "drop table users", "table users",
    ),
    "a table from a query": ("create table t as select 1", "drop table t", "table t"),
    "a table from SELECT INTO": ("select 1 as a into t", "drop table t", "table t"),
    "a foreign table": (
        "create foreign table f (id int) server s", "drop foreign table f", "foreign table f",
    ),
    "a partition": (
        "create table p1 partition of p for values in (1)", "drop table p1", "table p1",
    ),
    "a schema": ("create schema app; create table app.t (id int)", "drop schema app cascade",
                 "schema app"),
    "a column": ("alter table users add email text", "alter table users drop email",
                 "column users.email"),
    "a column of a renamed table": (
        "alter table users add email text; alter table users rename to people",
        "alter table people rename to users; alter table users drop column if exists email",
        "table users; column users.email",
    ),
    "a column under its later name": (
        "alter table users add mail text; alter table users rename mail to email",
        "alter table public.users drop email", "column users.email",
    ),
    "a view": ("create view v as select 1", "drop view v", "view v"),
    "a view that is replaced": ("create or replace view v as select 1", "drop view if exists v",
                                "view v"),
    "a materialized view": ("create materialized view m as select 1", "drop materialized view m",
                            "materialized view m"),
    "an index": ("create index i on users (email)", "drop index i", "index i"),
    "an index without a name": ("create index on users (email, id)",
                                "drop index users_email_id_idx", "index users_email_id_idx"),
    "an index that is built concurrently": (
        "create index concurrently i on users (email)", "drop index concurrently i", "index i",
    ),
    "a constraint": ("alter table users add constraint c check (id > 0)",
                     "alter table users drop constraint c", "constraint users.c"),
    "a foreign key without a name": (
        "alter table users add foreign key (team) references teams",
        "alter table users drop constraint users_team_fkey", "constraint users.users_team_fkey",
    ),
    "a sequence": ("create sequence s", "drop sequence s", "sequence s"),
    "a type": ("create type mood as enum ('good')", "drop type mood", "type mood"),
    "a composite type": ("create type app.pair as (a int)", "drop type app.pair", "type app.pair"),
    "a domain": ("create domain d as text", "drop domain d", "domain d"),
    "a trigger": (
        "create trigger t before insert on users for each row execute function f()",
        "drop trigger t on users", "trigger users.t",
    ),
    "a policy": ("create policy p on users", "drop policy p on users", "policy users.p"),
    "a function that nobody calls": (
        (
            "create function f(int) returns int language sql as 'select 1';"
            " comment on function f(int) is 'f'; grant execute on function f(int) to public"
        ),
        "drop function f(int)", "function f",
    ),
    "an extension": ("create extension if not exists pgcrypto", "drop extension pgcrypto",
                     "extension pgcrypto"),
    "a role": ("create role app", "drop role if exists app", "role app"),
    "a rename": ("alter table users rename to people", "alter table people rename to users",
                 "table users"),
    "a rename of a column": ("alter table users rename a to b", "alter table users rename b to a",
                             "column users.a"),
    "a rename of a label": ("alter type mood rename value 'a' to 'b'",
                            "alter type mood rename value 'b' to 'a'", "label mood.a"),
    "NOT NULL": ("alter table users alter a set not null",
                 "alter table users alter a drop not null", "NOT NULL users.a"),
    "row-level security": ("alter table users enable row level security",
                           "alter table users disable row level security",
                           "row-level security users"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNDONE)
def test_what_a_file_makes_and_takes_away_again_is_found(case: str) -> None:
    """Nothing of it would be left, while the ledger says that it has been applied."""
    up, down, what = UNDONE[case]

    found = undone_in(f"{up};\n\n{down};\n")

    assert [one.what for one in found] == what.split("; ")
    assert {one.made.start < one.gone.start for one in found} == {True}


FINE = {
    "nothing is taken away": "create table users (id int); create index i on users (id)",
    "what was there goes first": "drop table if exists users; create table users (id int)",
    "it is made once more": "create table t (a int); drop table t; create table t (b int)",
    "another table takes its name": (
        "create table new (id int); drop table old; alter table new rename to old"
    ),
    "the old one goes under another name": (
        "alter table t rename to t_old; create table t (id int); drop table t_old"
    ),
    "names are swapped": (
        "alter table a rename to c; alter table b rename to a; alter table c rename to b"
    ),
    "a column takes another one's place": (
        "alter table t add n2 bigint; update t set n2 = n; alter table t drop n;"
        " alter table t rename n2 to n"
    ),
    "in one statement PostgreSQL drops first": "alter table t add n bigint, drop n",
    "another one of a like name": "create table a.users (id int); drop table b.users",
    "another one in another search_path": (
        "set search_path = a; create table t (id int); set search_path = b; drop table t"
    ),
    "a column of another table": "alter table a add n int; alter table b drop n",
    "a temporary table": "create temp table t (id int); drop table t",
    "a temporary table from a query": "create temporary table t as select 1; drop table t",
    "a temporary table from SELECT INTO": "select 1 as a into temp t; drop table t",
    "a temporary table that hides another one": (
        "create table t (id int); create temp table t (id int); drop table t"
    ),
    "a temporary table's index": (
        "create temp table t (id int); create index i on t (id); drop index i"
    ),
    "a temporary view": "create temp view v as select 1; drop view v",
    "a helper function": (
        "create function f(int) returns int language sql as 'select 1';"
        " select f(id) from users; drop function f(int)"
    ),
    "a helper function in a DO": (
        "create function app.f() returns int language sql as 'select 1';"
        " do $$ begin perform app.f(); end $$; drop function app.f"
    ),
    "another function of that name": (
        "create function f(int, int) returns int language sql as 'select 1';"
        " drop function if exists f(int)"
    ),
    "a check on the way to NOT NULL": (
        "alter table t add constraint c check (a is not null) not valid;"
        " alter table t validate constraint c; alter table t alter a set not null;"
        " alter table t drop constraint c"
    ),
    "a check on the way to NOT NULL, in one statement": (
        "alter table t add constraint c check (a is not null) not valid;"
        " alter table t alter a set not null, drop constraint c"
    ),
    "a check on the way into a table": (
        "alter table p1 add constraint c check (a = 1);"
        " alter table p attach partition p1 for values in (1); alter table p1 drop constraint c"
    ),
    "an index for ON CONFLICT": (
        "create unique index i on t (a); insert into t select 1 on conflict (a) do nothing;"
        " drop index i"
    ),
    "what a view stood in the way of": (
        "drop view v; alter table t alter a type bigint; create view v as select a from t"
    ),
    "row-level security is off for a while": (
        "alter table t no force row level security; update t set a = 1;"
        " alter table t force row level security"
    ),
    "a table that is renamed and dropped": "alter table t rename to old_t; drop table old_t",
    "words in a literal": "create table t (a text); insert into t values ('drop table t')",
    "words in a comment": "create table t (a text); -- drop table t",
}


@pytest.mark.parametrize("case", FINE)
def test_what_stays_or_was_a_helper_is_no_undoing(case: str) -> None:
    """Of what the file makes something is left, or it served what came in between."""
    assert undone_in(FINE[case]) == ()


def test_a_file_that_our_parser_cannot_read_is_looked_at_all_the_same() -> None:
    """Statement by statement, as far as each can be read."""
    found = undone_in("create table t (id int); frobnicate t; drop table t")

    assert [one.what for one in found] == ["table t"]


@pytest.mark.parametrize(
    "mark",
    ["-- !Downs", "-- +micrate Down", "-- rambler down", "-- down", "/* rollback */", ""],
)
def test_whatever_words_mark_the_section_its_statements_show_it(mark: str) -> None:
    """Tools have their own words, and people theirs, or none."""
    found = undone_in(f"create table users (id int);\n\n{mark}\ndrop table users;\n")

    assert [(one.made.line, one.gone.line) for one in found] == [(1, 4)]


def test_the_plan_refuses_and_names_both_lines() -> None:
    """84 before anything runs; the remedy says what to take out, or what to paste where."""
    found = planned("create table users (id int);\n\n-- down\ndrop table users;\n")

    assert found.refusal == Finding(
        "undone",
        "migrations/1_users.sql:4: DROP TABLE undoes what CREATE TABLE on line 1 did for table "
        "users; nothing of it is left",
        "predeploy only goes forward: if a section of the file undoes it, remove that; if users "
        "is meant to be temporary, use CREATE TEMP TABLE, or declare it before line 4: "
        "-- predeploy: allow drop-table users",
        ExitCode.REFUSED,
    )


@pytest.mark.parametrize("case", UNDONE)
def test_the_line_that_the_remedy_prints_lets_the_file_pass(case: str) -> None:
    """As it stands, one line for each thing, in front of the statement that takes it away."""
    up, down, _ = UNDONE[case]
    refused = planned(f"{up};\n{down};\n")
    pasted = [f.remedy[f.remedy.index("-- predeploy") :] for f in refused.findings]

    assert pasted
    assert planned("\n".join((f"{up};", *pasted, f"{down};"))).findings == ()


@pytest.mark.parametrize("target", ["users", "public.users", "app.users"])
def test_a_schema_that_the_file_leaves_open_may_be_named(target: str) -> None:
    """Which one it is, the search_path says, and the author knows."""
    line = f"-- predeploy: allow drop-table {target}"

    assert planned(f"create table users (id int);\n{line}\ndrop table users;").findings == ()


@pytest.mark.parametrize(
    "line", ["drop-table user", "drop-column users", "delete users", "undo users"]
)
def test_a_line_that_means_something_else_does_not_let_it_pass(line: str) -> None:
    """Another name, or another word."""
    found = planned(f"create table users (id int);\n-- predeploy: allow {line}\ndrop table users;")

    assert "undone" in [finding.code for finding in found.findings]


def test_an_undoing_that_does_not_happen_may_not_be_declared() -> None:
    """65, from the text alone: a misspelt name, or a forgotten line."""
    found = planned("create view v as select 1;\n-- predeploy: allow undo w\ndrop view if exists v")

    assert (found.findings[0].code, found.findings[0].exit_code) == (
        "idle-directive",
        ExitCode.BAD_SOURCES,
    )


def test_where_the_policy_allows_it_the_plan_only_warns() -> None:
    """PREDEPLOY_DESTRUCTIVE=allow: it runs, and is said."""
    found = planned("create table t (id int); drop table t", destructive=Destructive.ALLOW)

    assert [(f.code, f.exit_code) for f in found.findings] == [("undone", None)]


def test_two_steps_of_one_file_may_not_undo_each_other_either() -> None:
    """The file is what people write; where its transactions end does not matter."""
    text = "begin;\ncreate table t (id int);\ncommit;\nbegin;\ndrop table t;\ncommit;\n"

    assert [f.code for f in planned(text).findings] == ["undone"]


def test_a_later_file_may_take_away_what_an_earlier_one_made() -> None:
    """That is history, as a new database runs it: the sentinel watches each step."""
    made = script("1_a.sql", "create table t (id int)")
    gone = script("2_b.sql", "drop table t")

    assert plan(situation((made, gone))).findings == ()


def test_what_has_been_applied_is_not_judged_again() -> None:
    """Of a half-applied file, only what is pending."""
    file = script("1_a.sql", "begin; create table t (id int); drop table t; commit; select 1")
    first = steps_of(file).steps[0].entry
    assert first is not None

    found = plan(situation((file,), (LedgerRow(first, "2026-11-22T10:00:00Z", "run"),)))

    assert found.findings == ()


def undone_in(text: str) -> tuple[sql.Undone, ...]:
    return sql.undone(sql.read(text).statements)


def script(name: str, text: str) -> Script:
    raw_hash = hashlib.sha256(text.encode()).hexdigest()
    return Script(name, f"migrations/{name}", text, raw_hash, (int(name[0]),))


def situation(
    scripts: tuple[Script, ...],
    ledger: tuple[LedgerRow, ...] = (),
    destructive: Destructive = Destructive.REFUSE,
) -> Situation:
    settings = Settings(Endpoint("DATABASE_URL", ()), Path("sql"), destructive=destructive)
    sources = Sources(scripts, (), (), digest="")
    return Situation(settings, sources, Snapshot(180000, ledger, has_ledger=True))


def planned(text: str, *, destructive: Destructive = Destructive.REFUSE) -> Plan:
    return plan(situation((script("1_users.sql", text),), destructive=destructive))
