"""What the text of a folder tells of what it will take away where its tables hold rows."""

import pytest

from predeploy import sql

TWO = "create table a (id int primary key, x int); create table b (a int references a, x text);"
ON_DELETE = "create table c (a int references a on delete cascade);"
PARTS = (
    "create table ev (at date, x int) partition by range (at);"
    "create table ev_1 partition of ev default;"
)

# Files in their order, and what the last one takes away.
LOSSES = {
    "column": ([TWO, "alter table a drop column x"], ["drop-column a.x"]),
    "columns-of-a-named-schema": (
        ["create table s.a (x int)", "alter table s.a drop x"],
        ["drop-column s.a.x"],
    ),
    "column-under-a-new-name": (
        [TWO, "alter table a rename to z; alter table z rename x to y; alter table z drop y"],
        ["drop-column a.x"],
    ),
    "column-of-the-same-step": ([TWO, "alter table a add y int; alter table a drop y"], []),
    "column-that-is-not-there": ([TWO, "alter table a drop column if exists y"], []),
    "column-that-no-file-made": (["alter table old drop column y"], ["drop-column old.y"]),
    "column-that-went-before": (
        [TWO, "alter table a drop x", "alter table a drop column if exists x"],
        [],
    ),
    "column-dropped-and-added": ([TWO, "alter table a drop x, add x text"], ["drop-column a.x"]),
    "table": ([TWO, "drop table b"], ["drop-table b"]),
    "tables": ([TWO, "drop table b, a"], ["drop-table b", "drop-table a"]),
    "table-of-the-same-step": (["create table t (id int); drop table t"], []),
    "table-that-may-be-there": (["drop table if exists t; create table t ()"], []),
    "table-swapped": (
        [TWO, "create table a2 (like a); drop table a; alter table a2 rename to a"],
        ["drop-table a"],
    ),
    "temporary-table": ([TWO, "create temp table a (id int); drop table a"], []),
    "table-beside-a-temporary-one": (
        [TWO, "create temp table a (id int); drop table a; drop table a"],
        ["drop-table a"],
    ),
    "same-name-in-two-schemas": (
        ["create table a (x int); create table s.a (x int)", "drop table s.a"],
        ["drop-table s.a"],
    ),
    "view-that-is-filled": (["create materialized view v as select 1",
                             "drop materialized view v"], ["drop-table v"]),
    "view": (["create view v as select 1", "drop view v"], []),
    "partitioned": ([PARTS, "drop table ev"], ["drop-table ev"]),
    "partition": ([PARTS, "drop table ev_1"], ["drop-table ev_1"]),
    "column-of-partitions": ([PARTS, "alter table ev drop x"], ["drop-column ev.x"]),
    "heirs": (["create table p (id int); create table h () inherits (p)",
               "drop table p cascade"], ["drop-table p", "drop-table h"]),
    "schema": (
        ["create schema s; create table s.t (id int); create type s.m as enum ('x')",
         "drop schema s cascade"],
        ["drop-table s.t", "drop-label s.m.x"],
    ),
    "schema-by-the-path": (
        ["create schema s; set search_path = s; create table t (id int)", "drop schema s cascade"],
        ["drop-table s.t"],
    ),
    "delete": ([TWO, "delete from b where x = 'y'"], ["delete b"]),
    "delete-cascades": ([TWO + ON_DELETE, "delete from a"], ["delete a", "delete c"]),
    "delete-in-with": ([TWO, "with gone as (delete from b returning 1) select * from gone"],
                       ["delete b"]),
    "merge": ([TWO, "merge into b using a on b.a = a.id when matched then delete"], ["delete b"]),
    "truncate": ([TWO, "truncate b"], ["truncate b"]),
    "truncate-cascades": ([TWO + ON_DELETE, "truncate a cascade"],
                          ["truncate a", "truncate b", "truncate c"]),
    "type": (["create type m as enum ('x', 'y')", "drop type m"],
             ["drop-label m.x", "drop-label m.y"]),
    "labels": (
        ["create type m as enum ('x', 'y'); create table t (m m)",
         ("alter type m rename to m_old; create type m as enum ('x', 'z');"
         "alter table t alter m type m using m::text::m; drop type m_old")],
        ["drop-label m.y"],
    ),
    "enum-made-anew": (
        ["create type m as enum ('x'); alter type m add value 'y'",
         "alter type m rename to m_old; create type m as enum ('x', 'y'); drop type m_old"],
        [],
    ),
    "columns-of-a-type": (["create type m as enum ('x'); create table t (m m, id int)",
                           "drop type m cascade"], ["drop-column t.m", "drop-label m.x"]),
    "attribute": (["create type c as (x int, y int)", "alter type c drop attribute y"],
                  ["drop-column c.y"]),
    "narrower": ([TWO, "alter table b alter x type varchar(9)"], ["rewrite b.x"]),
    "wider": ([TWO, "alter table a alter x type bigint"], []),
    "wider-in-the-same-way": (
        ["create table t (x varchar(9), n numeric(5, 2), i serial)",
         ("alter table t alter x type varchar(20), alter n type numeric(8, 3),"
         " alter i type bigint")], []),
    "of-no-known-type": (["alter table old alter x type int"], ["rewrite old.x"]),
    "block": (
        [TWO, ("do $$ begin if true then alter table a drop column x; end if;"
              " -- drop table b;\n delete from b; execute 'truncate b'; end $$")],
        ["drop-column a.x", "delete b", "truncate b"],
    ),
    "rename": ([TWO, "alter table a rename to z"], []),
    "add": ([TWO, "alter table a add y int; create index on a (y); insert into a values (1)"], []),
}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES)
def test_the_text_tells_what_goes(case: str) -> None:
    """By the names from before the step; what the step itself has made does not count."""
    texts, expected = LOSSES[case]
    steps = [sql.read(text).statements for text in texts]

    found = sql.forecast(steps, [False] * (len(steps) - 1) + [True])

    assert [f"{loss.verb.value} {loss.target}" for loss in found[-1]] == expected
    assert found[:-1] == ((),) * (len(steps) - 1)
