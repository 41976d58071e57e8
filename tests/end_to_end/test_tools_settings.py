"""What a tool's own settings and variables say about its files, and the schema that Rails dumps."""

import json
import sys
from collections.abc import Callable, Mapping
from hashlib import sha384
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, run_job
from production import report_of

Run = Callable[..., dict[str, Any]]

SQLX_TABLE = """create table _sqlx_migrations (version bigint primary key,
    description text not null, installed_on timestamptz not null default now(),
    success boolean not null, checksum bytea not null, execution_time bigint not null)"""
RAILS = """SET statement_timeout = 0;
CREATE TABLE public.schema_migrations (version character varying NOT NULL);
ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);
CREATE TABLE public.users (id bigint NOT NULL, email text);
SET search_path TO "$user", public;

INSERT INTO "schema_migrations" (version) VALUES
('20240102000000'),
('20240101000000');

"""
MIGRATE = f"""
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as conn:
    if not conn.execute("select to_regclass('users')").fetchone()[0]:
        conn.execute({RAILS.partition("SET search_path")[0]!r})
"""


@pytest.fixture
def run(database: Database, folder: Callable[[Mapping[str, str]], Path]) -> Run:
    def job(files: Mapping[str, str], **variables: str) -> dict[str, Any]:
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder(files))}
        return report_of(run_job("run", environ={**environ, **variables}))

    return job


def test_flyways_placeholders_take_values_from_variables(database: Database, run: Run) -> None:
    """They win over the files, as in Flyway; another value is another folder, and not settled."""
    files = {
        "migrations/V1__a.sql": "create table ${name} (id int);",
        "migrations/R__v.sql": "create or replace view v as select '${greeting}'::text as said;",
        "migrations/flyway.conf": "flyway.placeholders.name=b\nflyway.placeholders.greeting=conf",
    }
    hello = {"FLYWAY_PLACEHOLDERS_GREETING": "hello", "FLYWAY_URL": "jdbc:x"}

    assert run(files, **hello)["exit_code"] == 0
    assert database.value("select said from v") == "hello"
    assert run(files, **hello)["outcome"] == "settled"
    assert run(files, **hello | {"FLYWAY_PLACEHOLDERS_GREETING": "bye"})["outcome"] == "ok"
    assert database.value("select said from v") == "bye"


def test_a_placeholder_without_a_value_names_its_variable(run: Run) -> None:
    files = {"migrations/V1__a.sql": "select '${my_name}';"}

    assert "FLYWAY_PLACEHOLDERS_MY_NAME" in run(files)["message"]
    assert run(files, FLYWAY_PLACEHOLDER_REPLACEMENT="false")["exit_code"] == 0


def test_variables_of_flyway_mean_nothing_to_other_folders(database: Database, run: Run) -> None:
    """They may be there for another program."""
    files = {
        "migrations/0001_a.sql": "create table a (id int); insert into a select length('${b}');"
    }

    assert run(files, FLYWAY_PLACEHOLDERS_B="xxxxxxxx")["exit_code"] == 0
    assert database.value("select id from a") == 4


def test_sqlx_toml_says_which_characters_count(database: Database, run: Run) -> None:
    """A checkout with other line ends has the same checksum."""
    said = {"migrations/sqlx.toml": '[migrate]\nignored-chars = ["\\r", "\\n"]\n'}
    files = {"migrations/20240101000000_a.sql": "create table a (\r\nid int);\r\n"}
    checksum = sha384(b"create table a (id int);").hexdigest()
    database.execute(
        f"{SQLX_TABLE}; create table a (id int); insert into _sqlx_migrations values "
        f"(20240101000000, 'a', now(), true, '\\x{checksum}', 1)"
    )

    report = run({**files, **said})

    assert report["exit_code"] == 0, report
    assert "taken-over" in [finding["code"] for finding in report["findings"]]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"migrations/sqlx.toml": '[migrate]\ntable-name = "ops.done"\n'}, "1_a.up.sql"),
        ({"migrations/flyway.conf": "flyway.table=done\nflyway.defaultSchema=ops"}, "V1__a.sql"),
        ({"migrations/flyway.toml": '[flyway]\ntable = "done"\nschemas = ["ops"]'}, "V1__a.sql"),
    ],
)
def test_a_tool_s_own_settings_name_its_history(
    database: Database, run: Run, said: Mapping[str, str], name: str
) -> None:
    database.execute("create schema ops")
    files = {f"migrations/{name}": "create table a (id int);", **said}
    url = f"{database.url}{'&' if '?' in database.url else '?'}search_path=ops"

    report = run(files, PREDEPLOY_MIRROR_HISTORY="true", DATABASE_URL=url)

    assert report["exit_code"] == 0, report
    assert database.value("select count(*) from ops.done") == 1


