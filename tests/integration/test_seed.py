"""The seed: the first administrator, inserted when absent, and nothing else ever."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from conftest import ADMIN, Database, run_job
from production import (
    ADMIN_BY_HASH,
    HASH,
    SHIPPED_SEED,
    USERS_TABLE,
    codes_of,
    contents,
    environ,
    has_ledger,
    prepare,
    report_here,
    report_of,
    whole_files,
)

Folder = Callable[[Mapping[str, str]], Path]
Answer = dict[str, Any]

MIGRATIONS = {"migrations/1_users.sql": USERS_TABLE}
FILES = {**MIGRATIONS, "seed/admin.sql": SHIPPED_SEED}
OTHER_HASH = HASH[:-1] + "x"


def job(database: Database, folder: Path, admin: Mapping[str, str]) -> tuple[int, Answer]:
    """Run the job in this process; return its exit code and its report."""
    report = report_here(environ(database, folder, **admin))
    return report["exit_code"], report


def users(database: Database) -> list[tuple[str, str, str]]:
    return database.rows("select username, email, password_hash from users order by id")


@pytest.fixture
def migrated(database: Database, folder: Folder) -> Database:
    """A database with the users' table, and nobody in it."""
    prepare(environ(database, folder(MIGRATIONS)))
    return database


# who is written


def test_without_an_admin_the_seed_is_skipped(database: Database, folder: Folder) -> None:
    """Without ADMIN_* nobody is written, and a warning says how to set it."""
    code, report = job(database, folder(FILES), {})

    (finding,) = report["findings"]
    assert (code, report["outcome"]) == (0, "ok")
    assert (finding["level"], finding["code"]) == ("warn", "seed-skipped")
    assert {name for name in ADMIN if name in finding["next"]} == set(ADMIN)
    assert users(database) == []


def test_a_password_is_hashed(database: Database, folder: Folder) -> None:
    """A password is stored as its bcrypt hash of cost 12, and the run says nothing of it."""
    done = run_job("run", environ=environ(database, folder(FILES), **ADMIN))

    ((username, email, stored),) = users(database)
    assert done.returncode == 0
    assert (username, email) == (ADMIN["ADMIN_USERNAME"], ADMIN["ADMIN_EMAIL"])
    assert stored.startswith("$2b$12$")
    assert bcrypt.checkpw(ADMIN["ADMIN_PASSWORD"].encode(), stored.encode())
    assert ADMIN["ADMIN_PASSWORD"] not in done.stdout
    assert stored not in done.stdout


def test_a_hash_is_stored_as_given(database: Database, folder: Folder) -> None:
    """ADMIN_PASSWORD_HASH goes into the table byte for byte."""
    code, report = job(database, folder(FILES), ADMIN_BY_HASH)

    assert (code, codes_of(report)) == (0, [])
    assert users(database) == [(ADMIN["ADMIN_USERNAME"], ADMIN["ADMIN_EMAIL"], HASH)]


@pytest.mark.parametrize(
    "value", ["o'brien", 'a"b', "back\\slash", "$1", "%s", "%(admin_email)s", "名前", "; --", "a;b"]
)
def test_any_name_is_a_value(database: Database, folder: Folder, value: str) -> None:
    """A name is bound, never read as SQL: quotes, placeholders and comments in it are text."""
    admin = {**ADMIN_BY_HASH, "ADMIN_USERNAME": value}
    settings = environ(database, folder(FILES), **admin)

    outcomes = [report_here(settings)["outcome"] for _ in range(2)]

    assert outcomes == ["ok", "settled"]
    assert users(database) == [(value, ADMIN["ADMIN_EMAIL"], HASH)]


