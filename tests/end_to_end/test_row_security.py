"""What row-level security would hide is an error, and never an empty answer.

The role owns its tables and is no superuser, as on every hosted PostgreSQL, and the tables FORCE
their policies upon their owner.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from bouncers import Start
from conftest import Database, run_job
from production import report_of, said

Folder = Callable[[Mapping[str, str]], Path]

TABLE = """create table agents (id int primary key, tenant text, armed_at timestamptz, email text);
alter table agents enable row level security;
alter table agents force row level security;
create policy per_tenant on agents using (tenant = current_setting('app.tenant', true));
"""
FIRST = {"migrations/1_agents.sql": TABLE}
ON = "SET LOCAL row_security = on;"
TENANT = "set local app.tenant = 'a';"
BACKFILL = "update agents set armed_at = now() where armed_at is null;"
ARMED = "select id from agents where armed_at is not null order by id"


@pytest.fixture
def role(database: Database) -> Iterator[Database]:
    """The database, as a role that row-level security binds."""
    name = f"bound_{database.name[-8:]}"
    database.execute(
        f"create role {name} login; grant create on database {database.name} to {name};"
        f"alter schema public owner to {name}"
    )
    yield Database(database.name, database.url.replace("postgres@", f"{name}@"))
    database.execute(
        f"alter schema public owner to postgres; drop owned by {name} cascade; drop role {name}"
    )


@pytest.fixture
def agents(role: Database, database: Database, folder: Folder) -> Database:
    """The table, with a row of tenant a and one of tenant b."""
    done = job(role, folder(FIRST))
    assert done.returncode == 0, done.stdout
    database.execute("insert into agents values (1, 'a', null, 'admin@x'), (2, 'b', null, 'b@x')")
    return database


def job(database: Database, sql: Path, *arguments: str) -> CompletedProcess[str]:
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(sql)}
    return run_job(*arguments, environ=environ)


def user(database: Database) -> str:
    return database.url.partition("://")[2].partition("@")[0]


def noted(done: CompletedProcess[str]) -> list[str]:
    return [
        line["message"].partition(":")[0]
        for line in said(done)
        if line.get("code") == "row-security-on"
    ]


def test_a_filtered_backfill_is_refused(role: Database, agents: Database, folder: Folder) -> None:
    """It would have changed no row, and been done for ever. The way out works as it is printed."""
    files = {**FIRST, "migrations/2_backfill.sql": BACKFILL}

    done = job(role, folder(files))

    assert done.returncode == 77
    told = report_of(done)["failure"]
    assert told["sqlstate"] == "42501"
    assert told["next"] == (
        f'role "{user(role)}" is subject to policy per_tenant of public.agents; let the role see '
        f'every row: ALTER ROLE "{user(role)}" BYPASSRLS (a superuser can), or ALTER TABLE '
        "public.agents NO FORCE ROW LEVEL SECURITY, or, where the filter is meant, write `SET "
        "LOCAL row_security = on;` in migrations/2_backfill.sql"
    )
    assert agents.rows(ARMED) == []

    agents.execute(f'alter role "{user(role)}" bypassrls')
    assert job(role, folder(files)).returncode == 0
    assert agents.rows(ARMED) == [(1,), (2,)]


def test_a_table_that_lets_its_owner_through_filters_nothing(
    role: Database, agents: Database, folder: Folder
) -> None:
    role.execute("alter table agents no force row level security")

    done = job(role, folder({**FIRST, "migrations/2.sql": BACKFILL}))

    assert done.returncode == 0, done.stdout
    assert agents.rows(ARMED) == [(1,), (2,)]


def test_a_table_of_the_same_file_is_named_too(role: Database, folder: Folder) -> None:
    """Rolled back, it is in no catalog: the advice goes without its policies."""
    done = job(role, folder({"migrations/1.sql": TABLE + BACKFILL}))

    assert done.returncode == 77
    assert "is subject to row-level security there" in report_of(done)["failure"]["next"]


@pytest.mark.parametrize(
    "words", [ON, "set row_security to 'on';", "set session row_security=true;"]
)
def test_a_file_that_says_so_is_filtered(
    words: str, role: Database, agents: Database, folder: Folder
) -> None:
    """Its own word wins, is reported, and counts for this file alone."""
    files = {**FIRST, "migrations/2_one.sql": f"{words} {TENANT} {BACKFILL}"}
    more = {**files, "migrations/3_all.sql": BACKFILL}

    done = job(role, folder(files))
    refused = job(role, folder(more))

    assert done.returncode == 0, done.stdout
    assert noted(done) == ["migrations/2_one.sql"]
    assert agents.rows(ARMED) == [(1,)]
    assert refused.returncode == 77


@pytest.mark.parametrize(
    "reset", ["reset all", "reset row_security", "set row_security to default"]
)
@pytest.mark.parametrize("there", ["", "create table if not exists agents (id int);"])
def test_a_reset_goes_back_to_the_error(
    reset: str, there: str, role: Database, agents: Database, folder: Folder
) -> None:
    """The default of every file is the error, in one message as in pieces."""
    text = f"{there} set row_security = on; {reset}; {BACKFILL}"

    done = job(role, folder({**FIRST, "migrations/2.sql": text}))

    assert done.returncode == 77, done.stdout
    assert agents.rows(ARMED) == []


def test_what_one_step_resets_the_next_does_not_find(
    role: Database, agents: Database, folder: Folder
) -> None:
    """The SETs of a file's earlier steps count to its end, and so does what follows a reset."""
    text = f"set row_security = on; begin; reset all; commit; begin; {BACKFILL} commit;"

    done = job(role, folder({**FIRST, "migrations/2.sql": text}))

    assert done.returncode == 77
    assert agents.rows(ARMED) == []


