"""The desired state is read by PostgreSQL itself, and the live database is as it was."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import DatabaseRefusedError, NotObtainedError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure
from predeploy.database.shadow import Limits, ShadowFacts, read_shadow
from predeploy.embedded import wheel_binaries
from predeploy.schema.kinds import READ_WITH
from predeploy.sql.schema_file.desired import Desired, read_desired
from tests.conftest import ROOT, SQL, Database, job_environ

# A stand-in for the facts: relations, columns with types and defaults, constraints, indexes,
# functions, triggers, policies.
QUESTION = """
select 'column', concat_ws('.', n.nspname, c.relname, a.attname),
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'nn' end,
                 pg_get_expr(d.adbin, d.adrelid))
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where n.nspname in ({schemas}) and not exists (select from pg_depend e where e.deptype = 'e'
  and e.classid = 'pg_class'::regclass and e.objid = c.oid)
union all
select 'constraint', n.nspname || '.' || k.conname, pg_get_constraintdef(k.oid)
from pg_constraint k join pg_namespace n on n.oid = k.connamespace
where n.nspname in ({schemas}) and k.contype <> 'n'
union all
select 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indexrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ({schemas})
union all
select 'view', c.oid::regclass::text, pg_get_viewdef(c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and n.nspname in ({schemas})
union all
select 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ({schemas}) and p.prokind <> 'a' and not exists (select from pg_depend e
  where e.deptype = 'e' and e.classid = 'pg_proc'::regclass and e.objid = p.oid)
union all
select 'trigger', t.tgname, pg_get_triggerdef(t.oid)
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal and n.nspname in ({schemas})
union all
select 'policy', p.polname || ' on ' || p.polrelid::regclass, pg_get_expr(p.polqual, p.polrelid)
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ({schemas})
order by 1, 2, 3
"""


def question(*schemas: str) -> str:
    names = ", ".join(f"'{s}'" for s in schemas)
    return QUESTION.replace("{schemas}", names)


def desired(*texts: str) -> Desired:
    """What the texts declare, as files schema/1.sql and so on; nothing in them is refused."""
    found = read_desired(
        [(f"schema/{n}.sql", t) for n, t in enumerate(texts, 1)], "predeploy", ("public",)
    )
    assert found.findings == ()
    return found


def limits(lock_budget_s: float = 10) -> Limits:
    return Limits(0.5, Deadline.after(lock_budget_s), Deadline.after(60))


def shadow(url: str, found: Desired, asked: str = "") -> ShadowFacts | Failure:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
        return read_shadow(conn, found, asked or question(*found.schemas), READ_WITH, limits())


def rows(url: str, *texts: str) -> tuple[tuple[str | None, ...], ...]:
    found = shadow(url, desired(*texts))
    assert isinstance(found, ShadowFacts), found
    return found.rows


def failure(url: str, *texts: str) -> Failure:
    found = shadow(url, desired(*texts))
    assert isinstance(found, Failure), found
    return found


def live(database: Database, *schemas: str) -> tuple[tuple[str | None, ...], ...]:
    """The same question, asked of the live schemas."""
    with database.connect() as conn:
        conn.execute("set search_path = ''")
        answer = conn.execute(question(*(schemas or ("public",))).encode())
        return tuple(tuple(row) for row in answer.fetchall())


STATE = """
    select n.nspname::text, n.oid::bigint, count(c.oid), coalesce(sum(c.oid::bigint), 0)::bigint
    from pg_namespace n left join pg_class c on c.relnamespace = n.oid
    where n.nspname !~ '^pg_toast' group by 1, 2 order by 1"""


@pytest.fixture
def unchanged(database: Database) -> Iterator[Database]:
    """A database with two rows, which after the test is what it was before."""
    database.execute("create table keep (a int); insert into keep values (1), (2)")
    before = database.rows(STATE)
    yield database
    assert database.rows(STATE) == before
    assert database.rows("select a from public.keep order by a") == [(1,), (2,)]


@pytest.fixture
def owner_url(database: Database) -> Iterator[str]:
    """The URL of the database's owner, who is no superuser."""
    role = f"owner_{database.name}"
    database.execute(f"create role {role} login; alter database {database.name} owner to {role}")
    yield database.url.replace("postgres@", f"{role}@")
    database.execute(
        f"alter database {database.name} owner to postgres; drop owned by {role}; drop role {role}"
    )


def test_facts_come_from_the_shadow_and_nothing_stays(unchanged: Database) -> None:
    """The rows tell of the files alone, under the names of the live schema."""
    found = rows(unchanged.url, "create table t (a int default 1); create table public.u (b text)")

    assert [row for row in found if row[0] == "column"] == [
        ("column", "public.t.a", "integer 1"),
        ("column", "public.u.b", "text"),
    ]


def test_an_empty_file_declares_an_empty_schema(unchanged: Database) -> None:
    """Nothing of the live schema shines through."""
    assert rows(unchanged.url, "-- nothing") == ()


def test_thekeyn_as_owner_without_superuser(database: Database, owner_url: str) -> None:
    """The shipped schema.sql gives the rows that running it gives."""
    text = (SQL / "schema.sql").read_text()
    found = rows(owner_url, text)
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute(text.encode())

    assert found == live(database)
    assert rows(owner_url, text) == found


# transaction control: the catastrophe would be a COMMIT that keeps the swap

COMMITS = (
    "commit",
    "COMMIT AND CHAIN",
    "/* /* ; */ */ commit -- ;",
    "end work",
    "rollback",
    "abort",
    "begin",
    "savepoint a",
    "release predeploy_last",
    "rollback to predeploy_last",
    "prepare transaction 'a'",
    "rollback and chain",
    "select 1; commit",
    "create table x (); commit; create table y ()",
    "do $$ begin commit; end $$",
    "do $a$ begin execute 'commit'; end $a$",
    "do language plpgsql E'begin\\n commit; end'",
    "create procedure p() language plpgsql as $$ begin commit; end $$; call p()",
    (
        "create function f(int) returns int language plpgsql immutable as"
        " $$ begin commit; return 1; end $$; create table x (a int); create index on x (f(1))"
    ),
    (
        "create function f() returns date language plpgsql as $$ begin commit; return now(); end"
        " $$; create table x (a date default f()) partition by range (a);"
        " create table x1 partition of x for values from (f()) to (maxvalue)"
    ),
    (
        "create function f() returns int language plpgsql as $$ begin commit; return 1; end $$;"
        " create table x (a int default f()); insert into x default values"
    ),
    (
        "create function f() returns int language plpgsql as $$ begin commit; return 1; end $$;"
        " create materialized view v as select f()"
    ),
    "select set_config('standard_conforming_strings', 'off', false); select '\\'; commit; --'",
    "select E'\\'; commit; --'; commit",
    'create table U&"\\0061" (); commit',
    "select $a$ $b$; commit; $b$ $a$; commit",
    "select '' /* ' */; commit; -- '",
    "$predeploy$; commit; do $predeploy$",
    "end $$; commit; do $$ begin",
)


def unchecked(*texts: str) -> Desired:
    """The texts as one statement each, as if the whitelist had let everything pass."""
    model = desired("create table model ()")
    statements = (replace(model.statements[0], text=text) for text in texts)
    return replace(model, statements=tuple(statements))


@pytest.mark.parametrize("text", COMMITS)
def test_no_transaction_control_passes_the_whitelist(unchanged: Database, text: str) -> None:
    """Every disguise is refused before anything is sent, or does nothing in the shadow."""
    found = read_desired([("schema.sql", text)], "predeploy", ("public",))
    if found.findings:
        return

    shadow(unchanged.url, found)


@pytest.mark.parametrize("text", COMMITS)
@pytest.mark.parametrize("parts", ["whole", "split"])
def test_no_transaction_control_passes_the_server(
    unchanged: Database, text: str, parts: str
) -> None:
    """Were the whitelist fooled, the server refuses it: the live schema is as it was."""
    texts = text.split("; ") if parts == "split" else [text]
    found = shadow(unchanged.url, unchecked("create table first ()", *texts))

    assert isinstance(found, Failure)
    assert found.exit_code is ExitCode.BAD_SOURCES


def test_a_body_that_quotes_our_quotes_is_text(unchanged: Database) -> None:
    """The words around the statements are random, so no file can end them."""
    found = shadow(unchanged.url, unchecked("create table x (a text default '$$ $a$ %')"))

    assert isinstance(found, ShadowFacts)


# errors


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("create table a (x nope);\ncreate table b ();", 1, 19, 'type "nope" does not exist'),
        ("-- é\ncreate table a ();\n  create table é\n  (ü int, x\n nope);\ncreate table c ();",
         5, 2, 'type "nope" does not exist'),
        ("create table a ();\n /* ü */ create table a ();", 2, 10,
         'relation "a" already exists'),
        ("create table a (x int);\n\ncreate index i\n on a (é);", 3, 1,
         'column "é" does not exist'),
        ("create function f() returns int language sql as $$\n select\n  nope $$;", 3, 3,
         'column "nope" does not exist'),
        ("create function f() returns int language plpgsql as $$\nbegin\n  retrun 1;\nend $$;",
         3, 3,
         'syntax error at or near "retrun"'),
        (("create function f(int) returns int language sql as 'select ''é'' || nope($1)';\n"
         "create view v as select 'é', f(é)"), 2, 32, 'column "é" does not exist'),
        ("create table a (x int default 'é');", 1, 31,
         'invalid input syntax for type integer: "é"'),
    ],
)  # fmt: skip
def test_errors_have_their_place(
    unchanged: Database, text: str, line: int, column: int, message: str
) -> None:
    """The server's complaint comes with the line and column where the file has the mistake."""
    found = failure(unchanged.url, "create table z ();", text)

    assert (found.path, found.line, found.column, found.message) == (
        "schema/2.sql",
        line,
        column,
        message,
    )
    assert found.exit_code is ExitCode.BAD_SOURCES