@pytest.mark.parametrize(
    ("username", "email", "taken"),
    [
        ("root-admin", "other@thekeyn.example", "username"),
        ("other", "root@thekeyn.example", "email"),
    ],
)
def test_half_a_match_writes_nothing(
    migrated: Database, folder: Folder, username: str, email: str, taken: str
) -> None:
    """When only the name or only the address is taken, nothing is written, and that is told."""
    migrated.execute(
        f"insert into users (username, email, password_hash) values ('{username}', '{email}', 'x')"
    )
    before = contents(migrated)

    code, report = job(migrated, folder(FILES), ADMIN_BY_HASH)

    (finding,) = report["findings"]
    assert (code, report["outcome"]) == (0, "ok")
    assert (finding["level"], finding["code"]) == ("warn", "seed-half-match")
    assert f"the {taken} is taken" in finding["message"]
    assert contents(migrated) == before


def test_two_halves_are_no_match(migrated: Database, folder: Folder) -> None:
    """When one user has the name and another the address, nothing is written, and that is told."""
    migrated.execute(
        """insert into users (username, email, password_hash) values
        ('root-admin', 'a@b.example', 'x'), ('somebody', 'root@thekeyn.example', 'y')"""
    )
    before = contents(migrated)

    code, report = job(migrated, folder(FILES), ADMIN_BY_HASH)

    assert (code, codes_of(report)) == (0, [("warn", "seed-half-match")])
    assert contents(migrated) == before


def test_a_whole_match_is_silent(migrated: Database, folder: Folder) -> None:
    """When the admin is there already, whoever wrote it, nothing is written and nothing is said."""
    migrated.execute(
        """insert into users (username, email, password_hash)
        values ('root-admin', 'root@thekeyn.example', 'their own')"""
    )
    before = contents(migrated)

    code, report = job(migrated, folder(FILES), ADMIN_BY_HASH)

    assert (code, codes_of(report)) == (0, [])
    assert contents(migrated) == before


def test_a_changed_password_updates_nobody(database: Database, folder: Folder) -> None:
    """A later run with another password, even one that looks again, leaves the row as it is."""
    job(database, folder(FILES), ADMIN_BY_HASH)
    before = contents(database)
    changed = folder({**FILES, "migrations/2_more.sql": "create table more (id integer)"})

    code, report = job(database, changed, {**ADMIN_BY_HASH, "ADMIN_PASSWORD_HASH": OTHER_HASH})

    assert (code, report["outcome"]) == (0, "ok")
    assert contents(database) == {**before, "public.more": []}


def test_a_seed_without_parameters_needs_no_admin(database: Database, folder: Folder) -> None:
    """A seed that names no parameter is written once, with or without ADMIN_*."""
    files = {
        **MIGRATIONS,
        "migrations/2_plan.sql": "create table plan (name text)",
        "seed/plans.sql": "select 1 from plan; insert into plan values ('free'), ('100% pro');",
    }
    settings = environ(database, folder(files))

    outcomes = [report_here(settings)["outcome"] for _ in range(2)]

    assert outcomes == ["ok", "settled"]
    assert database.rows("select name from plan") == [("free",), ("100% pro",)]


def test_seeds_run_in_the_order_of_their_names(database: Database, folder: Folder) -> None:
    """Seeds are written one after the other, by name, and each in a transaction of its own."""
    log = "create table log (id serial, what text)"
    files = {
        "migrations/1_log.sql": log,
        "seed/b.sql": "insert into log (what) values ('b'); insert into log (what) values ('b2');",
        "seed/a.sql": "insert into log (what) values ('a');",
        "seed/c.sql": "insert into log (what) values ('c'); insert into missing values (1);",
    }

    code, report = job(database, folder(files), {})

    assert (code, report["failure"]["file"]) == (83, "seed/c.sql")
    assert database.rows("select what from log order by id") == [("a",), ("b",), ("b2",)]


# placeholders