@pytest.mark.parametrize(("words", "code"), [("", 77), ("set row_security = on;", 0)])
def test_what_runs_outside_a_transaction_is_refused_too(
    words: str, code: int, role: Database, agents: Database, folder: Folder
) -> None:
    text = (
        f"{words}\n-- predeploy: allow commit-inside\n-- predeploy: autocommit\n"
        "do $$ begin update agents set armed_at = now() where armed_at is null; end $$;"
    )

    done = job(role, folder({**FIRST, "migrations/2.sql": text}))

    assert done.returncode == code, done.stdout
    assert agents.rows(ARMED) == []


@pytest.mark.usefixtures("agents")
def test_a_filtered_check_is_no_passed_check(role: Database, folder: Folder) -> None:
    """Offending rows that nobody may see are not "verified": 77, with the way out."""
    check = "select id from agents where armed_at is null"
    other = {"verify/2.sql": "select 1 where false"}

    done = job(role, folder({**FIRST, **other, "verify/1_unarmed.sql": check}))

    assert done.returncode == 77
    (finding,) = [f for f in report_of(done)["findings"] if f["code"] == "check-broken"]
    assert "verify/1_unarmed.sql could not be asked" in finding["message"]
    assert "policy per_tenant of public.agents" in finding["next"]
    assert f"write `{ON}` in verify/1_unarmed.sql" in finding["next"]
    assert "GRANT" not in finding["next"]


@pytest.mark.usefixtures("agents")
def test_a_check_that_says_so_is_filtered_alone(role: Database, folder: Folder) -> None:
    """It sees no tenant's rows and passes; settled asks it in the same way. The next is refused."""
    meant = {"verify/1.sql": f"-- of our tenant\n{ON}\nselect id from agents"}
    sql = folder({**FIRST, **meant})

    first, second = job(role, sql), job(role, sql)
    third = job(role, folder({**FIRST, **meant, "verify/2.sql": "select id from agents"}))

    assert first.returncode == 0, first.stdout
    assert noted(first) == ["verify/1.sql"]
    assert report_of(second)["outcome"] == "settled"
    assert third.returncode == 77
    assert "verify/2.sql" in report_of(third)["message"]


def test_settled_is_no_word_for_a_role_that_sees_less(
    role: Database, agents: Database, folder: Folder
) -> None:
    """What it was told while it had BYPASSRLS does not let an empty answer pass after that."""
    agents.execute("update agents set armed_at = now()")
    sql = folder({**FIRST, "verify/1.sql": "select id from agents where armed_at is null"})
    agents.execute(f"alter role {user(role)} bypassrls")
    assert job(role, sql).returncode == 0
    assert report_of(job(role, sql))["outcome"] == "settled"

    agents.execute(f"alter role {user(role)} nobypassrls")

    assert job(role, sql).returncode == 77


SEED = "select 1 from agents where email = 'admin@x';\ninsert into agents values (99, 'a');"


def test_a_filtered_seed_inserts_nobody_twice(
    role: Database, agents: Database, folder: Folder
) -> None:
    """The question finds nobody where it may see nobody: 77, and no second administrator."""
    done = job(role, folder({**FIRST, "seed/admin.sql": SEED}))

    assert done.returncode == 77
    told = report_of(done)
    assert "seed/admin.sql: the presence question failed" in told["message"]
    assert "policy per_tenant of public.agents" in told["message"]
    assert agents.rows("select id from agents order by 1") == [(1,), (2,)]


def test_a_seed_that_says_so_is_filtered(role: Database, agents: Database, folder: Folder) -> None:
    """For the question and the rows alike; the policy judges what it inserts."""
    agents.execute(
        "drop policy per_tenant on agents; create policy of_b on agents using (tenant = 'b')"
    )
    theirs = f"{ON}\nselect 1 from agents where id = 99;\ninsert into agents values (99, 'b');"
    ours = theirs.replace("99", "98").replace("'b'", "'a'")

    done = job(role, folder({**FIRST, "seed/1.sql": theirs}))
    again = job(role, folder({**FIRST, "seed/1.sql": theirs}))
    refused = job(role, folder({**FIRST, "seed/1.sql": theirs, "seed/2.sql": ours}))

    assert done.returncode == 0, done.stdout
    assert noted(done) == ["seed/1.sql"]
    assert report_of(again)["outcome"] == "settled"
    assert refused.returncode == 77
    assert "write rows that the policy lets" in report_of(refused)["message"]
    assert "GRANT" not in report_of(refused)["message"]
    assert agents.rows("select id from agents where id > 90") == [(99,)]


