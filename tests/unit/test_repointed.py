"""Every name of a schema in a statement is pointed elsewhere, and nothing that only looks so."""

import pytest

from job.statements.repointed import Schemas, repoint, strays

SCHEMAS = Schemas({"public", "app", "Big One", 'a"b'}, {("public", "citext")})
PREFIX = "new_"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("create table public.t (a app.kind)", "create table new_public.t (a new_app.kind)"),
        ("create table PUBLIC . t ()", "create table new_PUBLIC . t ()"),
        ('create index on "Big One".t (a)', 'create index on "new_Big One".t (a)'),
        ('create index on "a""b".t (a)', 'create index on "new_a""b".t (a)'),
        ("create table t (a public.citext)", "create table t (a public.citext)"),
        ("create table auth.t ()", "create table auth.t ()"),
        ("create table t (a text default 'app.x') -- app.x",
         "create table t (a text default 'app.x') -- app.x"),
        ("create view v as select app.id from public.t app",
         "create view v as select app.id from new_public.t app"),
        ("create view v as select app.t.id, app.f(1) from app.t",
         "create view v as select new_app.t.id, new_app.f(1) from new_app.t"),
        ("create table t (a int default nextval('app.s'))",
         "create table t (a int default nextval('new_app.s'))"),
        ("create view v as select 'app.f(app.kind)'::regprocedure",
         "create view v as select 'new_app.f(new_app.kind)'::regprocedure"),
        ("create view v as select 'app.t'::text", "create view v as select 'app.t'::text"),
        ("grant usage on schema public, app to public",
         "grant usage on schema new_public, new_app to public"),
        ("comment on column app.id is 'app.id'", "comment on column app.id is 'app.id'"),
        ("comment on column app.t.id is ''", "comment on column new_app.t.id is ''"),
        ("alter sequence app.s owned by app.id", "alter sequence new_app.s owned by app.id"),
        ("create function f(app.id%type) returns int language sql return 1",
         "create function f(app.id%type) returns int language sql return 1"),
        ("create function f() returns int set search_path = app, 'public' return 1",
         "create function f() returns int set search_path = new_app, 'new_public' return 1"),
        ("create function f() returns text language sql as 'select ''é'' || a from app.t'",
         "create function f() returns text language sql as 'select ''é'' || a from new_app.t'"),
        ("create function f() returns int language sql as $a$select nextval('app.s')$a$",
         "create function f() returns int language sql as $a$select nextval('new_app.s')$a$"),
        ("create function f() returns int language plpgsql as $$declare a app.t; app int; end$$",
         "create function f() returns int language plpgsql as $$declare a app.t; app int; end$$"),
        ("create function f() returns int language plpgsql as $$declare a app.t; end$$",
         "create function f() returns int language plpgsql as $$declare a new_app.t; end$$"),
        ("create function f() returns int language sql as E'select 1 from\\napp.t'",
         "create function f() returns int language sql as E'select 1 from\\napp.t'"),
        ("create function f() returns int language plperl as 'app.t'",
         "create function f() returns int language plperl as 'app.t'"),
        ("create function f() returns int as 'no sql, app.t' language sql",
         "create function f() returns int as 'no sql, app.t' language sql"),
        ("create operator app.=== (function = app.f, leftarg = int, rightarg = int)",
         "create operator new_app.=== (function = new_app.f, leftarg = int, rightarg = int)"),
        ("create policy p on app.t using (a operator(app.===) 1)",
         "create policy p on new_app.t using (a operator(new_app.===) 1)"),
    ],
)  # fmt: skip
def test_names_are_pointed_elsewhere(text: str, expected: str) -> None:
    """And every place in the new text is one in the old."""
    found = repoint(text, SCHEMAS, PREFIX)

    assert found.text == expected
    assert not strays(found.text, SCHEMAS)
    assert [text[found.original(i)] for i in range(len(expected)) if i not in inserted(found.places)
            ] == list(text)  # fmt: skip


def inserted(places: tuple[int, ...]) -> set[int]:
    return {
        place + number * len(PREFIX) + i
        for number, place in enumerate(places)
        for i in range(len(PREFIX))
    }


@pytest.mark.parametrize(
    "text",
    [
        'create table U&"\\0061pp".t ()',
        "create view v as select from db.app.t",
        "create tabel app.t",
    ],
)
def test_a_relation_that_stays_is_seen(text: str) -> None:
    """However it is written; what the parser cannot read may be anything."""
    assert strays(repoint(text, SCHEMAS, PREFIX).text, SCHEMAS)