def test_other_percent_signs_are_text(database: Database, folder: Folder) -> None:
    """A percent sign is text or an operator, and a placeholder in a literal or comment is text."""
    motto = "100% of %(admin_email)s, %s, 50%"
    seed = f"""
        -- %(admin_username)s is 100% a comment
        select username, email from users where username = %(admin_username)s and 7 % 2 = 1;
        /* %(admin_password_hash)s; % */
        insert into users (username, email, password_hash, role) values
            (%(admin_username)s, %(admin_email)s, %(admin_password_hash)s, '{motto}');"""

    code, report = job(database, folder({**MIGRATIONS, "seed/admin.sql": seed}), ADMIN_BY_HASH)

    assert code == 0, report["message"]
    assert database.rows("select username, email, password_hash, role from users") == [
        (ADMIN["ADMIN_USERNAME"], ADMIN["ADMIN_EMAIL"], HASH, motto)
    ]


# what a seed may not do


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("update users set role = 'admin';", "UPDATE"),
        ("delete from users;", "DELETE FROM"),
        (
            """insert into users (username, email, password_hash) values ('a', 'b@c', 'd')
            on conflict (username) do update set role = 'admin';""",
            "INSERT … ON CONFLICT DO UPDATE",
        ),
        ("create table extra (id integer);", "CREATE TABLE"),
        ("truncate users;", "TRUNCATE"),
        ("do $$ begin update users set role = 'admin'; end $$;", "DO"),
        (
            """with gone as (delete from users returning id)
            insert into users (username, email, password_hash) select 'a', 'b@c', 'd' from gone;""",
            "DELETE",
        ),
        (
            """with made as (update users set role = 'admin' returning id)
            insert into users (username, email, password_hash) select 'a', 'b@c', 'd' from made;""",
            "UPDATE",
        ),
    ],
    ids=["update", "delete", "do update", "ddl", "truncate", "do", "cte delete", "cte update"],
)
def test_a_seed_only_inserts(
    migrated: Database, folder: Folder, statement: str, complaint: str
) -> None:
    """A seed that could change or delete a row is refused with 65, and nothing is written."""
    migrated.execute(
        "insert into users (username, email, password_hash) values ('eve', 'eve@x.example', 'x')"
    )
    before = contents(migrated)
    seed = (
        f"insert into users (username, email, password_hash) values ('z', 'y@x', 'w');\n{statement}"
    )

    code, report = job(migrated, folder({**MIGRATIONS, "seed/users.sql": seed}), {})

    assert code == 65, report["message"]
    assert codes_of(report) == [("error", "bad-seed")]
    assert "seed/users.sql:2: " in report["findings"][0]["message"]
    assert complaint in report["findings"][0]["message"].upper().replace("IN A SEED", "")
    assert contents(migrated) == before


# a seed fails


def test_a_failing_insert_is_pointed_at_without_its_values(
    database: Database, folder: Folder
) -> None:
    """A failing insert ends with 83, line and column, and nothing that says what was bound."""
    table = USERS_TABLE.replace("role text", "role text check (role <> 'admin')")
    files = {"migrations/1_users.sql": table, "seed/admin.sql": SHIPPED_SEED}
    line = 1 + SHIPPED_SEED[: SHIPPED_SEED.index("insert into")].count("\n")

    done = run_job("run", environ=environ(database, folder(files), **ADMIN_BY_HASH))

    failure = report_of(done)["failure"]
    values = [ADMIN["ADMIN_USERNAME"], ADMIN["ADMIN_EMAIL"], HASH]
    assert done.returncode == 83
    assert (failure["file"], failure["line"], failure["column"], failure["sqlstate"]) == (
        "seed/admin.sql",
        line,
        1,
        "23514",
    )
    assert [value for value in values if value in done.stdout] == []
    assert users(database) == []
    assert whole_files(database) == ["1_users.sql"]