def test_a_label_that_is_added_cannot_be_used(unchanged: Database) -> None:
    """PostgreSQL wants it committed first; in a file of declarations it belongs to the type."""
    found = failure(
        unchanged.url,
        "create type e as enum ('a'); alter type e add value 'b';\n"
        "create table t (x e default 'b')",
    )

    assert (found.line, found.column) == (2, 29)
    assert found.remedy.startswith("write the value into the CREATE TYPE")


def test_an_error_behind_a_requalified_name_has_its_place(unchanged: Database) -> None:
    """What is put in front of an extension's names is taken off the position again."""
    unchanged.execute("create extension citext")

    found = failure(unchanged.url, "create table a (x public.citext, y public.citext, z nope);")

    assert (found.line, found.column) == (1, 53)
    unchanged.execute("drop extension citext")


# order


def test_files_need_no_order(unchanged: Database) -> None:
    """A view before its table, a key before its target and a default before its function work."""
    found = rows(
        unchanged.url,
        "create view v as select id, count(*) from t group by id; create table u "
        "(a int references t (id), b int default f());",
        "create table t (id int, b kind); alter table t add primary key (id);",
        "create function f() returns int language sql as $$ select 1 $$;"
        "create type kind as enum ('a');",
    )

    assert ("column", "public.v.id", "integer") in found
    assert ("column", "public.u.b", "integer public.f()") in found


