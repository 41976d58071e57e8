"""Nothing that others have planted is called: for all that our queries call, found by reading them.

A role that may create in every schema of the search_path makes an overload for each function and
operator that a job was heard to call, in each combination of types that could win. The path names
his schemas before pg_catalog, so that the best match is always his. The server counts the calls.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from subprocess import CompletedProcess

import postgast
import psycopg
import pytest
from conftest import ADMIN, Database, run_job
from production import report_of, until
from spoken import listening
from sql_lint import calls, complaints

from predeploy.database.session.lock import lock_key

pytestmark = pytest.mark.dear

Folder = Callable[[Mapping[str, str]], Path]

# No operator and no function of theirs: whatever is called is called by us.
FIRST = {
    "migrations/1_a.sql": "create table users (id int primary key, username text, email text, "
    "hash text); create table if not exists works (id int primary key, size int);",
    "seed/a.sql": "select username, email from users; insert into users values "
    "(1, %(admin_username)s, %(admin_email)s, %(admin_password_hash)s);",
    "verify/a.sql": "select id from works",
    "schema.sql": "create table users (id int primary key, username text, email text, hash text);"
    "create table works (id int primary key, size int);",
    "predeploy.toml": '[critical]\nusers = ["id"]\n',
}
# Statements that are there already, that take something away, and that run by themselves.
SECOND = FIRST | {
    "migrations/2_b.sql": "create table if not exists works (id int primary key, size int);"
    "create table extra (id int, note text); alter table works add column if not exists size int;",
    "migrations/3_c.sql": "create table extra (id int, note text);"
    "create index extra_id on extra (id); alter table extra add constraint only_one unique (id);",
    "migrations/4_d.sql": "-- predeploy: allow delete extra\n"
    "insert into extra values (1, 'a'); delete from extra; drop table if exists nothing;",
    "migrations/5_e.sql": "create index concurrently extra_note on extra (note);",
    "migrations/6_f.sql": "create index concurrently if not exists extra_note on extra (note);"
    "reindex index concurrently extra_note; drop index concurrently extra_id;",
    "migrations/7_g.sql": "-- predeploy: allow drop-column extra.note\n"
    "alter table extra add column id2 int; alter table extra drop column note;",
}
# What sync adds: its text holds the operators of these declarations, in our path. The file names
# the path in which they are read, as its author means PostgreSQL's own.
LAST = SECOND | {
    "schema.sql": "set search_path to public;"
    + FIRST["schema.sql"]
    + "create type mood as enum ('a', 'b'); create domain age as int check (value > 0);"
    "create sequence s; create table later (id int generated always as identity primary key,"
    "  size int default 3 check (size + 1 > 0), mood mood, at timestamptz default now());"
    "alter table works add column note text not null default 'x';"
    "alter table works add constraint big check (size > 0 or size is null);"
    "alter table works add constraint works_later foreign key (size) references works (id);"
    "create index works_size on works (size) where size > 3;"
    "create view sized as select id from works where size > 2;"
    "create function twice(i int) returns int language sql as 'select i + i';"
    "comment on table works is 'what is made';",
}
LATE = LAST | {"migrations/8_h.sql": "alter table works add column late int;"}
NEW = {
    "fallback/a.sql": "create table lost (id int);",
    "predeploy.toml": '[critical]\nlost = ["id"]\n',
}
CALLED = "select funcname, calls from pg_stat_user_functions where schemaname = 'planted'"


def told(done: CompletedProcess[str]) -> str:
    """The last word of a job, without pids and seconds."""
    return re.sub(r"\d+", "N", str(report_of(done)["message"]))


def live(database: Database, folder: Folder, url: str) -> Iterator[tuple[str, int, str]]:
    """A database's life: each command with its exit code and outcome."""
    environ = {"DATABASE_URL": url, **ADMIN}
    for files in (FIRST, SECOND, LAST):
        environ["PREDEPLOY_SQL_DIR"] = str(folder(files))
        for command in ("plan", "run", "run", "status", "verify"):
            done = run_job(command, environ=environ)
            yield command, done.returncode, told(done)
    yield from _in_the_way(database, folder, environ)
    environ |= {"PREDEPLOY_SQL_DIR": str(folder(NEW)), "PREDEPLOY_LEDGER_SCHEMA": "other"}
    for command in ("adopt", "plan", "run"):
        done = run_job(command, environ=environ)
        yield command, done.returncode, told(done)