@pytest.mark.parametrize("admin", [ADMIN, ADMIN_BY_HASH], ids=["password", "hash"])
def test_a_failure_never_tells_a_hash(
    database: Database, folder: Folder, admin: dict[str, str]
) -> None:
    """Where PostgreSQL quotes a bound value in its message, no hash gets to the log or ledger."""
    seed = """
        insert into users (username, email, password_hash, is_verified)
        values (%(admin_username)s, %(admin_email)s, 'x', %(admin_password_hash)s);"""

    done = run_job(
        "run",
        environ=environ(database, folder({**MIGRATIONS, "seed/admin.sql": seed}), **admin),
    )

    kept = str(database.rows("select report from predeploy.run"))
    assert (done.returncode, report_of(done)["failure"]["sqlstate"]) == (83, "22P02")
    assert [text for text in (done.stdout, kept) if "$2b$12$" in text] == []
    assert users(database) == []


def test_a_later_column_of_a_seed_is_pointed_at(database: Database, folder: Folder) -> None:
    """Where the server gives a position it is told as a person counts, placeholders and all."""
    before = "insert into users (username, email, ⟦nickname)"
    seed = f"""select 1 from users where username = %(admin_username)s;
-- größe
{before} values (%(admin_username)s, %(admin_email)s, %(admin_password_hash)s);"""

    code, report = job(
        database, folder({**MIGRATIONS, "seed/admin.sql": seed.replace("⟦", "")}), ADMIN_BY_HASH
    )

    failure = report["failure"]
    assert (code, failure["sqlstate"]) == (83, "42703")
    assert (failure["line"], failure["column"]) == (3, before.index("⟦") + 1)


def test_a_position_behind_placeholders_is_told(database: Database, folder: Folder) -> None:
    """A position behind several placeholders on the same line is that of the file."""
    line = "values (%(admin_username)s, %(admin_email)s, ⟦missing(%(admin_password_hash)s));"
    seed = f"insert into users (username, email, password_hash)\n{line}".replace("⟦", "")

    code, report = job(database, folder({**MIGRATIONS, "seed/admin.sql": seed}), ADMIN_BY_HASH)

    failure = report["failure"]
    assert (code, failure["sqlstate"]) == (83, "42883")
    assert (failure["line"], failure["column"]) == (2, line.index("⟦") + 1)


def test_a_broken_question_fails_the_seed(database: Database, folder: Folder) -> None:
    """A presence question that cannot be asked ends with 83 and writes nothing."""
    seed = SHIPPED_SEED.replace("select username, email", "select username, emial")

    code, report = job(database, folder({**MIGRATIONS, "seed/admin.sql": seed}), ADMIN_BY_HASH)

    assert (code, codes_of(report)) == (83, [("error", "seed-broken")])
    assert "42703" in report["message"]
    assert users(database) == []


def test_a_syntax_error_in_a_question_fails_the_seed(database: Database, folder: Folder) -> None:
    """A presence question that PostgreSQL cannot parse is the seed's failure, not a bug of ours."""
    seed = SHIPPED_SEED.replace("from public.users", "from from public.users")

    done = run_job(
        "run",
        environ=environ(database, folder({**MIGRATIONS, "seed/admin.sql": seed}), **ADMIN_BY_HASH),
    )

    assert done.returncode in {65, 83}, done.stdout
    assert "seed/admin.sql" in report_of(done)["message"]
    assert users(database) == []


@pytest.mark.parametrize("name", ["ADMIN.SQL", "admin/admin.sql"])
def test_no_seed_is_overlooked(database: Database, folder: Folder, name: str) -> None:
    """A seed in capitals or in a folder of its own is written or refused, but never left out."""
    code, _ = job(database, folder({**MIGRATIONS, f"seed/{name}": SHIPPED_SEED}), ADMIN_BY_HASH)

    written = len(contents(database).get("public.users", []))
    assert (code, written) in {(0, 1), (65, 0)}


