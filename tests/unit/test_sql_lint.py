"""The lint over our own SQL finds what others could put something in the place of."""

from pathlib import Path

import pytest
from sql_lint import complaints, source_complaints

OURS = "set local search_path to pg_catalog, pg_temp"


def test_our_source_names_every_relation_with_its_schema() -> None:
    """What `make lint` says."""
    assert list(source_complaints()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 from pg_class",
        "select 1 from pg_catalog.pg_class c join pg_namespace n on true",
        "delete from meta",
        "insert into meta values (1)",
        "update meta set value = '2'",
        "select 1 from {x}.a left join lateral b on true",
    ],
)
def test_the_source_is_read(sql: str, tmp_path: Path) -> None:
    """In plain texts and in formatted ones."""
    (tmp_path / "a.py").write_text(f'SQL = f"""{sql}"""\n')

    assert len(list(source_complaints(tmp_path))) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 + 1",
        "select now()",
        "select 'a'::oid",
        "select nullif(1, 2)",
        "select 1 in (1, 2)",
        "select 1 in (select 1)",
        "select 1 = any (array[1])",
        "select 1 is distinct from 2",
        "select 1 between 2 and 3",
        "select 'a' like 'b'",
        "select case 1 when 2 then 3 end",
        "select from pg_catalog.pg_class join pg_catalog.pg_type using (oid)",
        "select from pg_catalog.pg_class natural join pg_catalog.pg_type",
        "begin; select now()",
        f"{OURS}; set local search_path to default; select now()",
        f"begin; {OURS}; commit; select now()",
        f"begin; {OURS}; reset all; select now()",
        f"begin; savepoint a; {OURS}; rollback to savepoint a; select now()",
        "set local search_path to pg_temp, pg_catalog; select now()",
    ],
)
def test_what_is_looked_up_along_their_path_is_refused(sql: str) -> None:
    """Functions, operators and types without a schema, and what cannot be given one."""
    assert len(list(complaints([sql]))) == 1


@pytest.mark.parametrize(
    "sql",
    [
        f"{OURS}; select now() + '1 s'::interval",
        f"begin; {OURS}; savepoint a; select now(); release a; select now()",
        "select 1 operator(pg_catalog.+) 1",
        "select pg_catalog.now()",
        "select coalesce(null, 1), case when true then 1 end, 'a' is not null, not true",
        "select 'a'::pg_catalog.oid, 1::int",
        "set session search_path to pg_catalog, pg_temp",
        "create function f.f() returns int set search_path = pg_catalog, pg_temp as 'select 1'",
        "with a as (select 1) select from a",
    ],
)
def test_what_is_named_in_full_passes(sql: str) -> None:
    """Or comes behind our own path."""
    assert list(complaints([sql])) == []


@pytest.mark.parametrize("path", ["", "set search_path = pg_catalog"])
def test_a_function_carries_our_path(path: str) -> None:
    """With the temporary schema last: where it is not named it comes first."""
    made = f"create function predeploy.f() returns int language sql {path} as 'select 1'"

    assert len(list(complaints([made]))) == 1


def test_a_relation_has_its_schema_under_our_path_too() -> None:
    """A temporary table of that name would be found, if last."""
    assert len(list(complaints([f"{OURS}; select from meta"]))) == 1


def test_a_message_ends_what_was_local_to_it() -> None:
    """Where no transaction is open; an open one keeps it."""
    assert len(list(complaints([OURS + "; select 1", "select now()"]))) == 1
    assert list(complaints([f"begin; {OURS}", "select now()"])) == []
