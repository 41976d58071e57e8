"""A step's digest: the same as of the scanner's tokens, also where no scanner is asked."""

import hashlib
import random

import postgast
import pytest
from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Mode, Statement
from predeploy.sql.parser.digest import digest
from predeploy.sql.parser.parsing import parse
from predeploy.sql.parser.repeated_rows import abridged
from predeploy.sql.parser.scanning import tokens

PIECES = (
    "'a'", "'it''s'", "'a\nb'", "\n", "\n'b'", "--c\n", " ", "(", ")", ",", ";", "insert", "e",
    "E'x\\'y'", "N'x'", "U&'x'", "b'01'", "1", "1.5", "1e5", "1_000", "0x1f", "-1", "-", "--", "::",
    "::int4", ".", "a.b", '"q""x"', "=", "=-", "=1", "é", "'é'", "$1", "$$x,y$$", "a$b", "*", "[1]",
    "/*c*/", "&", "x'1f'", "1.", ".5", ":", "\t", ">=", "é1", "1é", "+", "||", "->>", "<>", "!=",
    "%", "#", "@", "?", "`", "=>", "/", "*/", "<=-", "|/", "[", "]", "/*", "&&", "~", "~-",
)  # fmt: skip
COMMENTS = (pb.SQL_COMMENT, pb.C_COMMENT)


def statement(text: str) -> Statement:
    return Statement(text, 0, 1, 1, "insert_stmt", Mode.TRANSACTION, "")


def by_the_scanner(text: str) -> str:
    raw = text.encode()
    found = (t for t in postgast.scan(text).tokens if t.token not in COMMENTS)
    texts = b"".join(raw[t.start : t.end] + b"\0" for t in found)
    return hashlib.sha256(texts + b";").hexdigest()


@pytest.mark.parametrize("seed", range(20))
def test_a_digest_is_that_of_the_scanners_tokens(seed: int) -> None:
    """Recorded steps keep their hashes: what is taken apart without the scanner is the same."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(100):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, 12)))
        try:
            expected = by_the_scanner(text)
        except postgast.PgQueryError:
            continue
        if "\n" not in text:  # literals in several lines are folded beforehand
            assert digest([statement(text)]) == expected, text


@pytest.mark.parametrize("size", [1, 30_000])
def test_a_long_text_has_the_tokens_of_its_pieces(size: int) -> None:
    """Cut at commas, but not at those in literals, names and comments; places are in bytes."""
    text = "select f('ü,') -- é, 'x\n, /* , */ \"a,b\", $$ , ' $$;\n" * size
    found = [(t.token, t.start, t.end) for t in tokens(text)]

    assert (
        found[:40]
        == [
            (t.token, t.start, t.end) for t in postgast.scan(text).tokens if t.token not in COMMENTS
        ][:40]
    )
    assert found[-1][2] == len(text.encode()) - 1
    assert len(found) == 10 * size


ROW = "\n, (1, -2.5, 'it''s; é', NULL, true, '{}'::jsonb, default)"
LIKE = {
    "constants": (ROW, ROW),
    "other constants": (ROW, "\n, (NULL, 'x', 7, true, false, '[;]', -1)"),
    "no cast": (ROW, ROW.replace("::jsonb", "")),
    "calls": (", (now(), 1 + 1, md5('a'))", ", (now(), 2 + 30, md5(';'))"),
    "casts": (", ((1)::int, 'a'::varchar(20))", ", ((22)::int, 'b;é'::varchar(20))"),
    "a query": (
        ", ((select id from u where n = 'a'), 1)",
        ", ((select id from u where n = 'b'), null)",
    ),
    "escaped": (r", (E'\', (' || 'x')", r", (E'\'' || 'y, (')"),
    "a typed literal": (
        ", (date '2024-01-01', interval '1 day')",
        ", (date '2025-02-03', interval '2 h')",
    ),
    "an array": (
        ", (array['a', 'b']::text[], (array[1,2])[1])",
        ", (array['c', 'd']::text[], (array[3,4])[5])",
    ),
    "a comment between": (ROW, "\n, -- the next, (1)\n" + ROW[3:]),
}
UNLIKE = {
    "another function": (", (f(1), 2)", ", (g(1), 2)"),
    "another operator": (", (1 + 1)", ", (1 - 1)"),
    "another name": (", ((select id from u))", ", ((select id from v))"),
    "a call in place of a constant": (", ('a')", ", (f())"),
    "another cast": (", ('a'::jsonb)", ", ('a'::mine)"),
    "a string in place of a number": (", (f(1))", ", (f('a'))"),
    "a quoted name": (', (f("a"))', ', (f("A"))'),
}


@pytest.mark.parametrize("pair", LIKE.values(), ids=LIKE)
def test_of_the_rows_of_a_long_insert_the_parser_sees_those_that_differ(
    pair: tuple[str, str],
) -> None:
    """The tree of all would take a hundred times as much memory; all places stay as they are."""
    first, like = pair
    begin, end = "insert into s.t (a, b) values (0 * 0)", " on conflict do nothing; select 1"
    text = f"{begin}{first}{like * 5000}{end}"

    assert abridged(text).text == f"{begin}{first}{end}"
    places = [(s.stmt_location, s.stmt_len) for s in parse(text).stmts]
    assert places == [(s.stmt_location, s.stmt_len) for s in postgast.parse(text).stmts]


@pytest.mark.parametrize("pair", UNLIKE.values(), ids=UNLIKE)
def test_a_row_that_differs_in_more_than_constants_is_parsed(pair: tuple[str, str]) -> None:
    """What it calls, and what it asks, is to be seen."""
    first, other = pair
    text = f"insert into t values (0 * 0){first * 3000}{other}{first * 3000}{other * 3000}"

    assert abridged(text).text == f"insert into t values (0 * 0){first}{other}"


@pytest.mark.parametrize(
    "text",
    [
        f"insert into t values (0){ROW * 10}",
        f"comment on table t is 'insert into t values (0){ROW.replace(chr(39), '') * 2000}'",
        f"do $$ begin insert into t values (0){ROW * 2000}; end $$",
        "insert into t values (0)" + ", ('a'\n'b')" * 9000,
        "insert into t values (0)" + ", (1--2, (\n)" * 9000,
        "insert into t values (0)" + ", ($a$, ($a$)" * 9000,
    ],
    ids=["short", "a literal", "a body", "continued literals", "comments", "dollar quotes"],
)
def test_what_is_no_long_insert_of_like_rows_is_parsed_as_it_is(text: str) -> None:
    """What a literal says is its own, and what might be read wrongly is left to the parser."""
    assert abridged(text).text == text


def test_rows_that_all_differ_are_left_to_the_parser_after_a_few() -> None:
    """Else the search for like ones would not be linear."""
    text = "insert into t values (0)" + "".join(f", (f{n}(), 1)" for n in range(5000))

    assert abridged(text).text == text
    assert len(parse(text).stmts[0].stmt.insert_stmt.select_stmt.select_stmt.values_lists) == 5001


@pytest.mark.parametrize(("place", "behind"), [("oops", ""), (")", ", (1)"), ("", " on conflict")])
def test_an_error_in_a_long_insert_is_told_at_its_place(place: str, behind: str) -> None:
    """As PostgreSQL counts: in characters of the whole text."""
    text = f"insert into t values (0){ROW * 1000} {place}{behind}"
    with pytest.raises(postgast.PgQueryError) as told:
        postgast.parse(text)
    with pytest.raises(postgast.PgQueryError) as refused:
        parse(text)

    assert refused.value.cursorpos == told.value.cursorpos
    assert refused.value.message == told.value.message