@pytest.mark.parametrize("said", ["conf", "variable"])
def test_flyway_s_schema_is_where_its_files_run(database: Database, run: Run, said: str) -> None:
    """An unqualified table would be made in another schema, and the run be green."""
    files = {"migrations/V1__a.sql": "create table a (id int);"}
    variables = {"FLYWAY_SCHEMAS": "app"} if said == "variable" else {}
    if said == "conf":
        files["migrations/flyway.conf"] = "flyway.defaultSchema=app\n"

    refused = run(files, **variables)

    assert refused["exit_code"] == 65, refused
    assert "flyway run these files in the schema app" in refused["message"]
    assert database.value("select to_regclass('a')") is None
    database.execute("create schema app")
    url = f"{database.url}{'&' if '?' in database.url else '?'}search_path=app"
    assert run(files, DATABASE_URL=url, **variables)["exit_code"] == 0
    assert database.value("select to_regclass('app.a')::text") == "app.a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[migrate]\ntable-name = 1", "sqlx.toml: table-name is 1; it must be a text"),
        ("[migrate", "migrations/sqlx.toml: cannot be read"),
        ("[migrate]\nignored-chars = 1", "sqlx.toml: ignored-chars is 1; it must be a list"),
        ("[migrate]\nignored-chars = [1]", "sqlx.toml: ignored-chars is [1]; it must be a list"),
        ("migrate = 1", "sqlx.toml: migrate is 1; it must be a table"),
    ],
)
def test_what_sqlx_toml_says_wrong_is_told(run: Run, text: str, expected: str) -> None:
    files = {"migrations/1_a.up.sql": "select 1;", "migrations/sqlx.toml": text}

    report = run(files)

    assert report["exit_code"] == 65
    assert expected in report["message"]


def test_structure_sql_is_the_schema_that_rails_declares(database: Database, run: Run) -> None:
    """Rails migrates and records; its dump is what the gate compares the database with."""
    command = json.dumps([sys.executable, "-c", MIGRATE])
    files = {"structure.sql": RAILS, "predeploy.toml": f"[migrate]\ncommand = {command}\n"}
    # As they lie in db/ beside it.
    files |= {"migrate/20240101000000_users.rb": "class", "seeds.rb": "User.create"}

    report = run(files, PYTHONWARNINGS="ignore")

    # Its INSERTs are the history that the app was made for.
    assert report["exit_code"] == 82, report
    assert "migration 20240101000000 is in structure.sql, and Rails has not" in report["message"]
    assert database.value("select count(*) from schema_migrations") == 0
    database.execute("insert into schema_migrations values ('20240101000000'), ('20240102000000')")
    assert run(files, PYTHONWARNINGS="ignore")["exit_code"] == 0
    database.execute("alter table users drop column email")
    assert run(files, PYTHONWARNINGS="ignore")["exit_code"] == 0
    assert database.value("select count(email) from users") == 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"structure.sql": RAILS}, "have Rails migrate"),
        ({"structure.sql": RAILS, "schema.sql": "create table a ();"}, "keep one of them"),
        (
            {"schema.rb": "x", "migrations/0001_a.sql": "select 1;"},
            "config.active_record.schema_format = :sql",
        ),
    ],
)
def test_what_rails_keeps_otherwise_is_refused(
    run: Run, files: Mapping[str, str], expected: str
) -> None:
    """Without Rails nobody would record its history, and it would run all of it again."""
    report = run(files)

    assert report["exit_code"] == 65
    assert expected in report["message"]