def _in_the_way(
    database: Database, folder: Folder, environ: dict[str, str]
) -> Iterator[tuple[str, int, str]]:
    """Somebody holds a table that a step wants, and then the lock of the ledger."""
    environ = environ | {
        "PREDEPLOY_SQL_DIR": str(folder(LATE)),
        "PREDEPLOY_DDL_BUDGET": "1s",
        "PREDEPLOY_DDL_LOCK_TIMEOUT": "600ms",
        "PREDEPLOY_LOCK_BUDGET": "1s",
    }
    for held in (
        "lock table works",
        f"select pg_catalog.pg_advisory_xact_lock({lock_key('predeploy')})",
    ):
        with psycopg.connect(database.url) as other:
            other.execute(held)
            done = run_job("run", environ=environ)
            yield held, done.returncode, told(done)


def theirs() -> set[str]:
    """The statements of the files, as they are sent."""
    found: set[str] = set()
    for files in (FIRST, SECOND, LAST, LATE, NEW):
        for name, text in files.items():
            if name.endswith(".sql"):
                numbers = count(1)
                plain = re.sub(r"%\(\w+\)s", lambda _: f"${next(numbers)}", text)  # noqa: B023 - called at once
                found |= {" ".join(part.split()) for part in postgast.split(plain)}
    return found


def in_path(made: Database) -> Database:
    """Let two schemas come before pg_catalog, and count all calls.

    What is planted in the second is not told from what schema.sql declares for public.
    """
    made.execute(
        "create schema planted;"
        f"alter database {made.name} set search_path to public, planted, pg_catalog;"
        f"alter database {made.name} set track_functions to 'all'"
    )
    return made


TYPES = (
    "text", "name", "oid", "int2", "int4", "int8", "bool", '"char"', "xid", "regclass", "jsonb",
    "timestamptz", "text[]", "oid[]",
)  # fmt: skip
# One function for each pair of types and each result serves all operators.
OPERATORS = """
    create function pg_temp.make(statement text) returns void language plpgsql as $make$
    begin execute statement; exception when others then null; end $make$;
    do $do$ declare types text[] := %(types)s; signs text[] := %(signs)s; l text; r text; s text;
        result text; planted text;
    begin
        foreach l in array types loop foreach r in array types loop foreach s in array signs loop
            select pg_catalog.format_type(o.oprresult, null) into result
            from pg_catalog.pg_operator o join pg_catalog.pg_type t on t.oid = o.oprresult
            where o.oprname = s order by t.typtype = 'p', o.oid limit 1;
            planted := 'planted_' || pg_catalog.md5(result);
            perform pg_temp.make(format('create function planted.%%I(%%s, %%s) returns %%s
                language plpgsql as ''begin return null; end''', planted, l, r, result));
            execute format('create operator planted.%%s (leftarg = %%s, rightarg = %%s,
                function = planted.%%I)', s, l, r, planted);
        end loop; end loop; end loop;
    end $do$"""
# The signatures of PostgreSQL's own functions of that name; each, and each with one other type.
FUNCTIONS = """
    do $do$ declare types text[] := %(types)s; p record; a text[]; i int; t text;
        procedure constant text := 'create function planted.%%I(%%s) returns %%s%%s
            language plpgsql as ''begin return %%s; end''';
    begin
        for p in
            select distinct c.name, c.arity, f.proargtypes, f.proretset,
                   pg_catalog.format_type(f.prorettype, null) as result
            from unnest(%(names)s::text[], %(arities)s::int[]) c(name, arity)
            join pg_catalog.pg_proc f on f.proname = c.name
              and f.pronamespace = 'pg_catalog'::regnamespace
              and (f.pronargs = c.arity or f.provariadic <> 0 and f.pronargs <= c.arity
                   or f.pronargs > c.arity and f.pronargs - f.pronargdefaults <= c.arity)
        loop
            foreach t in array types loop
                a := array(
                    select case pg_catalog.format_type(coalesce(p.proargtypes[n - 1],
                               p.proargtypes[pg_catalog.array_upper(p.proargtypes, 1)]), null)
                           when '"any"' then t
                           else pg_catalog.format_type(coalesce(p.proargtypes[n - 1],
                               p.proargtypes[pg_catalog.array_upper(p.proargtypes, 1)]), null) end
                    from pg_catalog.generate_series(1, p.arity) n);
                perform pg_temp.make(format(procedure, p.name, array_to_string(a, ', '),
                    case when p.proretset then 'setof ' else '' end, p.result,
                    case when p.proretset then '' else 'null' end));
                for i in 1 .. p.arity loop
                    perform pg_temp.make(format(procedure, p.name,
                        array_to_string(a[:i - 1] || t || a[i + 1:], ', '),
                        case when p.proretset then 'setof ' else '' end, p.result,
                        case when p.proretset then '' else 'null' end));
                end loop;
            end loop;
        end loop;
    end $do$"""


