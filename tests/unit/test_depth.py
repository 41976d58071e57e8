"""What is nested too deeply to be parsed is left to the server, at once, whatever its size."""

import time
from collections.abc import Callable

import pytest

from predeploy.sql import read
from predeploy.sql.parser.depth import is_too_deep
from predeploy.sql.parser.unparsed import UnreadableError

Nest = Callable[[int], str]

# Each way to nest to a depth of n: left and right recursive, and across what ends a list.
NESTS = {
    "operators": lambda n: "select " + " || ".join(["'a'"] * n),
    "short operators": lambda n: "select " + "+".join(["1"] * n),
    "prefixes": lambda n: "select " + "- " * n + "1",
    "not": lambda n: "select " + "not " * n + "a",
    "casts": lambda n: "select a" + "::int" * n,
    "is null": lambda n: "select a" + " is null" * n,
    "collations": lambda n: "select a" + ' collate "C"' * n,
    "time zones": lambda n: "select a" + " at time zone 'x'" * n,
    "named operators": lambda n: "select a" + " operator(pg_catalog.+) b" * n,
    "between": lambda n: "select a" + " between true and false is true" * n,
    "unions": lambda n: " union all ".join(["select 1, 2"] * n),
    "excepts": lambda n: "values (1, 2)" + " except values (3, 4)" * n,
    "joins": lambda n: "select from t" + " join t on a and b" * n,
    "cases": lambda n: "select " + "case when a and b then c else " * n + "1" + " end" * n,
    "cases by name": lambda n: "select " + "case when a.end then 1 else " * n + "1" + " end" * n,
    "subselects": lambda n: "select " + "(select 1, " * n + "1" + ")" * n,
    "calls": lambda n: "select " + "f(1, " * n + "1" + ")" * n,
    "arrays": lambda n: "select " + "array[1, " * n + "1" + "]" * n,
    "queries with": lambda n: "with a as (" * n + "select 1" + ") select 1" * n,
}
# Each way to be large without being deep.
FLAT = {
    "rows": lambda n: "insert into t values " + ", ".join(["(-1, 'a', null, now())"] * n),
    "or": lambda n: "delete from t where " + " or ".join(["(a = -1 and b is null)"] * n),
    "and": lambda n: "select from t where " + " and ".join(["not a <> b"] * n),
    "list": lambda n: "select from t where a in (" + ", ".join(["1 + 1"] * n) + ")",
    "whens": lambda n: "select case" + " when a = 1 and b then 'x'" * n + " end",
    "array": lambda n: "select array[" + ", ".join(["1.5::real"] * n) + "]",
    "sets": lambda n: "update t set " + ", ".join(["a = case when b then c + 1 end"] * n),
    "columns": lambda n: "create table t (" + ", ".join(["c int not null default 1"] * n) + ")",
    "a long function": lambda n: "create function f() as $$ " + "a || b; " * n + "$$ language sql",
    "statements": lambda n: (
        "create function f() returns int begin atomic " + "select 1 + 1; " * n + "end"
    ),
}
COMPLAINT = "it is nested too deeply to be read"


@pytest.mark.dear
@pytest.mark.parametrize(
    ("nest", "depth"),
    [(NESTS["operators"], 200_000), *((nest, 40_000) for nest in NESTS.values())],
    ids=["a megabyte", *NESTS],
)
def test_no_depth_holds_or_ends_the_process(nest: Nest, depth: int) -> None:
    """It is left to the server, both statements unread, within a second for every megabyte."""
    text = nest(depth)
    begun = time.process_time()

    reading = read(f"{text};\nselect 2")

    assert time.process_time() - begun < 1 + len(text) // 1_000_000
    assert reading.complaint == COMPLAINT
    assert [s.node for s in reading.statements if s.what.startswith("SELECT")][-1] == ""


@pytest.mark.parametrize("depth", [4_000, 12_000])
@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS)
def test_a_depth_near_the_limit_does_no_harm(nest: Nest, depth: int) -> None:
    """Below it and above, the text is read, or it is not; the process goes on, within a second."""
    begun = time.process_time()

    reading = read(f"{nest(depth)};\nselect 2")

    assert time.process_time() - begun < 1
    assert reading.complaint.split(" at or near")[0] in {"", COMPLAINT, "memory exhausted"}
    assert {s.node for s in reading.statements} == {""} or not reading.complaint


@pytest.mark.parametrize("flat", FLAT.values(), ids=FLAT)
def test_what_is_only_large_is_read(flat: Nest) -> None:
    """Rows, conditions, columns and statements in any number are not deep."""
    reading = read(f"{flat(20_000)};\nselect 2")

    assert reading.complaint == ""
    assert [bool(s.node) for s in reading.statements] == [True, True]


@pytest.mark.dear
def test_many_deep_expressions_in_one_statement_are_left_to_the_server() -> None:
    """None of 100 is too deep, but all together would take seconds."""
    text = "select " + ", ".join([" || ".join(["'a'"] * 4_000)] * 100)
    begun = time.process_time()

    assert is_too_deep(text)

    assert time.process_time() - begun < 1 + len(text) // 1_000_000


def test_what_is_left_unread_may_not_end_the_transaction() -> None:
    """Behind it a COMMIT is refused, as behind anything else that is not read."""
    with pytest.raises(UnreadableError, match=COMPLAINT):
        read(NESTS["operators"](200_000) + "; commit")


def test_what_is_too_deep_in_a_function_of_statements_is_refused() -> None:
    """BEGIN ATOMIC ends with END, which is not told from one that ends a transaction."""
    sums = " + ".join(["1"] * 40_000)
    text = f"create function f() returns int begin atomic select 1; select {sums}; end"

    with pytest.raises(UnreadableError, match=COMPLAINT):
        read(text)