def test_a_body_that_cannot_be_checked_is_said(unchanged: Database) -> None:
    """A function over what nobody declares is made unchecked, with a warning."""
    found = shadow(
        unchanged.url,
        desired(
            "create function f() returns int language sql as $$ select nope() $$;\n"
            "create view v as select f();\n"
            "create function g() returns int language sql as $$ select f() $$;"
        ),
    )

    assert isinstance(found, ShadowFacts)
    assert [f.message.split(": ")[0] for f in found.findings] == ["schema/1.sql:1"]
    assert {f.code for f in found.findings} == {"body-not-checked"}


def test_what_is_missing_in_every_round_is_an_error(unchanged: Database) -> None:
    """The statement to be fixed is the one that lacks what no file declares."""
    found = failure(
        unchanged.url,
        "create view w as select 1 from public.v; create view x as select f();",
        "create function f() returns int begin atomic select a from v; end;\n"
        "create view v as select 1 as a from nope",
    )

    assert (found.path, found.line, found.column) == ("schema/2.sql", 2, 37)
    assert found.message == 'relation "nope" does not exist'


# extensions, and what is not declared


EXTENSION = "citext"


def test_members_of_an_extension_in_a_managed_schema(database: Database, owner_url: str) -> None:
    """An extension stays where it is and its members are found, qualified or not."""
    database.execute(f"create extension {EXTENSION}")
    text = """create extension if not exists citext;
        create table t (a citext, b public.citext, c public.citext[]
            check (b operator(public.=) 'x'::public.citext));
        create index on public.t (public.citext_hash(b));
        create view v as select a || 'public.citext' as w from t where a = b;
        create function f(public.citext) returns bool language sql as
            $$ select $1 = 'x'::public.citext $$"""

    found = rows(owner_url, text)
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute("set check_function_bodies = off")
        conn.execute(text.encode())

    assert found == live(database)


