"""Seeds: placeholders, the question who is there, and nothing but inserts."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.sources.placeholders import bind, leading_select, presence_question
from predeploy.sources.script import Script
from predeploy.sources.seeds import read_seed

bounded = settings(max_examples=40, deadline=None)

PATH = "seed/admin.sql"
INSERT = "insert into t values (1)"
USER, EMAIL, HASH = "%(admin_username)s", "%(admin_email)s", "%(admin_password_hash)s"


def script(text: str) -> Script:
    return Script("admin.sql", PATH, text, "")


def refused(line: int, why: str) -> Finding:
    return Finding("bad-seed", f"{PATH}:{line}: {why}", exit_code=ExitCode.BAD_SOURCES)


def squeezed(text: str) -> str:
    """The text without blanks: a parameter is padded to the length of its placeholder."""
    return "".join(text.split())


# placeholders


@pytest.mark.parametrize(
    ("text", "bound", "names"),
    [
        ("select 1", "select 1", ()),
        (f"values ({USER}, {HASH})", "values ($1, $2)",
         ("admin_username", "admin_password_hash")),
        (f"values ({EMAIL}, {USER}, {EMAIL})", "values ($1, $2, $1)",
         ("admin_email", "admin_username")),
        (f"values ('{EMAIL}', {EMAIL})", f"values ('{EMAIL}', $1)", ("admin_email",)),
        (f"values ('it''s {USER}', E'\\'{USER}')", f"values ('it''s {USER}', E'\\'{USER}')", ()),
        (f'select 1 as "{EMAIL}" -- {EMAIL}', f'select 1 as "{EMAIL}" -- {EMAIL}', ()),
        (f"/* {EMAIL} */ select $${EMAIL}$$, $q$ $$ {EMAIL} $q$",
         f"/* {EMAIL} */ select $${EMAIL}$$, $q$ $$ {EMAIL} $q$", ()),
        ("select 7 %% 2, 7 % (2), '%s', 5 %(2)", "select 7 %% 2, 7 % (2), '%s', 5 %(2)", ()),
        ("select %(unknown)s, %(ADMIN_EMAIL)s, %( admin_email )s, %admin_email",
         "select %(unknown)s, %(ADMIN_EMAIL)s, %( admin_email )s, %admin_email", ()),
        (f"/* a */ {EMAIL} -- b\n, {EMAIL}", "/* a */ $1 -- b , $1", ("admin_email",)),
    ],
)  # fmt: skip
def test_only_known_names_outside_literals_are_bound(
    text: str, bound: str, names: tuple[str, ...]
) -> None:
    """Every other percent sign is text, and so is one in a literal, a name or a comment."""
    sql, used = bind(text)

    assert (squeezed(sql), used) == (squeezed(bound), names)


PIECES = ("select ", "a = ", "%", "%%", "é", "'x''y'", "'%(admin_email)s'", "$$ % $$", "\n", " ; ")


@bounded
@given(st.lists(st.sampled_from((USER, EMAIL, HASH, "%(other)s", *PIECES)), max_size=12))
def test_binding_keeps_every_place(pieces: list[str]) -> None:
    """The bound text is as long as the file's, line by line, so that positions fit both."""
    text = " ".join(pieces)

    sql, names = bind(text)

    assert [len(line) for line in sql.split("\n")] == [len(line) for line in text.split("\n")]
    assert len(names) == len(set(names)) == len({p for p in pieces if p in (USER, EMAIL, HASH)})


def test_each_statement_counts_its_own_parameters() -> None:
    """A statement is bound by itself, so its parameters start with $1 again."""
    text = f"select 1 where a = {USER};\ninsert into t values ({HASH}, {USER});\n{INSERT}"

    seed = read_seed(script(text))

    assert seed.findings == ()
    assert seed.question is not None
    assert [(squeezed(b.sql), b.names) for b in (seed.question, *seed.inserts)] == [
        ("select1wherea=$1", ("admin_username",)),
        ("insertintotvalues($1,$2)", ("admin_password_hash", "admin_username")),
        ("insertintotvalues(1)", ()),
    ]
    assert seed.names == {"admin_username", "admin_password_hash"}


def test_a_statement_of_a_seed_stands_where_the_file_has_it() -> None:
    """Text, offsets, line and column are those of the file, placeholders and all."""
    text = f"-- é\nselect 'ü', {USER};\n  insert into t values ({EMAIL}, 'ß')\n;"

    (bound,) = read_seed(script(text)).inserts

    statement = bound.statement
    assert statement.text == text[statement.start : statement.end]
    assert statement.text == f"insert into t values ({EMAIL}, 'ß')"
    assert (statement.line, statement.column) == (3, 3)
    assert len(bound.sql) == len(statement.text)


