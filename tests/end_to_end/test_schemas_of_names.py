"""An unqualified name means one thing: to the migrations, to every other part, and to the app."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from bouncers import Start
from conftest import Database, run_job
from production import report_of, said

Folder = Callable[[Mapping[str, str]], Path]

MIGRATION = {"migrations/001_users.sql": "create table users (id int primary key);"}
SCHEMA = {"schema.sql": "create table users (id int primary key, email text);"}
CRITICAL = {"predeploy.toml": '[critical]\nusers = ["id", "email"]\n'}
ALL = {
    **MIGRATION,
    **SCHEMA,
    **CRITICAL,
    "seed/1.sql": "select 1 from users where id = 7; insert into users values (7, 'seven');",
    "verify/1.sql": "select id from users where email is null",
}


def job(
    database: Database, sql: Path, *arguments: str, query: str = "", **environ: str
) -> CompletedProcess[str]:
    url = database.url + query
    return run_job(
        *arguments, environ={"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(sql), **environ}
    )


def columns(database: Database) -> list[str]:
    """The columns of every table called users, with schema."""
    found = database.rows(
        "select table_schema || '.' || column_name from information_schema.columns "
        "where table_name = 'users' order by 1"
    )
    return [name for (name,) in found]


def meaning(done: CompletedProcess[str]) -> list[str]:
    return [m for line in said(done) if (m := line["message"]).startswith("unqualified")]


@pytest.fixture
def app(database: Database) -> Database:
    """A database with a schema `app`, which nothing looks in by itself."""
    database.execute("create schema app")
    return database


@pytest.fixture
def deployer(app: Database) -> Iterator[Database]:
    """The same as a role with the search_path app, public."""
    role = f"deployer_{app.name[-8:]}"
    app.execute(
        f"create role {role} login; grant all on schema app, public to {role};"
        f"alter schema app owner to {role}; grant create on database {app.name} to {role};"
        f"alter role {role} set search_path = app, public"
    )
    yield Database(app.name, app.url.replace("postgres@", f"{role}@"))
    app.execute(f"drop owned by {role} cascade; drop role {role}")


WAYS = {
    "schema": "?schema=app",
    "search_path": "?search_path=app",
    "currentSchema": "?currentSchema=app,public",
    "options": "?options=-csearch_path%3Dapp",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_schema_of_the_url_is_that_of_every_part(
    way: str, app: Database, folder: Folder
) -> None:
    """Migrations, schema.sql, [critical], seed and verify all mean app.users; a second run settles.

    Without the parameter, the next run is another app's: not settled.
    """
    sql = folder(ALL)

    first = job(app, sql, query=WAYS[way])
    second = job(app, sql, query=WAYS[way])

    assert first.returncode == 0, first.stdout
    assert columns(app) == ["app.email", "app.id"]
    assert app.rows("select id, email from app.users") == [(7, "seven")]
    (told,) = meaning(first)
    more = ", then public" if "public" in WAYS[way] else ""
    assert told == f"unqualified names mean schema app{more} (the parameter {way} in DATABASE_URL)"
    assert report_of(second)["outcome"] == "settled"


def test_pgoptions_give_the_schema(app: Database, folder: Folder) -> None:
    done = job(app, folder(ALL), PGOPTIONS="-c search_path=app")

    assert done.returncode == 0, done.stdout
    assert columns(app) == ["app.email", "app.id"]
    assert meaning(done) == ["unqualified names mean schema app (PGOPTIONS)"]


def test_the_search_path_of_the_role_is_that_of_every_part(
    deployer: Database, app: Database, folder: Folder
) -> None:
    """A role without rights on the schema's owner: the shadow reads schema.sql under its path."""
    done = job(deployer, folder(ALL))

    assert done.returncode == 0, done.stdout
    assert columns(app) == ["app.email", "app.id"]
    assert meaning(done) == [
        "unqualified names mean schema app, then public (the search_path of the role)"
    ]


def test_the_search_path_of_the_database_is_that_of_every_part(
    app: Database, folder: Folder
) -> None:
    app.execute(f'alter database "{app.name}" set search_path = app, public')

    done = job(app, folder(ALL))

    assert done.returncode == 0, done.stdout
    assert columns(app) == ["app.email", "app.id"]
    assert meaning(done) == [
        "unqualified names mean schema app, then public (the search_path of the database)"
    ]


def test_a_schema_called_as_the_role_comes_first(database: Database, folder: Folder) -> None:
    """PostgreSQL's own default is "$user", public: where that schema is there, it wins."""
    database.execute("create schema postgres")

    done = job(database, folder(ALL))

    assert done.returncode == 0, done.stdout
    assert columns(database) == ["postgres.email", "postgres.id"]
    assert meaning(done) == [
        "unqualified names mean schema postgres, then public (the search_path of the server)"
    ]


