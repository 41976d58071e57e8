"""Whether adding a column writes its table anew: our word for it, and PostgreSQL's own."""

import pytest
from conftest import Database
from two_sides import Make, differ, facts

COLUMNS = {
    "nothing": "a integer",
    "a constant": "a integer not null default 7",
    "a text with brackets": "a text default 'f(x)'",
    "an array": "a text[] default '{}'",
    "a date": "a date default '2024-01-01'",
    "now": "a timestamptz default now()",
    "current_timestamp": "a timestamptz not null default current_timestamp",
    "current_timestamp to the second": "a timestamptz default current_timestamp(0)",
    "localtimestamp to the second": "a timestamp default localtimestamp(0)",
    "now in a time zone": "a timestamp default timezone('utc', now())",
    "today": "a timestamptz default date_trunc('day', now())",
    "current_date": "a date default current_date",
    "current_user": "a text default current_user",
    "a cast": "a numeric(10, 2) default 1.5::numeric",
    "json": "a jsonb not null default '{}'::jsonb",
    "clock_timestamp": "a timestamptz default clock_timestamp()",
    "random": "a float8 default random() * 10",
    "a uuid": "a uuid default gen_random_uuid()",
    "serial": "a serial",
    "identity": "a integer generated always as identity",
    "generated and stored": "a integer generated always as (id + 1) stored",
    "a check": "a integer check (a > 0)",
    "a domain": "a plain_domain",
    "a domain with a constraint": "a checked",
    "a domain with a constraint and a default": "a checked default 5",
    "an array of such a domain": "a checked[]",
    "a domain over one with a constraint": "a checked_twice",
    "a domain that is not null": "a never_null",
    "a domain with a volatile default": "a keyed",
    "a domain with a volatile default that is not taken": "a keyed default null",
    "a domain with a default": "a numbered",
    "a quoted domain with a constraint": 'a "Checked One"',
    "a volatile function of ours named as a stable one": "a timestamptz default public.now()",
    "a volatile function of ours": "a integer default volatile_one()",
    "an immutable function of ours": "a integer default immutable_one()",
}
# Careful where the text alone does not tell: said to rewrite, and it would not.
CAREFUL = {"an immutable function of ours"}
BASE = """
create domain plain_domain as integer;
create domain checked as integer check (value > 0 or value is null);
create domain "Checked One" as integer check (value > 0 or value is null);
create domain checked_twice as checked;
create domain never_null as integer not null default 1;
create domain keyed as uuid default gen_random_uuid();
create domain numbered as integer default 1;
create function public.now() returns timestamptz volatile language plpgsql
    as 'begin return clock_timestamp(); end';
create function volatile_one() returns integer volatile language plpgsql
    as 'begin return 1; end';
create function immutable_one() returns integer immutable language plpgsql
    as 'begin return 1; end';
"""


@pytest.mark.parametrize("column", COLUMNS, ids=lambda name: name)
def test_what_rewrites_a_table_is_known(make_database: Make, column: str) -> None:
    """Nothing that PostgreSQL would write anew is taken for cheap."""
    desired, live = make_database(), make_database()
    desired.execute(f"{BASE} create table t (id integer, {COLUMNS[column]})")
    live.execute(f"{BASE} create table t (id integer); insert into t values (1)")

    said = any(r.code == "rewrite" for r in differ(facts(desired), live, size=2**30).reports)

    assert said == (_is_rewritten(live, COLUMNS[column]) or column in CAREFUL)


def _is_rewritten(database: Database, column: str) -> bool:
    before = database.value("select pg_relation_filenode('t')")
    database.execute(f"alter table t add column {column}")
    return database.value("select pg_relation_filenode('t')") != before