# the question


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("", None),
        ("-- nothing\n", None),
        (INSERT, None),
        (f"/* select */ {INSERT}; select 1", None),
        (f"insert into t select 1; {INSERT}", None),
        ("selecty 1", None),
        ("explain select 1", None),
        ("select 1", "select 1"),
        (f"-- who?\n/* ; */ SELECT\n1 ; {INSERT}", "SELECT\n1"),
        (f"(select 1); {INSERT}", "(select 1)"),
        (f"select';'; {INSERT}", "select';'"),
        (f"select E'\\';'; {INSERT}", "select E'\\';'"),
        (f"select '\\'; {INSERT}", "select '\\'"),
        (f'select U&\'\\0061;\' as "a;""b"; {INSERT}', 'select U&\'\\0061;\' as "a;""b"'),
        (f"select $a$;$$;$a$, $$;$$;{INSERT}", "select $a$;$$;$a$, $$;$$"),
        (f"select $é$;$é$;{INSERT}", "select $é$;$é$"),
        (f"select 1 --;\n;{INSERT}", "select 1 --;"),
        (f"select 1 /*;*/;{INSERT}", "select 1 /*;*/"),
        (f"select 'a'\n';b';{INSERT}", "select 'a'\n';b'"),
        # what the reader without a parser is easily wrong about
        ("select date'a\\'; insert into t values (';')", "select date'a\\'"),
        ("select a$b$ from u; insert into t values ($b$;$b$)", "select a$b$ from u"),
        (f"-- who?\rselect 1;{INSERT}", "select 1"),
        (f"/* /* */ who? */ select 1; {INSERT}", "select 1"),
        (f"/* /* */ select; */ {INSERT}", None),
        (f"; select 1; {INSERT}", "select 1"),
    ],
)
def test_the_question_is_the_same_with_and_without_the_parser(
    text: str, question: str | None
) -> None:
    """A settled run finds the leading SELECT without the parser, just where the parser has it."""
    with_parser = read_seed(script(text)).question
    without = leading_select(text)

    first = sql.read(without).statements[0].text if without is not None else None
    assert (with_parser.statement.text if with_parser else None, first) == (question, question)


@pytest.mark.parametrize(
    ("text", "literals", "expected"),
    [
        (INSERT, {}, None),
        (f"select 1; {INSERT}", {}, "select 1"),
        (f"select 1; insert into t values ({EMAIL})", {}, None),
        (f"select {EMAIL}; {INSERT}", {}, None),
        (f"select {EMAIL} -- {EMAIL}\n, '{USER}' ; insert into t values ({HASH})",
         {"admin_email": "'a''b'"}, f"select 'a''b' -- {EMAIL}\n, '{USER}' "),
        (f"select {EMAIL}, {USER}", {"admin_email": f"'{USER}'", "admin_username": "'u'"},
         f"select '{USER}', 'u'"),
    ],
)  # fmt: skip
def test_a_presence_question_carries_its_values(
    text: str, literals: Mapping[str, str], expected: str | None
) -> None:
    """Values stand for placeholders alone; without values, a file that needs some asks nothing."""
    assert presence_question(script(text), literals) == expected


# what a seed may hold


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("update t set a = 1", "UPDATE"),
        ("delete from t", "DELETE FROM"),
        ("truncate t", "TRUNCATE"),
        ("create table t (a int)", "CREATE TABLE"),
        ("insert into t values (1) on conflict (a) do update set a = 2",
         "INSERT … ON CONFLICT DO UPDATE"),
        ("do $$ begin end $$", "DO"),
        ("copy t from stdin", "COPY … FROM STDIN"),
        ("begin", "BEGIN"),
        ("select 2", "SELECT"),
    ],
)  # fmt: skip
def test_a_seed_only_inserts(statement: str, what: str) -> None:
    """Whatever could change a row that is there already is refused by line."""
    found = read_seed(script(f"select 1;\n{INSERT};\n{statement}"))

    assert found.findings == (refused(3, f"{what} in a seed; a seed only inserts"),)


@pytest.mark.parametrize(
    "inner", ["delete from t returning a", "update t set a = 1 returning a",
              "insert into t values (1) on conflict (a) do update set a = 2 returning a"]
)  # fmt: skip
def test_no_row_is_changed_behind_a_with(inner: str) -> None:
    """A seed never updates or deletes a row, not even on the way to an INSERT."""
    found = read_seed(script(f"with x as ({inner}) insert into u select a from x"))

    assert [(f.code, f.exit_code) for f in found.findings] == [("bad-seed", ExitCode.BAD_SOURCES)]


def test_the_question_may_not_use_the_secret() -> None:
    """A settled run asks the question in plain text, where no hash may stand."""
    found = read_seed(script(f"\nselect 1 where h = {HASH}; insert into t values ({HASH})"))

    assert found.findings == (refused(2, "the question may not use admin_password_hash"),)


def test_a_seed_that_cannot_be_read_inserts_nothing() -> None:
    """The finding names the line of the quote that never ends."""
    found = read_seed(script(f"{INSERT};\ninsert into t values ({EMAIL}, 'x)"))

    why = 'cannot be read: unterminated quoted string at or near "\'x)"'
    assert (found.question, found.inserts, found.findings) == (None, (), (refused(2, why),))
