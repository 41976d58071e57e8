"""The documentation's tables agree with the code."""

import re
from pathlib import Path

from predeploy.contract.exit_codes import ExitCode
from predeploy.settings import ADMIN_VARIABLES, SETTINGS

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()


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

    assert listed == known


def test_the_readme_lists_every_exit_code() -> None:
    """Number, name and whether to try again are the code's own."""
    listed = {(int(row[0]), row[1], row[2]) for row in rows("| code |")}

    good = {ExitCode.OK, ExitCode.UNEXPECTED, ExitCode.PENDING}
    known = {
        (int(c), c.label, "" if c in good else "yes" if c.is_retryable else "no") for c in ExitCode
    }

    assert listed == known


def test_every_test_that_the_docs_name_is_there() -> None:
    """A test that is renamed or dropped takes its promise with it."""
    named = {
        (page.name, name)
        for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for name in re.findall(r"`(test_\w+)`", page.read_text())
    }
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}

    defined = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE)) | modules

    assert {(page, name) for page, name in named if name not in defined} == set()
    assert len(named) > 50


def test_every_fear_has_a_test() -> None:
    """Each row of the tables of what went wrong elsewhere ends with at least one."""
    page = (ROOT / "docs" / "reliability.md").read_text()
    fears = [line for line in page.partition("## The chaos suite")[0].splitlines() if "|" in line]
    rows = [line for line in fears if not line.startswith(("| what happened", "|---"))]

    assert [row for row in rows if not re.search(r"`test_\w+`.*\|$", row)] == []
    assert len(rows) > 30


def test_links_lead_somewhere() -> None:
    """Every relative link in the documentation names a file that is there."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]

    dead = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert dead == []