KEYED = """create table owners (id int primary key);
create table things (id int primary key, owner int);
alter table owners enable row level security, force row level security;
alter table things enable row level security, force row level security;
create policy own on owners using (id = 1); create policy own on things using (owner = 1);
"""
KEY = "alter table things add constraint things_owner foreign key (owner) references owners"


@pytest.fixture
def orphan(role: Database, database: Database, folder: Folder) -> Database:
    """A row that no policy shows to the role, and that refers to nothing."""
    done = job(role, folder({"migrations/1.sql": KEYED}))
    assert done.returncode == 0, done.stdout
    database.execute("insert into owners values (1); insert into things values (1, 1), (2, 2)")
    return database


def is_validated(database: Database) -> bool:
    return (
        database.rows("select 1 from pg_constraint where conname = 'things_owner' and convalidated")
        != []
    )


def test_an_orphan_is_not_hidden_from_a_foreign_key(
    role: Database, orphan: Database, folder: Folder
) -> None:
    """PostgreSQL validates a key with a query that policies filter: it would be called valid.

    In psql it is; here the query is an error.
    """
    with role.connect() as conn:
        conn.execute(f"begin; {KEY}; rollback")

    done = job(role, folder({"migrations/1.sql": KEYED, "migrations/2.sql": KEY}))

    assert done.returncode == 77
    assert "row-level security" in report_of(done)["message"]
    assert not is_validated(orphan)


def test_an_orphan_is_not_hidden_from_sync(
    role: Database, orphan: Database, folder: Folder
) -> None:
    """What sync adds is validated in the same way, and no line of a file could say otherwise."""
    declared = KEYED + KEY + ";"

    done = job(role, folder({"migrations/1.sql": KEYED, "schema.sql": declared}))

    assert done.returncode == 77
    assert "BYPASSRLS" in report_of(done)["message"]
    assert "row_security = on" not in report_of(done)["message"]
    assert not is_validated(orphan)

    orphan.execute(f'alter role "{user(role)}" bypassrls')
    found = job(role, folder({"migrations/1.sql": KEYED, "schema.sql": declared}))
    assert found.returncode == 82
    assert not is_validated(orphan)


def test_a_new_database_gets_its_keys(role: Database, database: Database, folder: Folder) -> None:
    """Tables that sync makes itself hold no row that anything could hide."""
    done = job(role, folder({"schema.sql": KEYED + KEY + ";"}))

    assert done.returncode == 0, done.stdout
    assert is_validated(database)


INSERT = "insert into agents values (7, 'a');"


@pytest.mark.parametrize(
    ("text", "code", "rows"),
    [
        (INSERT, 77, []),
        (f"{ON} {TENANT} {INSERT}", 0, [(7,)]),
        (f"{ON} set local app.tenant = 'b'; {INSERT}", 77, []),
    ],
    ids=["without", "with", "of another tenant"],
)
def test_a_tenants_insert(  # noqa: PLR0917 - three of a case, three fixtures
    text: str, code: int, rows: list[tuple[int]], role: Database, agents: Database, folder: Folder
) -> None:
    done = job(role, folder({**FIRST, "migrations/2.sql": text}))

    assert done.returncode == code, done.stdout
    assert agents.rows("select id from agents where id = 7") == rows


@pytest.mark.dear
def test_through_a_pooler_in_transaction_mode(
    bouncer: Start, role: Database, agents: Database, folder: Folder
) -> None:
    """The same, on server connections that are shared; none of it is left in them."""
    server = role.url.rpartition("/")[0] + "/postgres"
    with bouncer(server, "transaction") as pool:
        pooled = pool.to(role)
        pooled = Database(pooled.name, pooled.url.replace("postgres@", f"{user(role)}@"))
        without = job(pooled, folder({**FIRST, "migrations/2.sql": INSERT}))
        check = job(pooled, folder({**FIRST, "verify/1.sql": "select id from agents"}))
        meant = {**FIRST, "migrations/2.sql": f"{ON} {TENANT} {INSERT}"}
        done = job(pooled, folder(meant))
        left = {pooled.value("show row_security") for _ in range(5)}

    assert (without.returncode, check.returncode) == (77, 77)
    assert done.returncode == 0, done.stdout
    assert agents.rows("select id from agents where id = 7") == [(7,)]
    assert left == {"on"}


def test_a_count_of_what_goes_is_not_fooled(
    role: Database, agents: Database, folder: Folder
) -> None:
    """A file that may be filtered, and deletes: the sentinel counts behind the policy."""
    text = f"{ON} {TENANT} delete from agents;"

    done = job(role, folder({**FIRST, "migrations/2.sql": text}))

    assert done.returncode == 84
    assert "delete public.agents (1 row)" in report_of(done)["message"]
    assert agents.value("select count(*) from agents") == 2
