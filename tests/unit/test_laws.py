"""The laws of the house, read from the source with the ast module."""

import ast
from functools import cache
from pathlib import Path

import pytest

JOB = Path(__file__).resolve().parent.parent.parent / "job"
ROWS = (
    {"exit_codes", "errors", "plan", "secret", "deadline", "grants"},
    {"settings", "declaration", "endpoint", "search_path", "statements", "sources", "schema",
     "snapshot", "report", "loss", "allowance", "values", "meddling", "drift", "verdict",
     "drawing", "delivery", "gap"},
    {"layers", "database"},
    {"journal", "run", "pipeline", "inspection"},
    {"log", "cli", "demo", "embedded", "__main__"},
)  # fmt: skip
ROW_OF = {module: number for number, row in enumerate(ROWS, start=1) for module in row}
FILES = sorted(JOB.rglob("*.py"))
PURE = set().union(*ROWS[:2]) | {"layers", "journal"}


def room(path: Path) -> str:
    """The module or package below `job` that a file belongs to; empty for `job/__init__.py`."""
    first = path.relative_to(JOB).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("job.")}
    return {name for name in ours if name in ROW_OF} - {room(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(JOB)))
def test_every_module_stands_in_a_row(path: Path) -> None:
    """A new module has to be given its place before it may be imported."""
    assert room(path) == "" or room(path) in ROW_OF


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(JOB)))
def test_imports_go_down_the_table(path: Path) -> None:
    """A module imports from its own row or from rows above it in the table; never from below."""
    if not room(path):
        return

    upward = {name for name in rooms_imported(path) if ROW_OF[name] > ROW_OF[room(path)]}

    assert upward == set()


def test_there_are_no_import_cycles() -> None:
    """Following imports from any module, inside functions too, never leads back to it."""
    graph: dict[str, set[str]] = {}
    for path in FILES:
        graph.setdefault(room(path), set()).update(rooms_imported(path))

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for following in graph.get(todo.pop(), set()) - seen:
                seen.add(following)
                todo.append(following)
        return seen

    cyclic = {name for name in graph if name in reachable(name)}

    assert cyclic == set()


def test_decisions_and_effects_do_not_know_each_other() -> None:
    """Layers never import the database, nor the database layers."""
    crossing = [
        path
        for path in FILES
        if (room(path) == "layers" and "database" in rooms_imported(path))
        or (room(path) == "database" and "layers" in rooms_imported(path))
    ]

    assert crossing == []


def test_only_the_database_package_knows_psycopg() -> None:
    """The driver stays in one room."""
    users = {room(p) for p in FILES if any(n.split(".")[0] == "psycopg" for n in imports(p))}

    assert users == {"database"}


def test_only_the_statements_module_knows_the_parser() -> None:
    """libpg_query can be replaced by changing one file."""
    users = {room(p) for p in FILES if any(n.split(".")[0] == "postgast" for n in imports(p))}

    assert users == {"statements"}


def uses(path: Path, *calls: str) -> set[str]:
    """Which of the dotted names `calls` appear in a file."""
    names = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    return names & set(calls)


def test_only_the_process_edge_touches_environment_and_exit() -> None:
    """`os.environ` and `sys.exit` are read and called in `__main__` alone."""
    users = {room(p) for p in FILES if uses(p, "os.environ", "os.getenv", "sys.exit", "os._exit")}

    assert users == {"__main__"}


def test_only_sources_read_files() -> None:
    """Nothing outside `sources` (and the server of the demo) opens a file to read it."""
    readers = set()
    for path in FILES:
        called = {
            node.func.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        if called & {"read_text", "read_bytes", "rglob", "glob", "iterdir"}:
            readers.add(room(path))

    assert readers <= {"sources", "embedded"}


def test_pure_modules_never_log() -> None:
    """What decides returns findings; it does not talk."""
    talkers = {room(p) for p in FILES if "structlog" in {n.split(".")[0] for n in imports(p)}}

    assert talkers & PURE == set()
