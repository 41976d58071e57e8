"""A value is a loss, too: what a column's new type cannot hold."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Database
from production import codes_of, environ, report_here

from predeploy.losses import values

Folder = Callable[[Mapping[str, str]], Path]
Migrate = Callable[..., dict[str, Any]]

SETUP = """
create extension citext;
create table t (id int primary key, x text, n numeric, at timestamptz, big bigint, f float8,
    j json, p point, words text, flag text, v varchar(10), tags text[]);
insert into t select g, 'v' || g, g + 0.25, timestamptz '2026-01-01' + g * interval '1 hour',
    9007199254740992 + g, 1 + g / 1e9, json_build_object('a', g), point(g, 1), 'Word' || g % 2,
    case g % 3 when 0 then 'yes' when 1 then 'true' else 'no' end, 'v' || g, array['a' || g]
    from generate_series(1, 20) g;
insert into t (id) values (21);
create table parts (at int, x text) partition by range (at);
create table parts_low partition of parts for values from (0) to (100);
create table parts_high partition of parts for values from (100) to (200);
insert into parts select g, 'v' || g from generate_series(0, 199, 10) g;
"""


@pytest.fixture
def migrate(database: Database, folder: Folder) -> Migrate:
    """Applies SETUP by a run of its own, then one more file; returns the report."""
    setup = {"migrations/1_setup.sql": SETUP}
    report_here(environ(database, folder(setup)))

    def run(text: str, **more: str) -> dict[str, Any]:
        files = {**setup, "migrations/2_step.sql": text}
        return report_here(environ(database, folder(files), **more))

    return run


# What the file says, which column it is about, and what the report says of its values.
LOSSES = {
    "USING NULL": ("alter table t alter x type int using null", "t.x",
                   "20 values that are not null before, 0 after"),
    "USING NULL to the same type": ("alter table t alter x type text using null", "t.x",
                                    "20 values that are not null before, 0 after"),
    "a constant": ("alter table t alter x type int using 1", "t.x",
                   "20 different values before, 1 after"),
    "what fits only here and there": (
        "alter table t alter x type int using case when id < 5 then id end", "t.x",
        "20 values that are not null before, 4 after",
    ),
    "another column": ("alter table t alter x type text using words", "t.x",
                       "20 different values before, 2 after"),
    "digits behind the point": ("alter table t alter n type int using trunc(n / 2)", "t.n",
                                "20 different values before, 11 after"),
    "the time of day": ("set timezone = 'UTC'; alter table t alter at type date", "t.at",
                        "20 different values before, 1 after"),
    "a shorter text": ("alter table t alter x type varchar(2) using x::varchar(2)", "t.x",
                       "20 different values before, 9 after"),
    "a truth": ("alter table t alter flag type boolean using flag::boolean", "t.flag",
                "3 different values before, 2 after"),
    "a float for a large number": ("alter table t alter big type float8", "t.big",
                                   "20 different values before, 11 after"),
    "a smaller float": ("alter table t alter f type real", "t.f",
                        "20 different values before, 1 after"),
    "json, which has no equality": ("alter table t alter j type text using 'x'", "t.j",
                                    "20 different values before, 1 after"),
    "a point, which has no equality": ("alter table t alter p type point using point(0, 0)", "t.p",
                                       "20 different values before, 1 after"),
    "an array": ("alter table t alter tags type text[] using null", "t.tags",
                 "20 values that are not null before, 0 after"),
    "the partitions of a table": ("alter table parts alter x type varchar(2) using left(x, 2)",
                                  "parts.x", "20 different values before, 10 after"),
    "under later names": (
        ("alter table t rename x to y; alter table t rename to u;"
        " alter table u alter y type int using null"),
        "t.x", "20 values that are not null before, 0 after",
    ),
    "in another schema": (
        ("create schema app; alter table t set schema app;"
        " alter table app.t alter x type int using null"),
        "t.x", "20 values that are not null before, 0 after",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES)
def test_a_value_that_the_new_type_cannot_hold_is_a_loss(
    case: str, migrate: Migrate, database: Database
) -> None:
    """84, and every value is still there; the line that the report prints lets it pass."""
    text, column, told = LOSSES[case]
    table = column.partition(".")[0]

    report = migrate(text)

    assert report["exit_code"] == 84, report
    assert (
        f"would lose what its file does not declare: values of public.{column} ({told})"
        in report["failure"]["message"]
    )
    assert report["failure"]["next"].endswith(f": -- predeploy: allow rewrite public.{column}")
    assert database.value(f"select count(*) from {table}") == (21 if table == "t" else 20)
    assert database.value(f"select count({column}) from {table}") == 20

    report = migrate(f"-- predeploy: allow rewrite public.{column}\n{text}")

    assert report["exit_code"] == 0, report
    assert ("info", "taken-away") in codes_of(report, "info")
    assert any(told in finding["message"] for finding in report["findings"])


KEPT = {
    "a wider number": "alter table t alter id type bigint",
    "a text of digits": "alter table t alter n type text",
    "a number of two digits behind the point": "alter table t alter n type numeric(10, 2)",
    "a longer text": "alter table t alter v type varchar(20)",
    "a shorter text that is long enough": "alter table t alter x type varchar(3)",
    "a smaller number that is large enough": "alter table t alter id type smallint",
    "jsonb": "alter table t alter j type jsonb",
    "text that knows no case": "alter table t alter words type citext",
    "a prefix": "alter table t alter x type text using 'prefix-' || x",
    "a number in a text": "alter table t alter x type int using substr(x, 2)::int",
    "a new table": "create table u (c text); insert into u values ('a'), ('b');"
                   " alter table u alter c type text using null",
    "declared, and nothing lost": (
        "-- predeploy: allow rewrite t.id\nalter table t alter id type bigint"
    ),
    "declared of a new table": (
        "create table u (c text);\n-- predeploy: allow rewrite u.c\n"
        "alter table u alter c type int using null"
    ),
    "declared, with its rows": (
        "-- predeploy: allow delete t\ndelete from t where id > 15;"
        " alter table t alter x type int using substr(x, 2)::int"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KEPT)
def test_what_keeps_every_value_passes(case: str, migrate: Migrate) -> None:
    """As many values that are not null, and as many different ones, as before."""
    report = migrate(KEPT[case])

    assert report["exit_code"] == 0, report


@pytest.mark.parametrize(
    "text",
    [
        "do $$ begin alter table t alter at type date; end $$",
        "do $$ begin execute 'alter table t alter ' || 'n type int'; end $$",
        "do $$ begin alter table t alter x type varchar(2) using left(x, 2); end $$",
    ],
)
def test_a_conversion_that_no_text_tells_has_to_be_declared(text: str, migrate: Migrate) -> None:
    """A DO or a function did it: nobody has counted before, so a type that may lose is 84."""
    report = migrate(text)

    assert report["exit_code"] == 84, report
    assert "values of public.t." in report["failure"]["message"]
    line = report["failure"]["next"].partition(": ")[2]
    assert migrate(f"{line}\n{text}")["exit_code"] == 0


def test_a_conversion_in_a_block_that_keeps_every_value_passes(migrate: Migrate) -> None:
    """The catalog has both types, and the new one holds all of the old one's values."""
    report = migrate("do $$ begin alter table t alter id type bigint; end $$")

    assert report["exit_code"] == 0, report


