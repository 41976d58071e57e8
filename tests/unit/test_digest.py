"""A step's digest: the same as of the scanner's tokens, also where no scanner is asked."""

import hashlib
import random

import postgast
import pytest
from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Mode, Statement
from predeploy.sql.parser.constants import abridged
from predeploy.sql.parser.digest import digest
from predeploy.sql.parser.parsing import parse, tokens

PIECES = (
    "'a'", "'it''s'", "'a\nb'", "\n", "\n'b'", "--c\n", " ", "(", ")", ",", ";", "insert", "e",
    "E'x\\'y'", "N'x'", "U&'x'", "b'01'", "1", "1.5", "1e5", "1_000", "0x1f", "-1", "-", "--", "::",
    "::int4", ".", "a.b", '"q""x"', "=", "=-", "=1", "é", "'é'", "$1", "$$x,y$$", "a$b", "*", "[1]",
    "/*c*/", "&", "x'1f'", "1.", ".5", ":", "\t", ">=", "é1", "1é",
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


def test_of_the_constants_of_a_long_insert_the_parser_sees_the_first_row() -> None:
    """Its tree would take a hundred times as much memory; all places stay as they are."""
    text = f"insert into s.t (a, b) values (0){ROW * 2000} on conflict do nothing; select 1"
    short = abridged(text)

    assert len(short.encode()) == len(text.encode())
    rest = "insert into s.t (a, b) values (0) on conflict do nothing; select 1"
    assert short.split() == rest.split()
    places = [(s.stmt_location, s.stmt_len) for s in parse(text).stmts]
    assert places == [(s.stmt_location, s.stmt_len) for s in postgast.parse(text).stmts]


@pytest.mark.parametrize(
    "text",
    [
        f"insert into t values (0){ROW}",
        f"insert into t values (0), (f()){ROW * 2000}",
        f"comment on table t is 'insert into t values (0){ROW.replace(chr(39), '') * 2000}'",
        f"do $$ begin insert into t values (0){ROW * 2000}; end $$",
        "insert into t values (0)" + ", ('a'\n'b')" * 9000,
    ],
    ids=["short", "calls", "a literal", "a body", "continued literals"],
)
def test_what_is_no_long_insert_of_constants_is_parsed_as_it_is(text: str) -> None:
    """A function in a row is to be seen, and what a literal says is its own."""
    assert abridged(text) == text


def test_an_error_in_a_long_insert_is_told_at_its_place() -> None:
    """As PostgreSQL counts: in characters of the whole text."""
    text = f"insert into t values (0){ROW * 1000} oops"
    with pytest.raises(postgast.PgQueryError, match="oops") as refused:
        parse(text)

    assert refused.value.cursorpos == len(text) - 3