def test_a_seed_takes_nothing_away(migrated: Database, folder: Folder) -> None:
    """84 when a trigger of the table deletes: every row is there, and the seed's is not."""
    migrated.execute("""
        create table items as select n from generate_series(1, 3) n;
        create function wipe() returns trigger language plpgsql as
            $$ begin delete from items; return new; end $$;
        create trigger wipe before insert on users for each row execute function wipe()""")

    report = report_here(environ(migrated, folder(FILES), **ADMIN_BY_HASH))

    assert report["exit_code"] == 84
    assert "delete public.items (3 rows)" in report["failure"]["message"]
    assert migrated.value("select count(*) from items") == 3
    assert users(migrated) == []


def test_a_question_cannot_write(database: Database, folder: Folder) -> None:
    """The presence question is asked read only: a function in it that writes fails the seed."""
    files = {
        **MIGRATIONS,
        "migrations/2_f.sql": """
            create function sneak() returns setof integer language sql as
            $$ insert into users (username, email, password_hash) values ('a', 'b@c', 'd')
               returning id $$;""",
        "seed/admin.sql": "select sneak(); insert into users (username) values ('x');",
    }

    code, report = job(database, folder(files), {})

    assert (code, codes_of(report)) == (83, [("error", "seed-broken")])
    assert "25006" in report["message"]
    assert users(database) == []


def test_a_question_may_not_act_past_its_transaction(database: Database, folder: Folder) -> None:
    """65, without asking it: READ ONLY does not refuse that, or not on each server."""
    question = "select oid from pg_largeobject_metadata where lo_unlink(oid) = 1"
    files = {
        **MIGRATIONS,
        "migrations/2_large.sql": "select lo_from_bytea(70001, 'x');",
        "seed/admin.sql": f"{question}; insert into users (username) values ('x');",
    }

    code, report = job(database, folder(files), {})

    assert (code, codes_of(report)) == (65, [("error", "bad-seed")])
    assert "seed/admin.sql:1: the question calls lo_unlink" in report["message"]
    assert database.value("select lo_get(70001)") == b"x"
    assert users(database) == []


# settings


@pytest.mark.parametrize(
    ("admin", "complaint"),
    [
        ({**ADMIN, "ADMIN_PASSWORD": "x" * 73}, "longer than 72 bytes"),
        ({**ADMIN, "ADMIN_PASSWORD": "é" * 37}, "longer than 72 bytes"),
        ({"ADMIN_USERNAME": "root"}, "the seed needs all or none"),
        ({"ADMIN_PASSWORD": "some-password"}, "the seed needs all or none"),
        ({**ADMIN, "ADMIN_EMAIL": ""}, "the seed needs all or none"),
        ({**ADMIN, "ADMIN_PASSWORD_HASH": HASH}, "both set"),
        ({**ADMIN_BY_HASH, "ADMIN_PASSWORD_HASH": "plain text"}, "not a bcrypt hash"),
    ],
    ids=["long", "long in bytes", "name only", "password only", "no email", "both", "no hash"],
)
def test_half_an_admin_is_a_mistake(
    database: Database, folder: Folder, admin: dict[str, str], complaint: str
) -> None:
    """Some but not all parameters, or ones that cannot be meant, end with 78 before anything."""
    done = run_job("run", environ=environ(database, folder(FILES), **admin))

    secrets = [admin[key] for key in ("ADMIN_PASSWORD", "ADMIN_PASSWORD_HASH") if key in admin]
    assert done.returncode == 78
    assert complaint in report_of(done)["message"]
    assert [secret for secret in secrets if secret in done.stdout] == []
    assert contents(database) == {}
    assert not has_ledger(database)


def test_72_bytes_are_a_password(database: Database, folder: Folder) -> None:
    """The longest password that bcrypt reads is taken, and verifies."""
    password = "é" * 36

    code, _ = job(database, folder(FILES), {**ADMIN, "ADMIN_PASSWORD": password})

    ((_, _, stored),) = users(database)
    assert code == 0
    assert bcrypt.checkpw(password.encode(), stored.encode())