def test_an_extension_that_is_missing_is_made_in_the_shadow(unchanged: Database) -> None:
    """A plan needs no extension to be there."""
    found = rows(unchanged.url, "create extension citext; create table t (a public.citext)")

    assert ("column", "public.t.a", "public.citext") in found


@pytest.mark.parametrize(
    "text",
    [
        "create view v as select a from keep",
        "create table t (a old)",
        "create table t (a old[])",
        "create table t (a int default old_f())",
        "comment on type old is 'x'",
        "grant execute on function old_f() to pg_monitor",
        "alter type old add value 'b'",
    ],
)
def test_what_is_used_must_be_declared(unchanged: Database, text: str) -> None:
    """A leftover of the live schema never passes for part of the desired state."""
    unchanged.execute(
        "create extension citext; create type old as enum ('a');"
        "create function old_f() returns int language sql as 'select 1'"
    )

    found = failure(unchanged.url, text)

    assert found.exit_code is ExitCode.BAD_SOURCES
    assert "what the schema files do not declare" in found.message
    unchanged.execute("drop extension citext; drop type old; drop function old_f()")


def test_what_comes_later_is_not_taken_from_the_live_schema(database: Database) -> None:
    """With an extension in it, the live schema is on the search_path, too."""
    database.execute("create extension citext")
    text = (
        "create view v as select a, f() from t; create table u (k kind, a int references t);"
        "create table t (a int primary key, b citext); create type kind as enum ('a');"
        "create function f() returns int language sql return 1"
    )
    before = rows(database.url, text)
    database.execute(
        "create type kind as enum ('a'); create table t (a int primary key, b citext);"
        "create table u (k kind, a int references t);"
        "create function f() returns int language sql return 1; create view v as select a from t"
    )

    assert rows(database.url, text) == before


AUTH = """create schema auth; create table auth.users (id uuid primary key);
    insert into auth.users values ('00000000-0000-0000-0000-000000000001')"""


def test_keys_to_an_unmanaged_schema(unchanged: Database) -> None:
    """They are in the facts as if the file had been run, and the other's table stays free."""
    unchanged.execute(AUTH)
    text = "create table t (id uuid primary key references auth.users on delete cascade);"

    found = rows(unchanged.url, text)

    key = "FOREIGN KEY (id) REFERENCES auth.users(id) ON DELETE CASCADE"
    assert ("constraint", "public.t_id_fkey", key) in found
    unchanged.execute("drop schema auth cascade")


def test_a_writer_of_the_unmanaged_table_is_waited_for(unchanged: Database) -> None:
    """The key needs a lock there, for which the shadow waits briefly and is made again."""
    unchanged.execute(AUTH)
    text = "create table t (id uuid primary key references auth.users)"
    with unchanged.connect() as writer, unchanged.connect() as conn:
        writer.execute("begin; update auth.users set id = id")
        with pytest.raises(NotObtainedError):
            read_shadow(conn, desired(text), question("public"), READ_WITH, limits(1))
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(
                read_shadow, conn, desired(text), question("public"), READ_WITH, limits()
            )
            wait_until(unchanged, "select count(*) from pg_locks where not granted")
            writer.execute("commit")

            assert isinstance(future.result(timeout=20), ShadowFacts)
    unchanged.execute("drop schema auth cascade")


# several schemas, rights, comments


SCHEMAS = """
    select n.nspname, obj_description(n.oid, 'pg_namespace'),
           (select string_agg(concat_ws(' ', pg_get_userbyid(a.grantee), a.privilege_type), ', ')
            from aclexplode(n.nspacl) a where a.grantee <> n.nspowner)
    from pg_namespace n where n.nspname in ('app', 'Big One', 'fresh', 'public') order by 1"""


def test_of_a_schema_there_is_only_what_the_file_says(database: Database, owner_url: str) -> None:
    """Rights and comments of a live schema are not declared; those in the file are."""
    role = f"owner_{database.name}"
    database.execute(
        f'create schema app authorization {role}; create schema "Big One" authorization {role};'
        'grant usage on schema app, "Big One" to pg_read_all_data;'
        "comment on schema app is 'old'; comment on schema \"Big One\" is 'old'"
    )
    text = (
        'create schema app; create table "Big One".t (); create schema fresh;'
        'grant usage on schema "Big One" to pg_monitor; create table public.t ();'
        "comment on schema app is 'it''s'"
    )

    found = shadow(owner_url, desired(text), SCHEMAS)

    assert isinstance(found, ShadowFacts), found
    assert found.rows == (
        ("Big One", None, "pg_monitor USAGE"),
        ("app", "it's", None),
        ("fresh", None, None),
        ("public", None, None),
    )


