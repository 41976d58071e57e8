"""What pg_dump writes runs as a migration, on servers that are older than it, too, and declares."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job

Folder = Callable[[Mapping[str, str]], Path]

OPENING = """\
\\restrict abc
SET statement_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
"""


@pytest.mark.parametrize(
    "files",
    [
        {"1_a.sql": f"{OPENING}CREATE TABLE public.t (id int);\n\\unrestrict abc\n"},
        # a second step repeats the SETs of the first
        {"1_a.sql": f"{OPENING}create table t (id int);\n-- predeploy: autocommit\nvacuum t;\n"
         "alter table t add n int;"},
        {"1_a.sql": "create table t (id int);",
         "2_a.sql": f"{OPENING}insert into t values (1); create table if not exists t (id int);"},
        {"1_a.sql": "set local transaction_timeout to '0s'; create table t (id int);"},
    ],
    ids=["a dump", "two steps", "piecewise", "local"],
)  # fmt: skip
def test_a_dump_turns_off_a_timeout_that_an_old_server_does_not_have(
    files: dict[str, str], database: Database, folder: Folder
) -> None:
    """Exit 0 on 15 and 16, too (case C8: 80, 42704). pg_dump writes that since 17."""
    root = folder({f"migrations/{name}": text for name, text in files.items()})

    run_job(environ={"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}, check=0)

    assert database.value("select to_regclass('t') is not null")


def test_a_timeout_that_an_old_server_cannot_keep_is_not_passed_over(
    database: Database, folder: Folder
) -> None:
    """Who asks for a limit means it: 80 before 17, with the server's words."""
    root = folder({"migrations/1_a.sql": "set transaction_timeout = '5s'; create table t (n int);"})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    is_old = database.value("select current_setting('server_version_num')::int < 170000")

    done = run_job(environ=environ, check=80 if is_old else 0)

    assert ("transaction_timeout" in done.stdout) == is_old


PARTITIONED = """
create table visit (id integer not null, place text not null, seen text, primary key (id, place))
    partition by list (place);
create table visit_a partition of visit for values in ('a');
create table visit_b (id integer not null, place text not null, seen text,
    constraint b_key primary key (id, place));
alter table visit attach partition visit_b for values in ('b');
create table visit_c partition of visit for values in ('c') partition by range (id);
create table visit_c1 partition of visit_c for values from (1) to (10);
create index on visit (seen);
alter index visit_c1_seen_idx rename to c1_by_seen;
alter table visit_c1 rename constraint visit_c1_pkey to c1_key;
create table note (visit integer, place text, foreign key (visit, place) references visit);
comment on constraint c1_key on visit_c1 is 'inner';
comment on index c1_by_seen is 'inner';
alter table visit_b replica identity using index b_key;
"""
NAMES = """
select conrelid::regclass::text, conname::text, conislocal, conparentid <> 0, false,
    obj_description(oid, 'pg_constraint')
from pg_constraint where conrelid::regclass::text ~ '^(visit|note)' and contype <> 'n'
union all
select indrelid::regclass::text, indexrelid::regclass::text, indisvalid, relispartition,
    indisreplident, obj_description(indexrelid, 'pg_class')
from pg_index join pg_class on pg_class.oid = indexrelid
where indrelid::regclass::text ~ '^(visit|note)'
order by 1, 2, 3, 4"""


def test_a_dump_declares_the_names_that_partitions_have(
    make_database: Callable[..., Database], folder: Folder, programs: Path
) -> None:
    """Of keys and indexes, at any depth; nothing is missing on the database that was dumped."""
    source, target = make_database(), make_database()
    source.execute(PARTITIONED)
    dump = [programs / "pg_dump", "--schema-only", "--no-owner", source.url]
    text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    root = folder({"schema.sql": text})

    for database in (target, source):
        environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
        run_job(environ=environ, check=0)

    assert target.rows(NAMES) == source.rows(NAMES)
    assert "c1_key" in {name for _, name, *_ in target.rows(NAMES)}
