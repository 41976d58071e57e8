"""Every kind of thing, in every way in which it is not as declared, and all that can depend on it.

Whatever it is: the run ends with 0, 82 or 84, does everything else, and names the cause, as the
plan before it does; a second run is settled or says the same. Nothing of ours is tried that cannot
work, so that the server never has to refuse it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import report_of
from tiers import sampled

GROUND = "create table ground (id int);"
BESIDE = """create table beside (id int primary key); create view besides as select id from beside;
    comment on table beside is 'made all the same';"""
MISSING = "missing"


@dataclass(frozen=True)
class Thing:
    """A declared thing (`label`), what can depend on it, and what is there in its place.

    `states` are by their names; a state's SQL is run on a database that has `base`. `exits` say
    how a run ends where that is not 84 for "drifted" and 82 for all else.
    """

    label: str
    declared: str
    dependents: tuple[str, ...]
    states: Mapping[str, str]
    base: str = ""
    exits: Mapping[str, int] = field(default_factory=dict)


T = "create table t (id int primary key);"
ROWS = "insert into t select generate_series(1, 2);"

THINGS = {
    "table": Thing(
        "table public.thing",
        "create table thing (id int primary key, n int);",
        (
            "create table child () inherits (thing)",
            "create table keyed (id int primary key, thing int references thing)",
            "create index thing_n on thing (n)",
            "create view seen as select * from thing",
            "create materialized view kept as select id from thing",
            "create index kept_id on kept (id)",
            "create function of_thing(thing) returns int language sql as 'select 1'",
            "create function things() returns setof thing language sql as 'select null::thing'",
            "create function act() returns trigger language plpgsql as 'begin return new; end'",
            "create trigger acts before insert on thing for each row execute function act()",
            "create policy own on thing using (id > 0)",
            "create rule nothing as on delete to thing do instead nothing",
            "create statistics pair on id, n from thing",
            "create table holder (id int, things thing[])",
            "comment on table thing is 'x'",
            "comment on column thing.n is 'y'",
            "grant select on thing to pg_monitor",
            "grant select (n) on thing to pg_monitor",
        ),
        {
            "refused": "create view thing as select 1 as id, 2 as n",
            "drifted": "create unlogged table thing (id int primary key, n int)",
        },
    ),
    "partitioned table": Thing(
        "table public.thing",
        "create table thing (id int, at int) partition by range (at);",
        (
            "create table part_1 partition of thing for values from (1) to (2)",
            "create table part_2 partition of thing default",
            "create index thing_id on thing (id)",
            "create view seen as select * from part_1",
            "comment on table part_1 is 'x'",
        ),
        {
            "refused": "create view thing as select 1 as id, 2 as at",
            "drifted": "create table thing (id int, at int)",
        },
    ),
    "column": Thing(
        "column public.t.c",
        "create table t (id int primary key, c int {});",
        (
            "create index t_c on t (c)",
            "create index t_abs on t (abs(c))",
            "create index t_id on t (id) where c > 0",
            "alter table t add constraint t_check check (c + 1 > 0)",
            "create table u (id int primary key)",
            "alter table t add constraint t_u foreign key (c) references u (id) not valid",
            "create view seen as select id, c + 1 as more from t",
            "create view seen_twice as select more from seen",
            "create materialized view kept as select c from t",
            "alter table t add column doubled int generated always as (c * 2) stored",
            "create policy own on t using (c > 0)",
            "create function act() returns trigger language plpgsql as 'begin return new; end'",
            "create trigger acts before update of c on t for each row execute function act()",
            "create statistics pair on id, c from t",
            (
                "create function total() returns bigint language sql begin atomic "
                "select sum(c) from t; end"
            ),
            "comment on column t.c is 'x'",
            "grant select (c) on t to pg_monitor",
        ),
        {
            "drifted": "alter table t add column c text[]",
            "refused": ROWS,
            "violated": f"alter table t add column c int; {ROWS}",
        },
        T,
    ),
    "primary key": Thing(
        "constraint public.t.t_key",
        "create table t (id int not null, c int not null, constraint t_key primary key (id));",
        (
            "create table keyed (id int primary key, t int references t)",
            "create view tally as select id, c, count(*) from t group by id",
            "create view tallies as select id from tally",
            (
                "create function tallied() returns bigint language sql begin atomic "
                "select count(*) from (select id, c from t group by id) x; end"
            ),
            "comment on constraint t_key on t is 'x'",
            "alter table t replica identity using index t_key",
        ),
        {
            "drifted": "alter table t add constraint t_key primary key (c)",
            "refused": "alter table t add constraint other primary key (c)",
            "violated": "insert into t values (1, 1), (1, 2)",
        },
        "create table t (id int not null, c int not null);",
    ),
    "unique constraint": Thing(
        "constraint public.t.t_key",
        "create table t (id int not null, c int, constraint t_key unique (id));",
        (
            "create table keyed (id int primary key, t int references t (id))",
            "alter table t add constraint to_itself foreign key (c) references t (id)",
            "comment on constraint t_key on t is 'x'",
            "alter table t replica identity using index t_key",
        ),
        {
            "drifted": "alter table t add constraint t_key unique (c)",
            "refused": "create table other (id int); create index t_key on other (id)",
            "violated": "insert into t values (1, 1), (1, 1)",
        },
        "create table t (id int not null, c int);",
    ),
    "unique index": Thing(
        "index public.t.t_key",
        "create table t (id int not null, c int); create unique index t_key on t (id);",
        (
            "create table keyed (id int primary key, t int references t (id))",
            "comment on index t_key is 'x'",
            "alter table t replica identity using index t_key",
        ),
        {
            "drifted": "create unique index t_key on t (c)",
            "refused": "create table other (id int); create index t_key on other (id)",
            "violated": "insert into t values (1, 1), (1, 1)",
            "invalid": "create unique index t_key on t (id); "
            "update pg_index set indisvalid = false where indexrelid = 't_key'::regclass",
        },
        "create table t (id int not null, c int);",
        {"invalid": 0},
    ),
    "check": Thing(
        "constraint public.t.t_check",
        "create table t (id int primary key, c int, constraint t_check check (c > 0));",
        ("comment on constraint t_check on t is 'x'", "create index t_c on t (c)"),
        {
            "drifted": "alter table t add constraint t_check check (c > 1)",
            "violated": "insert into t values (1, 0)",
            "invalid": "alter table t add constraint t_check check (c > 0) not valid",
        },
        "create table t (id int primary key, c int);",
        {"drifted": 84, "invalid": 0},
    ),
    "view": Thing(
        "view public.thing",
        "create view thing as select id, id + 1 as n from t;",
        (
            "create view seen as select n from thing",
            "create materialized view kept as select n from thing",
            "create function of_thing(thing) returns int language sql as 'select 1'",
            (
                "create function total() returns bigint language sql begin atomic "
                "select sum(n) from thing; end"
            ),
            "create function act() returns trigger language plpgsql as 'begin return new; end'",
            "create trigger acts instead of insert on thing for each row execute function act()",
            "comment on view thing is 'x'",
            "grant select on thing to pg_monitor",
        ),
        {
            "drifted": "create view thing as select id, 'text'::text as n from t",
            "refused": "create table thing (id int, n int)",
        },
        T,
    ),
    "materialized view": Thing(
        "materialized view public.thing",
        "create materialized view thing as select id, id + 1 as n from t;",
        (
            "create view seen as select n from thing",
            "create unique index thing_n on thing (n)",
            "comment on materialized view thing is 'x'",
            "grant select on thing to pg_monitor",
        ),
        {
            "drifted": "create materialized view thing as select id from t",
            "refused": "create table thing (id int, n int)",
        },
        T,
    ),
    "function": Thing(
        "routine public.f(integer)",
        "create function f(integer) returns integer language sql immutable as 'select $1 + 1';",
        (
            "create index t_f on t (f(id))",
            "alter table t add constraint t_check check (f(id) > 0)",
            "create table defaulted (id int default f(1), n int generated always as (f(1)) stored)",
            "create view seen as select f(id) + 1 as n from t",
            "create policy own on t using (f(id) > 0)",
            "create domain small as int check (f(value) < 9)",
            "create aggregate folded (integer) (sfunc = int4pl, stype = integer, finalfunc = f)",
            "create function more(int) returns int language sql begin atomic select f($1); end",
            "comment on function f(integer) is 'x'",
            "grant execute on function f(integer) to pg_monitor",
        ),
        {"drifted": "create function f(integer) returns text language sql as 'select ''a'''"},
        T,
    ),
    "enum": Thing(
        "enum public.thing",
        "create type thing as enum ('a', 'b', 'c');",
        (
            "create table typed (id int primary key, thing thing default 'c')",
            "alter table t add column thing thing",
            "create table many (things thing[])",
            "create domain narrow as thing check (value <> 'c')",
            "create table narrowed (n narrow)",
            "create type pair as (one thing, two thing)",
            "create function f(thing) returns int language sql as 'select 1'",
            "create view seen as select 'c'::thing as thing",
            "create function g() returns thing language sql begin atomic select 'c'::thing; end",
            "comment on type thing is 'x'",
            "grant usage on type thing to pg_monitor",
        ),
        {
            "drifted": "create type thing as enum ('b', 'a')",
            "refused": "create type thing as (a int)",
        },
        T,
    ),
    "domain": Thing(
        "domain public.thing",
        "create domain thing as text; alter domain thing add constraint short check (value < 'x');",
        (
            "create table typed (id int primary key, thing thing)",
            "create table many (things thing[])",
            "create function f(thing) returns int language sql as 'select 1'",
            "create view seen as select 'c'::thing as thing",
            "comment on domain thing is 'x'",
            "comment on constraint short on domain thing is 'y'",
        ),
        {
            "drifted": "create domain thing as integer",
            "refused": "create type thing as (a int)",
        },
    ),
    "composite type": Thing(
        "composite type public.thing",
        "create type thing as (a int, b text);",
        (
            "create table typed (id int primary key, thing thing)",
            "create type pair as (one thing, two thing[])",
            "create function f(thing) returns text language sql begin atomic select $1.b; end",
            "create view seen as select row(1, 'x')::thing as thing",
            "comment on type thing is 'x'",
            "comment on column thing.b is 'y'",
        ),
        {
            "drifted": "create type thing as (a text)",
            "refused": "create table thing (a int)",
        },
    ),
    "range type": Thing(
        "range type public.thing",
        "create type thing as range (subtype = int);",
        (
            "create table typed (id int primary key, thing thing, more thing_multirange)",
            "create view seen as select thing(1, 2) as thing",
            "create function f(thing) returns int language sql as 'select 1'",
            "comment on type thing is 'x'",
        ),
        {
            "drifted": "create type thing as range (subtype = bigint, "
            "multirange_type_name = thing_multirange)",
            "refused": "create table thing (a int)",
        },
    ),
    "sequence": Thing(
        "sequence public.thing",
        "create sequence thing as integer;",
        (
            "create table typed (id int default nextval('thing'))",
            "alter table t alter id set default nextval('thing')",
            "comment on sequence thing is 'x'",
            "grant usage on sequence thing to pg_monitor",
        ),
        {"refused": "create table thing (a int)"},
        T,
    ),
    "collation": Thing(
        "collation public.thing",
        "create collation thing (locale = 'C');",
        (
            "create table typed (id int primary key, a text collate thing)",
            "create table plain (a text)",
            "create index plain_a on plain (a collate thing)",
            "create domain text_of as text collate thing",
            "create view seen as select a collate thing as a from plain",
            "comment on collation thing is 'x'",
        ),
        {"drifted": "create collation thing (locale = 'POSIX')"},
    ),
    "text search configuration": Thing(
        "text search configuration public.thing",
        "create text search configuration thing (copy = simple);",
        (
            (
                "create table doc (body text, "
                "words tsvector generated always as (to_tsvector('thing', body)) stored)"
            ),
            "create table plain (a text)",
            "create index plain_a on plain using gin (to_tsvector('thing', a))",
            "create view seen as select to_tsvector('thing', a) from plain",
            "comment on text search configuration thing is 'x'",
        ),
        {"drifted": "create text search configuration thing (copy = english)"},
    ),
    "cast": Thing(
        "cast (public.mood AS integer)",
        "create type mood as enum ('a'); create function rank(mood) returns int language sql "
        "immutable as 'select 1'; create cast (mood as integer) with function rank(mood);",
        (
            "create view seen as select 'a'::mood::integer as n",
            "create table typed (m mood, check (m::integer > 0))",
        ),
        {
            "drifted": "create type mood as enum ('a'); create cast (mood as integer) with inout",
        },
    ),
    "operator": Thing(
        "operator public.===(integer,integer)",
        "create function same(int, int) returns boolean language sql immutable as 'select $1 = $2';"
        "create operator === (leftarg = int, rightarg = int, function = same);",
        (
            "create table pair (a int, b int, check (a === b))",
            "create view seen as select a === b as n from pair",
            "create index pair_a on pair (a) where a === 1",
        ),
        {MISSING: ""},
        exits={MISSING: 82},
    ),
    "aggregate": Thing(
        "aggregate public.total(integer)",
        "create aggregate total (integer) (sfunc = int4pl, stype = integer);",
        (
            "create view seen as select total(id) as n from t",
            "comment on aggregate total(integer) is 'x'",
        ),
        {"drifted": "create aggregate total (integer) (sfunc = int4mi, stype = integer)"},
        T,
    ),
    "foreign table": Thing(
        "table public.thing",
        "create foreign table thing (id int) server far;",
        (
            "create view seen as select id from thing",
            "create table child () inherits (thing)",
            "create function of_thing(thing) returns int language sql as 'select 1'",
            "comment on foreign table thing is 'x'",
            "comment on column thing.id is 'y'",
            "grant select on thing to pg_monitor",
        ),
        {MISSING: ""},
        "create extension postgres_fdw; create server far foreign data wrapper postgres_fdw;",
        {MISSING: 82},
    ),
}
MATRIX = [
    f"{name}, {state}"
    for name, thing in THINGS.items()
    for state in dict.fromkeys((MISSING, *thing.states))
]
# What a column has to be, so that it is refused or violated where rows are.
_NOT_NULL = ("refused", "violated")


def _told(done: object) -> list[tuple[str, str]]:
    found = report_of(done).get("findings", [])
    return sorted((f["code"], f["message"]) for f in found if f["level"] == "error")


@pytest.mark.parametrize("case", sampled(MATRIX, 8))
def test_everything_else_is_done_and_the_cause_is_named(
    case: str, database: Database, folder: Callable[..., Path]
) -> None:
    """Where the thing itself can be made, all is; where not, only what depends on it waits."""
    name, _, state = case.partition(", ")
    thing = THINGS[name]
    root = folder({"schema.sql": GROUND})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    run_job("run", environ=environ, check=0)
    database.execute(f"{thing.base} {thing.states.get(state, '')}")
    not_null = "not null" if state in _NOT_NULL else ""
    declared = thing.declared.replace("{}", not_null)
    dependents = "".join(f"{text};\n" for text in thing.dependents)
    extra = thing.base if thing.base == T and "create table t (" not in declared else ""
    folder({"schema.sql": f"{GROUND} {extra} {declared}\n{dependents} {BESIDE}"})
    usual = {MISSING: 0, "drifted": 84}.get(state, 82)
    expected = thing.exits.get(state, usual)

    planned = run_job("plan", environ=environ)
    first = run_job("run", environ=environ, check=expected)
    second = run_job("run", environ=environ, check=expected)

    assert planned.returncode == (0 if state == "violated" else expected), planned.stdout
    told = _told(first)
    assert not [m for code, m in told if code == "refused-by-server"]
    assert database.value("select obj_description('beside'::regclass)") == "made all the same"
    assert database.value("select to_regclass('besides') is not null")
    if not expected:
        assert "settled" in second.stdout
        return
    again = set(_told(second))  # a report of many findings is cut at 4096 bytes
    assert again <= set(told) or again >= set(told)
    for job in (first, second) if state == "violated" else (planned, first, second):
        causes = [m for code, m in _told(job) if code != "waits"]
        assert [m for m in causes if m.startswith(thing.label)], _told(job)
        assert all(m.startswith((thing.label, "column public.")) for m in causes), causes
