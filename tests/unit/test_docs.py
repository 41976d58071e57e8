"""The documentation's tables agree with the code."""

import re
from itertools import groupby
from pathlib import Path

import pytest
from test_laws import ORDER, PREDEPLOY

from predeploy.contract.exit_codes import ExitCode
from predeploy.settings import ADMIN_VARIABLES, SETTINGS

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
# `place.py` `name`, `Class.name`: at the start of a row, a place in the code and what is there.
_PLACE = re.compile(r"^\| `([\w/]+\.py)` ((?:`[\w.]+`(?:, )?)+) \|", re.MULTILINE)


def rows(header: str) -> list[list[str]]:
    """The cells of the README's table that starts with `header`."""
    lines = README[README.index(header) :].splitlines()[2:]
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_the_readme_lists_every_setting() -> None:
    """A setting is in the README's table, and the table holds no other."""
    listed = {
        name for row in rows("| variable |") for name in re.findall(r"`([A-Z_]{4,})`", row[0])
    }

    known = {setting.variable for setting in SETTINGS} | set(ADMIN_VARIABLES)

    assert listed == known, (
        "give each a row of the table in README.md, under Settings, or take the row out: "
        f"{sorted(listed ^ known)}"
    )


def test_the_readme_lists_every_exit_code() -> None:
    """Number, name and whether to try again are the code's own."""
    listed = {(int(row[0]), row[1], row[2]) for row in rows("| code |")}

    good = {ExitCode.OK, ExitCode.UNEXPECTED, ExitCode.PENDING}
    known = {
        (int(c), c.label, "" if c in good else "yes" if c.is_retryable else "no") for c in ExitCode
    }

    assert listed == known, (
        "the table in README.md, under What it prints, and contract/exit_codes.py differ in "
        f"{sorted(listed ^ known)}"
    )


def test_every_test_that_the_docs_name_is_there() -> None:
    """A test that is renamed or dropped takes its promise with it."""
    named = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"`(test_\w+)`", page.read_text())
    }
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}

    defined = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE)) | modules

    lost = {(page, name) for page, name in named if name not in defined}
    assert not lost, f"these pages name tests that are not there; give them their new names: {lost}"
    assert len(named) > 50


def test_every_fear_has_a_test() -> None:
    """Each row of the tables of what went wrong elsewhere ends with at least one."""
    page = (ROOT / "docs" / "reliability.md").read_text()
    fears = [line for line in page.partition("## The chaos suite")[0].splitlines() if "|" in line]
    rows = [line for line in fears if not line.startswith(("| what happened", "|---"))]

    lacking = [row for row in rows if not re.search(r"`test_\w+`.*\|$", row)]
    assert not lacking, f"name a test in the last cell of each row of reliability.md: {lacking}"
    assert len(rows) > 30


def test_links_lead_somewhere() -> None:
    """Every relative link in the documentation names a file that is there."""
    dead = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert not dead, f"these links lead nowhere; write them as seen from their page: {dead}"


def test_every_python_file_that_the_docs_name_is_there() -> None:
    """By its path from the top, from the package, or, in the architecture, by its name alone."""
    names = {path.name for path in PREDEPLOY.rglob("*.py")}
    named = {
        (page.name, name)
        for page in PAGES
        if page.parent.name != "benchmarks"
        for name in re.findall(r"`([\w./-]+\.py)`", page.read_text())
    }
    lost = {
        (page, name)
        for page, name in named
        if not ((ROOT / name).exists() or (PREDEPLOY / name).exists() or name in names)
    }

    assert not lost, f"these pages name files that are not there; say where they are now: {lost}"
    assert len(named) > 80


def test_what_the_walks_name_is_where_they_say() -> None:
    """A function that is renamed or moved takes its row along."""
    places = [
        (path, name)
        for path, names in _PLACE.findall(ARCHITECTURE)
        for name in re.findall(r"`([\w.]+)`", names)
    ]
    lost = [
        (path, name)
        for path, name in places
        for part in name.split(".")
        if not re.search(
            rf"^ *(?:def|class) {part}\b|^{part}(?::| =)",
            (ROOT if path.startswith("tests/") else PREDEPLOY).joinpath(path).read_text(),
            re.MULTILINE,
        )
    ]

    assert not lost, (
        "docs/architecture.md says that these are in these files; follow the calls, and correct "
        f"the rows: {lost}"
    )
    assert len(places) > 60


@pytest.mark.parametrize("walk", ["A setting", "A step", "A fact"])
def test_a_walk_enters_every_room_once(walk: str) -> None:
    """Its rows of one room stand together, so that a reader goes from room to room."""
    table = ARCHITECTURE.partition(f"### {walk}, from")[2].partition("\n#")[0]
    rooms = [path.rpartition("/")[0] or path for path, _ in _PLACE.findall(table)]

    entered = [room for room, _ in groupby(rooms)]
    assert len(entered) > 5
    again = {room for room in entered if entered.count(room) > 1}
    assert not again, f"put the rows of {sorted(again)} together in docs/architecture.md"


@pytest.mark.parametrize("within", ORDER)
def test_the_architecture_lists_the_rooms_in_their_order(within: str) -> None:
    """Its tables are the order of imports, which is the law."""
    heading = f"### `{within}`" if within else "### The package"
    table = ARCHITECTURE.partition(f"{heading}\n")[2].partition("\n#")[0]

    listed = tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert listed == ORDER[within], (
        f"the rows below {heading!r} of docs/architecture.md are the names of ORDER[{within!r}] in "
        "test_laws.py, in that order"
    )
