"""Compares figures of the code base with those of an older commit: `make measure SINCE=bcd7acf`.

Each figure depends on the source alone, so it is the same on every machine. With SUITE=yes the CPU
seconds of `make test` are measured, too, on the current tree.
"""

import ast
import io
import os
import re
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.With, ast.Assert),
    *(ast.comprehension, ast.match_case),
)
_ALIKE_LINES = 6  # consecutive lines that are equal except for blanks count as a duplicate


class Tree:
    """The package of one checkout, read once."""

    def __init__(self, root: Path) -> None:
        """Read the package: `job/predeploy`, or `job` in older commits."""
        package = root / "job" / "predeploy"
        self.package = package if package.exists() else root / "job"
        self.texts = {path: path.read_text() for path in sorted(self.package.rglob("*.py"))}
        self.trees = {path: ast.parse(text) for path, text in self.texts.items()}

    @property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [n for tree in self.trees.values() for n in ast.walk(tree) if isinstance(n, kinds)]

    def graph(self) -> Mapping[str, set[str]]:
        """Return the modules that each module imports at its top level, by dotted name."""
        base = self.package.parent
        names = {}
        for path in self.trees:
            name = ".".join(path.relative_to(base).with_suffix("").parts)
            names[path] = name.removesuffix(".__init__")
        known = set(names.values())
        found: dict[str, set[str]] = {name: set() for name in known}
        for path, tree in self.trees.items():
            for node in tree.body:
                if isinstance(node, ast.ImportFrom) and node.module:
                    whole = {f"{node.module}.{alias.name}" for alias in node.names}
                    found[names[path]] |= {n if n in known else node.module for n in whole} & known
        return found


def _lines(tree: Tree) -> str:
    return f"{sum(text.count(chr(10)) for text in tree.texts.values()):,}"


def _modules(tree: Tree) -> str:
    return str(len(tree.texts))


def _fullest_room(tree: Tree) -> str:
    rooms = Counter(path.parent for path in tree.texts if path.name != "__init__.py")
    room, count = rooms.most_common(1)[0]
    return f"{count} ({room.relative_to(tree.package.parent)})"


def _module_lines(tree: Tree) -> str:
    return _percentiles([text.count("\n") for text in tree.texts.values()])


def _longest_chain(tree: Tree) -> str:
    graph = tree.graph()

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(other) for other in graph[name] - {name}), default=0)

    return str(max(depth(name) for name in graph))


def _function_lines(tree: Tree) -> str:
    return _percentiles([(f.end_lineno or 0) - f.lineno + 1 for f in tree.functions])


def _complexity(tree: Tree) -> str:
    return _percentiles([_cyclomatic(function) for function in tree.functions])


def _cyclomatic(function: ast.AST) -> int:
    """Return a function's cyclomatic complexity (McCabe), with 1 more for each `and` and `or`."""
    nodes = list(ast.walk(function))
    operands = sum(len(node.values) - 1 for node in nodes if isinstance(node, ast.BoolOp))
    return 1 + operands + sum(isinstance(node, _BRANCHES) for node in nodes)


def _comments(tree: Tree) -> str:
    counts = Counter[str]()
    for text in tree.texts.values():
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        counts["comment"] += sum(t.type == tokenize.COMMENT for t in tokens)
        counts["code"] += len({t.start[0] for t in tokens if t.type in _CODE})
    return f"{100 * counts['comment'] / counts['code']:.1f} in 100 lines of code"


_CODE = {tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING}


def _noqas(tree: Tree) -> str:
    return str(sum(len(re.findall(r"# noqa", text)) for text in tree.texts.values()))


def _duplicates(tree: Tree) -> str:
    """Count the pairs of modules that share lines other than imports."""
    where = defaultdict(set)
    for path, text in tree.texts.items():
        imports = (n for n in tree.trees[path].body if isinstance(n, (ast.Import, ast.ImportFrom)))
        skipped = {at for n in imports for at in range(n.lineno, (n.end_lineno or n.lineno) + 1)}
        lines = [
            line.strip() for at, line in enumerate(text.splitlines(), start=1) if at not in skipped
        ]
        kept = [line for line in lines if line and not line.startswith("#")]
        for at in range(len(kept) - _ALIKE_LINES + 1):
            where["\n".join(kept[at : at + _ALIKE_LINES])].add(path)
    return str(len({pair for paths in where.values() for pair in combinations(sorted(paths), 2)}))


def _percentiles(values: list[int]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"{statistics.median(values):.0f} / {cuts[89]:.0f} / {cuts[94]:.0f} / {max(values)}"


FIGURES: Mapping[str, Callable[[Tree], str]] = {
    "lines of the package": _lines,
    "modules": _modules,
    "modules in the fullest room": _fullest_room,
    "lines a module: median / p90 / p95 / most": _module_lines,
    "longest chain of imports": _longest_chain,
    "lines a function: median / p90 / p95 / most": _function_lines,
    "ways through a function: median / p90 / p95 / most": _complexity,
    "comments": _comments,
    "noqa": _noqas,
    f"pairs of modules that share {_ALIKE_LINES} lines": _duplicates,
}


def _checkout(commit: str, folder: Path) -> Path:
    """Extract the files of a commit into a folder."""
    archive = subprocess.run(
        ["git", "archive", commit, "job"], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def _suite() -> Iterator[str]:
    subprocess.run(["make", "test"], cwd=ROOT, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield f"| CPU seconds of `make test` | | {used.ru_utime + used.ru_stime:.0f} |"


def main() -> None:
    """Print a table of the figures, then and now."""
    since = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    with tempfile.TemporaryDirectory() as folder:
        then, now = Tree(_checkout(since, Path(folder))), Tree(ROOT)
        print(f"| | {since} | now |\n|---|---|---|")
        for name, figure in FIGURES.items():
            print(f"| {name} | {figure(then)} | {figure(now)} |")
    if os.environ.get("SUITE"):
        print(*_suite())


if __name__ == "__main__":
    main()
