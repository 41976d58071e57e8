"""What files leave behind, read from their text."""

import pytest

from predeploy.sql import homes, net_result

TABLE = "create table a (id int, b text);"
FUNCTION = "create function f() returns int language sql as 'select 1';"
PARTITIONED = "create table p (id int) partition by range (id);"
PARTITION = "create table q partition of p default;"
SCHEMA = "create schema s; create table s.t (id int);"


def left(*texts: str) -> list[str]:
    """Return what is there in the end, as `kind schema.table.name`."""
    return [
        f"{t.kind} {'.'.join(filter(None, (t.schema, t.of, t.name)))}"
        for t in net_result(texts).things
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # made
        (TABLE, ["table a", "column a.id", "column a.b"]),
        ("create table s.a (id int constraint pk primary key);",
         ["table s.a", "column s.a.id", "constraint s.a.pk"]),
        ("create table a (id int, constraint c check (id > 0), unique (id));",
         ["table a", "column a.id", "constraint a.c"]),
        ("create table a as select 1 as x; select 1 as x into b;", ["table a", "table b"]),
        ("create view v as select 1; create materialized view m as select 1;",
         ["view v", "materialized view m"]),
        ("create sequence q; create type e as enum ('x'); create domain d as int;",
         ["sequence q", "type e", "type d"]),
        (FUNCTION + "create procedure p() language sql as 'select 1';",
         ["function f", "function p"]),
        ("create extension citext; create schema s create table t (id int);",
         ["extension citext", "schema s", "table s.t", "column s.t.id"]),
        (TABLE + "create trigger g before insert on a execute function f();"
         "create index i on a (b); create policy p on a;"
         "create rule r as on delete to a do nothing;",
         ["table a", "column a.id", "column a.b", "index a.i", "trigger a.g", "policy a.p",
          "rule a.r"]),
        ("alter table x add column y int, add constraint z check (y > 0);",
         ["constraint x.z", "column x.y"]),
        ("create table a (id int); create table b () inherits (a); drop table a cascade;", []),
        # named by the server, or temporary
        ("create schema authorization somebody;", []),
        (TABLE + "create index on a (b); alter table a add primary key (id);",
         ["table a", "column a.id", "column a.b"]),
        ("create temp table t (id int); create index i on t (id); alter table t add x int;", []),
        # passed over
        (TABLE + "create table if not exists a (id int, other int);",
         ["table a", "column a.id", "column a.b"]),
        # the search_path of a file
        ("set search_path = app; create table a (id int);", ["table app.a", "column app.a.id"]),
        ("select pg_catalog.set_config('search_path', 'app', false); create view v as select 1;",
         ["view app.v"]),
        # dropped, with what depends on it
        (TABLE + "create index i on a (b); drop table a;", []),
        (TABLE + "create index i on a (b); create index j on a (id); alter table a drop b;",
         ["table a", "column a.id", "index a.j"]),
        (TABLE + "create index i on a (b); alter table a rename b to c; alter table a drop c;",
         ["table a", "column a.id"]),
        (TABLE + "create view v as select b from a; create view w as select 1;"
         "drop table a cascade;", ["view w"]),
        (PARTITIONED + PARTITION + "create sequence s owned by p.id; drop table p;", []),
        (PARTITIONED + PARTITION + "alter table p detach partition q; drop table p;", ["table q"]),
        ("create type e as enum ('x'); create table t (a e, b int); drop type e cascade;",
         ["table t", "column t.b"]),
        (SCHEMA + "create table u (id int); drop schema s cascade;", ["table u", "column u.id"]),
        (TABLE + "drop table public.a;", []),
        (FUNCTION + "drop function f();", []),
        # renamed
        (TABLE + "create index i on a (b); alter table a rename to z; alter index i rename to k;"
         "alter table z rename id to n;",
         ["table z", "column z.b", "index z.k", "column z.n"]),
        (TABLE + "alter table a set schema s;", ["table s.a", "column s.a.id", "column s.a.b"]),
        (SCHEMA + "alter schema s rename to n;",
         ["schema n", "table n.t", "column n.t.id"]),
        (TABLE + "create unique index i on a (id);"
         "alter table a add constraint c unique using index i; alter table a drop constraint c;",
         ["table a", "column a.id", "column a.b"]),
    ],
)  # fmt: skip
def test_what_is_left_is_what_was_made_less_what_was_dropped(
    text: str, expected: list[str]
) -> None:
    """PostgreSQL would have this after the statements, as far as their text tells."""
    assert sorted(left(text)) == sorted(expected)


def test_files_are_read_in_their_order() -> None:
    """A later file drops what an earlier one made; its search_path ends with it."""
    found = left("set search_path = app;", TABLE, "alter table a drop b;")

    assert found == ["table a", "column a.id"]


def test_what_cannot_be_seen_is_counted() -> None:
    """DO, CALL, a SELECT of a function, and what the parser does not know."""
    texts = ("do $$ begin end $$; call p(); select f();", "frobnicate;", TABLE)

    assert net_result(texts).unseen == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("create table app.a (id int);", ["app"]),
        ("create schema app;", ["app"]),
        ("set search_path = app; create table a (id int);", ["app"]),
        ("create table a (id int references auth.users (id));", []),
        ("create trigger t after insert on auth.users execute function f();", []),
        ("create policy p on auth.users; insert into auth.users values (1);", []),
        ("select 'create table app.a (id int)';", []),
        ("create table apple.a (id int);", []),
        ('create table "two words".a (id int);', ["two words"]),
    ],
)
def test_a_folder_is_at_home_where_it_makes_things(text: str, expected: list[str]) -> None:
    """What it refers to, or hangs a trigger on, is somebody else's."""
    assert sorted(homes([text], ["app", "auth", "two words"])) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PARTITIONED + PARTITION, ["q"]),
        (PARTITIONED + "create table q (id int); alter table p attach partition q default;", ["q"]),
        (PARTITIONED + PARTITION + "alter table p detach partition q;", []),
        (TABLE + "create table b () inherits (a); alter table b rename to c;", ["c"]),
        (TABLE + "create sequence s owned by a.id;", []),
    ],
)
def test_the_children_are_the_tables_that_go_with_their_parent(
    text: str, expected: list[str]
) -> None:
    assert [child.name for child in net_result([text]).children] == expected
