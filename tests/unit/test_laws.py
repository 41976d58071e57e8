"""The laws of the house, read from the source with the ast module."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PREDEPLOY = Path(__file__).resolve().parents[2] / "job" / "predeploy"
# For the package and each room with rooms in it: who is in it, and a module imports only from those
# before its own. So imports never lead back, at any level.
ORDER = {
    "": (
        "contract", "settings", "losses", "schema", "sql", "sources", "judgment", "snapshot",
        "layers", "lint", "database", "journal", "pipeline", "inspection", "run",
        "log", "embedded", "cli", "__main__",
    ),
    "sources": (
        "comments", "layout", "walk", "inputs", "script", "filtered", "placeholders", "squash",
        "formats", "directives", "seeds", "checks", "steps",
    ),
    "sql": ("parser", "statement", "rules", "script", "schema_file", "outcome"),
    "schema": (
        "kind", "names", "keys", "facts", "written", "ddl", "described", "schema_pair", "needs",
        "violating_rows", "namespaces", "entry", "kinds", "comparison",
    ),
    "schema/kinds": (
        "schemas", "unmodelled", "programs", "columns", "indexes", "tables", "types", "privileges",
        "needs", "comments",
    ),
    "layers": (
        "situation", "naming", "migrating", "seed", "sync", "migrate", "verify", "fallback",
    ),
    "database": (
        "server", "catalog", "shadow", "sentinel", "ledger", "snapshot_reader", "session",
        "command", "steps",
    ),
}  # fmt: skip
MODULES_A_ROOM = 12
FILES = sorted(PREDEPLOY.rglob("*.py"))
PURE = {*ORDER[""][: ORDER[""].index("lint") + 1], "journal"}


def name_of(path: Path) -> str:
    """A module by its path below the package, without its suffix; a room by its own."""
    path = path.relative_to(PREDEPLOY)
    return str(path.parent if path.name == "__init__.py" else path.with_suffix(""))


MODULES = {name_of(path): path for path in FILES}


def room(path: Path) -> str:
    """The module or room below `predeploy` that a file belongs to; its own init belongs to `.`."""
    return name_of(path).partition("/")[0]


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


def ours_imported(path: Path) -> set[str]:
    """The names of our modules that a file imports, or imports something from."""
    found = set()
    for name in imports(path):
        first, _, rest = name.replace(".", "/").partition("/")
        if first == "predeploy":
            found.add(rest if rest in MODULES else rest.rpartition("/")[0])
    return found - {name_of(path), ""}


@pytest.mark.parametrize("within", ORDER)
def test_every_module_has_its_place_in_the_order(within: str) -> None:
    """A new one has to be given its place before it may be imported."""
    parent = PREDEPLOY / within
    found = {p.stem for p in parent.iterdir() if p.suffix == ".py" and p.name != "__init__.py"}
    rooms = {p.name for p in parent.iterdir() if (p / "__init__.py").exists()}

    stray = (found | rooms) ^ set(ORDER[within])
    assert not stray, (
        f"give each a place in ORDER[{within!r}], after all that it imports, and a row in the same "
        f"place of docs/architecture.md; or take it out there, if it is gone: {sorted(stray)}"
    )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_keep_to_the_order(path: Path) -> None:
    """In each room a module imports from those before its own; never from itself or behind it."""
    for within, order in ORDER.items():
        prefix = f"{within}/" if within else ""
        own = name_of(path).removeprefix(prefix).partition("/")[0]
        if not name_of(path).startswith(prefix) or own not in order:
            continue
        others = {
            name.removeprefix(prefix).partition("/")[0]
            for name in ours_imported(path)
            if name.startswith(prefix)
        }
        behind = others & set(order[order.index(own) + 1 :])
        assert not behind, (
            f"{prefix}{own} comes before {sorted(behind)} in ORDER[{within!r}]: move what both "
            "need to a module before them, or pass it in"
        )


def test_there_are_no_import_cycles() -> None:
    """Following imports from any module, inside functions too, never leads back to it."""
    graph = {name: ours_imported(path) for name, path in MODULES.items()}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " imports ".join(reversed(error.args[1]))
        pytest.fail(f"{circle}: move what they share to a module that imports neither")


@pytest.mark.parametrize("within", sorted({name.rpartition("/")[0] for name in MODULES}))
def test_no_room_is_too_full_to_be_known_by_heart(within: str) -> None:
    """Twelve modules at most."""
    modules = [p for p in (PREDEPLOY / within).glob("*.py") if p.name != "__init__.py"]

    assert len(modules) <= MODULES_A_ROOM, (
        f"{within or 'predeploy'} has {len(modules)} modules and may have {MODULES_A_ROOM}: put "
        "those that belong together into a room of their own"
    )


def test_decisions_and_effects_do_not_know_each_other() -> None:
    """Layers never import the database, nor the database layers."""
    crossing = [
        (path, name)
        for path in FILES
        for name in ours_imported(path)
        if {room(path), name.partition("/")[0]} == {"layers", "database"}
    ]

    assert not crossing, (
        "what both need belongs into contract, judgment or snapshot; what the database found is "
        f"passed to a layer in the Snapshot, what a layer wants in a Plan: {crossing}"
    )


def test_only_the_database_package_knows_psycopg() -> None:
    """The driver stays in one room."""
    users = {room(p) for p in FILES if any(n.split(".")[0] == "psycopg" for n in imports(p))}

    assert users == {"database"}, "move what needs psycopg into database/, and pass values"


def test_only_the_room_of_sql_knows_the_parser() -> None:
    """libpg_query can be replaced by changing one room."""
    users = {room(p) for p in FILES if any(n.split(".")[0] == "postgast" for n in imports(p))}

    assert users == {"sql"}, "move what reads the parser's nodes into sql/, and return values"


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

    assert users == {"__main__"}, (
        "the environment is passed in by __main__.py (a setting: docs/architecture.md), and a "
        "command ends by the exit code that it returns"
    )


def reads_files(path: Path) -> bool:
    """Whether a module opens a file, or lists a folder, other than to write to it."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        modes = {arg.value for arg in call.args if isinstance(arg, ast.Constant)}
        if name == "open" and not modes & {"a", "ab", "x"}:
            return True
        if name in {"read_text", "read_bytes", "rglob", "glob", "iterdir", "scandir"}:
            return True
    return False


def test_only_the_folder_and_secrets_are_read_from_files() -> None:
    """Each by one module; the demo's server has a log of its own."""
    readers = {name_of(path) for path in FILES if reads_files(path)}

    ours = {"sources/walk", "sources/inputs", "settings/environment", "embedded"}
    assert readers == ours, (
        "sources/walk.py reads the SQL folder, sources/inputs.py what a command depends on, and "
        "settings/environment.py what NAME_FILE names"
    )


def test_pure_modules_never_log() -> None:
    """What decides returns findings; it does not talk."""
    talkers = {room(p) for p in FILES if "structlog" in {n.split(".")[0] for n in imports(p)}}

    loud = talkers & PURE
    assert not loud, (
        f"return a Finding, which pipeline.py logs, instead of logging in {sorted(loud)}"
    )