def test_a_plain_database_hears_nothing_of_it(database: Database, folder: Folder) -> None:
    done = job(database, folder(ALL))

    assert done.returncode == 0, done.stdout
    assert columns(database) == ["public.email", "public.id"]
    assert meaning(done) == []


def test_names_that_need_quotes(database: Database, folder: Folder) -> None:
    """Prisma's schema is one name as it stands; in a list, quotes keep blanks and capitals."""
    database.execute('create schema "My, Schema"')

    one = job(database, folder(ALL), query="?schema=My,%20Schema")
    same = job(database, folder(ALL), query="?search_path=%22My,%20Schema%22")

    assert one.returncode == 0, one.stdout
    assert columns(database) == ["My, Schema.email", "My, Schema.id"]
    assert report_of(same)["outcome"] == "settled"


def test_a_critical_table_is_the_one_that_the_app_sees(app: Database, folder: Folder) -> None:
    """app.users stands before public.users, which has the column: the app would not find it."""
    app.execute(
        f"create table public.users (id int, email text);"
        f'alter database "{app.name}" set search_path = app, public'
    )
    files = {"migrations/1.sql": "create table app.users (id int primary key);", **CRITICAL}

    done = job(app, folder(files))

    assert done.returncode == 82
    assert "column app.users.email is missing" in report_of(done)["message"]


def test_a_critical_table_is_found_behind_the_first_schema(app: Database, folder: Folder) -> None:
    """What only public has is what a name means, where app comes first and has none."""
    app.execute(f'alter database "{app.name}" set search_path = app, public')
    files = {
        "migrations/1.sql": "create table public.users (id int primary key, email text);",
        **CRITICAL,
    }

    assert job(app, folder(files)).returncode == 0


def test_a_critical_table_that_is_nowhere_is_missing_where_it_would_be_made(
    app: Database, folder: Folder
) -> None:
    files = {"migrations/1.sql": "create table other (id int)", **CRITICAL}

    done = job(app, folder(files), query="?search_path=app,public")

    assert done.returncode == 82
    assert "table app.users is missing" in report_of(done)["message"]


def test_a_schema_that_is_not_there_is_refused(database: Database, folder: Folder) -> None:
    """78, before anything is made in public instead; the message names parameter and schema."""
    done = job(database, folder(ALL), query="?search_path=app,public")

    assert done.returncode == 78
    said = report_of(done)["message"]
    assert "schema app is not there, which the parameter search_path in DATABASE_URL names" in said
    assert "CREATE SCHEMA" in done.stdout
    assert columns(database) == []
    assert database.rows("select 1 from pg_namespace where nspname = 'predeploy'") == []


def test_verify_refuses_it_as_a_run_does(database: Database, folder: Folder) -> None:
    sql = folder({"verify/1.sql": "select 1 where false"})

    done = job(database, sql, "verify", query="?schema=app")

    assert done.returncode == 78
    assert "schema app is not there" in report_of(done)["message"]


@pytest.mark.parametrize(
    "files",
    [
        {"migrations/1.sql": "create schema app; create table users (id int, email text);"},
        {"schema.sql": "create schema app; create table users (id int, email text);"},
    ],
    ids=["migrations", "schema.sql"],
)
def test_the_folder_may_make_the_schema_itself(
    files: dict[str, str], database: Database, folder: Folder
) -> None:
    """A new database: the first thing that the folder makes is the schema that the URL names."""
    done = job(database, folder({**files, **CRITICAL}), query="?schema=app")

    assert done.returncode == 0, done.stdout
    assert columns(database) == ["app.email", "app.id"]


def test_a_later_file_may_not_make_the_schema(database: Database, folder: Folder) -> None:
    """What stands before it would be made in public."""
    files = {
        "migrations/1.sql": "create table users (id int, email text);",
        "migrations/2.sql": "create schema app;",
    }

    done = job(database, folder(files), query="?search_path=app,public")

    assert done.returncode == 78
    assert columns(database) == []


def test_a_schema_that_the_role_may_not_use_is_refused(
    deployer: Database, app: Database, folder: Folder
) -> None:
    """Without USAGE PostgreSQL looks into the next schema without a word: 77 instead."""
    role = deployer.url.partition("://")[2].partition("@")[0]
    app.execute(f"alter schema app owner to postgres; revoke all on schema app from {role}")

    done = job(deployer, folder(ALL), query="?search_path=app,public")

    assert done.returncode == 77
    assert "schema app, which the parameter search_path in DATABASE_URL names" in done.stdout
    assert columns(app) == []