def test_without_rights_the_missing_one_is_named(unchanged: Database) -> None:
    """Who owns neither schema nor database is told what to grant."""
    role = f"guest_{unchanged.name}"
    unchanged.execute(f"create role {role} login")
    try:
        with pytest.raises(DatabaseRefusedError) as caught:
            shadow(unchanged.url.replace("postgres@", f"{role}@"), desired("create table t ()"))
    finally:
        unchanged.execute(f"drop role {role}")

    assert caught.value.exit_code is ExitCode.DENIED
    told = str(caught.value)
    assert f'alter schema "public" owner to "{role}"' in told
    assert f'grant create on database "{unchanged.name}" to "{role}"' in told


# others


def test_readers_and_writers_are_not_blocked(unchanged: Database) -> None:
    """While the shadow stands, the live tables are read and written as ever."""
    with unchanged.connect() as other:

        def work(_: object) -> None:
            other.execute("set lock_timeout = '100ms'")
            other.execute("select * from public.keep")
            other.execute("insert into public.keep values (3)")
            other.execute("delete from public.keep where a = 3")
            other.execute("alter table public.keep add column b int")
            other.execute("alter table public.keep drop column b")

        answered = during_the_shadow(unchanged, work)

    assert isinstance(answered, ShadowFacts)


def during_the_shadow(database: Database, work: Callable[[object], None]) -> object:
    """Do `work` while the shadow stands: the question sleeps until it is done."""
    key = 7261
    with database.connect() as gate:
        gate.execute("select pg_advisory_lock(%s)", [key])
        with ThreadPoolExecutor(1) as pool:
            waiting = f"select 'x' from (select pg_advisory_lock_shared({key})) q"
            future = pool.submit(shadow_patiently, database.url, waiting)
            wait_until(database, "select count(*) from pg_locks where not granted")
            work(None)
            gate.execute("select pg_advisory_unlock(%s)", [key])
            return future.result(timeout=20)


def shadow_patiently(url: str, waiting: str) -> object:
    with psycopg.connect(url, autocommit=True) as conn:
        patient = Limits(20, Deadline.after(20), Deadline.after(20))
        found = desired("create table t (a int); create index on t (a)")
        return read_shadow(conn, found, waiting, READ_WITH, patient)


def wait_until(database: Database, sql: str) -> None:
    ends = time.monotonic() + 10
    while not database.value(sql):
        assert time.monotonic() < ends, sql
        time.sleep(0.02)


def test_a_client_that_is_killed_leaves_nothing(unchanged: Database) -> None:
    """The server rolls the shadow back when nobody is there any more."""
    code = (
        "import psycopg\n"
        "from tests.integration.test_shadow import shadow_patiently\n"
        f"shadow_patiently({unchanged.url!r}, 'select pg_sleep(60)::text')\n"
    )
    environ = job_environ({"PYTHONPATH": f"{ROOT}:{ROOT}/tests"})
    process = subprocess.Popen([sys.executable, "-c", code], env=environ)
    asleep = (
        "select count(*) from pg_stat_activity where application_name = 'predeploy shadow'"
        f" and datname = '{unchanged.name}' and wait_event = 'PgSleep'"
    )
    wait_until(unchanged, asleep)
    process.kill()
    process.wait()

    wait_until(unchanged, f"select ({asleep}) = 0")


def test_a_lock_that_is_not_to_be_had_is_tried_for_a_while(unchanged: Database) -> None:
    """Somebody who changes the schema's rights is waited for, within the budget."""
    with unchanged.connect() as other:
        other.execute("begin; grant usage on schema public to pg_monitor")
        with unchanged.connect() as conn, pytest.raises(NotObtainedError) as caught:
            read_shadow(
                conn, desired("create table t ()"), question("public"), READ_WITH, limits(1)
            )
        other.execute("rollback")

    assert caught.value.exit_code is ExitCode.TEMPFAIL


# guards


