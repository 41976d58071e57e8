"""How many locks reading a schema takes is counted, not guessed: on the server, for each kind."""

from pathlib import Path

import pytest
from conftest import ROOT, SQL, Database

from predeploy.sql.schema_file.desired import read_desired

HELD = """
    select count(distinct (locktype, database, relation, classid, objid))
    from pg_locks where pid = pg_backend_pid() and locktype in ('relation', 'object')"""
SMALL = "".join(
    f"create table t{n} (id int primary key, size int not null); create index on t{n} (size);"
    for n in range(60)
)
KINDS = {
    "small tables": SMALL,
    "long values": "create table t (id serial primary key, name text unique, tags text[]);" * 1,
    "keys": "create table r (id int primary key); create table t (id int generated always as "
    "identity, r int references r, s int references r, unique (r, s));",
    "keys behind": "create table t (id int, n int); alter table only t add constraint k primary "
    "key (id); alter table only t add constraint f foreign key (n) references t (id);",
    "partitions": "create table p (id int primary key, name text) partition by range (id);"
    + "".join(
        f"create table p{n} partition of p for values from ({n}) to ({n + 1});" for n in range(20)
    )
    + "create index on p (name); create index on p (id, name);",
    "copies": "create table q (id int primary key, name text); create index on q (name);"
    "create table t (like q including all); create table u () inherits (q);",
    "views": "create table t (id int); create view v as select * from t;"
    "create materialized view m as select id, id::text as s from t with no data;",
    "types": "create type e as enum ('a'); create domain d as int check (value > 0);"
    "create type c as (a int, b text); create table t (a e, b d, c c);",
    "code": "create table t (id int); create function f() returns trigger language plpgsql as "
    "'begin return null; end'; create trigger g before insert on t for each row execute function "
    "f(); create policy o on t using (true); grant select on t to public;"
    "comment on table t is 'x'; comment on column t.id is 'x'; create sequence s;",
}


@pytest.mark.parametrize("text", KINDS.values(), ids=KINDS)
def test_of_each_kind_the_locks_that_are_taken_are_counted(text: str, database: Database) -> None:
    """Never fewer, and at most half as many again, and a few for the schema and the comments."""
    check(text, database)


@pytest.mark.parametrize(
    "path", [SQL / "schema.sql", ROOT / "tests/schemas/rich.sql"], ids=lambda path: path.stem
)
def test_of_whole_schemas_they_are(path: Path, database: Database) -> None:
    """The estimate was 2.5 to 5 times too high (case corpora/lock-estimate)."""
    check(path.read_text(), database)


def check(text: str, database: Database) -> None:
    desired = read_desired([("schema.sql", text)], "predeploy", ("public",))
    assert not desired.findings
    for schema in {*desired.schemas} - {"public"}:
        database.execute(f"create schema {schema}")
    with database.connect() as conn, conn.transaction(force_rollback=True):
        conn.execute("set local check_function_bodies = off")
        for statement in desired.statements:
            path = statement.search_path or ("public",)
            conn.execute(f"set local search_path = {', '.join(path)}")
            conn.execute(statement.text)
        (held,) = conn.execute(HELD).fetchone()

    assert held - 12 <= desired.locks
    assert desired.locks <= 1.5 * held + 4 or not _locks_referenced_objects(database)


def _locks_referenced_objects(database: Database) -> bool:
    """Whether a key's index locks its constraint: older minor versions lock none."""
    with database.connect() as conn, conn.transaction(force_rollback=True):
        conn.execute("create table t (id int primary key)")
        return bool(conn.execute(f"{HELD} and classid = 'pg_constraint'::regclass").fetchone()[0])
