"""The cases of the desired state: a database with rows, what is declared, and what comes of it.

A case is a folder below tests/cases; CONTRIBUTING says what it holds and how it is written anew.
"""

import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from conftest import ROOT, Database, url_of
from production import contents, environ, loaded, prepare, run_here
from tiers import sampled
from two_sides import read

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Outcome
from predeploy.contract.report import Report
from predeploy.inspection import plan
from predeploy.schema.facts import Fact, compare
from predeploy.schema.kind import Kind
from predeploy.sql.schema_file.desired import read_desired

CASES = ROOT / "tests" / "cases"
FOUND = sorted(path.parent for path in CASES.glob("*/*/current.sql"))
_PSQL_LINE = re.compile(r"^\\.*$", re.MULTILINE)
_CONCURRENTLY = re.compile(r"\bconcurrently\b", re.IGNORECASE)
_WITHOUT_ROWS = "-- a folder that declares nothing"
_NEWEST = 18
_SHOWN = re.compile(
    "fix the rows that this finds(, if any)?: (.*?)(?:; then, in a quiet hour, .*)?$", re.DOTALL
)
_ROLE = 'the "odd" role\'s name'


@dataclass(frozen=True)
class Ground:
    """What all cases stand on: an empty database with a ledger to clone, and one to read in."""

    template: str
    beside: psycopg.Connection
    major: int