def test_too_many_tables_for_the_lock_table_are_refused(unchanged: Database) -> None:
    """The server's lock table is never filled: the figures and the way out are told."""
    text = "".join(f"create table t{n} ();" for n in range(8000))
    with pytest.raises(DatabaseRefusedError) as caught:
        shadow(unchanged.url, desired(text))

    assert "takes about 16040 of the" in str(caught.value)
    assert "set max_locks_per_transaction = " in str(caught.value)


def test_an_event_trigger_of_a_managed_schema_is_refused(unchanged: Database) -> None:
    """It would run inside the shadow, without the tables that it writes to."""
    unchanged.execute(
        "create function public.audit() returns event_trigger language plpgsql as"
        " $$ begin end $$; create event trigger e on ddl_command_end execute function audit()"
    )
    try:
        with pytest.raises(DatabaseRefusedError) as caught:
            shadow(unchanged.url, desired("create table t ()"))
    finally:
        unchanged.execute("drop event trigger e; drop function public.audit()")

    assert "event trigger e (function public.audit)" in str(caught.value)


def test_without_plpgsql_there_is_no_guard(unchanged: Database) -> None:
    """The statements are never run outside the block in which the server guards them."""
    unchanged.execute("drop extension plpgsql")

    with pytest.raises(DatabaseRefusedError) as caught:
        shadow(unchanged.url, desired("create table t ()"))

    assert "no PL/pgSQL" in str(caught.value)


# dumps

RICH = """
create extension citext;
create schema app;
create type public.kind as enum ('a', 'é');
create domain public.code as text check (value ~ '^[A-Z]+$') not null;
create type app.pair as (x int, y public.kind);
create sequence app.numbers increment 2;
create table public.t (
    id int generated always as identity primary key, serial_one serial, mail public.citext unique,
    k public.kind default 'é', c public.code default 'A', n bigint default nextval('app.numbers'),
    twice int generated always as (serial_one * 2) stored, p app.pair,
    constraint positive check (serial_one > 0));
create table app.log (at timestamptz not null default now(), t int references public.t on delete
    cascade, price numeric(10, 2) check (price between 0 and 100)) partition by range (at);
create table app.log_2024 partition of app.log for values from ('2024-01-01') to ('2025-01-01');
create index log_at on app.log (at desc) where t is not null;
create function app.area(a int, b int default 2) returns int language sql immutable
    begin atomic select a * b; end;
create function public.touch() returns trigger language plpgsql as
    $$ begin new.n := 1; return new; end $$;
create trigger touched before update on public.t for each row when (old.n is distinct from new.n)
    execute function public.touch();
create view public.v as select t.id, lower(mail) as mail, app.area(serial_one) from public.t;
create materialized view app.m as select count(*) from public.t;
alter table public.t enable row level security;
create policy own on public.t for select using (mail = current_user::public.citext);
create statistics app.s on id, n from public.t;
comment on table public.t is 'it''s; "é"';
comment on column public.t.id is 'key';
grant select on public.t to pg_monitor;
alter default privileges in schema app grant select on tables to pg_monitor;
"""


def dump(binaries: Path, url: str) -> str:
    program = next(p for p in (binaries / "pg_dump", wheel_binaries() / "pg_dump") if p.exists())
    done = subprocess.run(
        [program, "--schema-only", url], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_dump_says_what_the_file_says(database: Database, owner_url: str, binaries: Path) -> None:
    """Both, verbatim, give the rows of the database that the file has made; as its owner."""
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute(RICH.encode())
    text = dump(binaries, database.url)

    expected = live(database, "public", "app")

    assert "set_config('search_path', '', false)" in text
    assert rows_of(owner_url, text) == expected
    assert rows_of(owner_url, RICH) == expected


def rows_of(url: str, text: str) -> tuple[tuple[str | None, ...], ...]:
    found = shadow(url, desired(text))
    assert isinstance(found, ShadowFacts), found
    return found.rows


def test_a_dump_of_thekeyn(thekeyn: Database, binaries: Path) -> None:
    """The shipped schema, dumped without the ledger, is its own desired state."""
    text = dump(binaries, thekeyn.url)
    head, *pieces = text.split("\n--\n-- Name: ")
    kept = [p for p in pieces if "Schema: predeploy;" not in p and not p.startswith("predeploy;")]

    assert rows(thekeyn.url, "\n--\n-- Name: ".join([head, *kept])) == live(thekeyn)
