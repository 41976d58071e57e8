"""Reading the schema files: what declares, what is refused, and where things stand."""

import postgast
import pytest

from predeploy.contract.exit_codes import ExitCode
from predeploy.sql.schema_file.desired import Desired, read_desired
from predeploy.sql.schema_file.qualifiers import qualify
from predeploy.sql.script.psql_lines import PsqlLineError, without_psql_lines


def desired(*texts: str) -> Desired:
    return read_desired(
        [(f"{n}.sql", text) for n, text in enumerate(texts, 1)], "predeploy", ("public",)
    )


def texts(found: Desired) -> list[str]:
    assert found.findings == ()
    return [s.text for s in found.statements]


def complaint(text: str) -> str:
    (finding, *_) = desired(text).findings
    assert finding.exit_code is ExitCode.BAD_SOURCES
    return finding.message


@pytest.mark.parametrize(
    "text",
    [
        "commit", "COMMIT AND CHAIN", "end", "begin", "start transaction", "rollback", "abort",
        "savepoint a", "release a", "rollback to a", "prepare transaction 'a'",
        "commit prepared 'a'", "rollback prepared 'a'", "/* /* x */ */ commit -- y",
        "do $$ begin commit; end $$", "call p()", "prepare a as select 1", "execute a",
        "copy t from stdin", "copy t to '/x'", "insert into t values (1)", "update t set a = 1",
        "delete from t", "merge into t using u on true when matched then delete", "select 1",
        "select set_config('lock_timeout', '0', false)", "select pg_catalog.setval('s', 1)",
        "select set_config('search_path', 'a', false), pg_sleep(1)",
        "select set_config('search_path', f(), false)",
        "select set_config('search_path', 'a', false) from t",
        "with x as (delete from t returning 1) select set_config('search_path', 'a', false)",
        "select 1 into t", "create table t as select 1", "create temp table t ()",
        "refresh materialized view v", "vacuum", "analyze t", "cluster t", "reindex table t",
        "checkpoint", "alter system set a = 1", "create database d", "drop database d",
        "create tablespace t location '/x'", "create subscription s connection '' publication p",
        "create role r", "alter role r superuser", "grant a to b", "drop table t", "truncate t",
        "drop owned by r", "load 'x'", "listen x", "notify x", "unlisten x", "lock table t",
        "set lock_timeout_x = 1", "set role r", "set session authorization r", "reset all",
        "set transaction isolation level serializable", "discard all", "show all", "explain select",
        "set standard_conforming_strings = off", "set client_encoding = latin1",
        "declare c cursor for select 1", "fetch c", "close c", "set constraints all deferred",
        "create publication p for all tables", "create event trigger e on x execute function f()",
        "create server s foreign data wrapper w", "comment on database d is 'x'",
        "grant connect on database d to r", "create schema a create table t ()",
        "create schema authorization r", "alter table t drop column c", "create type t",
        "alter table t drop constraint c", "alter domain d drop constraint c",
        "alter type e rename value 'a' to 'b'", "alter table t rename to u",
        "alter table t set schema s", "alter extension e update", "create language l handler f",
        "import foreign schema a from server s into b", "security label on table t is 'x'",
    ],
)  # fmt: skip
def test_what_declares_nothing_is_refused(text: str) -> None:
    """Whatever is not on the list of what declares objects stops the run, with its place."""
    found = desired(f"create table t ();\n  {text};")

    assert [f.message.split(": ")[0] for f in found.findings] == [
        f"1.sql:2:{text.startswith('/*') * 14 + 3}"
    ]
    assert {f.exit_code for f in found.findings} == {ExitCode.BAD_SOURCES}


def test_what_the_parser_cannot_read_is_refused_with_its_place() -> None:
    """What nobody can classify is never sent."""
    assert complaint("create table t ();\ncreate tabel u ();").startswith(
        "1.sql:2:8: cannot be read: syntax error"
    )


def test_a_dump_is_read_as_it_is() -> None:
    """What pg_dump writes around the declarations is passed over, timeouts above all."""
    text = (
        "\\restrict x'\n"
        "SET statement_timeout = 0;\nSET lock_timeout = 0;\nSET client_encoding = 'UTF8';\n"
        "SET standard_conforming_strings = on;\nSET row_security = off;\n"
        "SELECT pg_catalog.set_config('search_path', '', false);\n"
        "CREATE SCHEMA app;\nALTER SCHEMA app OWNER TO joe;\n"
        "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;\n"
        "COMMENT ON EXTENSION citext IS 'x';\n"
        "CREATE TABLE app.t (a int);\nALTER TABLE app.t OWNER TO joe;\n"
        "\\unrestrict x'\n"
    )
    found = desired(text)

    assert found.findings == ()
    assert found.schemas == ("app",)
    assert [(s.text, s.line, s.extension, s.search_path) for s in found.statements] == [
        ("CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public", 10, "citext", ()),
        ("CREATE TABLE app.t (a int)", 12, "", ()),
    ]


def test_psql_lines_keep_every_offset() -> None:
    """A psql line becomes blanks; one inside a literal is text of the file."""
    text = (
        "\\restrict ab'c\nselect '\n\\restrict d\n', $$\n\\e\n$$; -- x\n"
        "/*\n\\i\n*/ \\connect x\n\\c y"
    )

    assert without_psql_lines(text) == text.replace("\\restrict ab'c", " " * 14).replace(
        "\\c y", " " * 4
    )