def test_values_that_row_level_security_hides_are_counted(
    migrate: Migrate, database: Database
) -> None:
    """A table that forces it on its owner hides no loss."""
    migrate("select 1")
    database.execute(
        "delete from predeploy.migration where file = '2_step.sql';"
        "create role hidden_owner; grant all on schema public to hidden_owner;"
        "alter table t enable row level security, force row level security;"
        "create policy few on t using (id = 21); alter table t owner to hidden_owner;"
    )

    report = migrate("set role hidden_owner; alter table t alter x type int using null; reset role")

    database.execute("drop owned by hidden_owner cascade; drop role hidden_owner")
    assert "values of public.t.x (20 values" in report["failure"]["message"]


def test_values_of_a_large_table_are_not_counted_but_asked_about(
    migrate: Migrate, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """84 from the text and the size alone, before the table is written anew."""
    monkeypatch.setattr(values, "COUNTED_UP_TO", 1000)
    text = "alter table t alter at type date"

    report = migrate(text)

    assert report["exit_code"] == 84
    assert "20 different" not in report["failure"]["message"]
    assert (
        "may lose what is too much to count: values of public.t.at (a table of 0 MB)"
        in report["failure"]["message"]
    )
    assert database.value("select pg_typeof(at)::text from t limit 1") == "timestamp with time zone"
    assert migrate(f"-- predeploy: allow rewrite t.at\n{text}")["exit_code"] == 0
    assert migrate("alter table t alter id type bigint")["exit_code"] in (0, 65)


def test_an_enum_that_is_made_anew_is_not_asked_about(
    migrate: Migrate, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Prisma does it, of a large table, too: by its labels, of which none can be lost."""
    monkeypatch.setattr(values, "COUNTED_UP_TO", 1000)
    migrate("select 1")
    database.execute(
        "create type role as enum ('yes', 'true', 'no'); delete from predeploy.migration"
        " where file = '2_step.sql'; alter table t alter flag type role using flag::role"
    )

    report = migrate(
        """-- predeploy: allow drop-label role.yes
        -- predeploy: allow drop-label role.true
        -- predeploy: allow drop-label role.no
        create type role_new as enum ('yes', 'true', 'no', 'perhaps');
        alter table t alter flag type role_new using (flag::text::role_new);
        alter type role rename to role_old;
        alter type role_new rename to role;
        drop type role_old;""",
    )

    assert report["exit_code"] == 0, report


def test_where_the_policy_allows_it_lost_values_are_told(migrate: Migrate) -> None:
    """PREDEPLOY_DESTRUCTIVE=allow: a note, and it is done."""
    report = migrate("alter table t alter at type date", PREDEPLOY_DESTRUCTIVE="allow")

    assert report["exit_code"] == 0
    assert any("values of public.t.at (20 different" in f["message"] for f in report["findings"])
