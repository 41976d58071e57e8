"""What the operators make of a text: source in, mutants out."""

import ast
import textwrap

import pytest
from mutants import OPERATORS, changes, lines_outside, members, ranked, text_with

ENUMS = {"Phase": ("BEFORE", "ONLINE", "AFTER")}


def made(source: str, operator: str) -> list[str]:
    """Return what an operator makes of a function's body, or of a module."""
    tree = ast.parse(source)
    found = [change for change in changes(tree, ENUMS) if change.operator == operator]
    return [text_with(tree, change) for change in found]


CASES = [
    ("negated condition", "x = a if b else c", ["x = a if not b else c"]),
    ("negated condition", "if b:\n    f()", ["if not b:\n    f()"]),
    ("swapped comparison", "x = a == b", ["x = a != b"]),
    ("swapped comparison", "x = a < b", ["x = a >= b"]),
    ("swapped comparison", "x = a not in b", ["x = a in b"]),
    ("swapped comparison", "x = a is None", ["x = a is not None"]),
    ("dropped operand", "x = a and b", ["x = b", "x = a"]),
    ("dropped operand", "x = a or b or c", ["x = b or c", "x = a or c", "x = a or b"]),
    ("dropped filter", "x = [a for a in b if a if c]",
     ["x = [a for a in b if c]", "x = [a for a in b if a]"]),
    ("dropped statement", "f(a, b)", ["pass"]),
    ("dropped statement", "x += 1", ["pass"]),
    ("dropped statement", "def f():\n    yield 1", ["def f():\n    yield from ()"]),
    ("other member", "x = Phase.ONLINE", ["x = Phase.AFTER"]),
    ("other member", "x = Phase.AFTER", ["x = Phase.BEFORE"]),
    ("other member", "x = Other.AFTER", []),
    ("dropped conjunct", "x = 'where a\\n and b = 1\\n and c\\n'",
     ["x = 'where a\\n and c\\n'", "x = 'where a\\n and b = 1\\n'"]),
    ("dropped conjunct", "x = '(a and b)'", ["x = '(a)'"]),
    ("dropped conjunct", "x = f'a and b = {c}'", []),
    ("unwrapped call", "x = f'{quote(name)}'", ["x = f'{name}'"]),
    ("unwrapped call", "x = f(*a)", []),
    ("dropped argument", "x = f(a, b=1, c=2)", ["x = f(a, c=2)", "x = f(a, b=1)"]),
    ("empty result", "def f():\n    return (1, 2)", ["def f():\n    return ()"]),
    ("empty result", "def f():\n    return tuple(a)", ["def f():\n    return tuple()"]),
    ("empty result", "def f():\n    return a == b", ["def f():\n    return False"]),
    ("empty result", "def f():\n    return a", ["def f():\n    return None"]),
    ("changed number", "x = 1", ["x = 2"]),
    ("changed number", "x = True", ["x = False"]),
    ("changed text", "x = 'a'", ["x = 'a~'"]),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "source", "expected"), CASES)
def test_an_operator(operator: str, source: str, expected: list[str]) -> None:
    assert made(source, operator) == expected


def test_each_operator_is_tried_here() -> None:
    assert {operator for operator, _, expected in CASES if expected} == set(OPERATORS)


def test_what_is_only_said_does_not_change() -> None:
    source = '"""A docstring."""\nimport a\n\n@d("x")\ndef f(b: "B" = 1) -> "C":\n    """Say."""\n'

    assert changes(ast.parse(source), ENUMS) == []


def test_the_tree_stays_as_it_is() -> None:
    """Each mutant has one change."""
    tree = ast.parse("x = a == 1 and b")
    before = ast.dump(tree)

    texts = [text_with(tree, change) for change in changes(tree, ENUMS)]

    assert texts == ["x = b", "x = a == 1", "x = a != 1 and b", "x = a == 2 and b"]
    assert ast.dump(tree) == before


SOURCE = textwrap.dedent(
    """\
    LIMIT = 1
    def f(a):
        if a:
            log(a, a)
        return [a]
    class C:
        def g(self):
            return h(self)
    """
)


def test_a_change_names_its_function_and_its_line() -> None:
    found = [(c.function, c.line, c.operator) for c in changes(ast.parse(SOURCE), ENUMS)]

    assert found == [
        ("module", 1, "changed number"),
        ("f", 3, "negated condition"),
        ("f", 4, "dropped statement"),
        ("f", 5, "empty result"),
        ("g", 8, "empty result"),
        ("g", 8, "unwrapped call"),
    ]


def test_lines_outside_are_those_of_an_import() -> None:
    assert lines_outside(ast.parse(SOURCE)) == {1, 6}


def order(source: str, shares: dict[int, int]) -> list[tuple[int, int, int, str]]:
    found = ranked(changes(ast.parse(source), ENUMS), shares)
    return [(turn, share, change.line, change.operator) for turn, share, change in found]


def test_only_lines_that_ran_are_changed_and_the_rarest_have_the_first_turn() -> None:
    assert order(SOURCE, {3: 2, 5: 1, 8: 3}) == [
        (0, 1, 5, "empty result"),
        (1, 2, 3, "negated condition"),
        (0, 3, 8, "unwrapped call"),
        (1, 3, 8, "empty result"),
    ]


def test_each_operator_has_a_turn_before_any_has_a_second() -> None:
    source = "def f():\n    x = a == b\n    y = a == b\n    z = 1\n"

    assert order(source, {2: 1, 3: 1, 4: 1}) == [
        (0, 1, 2, "swapped comparison"),
        (1, 1, 4, "changed number"),
        (2, 1, 3, "swapped comparison"),
    ]


def test_members_are_those_of_enums() -> None:
    tree = ast.parse("class P(StrEnum):\n    A = 'a'\n    B = 'b'\nclass Q:\n    C = 1\n")

    assert members(tree) == {"P": ("A", "B")}