def plant(database: Database, role: str, called: Iterable[tuple[str, str, int]]) -> int:
    """Make the overloads as the role; return how many there are."""
    found = set(called)
    signs = sorted({name for kind, name, _ in found if kind == "operator"})
    functions = sorted({(name, arity) for kind, name, arity in found if kind == "function"})
    values = {
        "types": _array(TYPES), "signs": _array(signs),
        "names": _array(name for name, _ in functions),
        "arities": _array(str(arity) for _, arity in functions),
    }  # fmt: skip
    with psycopg.connect(database.url, autocommit=True) as conn:
        conn.execute(f"grant usage, create on schema public, planted to {role}; set role {role}")
        conn.execute("set search_path to pg_catalog, pg_temp; set check_function_bodies to off")
        conn.execute((OPERATORS % values).encode())
        conn.execute((FUNCTIONS % values).encode())
        made = """select (select count(*) from pg_proc where pronamespace = 'planted'::regnamespace)
            + (select count(*) from pg_operator where oprnamespace = 'planted'::regnamespace)"""
        return int(conn.execute(made).fetchall()[0][0])


def safely(database: Database, sql: str) -> list[tuple]:
    """Ask without stepping into the traps."""
    url = psycopg.conninfo.make_conninfo(database.url, options="-csearch_path=pg_catalog")
    return Database(database.name, url).rows(sql)


def _array(texts: Iterable[str]) -> str:
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    return f"array[{quoted}]::text[]"


def test_no_planted_function_or_operator_is_called(
    make_database: Callable[..., Database], folder: Folder
) -> None:
    """In any command, first or settled, with steps at once and in pieces, and with others about.

    All commands end as in a database where nothing is planted.
    """
    clean, planted = in_path(make_database()), in_path(make_database())
    with listening(clean.url) as (spoken, url):
        expected = list(live(clean, folder, url))
    role = f"mallory_{planted.name[-8:]}"
    planted.execute(f"create role {role}")
    texts = {part for text in spoken.texts for part in postgast.split(text)}

    made = plant(planted, role, (call for text in texts for call in calls(text)))
    assert made > 3000

    came = list(live(planted, folder, planted.url))

    assert came == expected
    others = f"""select from pg_stat_activity
        where datname = '{planted.name}' and pid <> pg_backend_pid()"""
    until(lambda: not safely(planted, others), "the jobs' sessions to end")
    assert safely(planted, CALLED) == []
    # The traps are good ones: under any other path these step into them.
    planted.rows("select 'a'::text || 'b'::text, concat_ws('.', 'a'::name, 'b'::name)")
    until(lambda: len(safely(planted, CALLED)) == 2, "two traps to be sprung")
    planted.execute(f"drop owned by {role} cascade; drop role {role}")


def test_nothing_is_looked_up_where_others_may_have_put_it(
    make_database: Callable[..., Database], folder: Folder
) -> None:
    """Every statement of ours names all schemas, or comes after our search_path was set."""
    database = in_path(make_database())
    with listening(database.url) as (spoken, url):
        came = list(live(database, folder, url))

    assert {code for _, code, _ in came} == {0, 75}, "\n".join(map(str, came))
    known = theirs()
    wrong = {why for messages in spoken.connections.values() for why in complaints(messages, known)}
    assert wrong == set()
