"""Large texts are parsed in parts, and nobody can tell."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from predeploy import sql
from predeploy.sql.parser.parts import parts

TRICKY = """\
-- predeploy: allow delete t; and no more; é
insert into t values ('a;b', $$;$$, E'\\';', "é;ü"); insert into t values ('ä');;
/* ; /* ; */ ; */ create function f() returns int language sql begin atomic select 1; select 2; end;
create function g() returns void language plpgsql as $body$ begin perform 1; perform 2; end $body$;
create rule r as on insert to t do also (delete from u; delete from v);
-- a comment at the end; of a line
copy t from stdin;
1;2
\\.
-- predeploy: autocommit
create index concurrently i on t (é);

select 'the last one; it has no semicolon' -- ;
"""
BROKEN = {
    "late": "select 'é;';\n/* ; */ select 2; selec 1; select 2",
    "unfinished": "select 1;\nselect 2;\nselect 'ä' from (",
    "early": "selec 'é';\nselect 2;\n" + "select 3;\n" * 50,
}
_PLACES = re.compile(r"\s*\w*(?:location|list_start|list_end): -?\d+")
FILES = sorted([*(ROOT / "sql").rglob("*.sql"), *(ROOT / "tests/cases").rglob("*.sql")])


def both(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """What is read of a text at once, and what is read of it in the smallest of parts.

    The trees as text, without the places in the part that they were made of.
    """
    found = []
    for size in (1 << 30, 1):
        monkeypatch.setattr("predeploy.sql.parser.parts._PART", size)
        nodes: list[Any] = []
        reading = sql.read(text, nodes)
        found.append((reading, [_PLACES.sub("", str(node)) for node in nodes]))
    return found[0], found[1]


def test_parts_end_between_statements_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No semicolon in a literal, a comment, parentheses or BEGIN ATOMIC ends one."""
    whole, parts = both(TRICKY, monkeypatch)

    assert len(whole[0].statements) == 8
    assert len(whole[0].directives) == 2
    assert parts == whole
    assert parts[0].text == whole[0].text


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_complaint_has_the_place_that_it_has_in_the_whole(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line and column count from the beginning of the file."""
    (whole, _), (parts, _) = both(text, monkeypatch)

    assert whole.complaint
    assert parts == whole


def test_every_file_of_ours_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement by statement or as a whole, and so do the parser's trees."""
    for path in FILES:
        whole, parts = both(path.read_text(), monkeypatch)
        assert parts == whole, path


@pytest.mark.parametrize("count", [20_000, pytest.param(160_000, marks=pytest.mark.slow)])
def test_a_large_file_takes_a_small_multiple_of_its_size(tmp_path: Path, count: int) -> None:
    """Eleven megabytes of small statements once took more than 350 MB; in short a megabyte."""
    text = tmp_path / "1_large.sql"
    text.write_text(
        "insert into t (id, name) values (12345, 'somebody and his friends');\n" * count
    )
    program = f"""
import resource
from pathlib import Path
from predeploy.sources.layout import Role
from predeploy.sources.script import script_of
from predeploy.sources.steps import steps_of
from predeploy.sources.walk import File
content = Path({str(text)!r}).read_bytes()
script = script_of(File("1_large.sql", Role.MIGRATION, content, b""), version=(1,))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(steps_of(script).steps[0].statements) == {count}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert int(done.stdout) * 1024 < 12 * text.stat().st_size


def test_semicolons_in_the_rows_of_an_insert_do_not_hide_that_it_begins_a_part() -> None:
    """Else the parser sees every constant of it: 400 MB for 400,000 rows instead of 150."""
    rows = ",".join(f"({n},'a; {n}')" for n in range(20_000))
    text = f"create table z (id int, t text);\ninsert into z values {rows};\n"

    found = [part for part, _ in parts(text)]

    assert "".join(found) == text
    assert [part.strip()[:6] for part in found] == ["create", "insert", ""]
