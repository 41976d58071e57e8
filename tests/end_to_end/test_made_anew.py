"""What is dropped and made again under its own name is no loss; its grants may be."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Database
from production import codes_of, environ, prepare, report_here

Folder = Callable[[Mapping[str, str]], Path]
Migrate = Callable[..., dict[str, Any]]

SETUP = """
create type "Mood" as enum ('sad', 'ok');
create table people (id int, mood "Mood" not null default 'sad', moods "Mood"[]);
insert into people values (1, 'sad', '{sad,ok}'), (2, 'ok', '{}'), (3, 'ok', null);
create table inv (id int, total int);
insert into inv values (1, 5);
create view totals as select id, total from inv;
create materialized view seen as select id, total from inv;
create function twice(n int) returns int language sql as 'select n * 2';
create index inv_total on inv (total);
"""
# What each tool generates for another list of labels; {} is the list.
TOOLS = {
    "Prisma": """
        BEGIN;
        CREATE TYPE "Mood_new" AS ENUM ({});
        ALTER TABLE "people" ALTER COLUMN "mood" DROP DEFAULT;
        ALTER TABLE "people" ALTER COLUMN "mood" TYPE "Mood_new"
            USING ("mood"::text::"Mood_new"), ALTER COLUMN "moods" TYPE "Mood_new"[]
            USING ("moods"::text::"Mood_new"[]);
        ALTER TYPE "Mood" RENAME TO "Mood_old";
        ALTER TYPE "Mood_new" RENAME TO "Mood";
        DROP TYPE "Mood_old";
        ALTER TABLE "people" ALTER COLUMN "mood" SET DEFAULT 'ok';
        COMMIT;""",
    "Drizzle": """
        ALTER TABLE "people" ALTER COLUMN "mood" SET DATA TYPE text;--> statement-breakpoint
        ALTER TABLE "people" ALTER COLUMN "mood" SET DEFAULT 'ok'::text;
        ALTER TABLE "people" ALTER COLUMN "moods" SET DATA TYPE text[];
        DROP TYPE "public"."Mood";--> statement-breakpoint
        CREATE TYPE "public"."Mood" AS ENUM({});--> statement-breakpoint
        ALTER TABLE "people" ALTER COLUMN "mood" SET DEFAULT 'ok'::"public"."Mood";
        ALTER TABLE "people" ALTER COLUMN "mood" SET DATA TYPE "public"."Mood"
            USING "mood"::"public"."Mood";
        ALTER TABLE "people" ALTER COLUMN "moods" SET DATA TYPE "public"."Mood"[]
            USING "moods"::"public"."Mood"[];""",
    "Alembic": """
        ALTER TYPE "Mood" RENAME TO "Mood_old";
        CREATE TYPE "Mood" AS ENUM ({});
        ALTER TABLE people ALTER COLUMN mood DROP DEFAULT;
        ALTER TABLE people ALTER COLUMN mood TYPE "Mood" USING mood::text::"Mood";
        ALTER TABLE people ALTER COLUMN moods TYPE "Mood"[] USING moods::text::"Mood"[];
        ALTER TABLE people ALTER COLUMN mood SET DEFAULT 'ok';
        DROP TYPE "Mood_old";""",
}  # fmt: skip


@pytest.fixture
def migrate(database: Database, folder: Folder) -> Migrate:
    """Applies SETUP before the test; then one more file, of which it returns the report."""
    prepare(environ(database, folder({"migrations/1_setup.sql": SETUP})))

    def run(text: str, **more: str) -> dict[str, Any]:
        files = {"migrations/1_setup.sql": SETUP, "migrations/2_step.sql": text}
        return report_here(environ(database, folder(files), **more))

    return run


def taken_away(report: dict[str, Any]) -> list[str]:
    """What the report says is gone."""
    return [f["message"] for f in report.get("findings", []) if f["code"] == "taken-away"]


@pytest.mark.parametrize("tool", TOOLS)
def test_an_enum_that_a_tool_makes_anew_with_all_its_labels_loses_none(
    tool: str, migrate: Migrate, database: Database
) -> None:
    """0 without a declaration, and nothing is said to be gone: every label is there, and in use."""
    report = migrate(TOOLS[tool].format("'sad', 'fine', 'ok'"))

    assert report["exit_code"] == 0, report
    assert taken_away(report) == []
    assert database.rows("select mood::text, moods::text from people order by id") == [
        ("sad", "{sad,ok}"), ("ok", "{}"), ("ok", None),
    ]  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_of_an_enum_that_is_made_anew_the_labels_that_are_missing_are_lost(
    tool: str, migrate: Migrate, database: Database
) -> None:
    """84 with the one label that is gone, which no row has any more; its declaration lets it by."""
    database.execute("update people set mood = 'ok', moods = '{ok}'")
    text = TOOLS[tool].format("'ok'")

    report = migrate(text)

    assert report["exit_code"] == 84, report
    message = report["failure"]["message"]
    assert message.endswith("does not declare: drop-label public.Mood.sad")
    report = migrate(f"-- predeploy: allow drop-label public.Mood.sad\n{text}")
    assert report["exit_code"] == 0, report
    assert taken_away(report) == ["migrations/2_step.sql: drop-label public.Mood.sad"]


MERGED = """
CREATE TYPE "Mood_new" AS ENUM ('ok');
ALTER TABLE people ALTER COLUMN mood DROP DEFAULT, ALTER COLUMN moods TYPE text[];
ALTER TABLE people ALTER COLUMN mood TYPE "Mood_new" USING (replace(mood::text, 'sad', 'ok')::"Mood_new");
ALTER TYPE "Mood" RENAME TO "Mood_old";
ALTER TYPE "Mood_new" RENAME TO "Mood";
DROP TYPE "Mood_old";
"""  # noqa: E501


def test_a_label_that_is_declared_to_go_takes_its_values_with_it(
    migrate: Migrate, database: Database
) -> None:
    """What rows had it must have another one then: nothing is left to declare of the column."""
    report = migrate(MERGED)

    assert report["exit_code"] == 84
    assert report["failure"]["message"].endswith("declare: drop-label public.Mood.sad")
    assert migrate(f"-- predeploy: allow drop-label Mood.sad\n{MERGED}")["exit_code"] == 0
    assert database.value("select count(*) from people where mood = 'ok'") == 3


def test_more_values_than_labels_is_a_loss_of_values(migrate: Migrate) -> None:
    """Where all rows get one label although others are there, the file has to say so."""
    text = """alter table people alter column mood type "Mood" using 'ok'"""

    report = migrate(text)

    assert report["exit_code"] == 84
    assert "values of public.people.mood (2 different" in report["failure"]["message"]


def test_who_has_declared_such_a_label_may_leave_it_so(migrate: Migrate) -> None:
    """Older versions asked for it: the file runs on new databases, too, and nothing is reported."""
    lines = "".join(f"-- predeploy: allow drop-label Mood.{label}\n" for label in ("sad", "ok"))

    report = migrate(lines + TOOLS["Alembic"].format("'sad', 'ok'"))

    assert report["exit_code"] == 0, report
    assert taken_away(report) == []


ANEW = {
    "a materialized view": (
        ("drop materialized view seen; alter table inv alter id type bigint;"
        " create materialized view seen as select id, total from inv"),
        "drop view totals;",
    ),
    "a materialized view with more columns": (
        ("drop materialized view seen;"
        " create materialized view seen as select id, total, 1 as more from inv"), "",
    ),
    "a materialized view, renamed": (
        ("alter materialized view seen rename to seen_old;"
        " create materialized view seen as select id, total from inv;"
        " drop materialized view seen_old"), "",
    ),
    "a materialized view in a block": (
        ("do $$ begin drop materialized view seen;"
        " create materialized view seen as select id, total from inv; end $$"), "",
    ),
    "a view": ("drop view totals; create view totals as select id from inv", ""),
    "a function": (
        ("drop function twice(int);"
        " create function twice(n int) returns int language sql as 'select n + n'"), "",
    ),
    "an index": ("drop index inv_total; create index inv_total on inv (total, id)", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", ANEW)
def test_what_has_no_rows_of_its_own_may_be_made_anew(case: str, migrate: Migrate) -> None:
    """0 without a declaration, and nothing is gone."""
    text, before = ANEW[case]

    report = migrate(before + text)

    assert report["exit_code"] == 0, report
    assert taken_away(report) == []
    assert "lost-grants" not in {f["code"] for f in report.get("findings", [])}


@pytest.mark.parametrize(
    "text",
    [
        "drop materialized view seen",
        "drop materialized view seen; create materialized view seen as select id from inv",
        "drop materialized view seen; create table seen as select id, total from inv",
        (
            "drop materialized view seen; create schema elsewhere;"
            " create materialized view elsewhere.seen as select id, total from inv"
        ),
    ],
)
def test_a_materialized_view_that_is_not_there_again_is_lost(text: str, migrate: Migrate) -> None:
    """84: gone, or without a column, or something else of its name; declared it passes."""
    report = migrate(text)

    assert report["exit_code"] == 84
    assert report["failure"]["message"].endswith("does not declare: drop-table public.seen")
    assert migrate(f"-- predeploy: allow drop-table seen\n{text}")["exit_code"] == 0


UNGRANTED = {
    "a materialized view": (
        "drop materialized view seen; create materialized view seen as select id, total from inv",
        "public.seen was recreated, and its grants are gone: SELECT to anew_reader",
        "GRANT SELECT ON TABLE public.seen TO anew_reader;",
    ),
    "a view": (
        (
            "drop view totals; create view totals as select id, total from inv;"
            " grant select on totals to anew_reader"
        ),
        "public.totals was recreated, and its grants are gone: SELECT (id) to PUBLIC",
        "GRANT SELECT (id) ON TABLE public.totals TO PUBLIC;",
    ),
    "a function": (
        (
            "drop function twice(int) cascade;"
            " create function twice(n int) returns int language sql as 'select n + n'"
        ),
        (
            "public.twice(integer) was recreated, and its grants are gone: EXECUTE to anew_reader,"
            " and EXECUTE is granted to PUBLIC again"
        ),
        (
            "GRANT EXECUTE ON ROUTINE public.twice(integer) TO anew_reader;"
            " REVOKE EXECUTE ON ROUTINE public.twice(integer) FROM PUBLIC;"
        ),
    ),
    "a type": (
        TOOLS["Alembic"].format("'sad', 'ok'"),
        'public."Mood" was recreated, and its grants are gone: USAGE to anew_reader',
        'GRANT USAGE ON TYPE public."Mood" TO anew_reader;',
    ),
}


@pytest.mark.parametrize("case", UNGRANTED)
def test_grants_that_are_gone_with_the_old_one_are_a_warning(
    case: str, migrate: Migrate, database: Database
) -> None:
    """0, and the report has the statement that gives them again; it works as it is printed."""
    text, told, statement = UNGRANTED[case]
    database.execute(
        "create role anew_reader;"
        "grant select on seen, totals to anew_reader; grant select (id) on totals to public;"
        "revoke all on function twice(int) from public;"
        'grant execute on function twice(int) to anew_reader; grant usage on type "Mood" to'
        " anew_reader"
    )
    try:
        report = migrate(text)

        assert report["exit_code"] == 0, report
        assert ("warn", "lost-grants") in codes_of(report)
        (finding,) = (f for f in report["findings"] if f["code"] == "lost-grants")
        assert finding["message"] == f"migrations/2_step.sql: {told}"
        assert finding["next"].endswith(f": {statement}")
        database.execute(statement)
    finally:
        database.execute("drop owned by anew_reader; drop role anew_reader")