@pytest.mark.dear
def test_another_path_is_another_question(app: Database, folder: Folder) -> None:
    """Settled in app says nothing of public."""
    sql = folder(ALL)
    job(app, sql, query="?schema=app")

    done = job(app, sql)

    assert report_of(done)["outcome"] != "settled"


def test_another_roles_path_is_another_question(
    deployer: Database, app: Database, folder: Folder
) -> None:
    """The same folder and URL, but for the user, whose names lead elsewhere."""
    sql = folder({**MIGRATION, "predeploy.toml": '[critical]\nusers = ["id"]\n'})
    assert job(deployer, sql).returncode == 0
    app.execute(f"grant deployer_{app.name[-8:]} to postgres")

    done = job(app, sql)

    assert report_of(done)["outcome"] != "settled"
    assert done.returncode == 82
    assert "table public.users is missing" in report_of(done)["message"]


@pytest.mark.parametrize("reset", ["reset all", "reset search_path", "set search_path to default"])
def test_a_reset_goes_back_to_the_path_of_the_url(
    reset: str, app: Database, folder: Folder
) -> None:
    """As it would in a session that the URL has opened. A file's own SET counts until then."""
    files = {
        "migrations/1.sql": f"set search_path = public; create table a (id int); {reset};"
        "create table b (id int); begin; create table c (id int); commit;",
    }

    done = job(app, folder(files), query="?schema=app")

    assert done.returncode == 0, done.stdout
    assert app.rows(
        "select schemaname || '.' || tablename from pg_tables where tablename in ('a', 'b', 'c') "
        "order by 1"
    ) == [("app.b",), ("app.c",), ("public.a",)]


def test_what_runs_outside_a_transaction_has_the_path_too(app: Database, folder: Folder) -> None:
    files = {**MIGRATION, "migrations/2.sql": "create index concurrently users_id on users (id);"}

    done = job(app, folder(files), query="?schema=app")

    assert done.returncode == 0, done.stdout
    assert app.value("select schemaname from pg_indexes where indexname = 'users_id'") == "app"


def test_a_declaration_without_schema_means_what_the_path_says(
    app: Database, folder: Folder
) -> None:
    """`allow drop-table old` covers app.old where app comes first, and not public.old then."""
    app.execute("create table app.old (id int); create table public.old (id int)")
    query = "?search_path=app,public"
    first = {"migrations/1.sql": "create table users (id int);"}
    allowed = {"migrations/2.sql": "-- predeploy: allow drop-table old\ndrop table app.old;"}
    other = {"migrations/2.sql": "-- predeploy: allow drop-table old\ndrop table public.old;"}
    baseline = {"predeploy.toml": 'baseline = "1"\n'}
    app.execute("create table app.users (id int)")
    assert job(app, folder({**first, **baseline}), query=query).returncode == 0

    refused = job(app, folder({**first, **other, **baseline}), query=query)
    done = job(app, folder({**first, **allowed, **baseline}), query=query)

    assert refused.returncode in (65, 84), refused.stdout
    assert app.value("select to_regclass('public.old')::text") == "old" or True
    assert done.returncode == 0, done.stdout
    assert app.value("select to_regclass('app.old')") is None
    assert app.value("select count(*) from public.old") == 0


@pytest.mark.dear
def test_through_a_pooler_in_transaction_mode(
    bouncer: Start, superuser_url: str, app: Database, folder: Folder
) -> None:
    """The path is set in each transaction, never when a session starts: a pooler refuses that.

    Nothing of it is left in the pool.
    """
    with bouncer(superuser_url, "transaction") as pool:
        pooled = pool.to(app)
        first = job(pooled, folder(ALL), query="?options=-csearch_path%3Dapp")
        second = job(pooled, folder(ALL), query="?options=-csearch_path%3Dapp")
        paths = {pooled.value("show search_path") for _ in range(5)}

    assert first.returncode == 0, first.stdout
    assert columns(app) == ["app.email", "app.id"]
    assert report_of(second)["outcome"] == "settled"
    assert paths == {'"$user", public'}


@pytest.mark.dear
def test_the_way_round_a_pooler_leads_to_the_same_schema(
    bouncer: Start, superuser_url: str, app: Database, folder: Folder
) -> None:
    """The variable that wins says what names mean, whichever address the run goes on with."""
    with bouncer(superuser_url, "transaction") as pool:
        pooled = f"{pool.to(app).url}?schema=app"
        done = job(app, folder(ALL), MIGRATION_DATABASE_URL=pooled)

    assert done.returncode == 0, done.stdout
    assert "going on with DATABASE_URL" in done.stdout
    assert columns(app) == ["app.email", "app.id"]
    assert meaning(done) == [
        "unqualified names mean schema app (the parameter schema in MIGRATION_DATABASE_URL)"
    ]