def test_a_psql_line_that_does_something_is_refused() -> None:
    """An include that is passed over would leave declarations out."""
    with pytest.raises(PsqlLineError) as caught:
        without_psql_lines("select 1;\n\\i other.sql")

    assert (str(caught.value), caught.value.line) == (
        "\\i is a command of psql, which the server does not know",
        2,
    )


def test_the_search_path_is_the_files_own() -> None:
    """Each statement has the search_path that stands before it in its file, and no other's."""
    found = desired(
        'create table a (); set search_path = App, "B c"; create table b ();'
        " select set_config('search_path', '\"D\", E', true); create table c ();"
        " reset search_path; create table d ()",
        "create table e ()",
    )

    paths = [s.search_path for s in found.statements]
    assert paths == [None, ("app", "B c"), ("D", "e"), None, None]
    assert found.schemas == ("public", "app", "D")


def test_whose_schema_comes_first_is_nobodys() -> None:
    """What "$user" means depends on who runs us; it is left out of a path."""
    found = desired('set search_path = "$user", app; create table t (); alter table t add a int')

    assert texts(found)[0] == "create table t ()"
    assert (found.schemas, found.statements[0].search_path) == (("app",), ("app",))


def test_concurrently_is_taken_out_in_its_place() -> None:
    """An index is built in the transaction, and the server's positions still fit the file."""
    text = "create index /* concurrently */ concurrently i on t (a)"

    found = desired("create table t (a int)", text)

    assert texts(found)[1] == "create index /* concurrently */              i on t (a)"


def test_a_materialized_view_is_never_filled() -> None:
    """Its query is not run."""
    assert texts(desired("create materialized view v as select 1 with data"))[0].split() == (
        ["create", "materialized", "view", "v", "as", "select", "1", "WITH", "NO", "DATA"]
    )
    assert texts(desired("create materialized view v as select 1 -- x")) == [
        "create materialized view v as select 1 -- x\nWITH NO DATA"
    ]


def test_which_materialized_views_are_declared_with_rows_is_kept() -> None:
    """The shadow's own are all empty; those of pg_dump are declared so."""
    found = desired(
        "create schema app; set search_path = app; create materialized view a as select 1",
        "create materialized view public.b as select 1",
        "create materialized view public.c as select 1 with no data; create view d as select 1",
    )

    assert found.filled == {("app", "a"), ("public", "b")}


def test_keys_to_unmanaged_tables_come_last() -> None:
    """They lock somebody else's table, so they are made when all else is done."""
    found = desired(
        "create table public.a"
        " (id int primary key, u uuid references auth.users deferrable not null);"
        "create table b (a int references a);"
        "alter table a owner to joe, add foreign key (u) references auth.x"
    )

    assert [(s.locks_others, s.text) for s in found.statements] == [
        (False, "CREATE TABLE public.a (id int PRIMARY KEY, u uuid NOT NULL)"),
        (True, "ALTER TABLE public.a ADD FOREIGN KEY (u) REFERENCES auth.users DEFERRABLE"),
        (False, "create table b (a int references a)"),
        (True, "ALTER TABLE a ADD FOREIGN KEY (u) REFERENCES auth.x"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("create index i on auth.users (id)", "concerns auth.users, and no schema file creates"),
        ("create trigger g after insert on auth.users execute function f()", "auth.users"),
        ("create policy p on auth.users", "auth.users"),
        ("alter table auth.users add column c int", "auth.users"),
        ("create table p partition of auth.users default", "auth.users"),
        ("alter table t attach partition auth.users default", "auth.users"),
        ("create index i on leftover (id)", "leftover, which no schema file creates"),
        ("create table u (a int references leftover)", "leftover, which no schema file creates"),
        ("comment on table auth.users is 'x'", "concerns schema auth"),
        ("grant select on auth.users to joe", "concerns schema auth"),
        ("grant select on all tables in schema auth to joe", "concerns schema auth"),
    ],
)
def test_live_objects_that_the_files_do_not_declare_are_left_alone(text: str, told: str) -> None:
    """Their locks would be felt, so the statement is refused with the reason."""
    assert told in complaint(f"create table t (); {text}")


@pytest.mark.parametrize("schema", ["pg_catalog", "information_schema", "predeploy", "pg_temp"])
def test_schemas_of_others_are_never_managed(schema: str) -> None:
    """Neither PostgreSQL's nor the ledger's is swapped."""
    for text in (f"create table {schema}.t ()", f"create schema {schema}"):
        message = complaint(f"create type a as (); {text}")

        assert message.startswith(f"1.sql:1:22: schema {schema} belongs to ")


def test_without_a_declaration_public_is_managed() -> None:
    """An empty file declares an empty public."""
    assert desired("-- nothing").schemas == ("public",)


NAMES = {("public", "citext"), ("Ext", "=")}


def test_a_prefix_is_put_before_qualifiers() -> None:
    """Only before real qualifiers of the names, quoted or not."""
    text = (
        'é \'public.citext\' public.citext $$public.citext$$ PUBLIC . "citext" "Ext".='
        " x.public.citext --public.citext"
    )

    assert qualify(text, NAMES, "live_") == (
        "é 'public.citext' live_public.citext $$public.citext$$ live_PUBLIC . \"citext\""
        ' "live_Ext".= x.public.citext --public.citext'
    )


def test_a_file_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once more for each of its statements."""
    parsed: list[str] = []

    def parse(text: str) -> object:
        parsed.append(text)
        return original(text)

    original = postgast.parse
    monkeypatch.setattr(postgast, "parse", parse)

    found = desired("create table a (id int); create table b (id int); create view v as select 1")

    assert len(found.statements) == 3
    assert len(parsed) == 1
