"""What a message advises works when it is followed literally."""

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Database, run_job
from production import report_of

COMMITS = """do $$ begin
for i in 0..1 loop update big set w = i where id = i; commit; end loop;
end $$;"""
BIG = "create table big (id int, w int); insert into big values (0), (1);"


@pytest.fixture
def run(database: Database, folder: Callable[..., Path]) -> Callable[..., dict]:
    """Runs a command on a folder, as a role where one is named, and returns the report."""

    def run(files: dict[str, str], command: str = "run", role: str = "postgres") -> dict:
        url = database.url.replace("postgres@", f"{quote(role)}@")
        environ = {"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(folder(files))}
        return report_of(run_job(command, environ=environ))

    return run


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role without any right but to connect."""
    name = f"Poor role {uuid.uuid4().hex[:8]}"
    database.execute(f'create role "{name}" login')
    yield name
    database.execute(f'drop owned by "{name}" cascade; drop role "{name}"')


def pasted(message: str, role: str) -> list[str]:
    """Return the statements of a message that grant something to the role."""
    return re.findall(rf'GRANT [^;\n]+ TO "{role}"', message)


def test_a_block_that_commits_passes_with_the_lines_that_are_named(
    database: Database, run: Callable[..., dict]
) -> None:
    """2D000 in a migration: both lines, before the statement, and it runs."""
    first = run({"migrations/1_a.sql": BIG, "migrations/2_b.sql": COMMITS})
    assert (first["exit_code"], first["failure"]["sqlstate"]) == (80, "2D000")
    lines = re.findall(r"-- predeploy: \S+(?: commit-inside)?", first["failure"]["next"])

    text = "\n".join([*lines, COMMITS])
    second = run({"migrations/1_a.sql": BIG, "migrations/2_b.sql": text})

    assert second["exit_code"] == 0
    assert database.rows("select w from big order by id") == [(0,), (1,)]


def test_a_block_that_cannot_commit_anywhere_is_not_sent_in_circles(
    run: Callable[..., dict],
) -> None:
    """Inside a block with EXCEPTION a COMMIT fails outside a transaction, too."""
    deep = "do $$ begin begin commit; exception when division_by_zero then null; end; end $$;"
    told = run(
        {
            "migrations/1_a.sql": "-- predeploy: allow commit-inside\n-- predeploy: autocommit\n"
            + deep
        }
    )

    assert told["failure"]["sqlstate"] == "2D000"
    assert "block with EXCEPTION" in told["failure"]["next"]
    assert "-- predeploy:" not in told["failure"]["next"]


ODD = {
    "select\u00a01;": ("no-break space", 1, 7),
    "create table a (id int);\n\ufeffcreate table b (id int);": ("byte order mark", 2, 1),
    "create table a\n(id\u202fint);": ("narrow no-break space", 2, 4),
    "begin;\ncreate table\u00a0a (id int);\ncommit;": ("no-break space", 2, 13),
    "create table a (n text);\ninsert into a\u00a0 values ('x');": ("no-break space", 2, 14),
    "create table a (n text default \u2018x\u2019);": ("curly quote", 1, 32),
}


@pytest.mark.parametrize("text", ODD)
def test_a_character_that_looks_like_a_blank_is_named(text: str, run: Callable[..., dict]) -> None:
    """Where nobody can see it: what it is, and its line and column."""
    name, line, column = ODD[text]

    message = run({"migrations/1_a.sql": text})["message"]

    assert f"line {line}, column {column} holds a {name} (U+" in message


def test_such_a_character_in_a_literal_or_a_comment_is_nobody_s_business(
    run: Callable[..., dict],
) -> None:
    """A text may hold what it likes, and another mistake is not blamed on it."""
    text = "-- a\u00a0b\nselect 'a\u00a0b', \"c\u00a0d\" from (values (1)) v;"

    assert "U+00A0" not in run({"migrations/1_a.sql": text})["message"]


def test_what_is_lacking_on_the_ledger_is_one_paste(
    database: Database, run: Callable[..., dict], role: str
) -> None:
    """Restored or made as another role: all that the ledger takes, with its schema, at once."""
    files = {"migrations/1_a.sql": "create table a (id int);"}
    run(files)
    database.execute(f'grant create on schema public to "{role}"')

    told = run(files | {"migrations/2_b.sql": "create table b (id int);"}, role=role)
    assert told["exit_code"] == 77
    assert pasted(told["message"], role) == [
        f'GRANT USAGE, CREATE ON SCHEMA "predeploy" TO "{role}"',
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "predeploy" TO "{role}"',
    ]
    for statement in pasted(told["message"], role):
        database.execute(statement)

    told = run(files | {"migrations/2_b.sql": "create table b (id int);"}, role=role)
    assert told["exit_code"] == 0, told


@pytest.mark.parametrize("command", ["plan", "status", "verify"])
def test_a_reader_of_the_ledger_is_to_get_select_alone(
    database: Database, run: Callable[..., dict], role: str, command: str
) -> None:
    """Who looks needs no CREATE, and writes nothing."""
    files = {"migrations/1_a.sql": "create table a (id int);"}
    run(files)

    told = run(files, command, role)
    assert told["exit_code"] == 77
    assert pasted(told["message"], role) == [
        f'GRANT USAGE ON SCHEMA "predeploy" TO "{role}"',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA "predeploy" TO "{role}"',
    ]
    for statement in pasted(told["message"], role):
        database.execute(statement)

    assert run(files, command, role)["exit_code"] == 0


REFUSED = {
    'insert into "A b"."T t" values (1);': 'GRANT ALL ON TABLE "A b"."T t"',
    'select nextval(\'"A b"."S s"\');': 'GRANT ALL ON SEQUENCE "A b"."S s"',
    'select "A b"."f f"(1);': 'GRANT EXECUTE ON FUNCTION "A b"."f f"(integer)',
    'create table "A b".u (id int);': 'GRANT USAGE, CREATE ON SCHEMA "A b"',
    'create table x (d "A b"."D d");': 'GRANT USAGE ON TYPE "A b"."D d"',
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_grant_on_what_a_file_uses_can_be_pasted(
    database: Database, run: Callable[..., dict], role: str, text: str
) -> None:
    """The server names no schema and quotes nothing; the catalog knows both."""
    database.execute(
        f'''create schema "A b"; create table "A b"."T t" (id int); create sequence "A b"."S s";
        create function "A b"."f f"(int) returns int language sql return 1;
        create domain "A b"."D d" as int;
        revoke all on function "A b"."f f" from public; revoke all on type "A b"."D d" from public;
        grant usage on schema "A b" to "{role}"; grant create on schema public to "{role}";
        grant create on database "{database.name}" to "{role}"'''
    )
    told = run({"migrations/1_a.sql": text}, role=role)
    (grant,) = pasted(told["message"], role)
    assert grant == f'{REFUSED[text]} TO "{role}"'

    database.execute(grant)
    assert run({"migrations/1_a.sql": text}, role=role)["exit_code"] == 0


def test_who_is_not_the_owner_is_told_of_which_role_to_become_a_member(
    database: Database, run: Callable[..., dict], role: str
) -> None:
    """GRANT of the owner to our role, by name."""
    owner = f"owner_{uuid.uuid4().hex[:8]}"
    database.execute(
        f"create role {owner}; create table t (id int); alter table t owner to {owner}; "
        f'grant create on database "{database.name}" to "{role}"'
    )
    told = run({"migrations/1_a.sql": "alter table t add column b int;"}, role=role)
    database.execute(f"{pasted(told['message'], role)[0]}")

    assert (
        run({"migrations/1_a.sql": "alter table t add column b int;"}, role=role)["exit_code"] == 0
    )
    database.execute(f"reassign owned by {owner} to postgres; drop role {owner}")


def test_what_we_refuse_has_no_sqlstate(run: Callable[..., dict]) -> None:
    """PD001 is between us and our guard."""
    files = {"migrations/1_a.sql": "create table a (id int); insert into a values (1);"}
    run(files)

    told = run(files | {"migrations/2_b.sql": "drop table a;"})

    assert told["exit_code"] == 84
    assert "PD001" not in str(told)
    assert "sqlstate" not in told["failure"]
