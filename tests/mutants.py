"""Mutants of a module: its text with one change, made by one of a few named operators.

A change is identified by its function and its operator, without quoting code, and is made in the
syntax tree.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MODULE = "module"  # the name used for code outside of functions
_OPPOSITE: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    first: second
    for pair in (
        (ast.Eq, ast.NotEq),
        (ast.Lt, ast.GtE),
        (ast.Gt, ast.LtE),
        (ast.In, ast.NotIn),
        (ast.Is, ast.IsNot),
    )
    for first, second in (pair, pair[::-1])
}
# A conjunct that ends with its line, with its parenthesis or before another keyword: without it,
# the rest is still valid SQL.
_CONJUNCT = re.compile(r"\s+and\s+[^()\n]+?(?=\s*(?:\)|\n|\band\b|\bor\b|\bthen\b))", re.IGNORECASE)
_TYPES = {"annotation", "returns", "decorator_list"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Changes of decisions come first: a changed text says the least about a case.
OPERATORS = (
    "negated condition",
    "swapped comparison",
    "dropped operand",
    "dropped filter",
    "dropped statement",
    "other member",
    "dropped conjunct",
    "unwrapped call",
    "dropped argument",
    "empty result",
    "changed number",
    "changed text",
)


@dataclass(frozen=True)
class Change:
    """A change at a line of a function: `other` replaces `holder[key]`."""

    function: str
    line: int
    operator: str
    holder: Any
    key: Any
    other: Any


def changes(tree: ast.Module, enums: Mapping[str, Sequence[str]]) -> list[Change]:
    """Return every change of a module, in order; `enums` maps classes to their members' names."""
    return [
        Change(function, node.lineno, operator, holder, key, other)
        for function, holder, key, node in _places(tree, MODULE)
        for operator, other in _others(node, enums)
    ]


def text_with(tree: ast.Module, change: Change) -> str:
    """Return a module's text with a change; the tree is the same afterwards."""
    before = change.holder[change.key]
    change.holder[change.key] = change.other
    try:
        return ast.unparse(ast.fix_missing_locations(tree))
    finally:
        change.holder[change.key] = before


def members(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Return the names of the members of each enum that a module defines."""
    return {
        node.name: tuple(
            target.id
            for part in node.body
            if isinstance(part, ast.Assign)
            for target in part.targets
            if isinstance(target, ast.Name)
        )
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any("Enum" in ast.unparse(base) for base in node.bases)
    }


def lines_outside(tree: ast.Module) -> set[int]:
    """Return the lines that run when a module is imported."""
    return {node.lineno for name, _, _, node in _places(tree, MODULE) if name == MODULE}


def _places(node: ast.AST, function: str) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield function, holder, key and node for every place below a node that may be changed."""
    for field, value in ast.iter_fields(node):
        if field in _TYPES or (field == "args" and isinstance(value, ast.arguments)):
            continue
        holder: Any = value if isinstance(value, list) else vars(node)
        for key in range(len(value)) if isinstance(value, list) else [field]:
            child = holder[key]
            if not isinstance(child, ast.AST) or _is_said(node, child):
                continue
            inner = _inner(function, child)
            if hasattr(child, "lineno"):
                yield inner, holder, key, child
            yield from _places(child, inner)


def _inner(function: str, node: ast.AST) -> str:
    if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        return function
    is_class = isinstance(node, ast.ClassDef)
    return MODULE if is_class else node.name if function == MODULE else f"{function}.{node.name}"


def _is_said(parent: ast.AST, node: ast.AST) -> bool:
    """Whether a node is a docstring or a part of an import."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(parent, (ast.Import, ast.ImportFrom))


def _others(node: Any, enums: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Any]]:
    """Yield the operators that apply to a node, each with the replacement."""
    yield from _other_conditions(node)
    yield from _other_statements(node)
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=attr) if attr in enums.get(name, ()):
            known = enums[name]
            yield "other member", _like(node, attr=known[(known.index(attr) + 1) % len(known)])
        case ast.Call():
            yield from _other_calls(node)
        case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
            yield from _without_filters(node)
        case ast.Constant(value=value):
            yield from _other_values(value)


def _other_conditions(node: Any) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.If() | ast.IfExp() if not isinstance(node.test, ast.Compare):
            yield "negated condition", _like(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Compare(ops=[op]) if type(op) in _OPPOSITE:
            yield "swapped comparison", _like(node, ops=[_OPPOSITE[type(op)]()])
        case ast.BoolOp(values=values):
            for kept in (values[:n] + values[n + 1 :] for n in range(len(values))):
                yield "dropped operand", kept[0] if len(kept) == 1 else _like(node, values=kept)


def _other_statements(node: Any) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.Expr(value=ast.Yield() | ast.YieldFrom()):  # it must stay a generator
            yield "dropped statement", ast.Expr(ast.YieldFrom(ast.Tuple([], ast.Load())))
        case ast.Expr() | ast.AugAssign():
            yield "dropped statement", ast.Pass()
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "empty result", ast.Return(_empty(value))


def _other_calls(node: ast.Call) -> Iterator[tuple[str, Any]]:
    if len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred):
        yield "unwrapped call", node.args[0]
    for keyword in node.keywords:
        kept = [other for other in node.keywords if other is not keyword]
        yield "dropped argument", _like(node, keywords=kept)


def _without_filters(node: Any) -> Iterator[tuple[str, Any]]:
    for number, loop in enumerate(node.generators):
        for dropped in loop.ifs:
            other = _like(loop, ifs=[kept for kept in loop.ifs if kept is not dropped])
            loops = [*node.generators[:number], other, *node.generators[number + 1 :]]
            yield "dropped filter", _like(node, generators=loops)


def _other_values(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, bool | int):
        other = (not value) if isinstance(value, bool) else value + 1
        yield "changed number", ast.Constant(other)
    if isinstance(value, str):
        for found in _CONJUNCT.finditer(value):
            cut = value[: found.start()] + value[found.end() :]
            yield "dropped conjunct", ast.Constant(cut)
        yield "changed text", ast.Constant(f"{value}~")


def _empty(value: ast.expr) -> ast.expr:
    match value:
        case ast.Tuple() | ast.GeneratorExp():
            return ast.Tuple([], ast.Load())
        case ast.List() | ast.ListComp():
            return ast.List([], ast.Load())
        case ast.Call(func=ast.Name(id="tuple" | "list" | "dict" | "set" | "frozenset") as made):
            return ast.Call(made, [], [])
        case ast.JoinedStr():
            return ast.Constant("")
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp():
            return ast.Constant(value=False)
    return ast.Constant(None)


def _like(node: Any, **fields: object) -> Any:
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})


def ranked(found: Sequence[Change], shares: Mapping[int, int]) -> Iterator[tuple[int, int, Change]]:
    """Yield turn, share and change for the changes at lines that have a share.

    The turn is the rank of a change in its function. Lines with the smallest share come first, and
    among these, one change by each operator before a second change by any operator.
    """
    seconds: Counter[tuple[str, int, str]] = Counter()
    order = []
    for change in (change for change in found if change.line in shares):
        share = shares[change.line]
        key = (change.function, share, change.operator)
        order.append((share, seconds[key], OPERATORS.index(change.operator), change))
        seconds[key] += 1
    turns: Counter[str] = Counter()
    for share, _, _, change in sorted(order, key=lambda entry: entry[:3]):
        yield turns[change.function], share, change
        turns[change.function] += 1