@pytest.fixture(scope="session")
def ground(superuser_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Make both once, and a role whose name has to be quoted."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "schema.sql").write_text(_WITHOUT_ROWS)
    names = [f"cases_{kind}_{uuid.uuid4().hex[:8]}" for kind in ("template", "beside")]
    role = psycopg.sql.Identifier(_ROLE)
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        for name in names:
            conn.execute(f"create database {name} strategy file_copy")
    template, beside = (Database(name, url_of(superuser_url, name)) for name in names)
    prepare(environ(template, folder))
    with beside.connect() as conn:
        conn.execute(psycopg.sql.SQL("create role {}").format(role))
        yield Ground(template.name, conn, conn.info.server_version // 10000)
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        for name in names:
            conn.execute(f"drop database {name} with (force)")
        conn.execute(psycopg.sql.SQL("drop role {}").format(role))


@pytest.mark.parametrize("case", sampled(FOUND, 150), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_case(
    case: Path,
    ground: Ground,
    make_database: Callable[..., Database],
    folder: Callable[[Mapping[str, str]], Path],
) -> None:
    """What lacks is added and the rest is said; no row is lost, and a second run is settled."""
    _skip_unless_for(case, ground.major)
    live = make_database(ground.template)
    live.execute(_text(case / "beside.sql") + _text(case / "current.sql"))
    files = _schema_files(case)
    settings = environ(live, folder({**files, "predeploy.toml": _text(case / "predeploy.toml")}))
    schemas = read_desired([*files.items()], "predeploy", ("public",)).schemas
    before = contents(live)

    _, _, planned = plan(*loaded(settings))
    report = run_here(settings)

    assert _kept(before, contents(live)) == before
    for is_sure, query in _offered(report):
        assert _finds(live, query) or not (is_sure or case.parent.name == "violating"), query
    is_declared = report.exit_code is not ExitCode.BAD_SOURCES
    desired = _alone(case, ground.beside, schemas) if is_declared else frozenset()
    left = _left(desired, _facts(live, schemas))
    _expect(case, ground.major, _told(planned["pending"], report, left))
    if report.exit_code == 0:
        assert run_here(settings).outcome is Outcome.SETTLED


def _expect(case: Path, major: int, told: str) -> None:
    """Compare with what is written down; with UPDATE_CASES=1, write it down.

    `expected-15.txt` is for servers up to 15 that end otherwise than `expected.txt` says.
    """
    known = {int(path.stem.removeprefix("expected-")): path for path in case.glob("expected-*.txt")}
    until = min((version for version in known if version >= major), default=None)
    path = known[until] if until else case / "expected.txt"
    if os.environ.get("UPDATE_CASES") and told != _text(path):
        is_own = not path.exists() or major in (until, _NEWEST)
        path = path if is_own else case / f"expected-{major}.txt"
        path.write_text(told)
    assert told == _text(path)


def _told(steps: list[dict], report: Report, left: list[str]) -> str:
    """Tell the end of a case: exit code, SQL, findings, and what is still not as declared."""
    lines = [f"exit {int(report.exit_code)}"]
    for step in (step for step in steps if step["layer"] == "sync"):
        lines += ["", f"-- {step['how']}"]
        lines += [f"{' '.join(text.split())};" for text in step["statements"]]
    findings = sorted({f"{f.level} {f.code}: {f.message}{_next(f)}" for f in report.findings})
    failure = [f"failed {report.failure.sqlstate}"] if report.failure else []
    for title, texts in (("findings", [*failure, *findings]), ("not as declared", left)):
        lines += ["", f"{title}:", *(" ".join(text.split()) for text in texts)] if texts else []
    return "\n".join(lines) + "\n"


def _offered(report: Report) -> list[tuple[bool, str]]:
    """Return the queries of findings that show violating rows, and whether there must be some."""
    found = (_SHOWN.match(finding.remedy) for finding in report.findings)
    return [(not match[1], match[2]) for match in found if match]


def _finds(database: Database, queries: str) -> bool:
    with database.connect() as conn:
        cursor = conn.execute(queries.encode())
        found = cursor.fetchall()
        while cursor.nextset():
            found += cursor.fetchall()
    return bool(found)


def _next(finding: Finding) -> str:
    return f" -> {finding.remedy}" if finding.level == "error" and finding.remedy else ""


def _left(desired: frozenset[Fact], live: frozenset[Fact]) -> list[str]:
    """Name what the database lacks, or has otherwise; only a name of an index may be another."""
    found = compare(desired, live)
    twins = {_shape(fact) for fact in found.extra if fact.kind in _RENAMED}
    return sorted(
        [
            *(f"{f.label} is missing" for f in found.missing if _shape(f) not in twins),
            *(f"{f.label} differs in {', '.join(f.differing(o))}" for f, o in found.changed),
        ]
    )


_RENAMED = frozenset(
    kind.value
    for kind in (
        Kind.INDEX, Kind.PARTITION_INDEX, Kind.CONSTRAINT, Kind.PARTITION_CONSTRAINT,
        Kind.DOMAIN_CONSTRAINT, Kind.NOT_NULL,
    )
)  # fmt: skip


def _shape(fact: Fact) -> tuple:
    return (*fact.key[:3], fact.attributes)


def _kept(before: object, after: object) -> object:
    """Return what is there of what was there: without the columns and the attributes that came."""
    if isinstance(before, dict) and isinstance(after, dict):
        return {name: _kept(before[name], after[name]) for name in before if name in after}
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [_kept(*pair) for pair in zip(before, after, strict=True)]
    return after


def _alone(case: Path, beside: psycopg.Connection, schemas: tuple[str, ...]) -> frozenset[Fact]:
    """Load what is declared as psql would, into a database of its own, and read it."""
    text = _PSQL_LINE.sub("", _CONCURRENTLY.sub("", _text(case / "desired.sql")))
    with beside.transaction(force_rollback=True):
        beside.execute(_text(case / "beside.sql") + text)
        return read(beside, schemas)


def _facts(database: Database, schemas: tuple[str, ...]) -> frozenset[Fact]:
    with database.connect() as conn:
        return read(conn, schemas)


def _schema_files(case: Path) -> dict[str, str]:
    """Return the schema file, or the files of a folder `desired`."""
    several = {f"schema/{path.name}": _text(path) for path in (case / "desired").glob("*.sql")}
    return several or {"schema.sql": _text(case / "desired.sql")}


def _skip_unless_for(case: Path, major: int) -> None:
    """A file `versions` such as `18-` or `-17` names the servers that a case is for."""
    first, _, last = (_text(case / "versions").strip() or "-").partition("-")
    if not int(first or 0) <= major <= int(last or 99):
        pytest.skip(f"a case for PostgreSQL {first}-{last}")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
