"""What the files declare is theirs alone: nothing of the live database is taken for it."""

from collections.abc import Callable
from pathlib import Path

from conftest import Database
from production import environ, prepare, run_here

from job.exit_codes import ExitCode
from job.plan import Outcome

Folder = Callable[..., Path]


def schema_rights(database: Database) -> object:
    return database.rows(
        """select n.nspname, pg_get_userbyid(a.grantee), a.privilege_type,
            obj_description(n.oid, 'pg_namespace')
        from pg_namespace n left join aclexplode(n.nspacl) a on a.grantee <> n.nspowner
            and a.grantee <> 0
        where n.nspname = 'app' order by 1, 2, 3"""
    )


def test_what_was_taken_away_from_a_schema_is_not_given_back(
    database: Database, folder: Folder
) -> None:
    """Rights on a schema, and its comment, are declared only by a file that says so."""
    database.execute("create schema app; grant usage on schema app to pg_monitor")
    database.execute("comment on schema app is 'old'")
    settings = environ(database, folder({"schema.sql": "create table app.note (id integer);"}))
    prepare(settings)
    database.execute("revoke usage on schema app from pg_monitor; comment on schema app is 'new'")

    report = run_here(settings)

    assert report.exit_code is ExitCode.OK
    assert schema_rights(database) == [("app", None, None, "new")]
    assert run_here(settings).outcome is Outcome.SETTLED


def test_what_a_file_says_of_a_schema_is_given_back(database: Database, folder: Folder) -> None:
    """What it says itself comes again."""
    text = """create schema app; create table app.note (id integer);
        grant usage on schema app to pg_monitor; comment on schema app is 'ours'"""
    settings = environ(database, folder({"schema.sql": text}))
    prepare(settings)
    database.execute("revoke usage on schema app from pg_monitor; comment on schema app is 'new'")

    prepare(settings)

    assert schema_rights(database) == [("app", "pg_monitor", "USAGE", "ours")]
