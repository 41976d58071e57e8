"""Whatever a folder holds: nothing is lost undeclared, and the ledger says what is there."""

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from conftest import Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from production import environ, run_here
from tiers import FULL

from predeploy.contract.exit_codes import ExitCode

TABLES = ("t0", "t1", "t2")
BASE = "".join(
    f"create table {name} (id int primary key, n int, s text);"
    f"insert into {name} select g, g, 'row ' || g from generate_series(1, 10) g;"
    for name in TABLES
)
# Statements by what they are; {t} is one of the tables, {u} is unique in the folder.
GUARDED = (
    "create table if not exists {t} (id int)",
    "alter table {t} add column if not exists {u} int default 1",
    "create index if not exists {u} on {t} (id)",
    "do $$ begin if to_regclass('{u}') is null then create table {u} (); end if; end $$",
)
HARMLESS = (
    "create table {u} (id int)",
    "insert into {t} (id) select coalesce(max(id), 0) + 1 from {t}",
    "update {t} set n = n + 1",
    "alter table {t} alter column id type bigint",
    "begin; create table {u} (); commit",
)
OUTSIDE = ("create index concurrently {u} on {t} (id)", "vacuum {t}")
FAILING = (
    "select 1 / 0",
    "insert into {t} (id) values (1)",
    "create index on {t} (nothing)",
    "selec",
)
DESTRUCTIVE = (
    "delete from {t} where id < 4",
    "truncate {t}",
    "alter table {t} drop column s",
    "drop table {t} cascade",
    "do $$ begin delete from {t}; end $$",
)
DECLARED = (
    "-- predeploy: allow delete {t}\ndelete from {t} where id < 4",
    "-- predeploy: allow drop-column {t}.s\nalter table {t} drop column s",
)
KINDS = (GUARDED, GUARDED, HARMLESS, HARMLESS, OUTSIDE, FAILING, DESTRUCTIVE, DECLARED)

statement = st.tuples(st.sampled_from(KINDS).flatmap(st.sampled_from), st.sampled_from(TABLES))
folders = st.lists(st.lists(statement, min_size=1, max_size=4), min_size=1, max_size=4)


def written(folder: list[list[tuple[str, str]]]) -> dict[str, str]:
    """The files of a generated folder; the first statement of each makes the file's own table."""
    files = {"migrations/0_base.sql": BASE}
    for number, statements in enumerate(folder, start=1):
        texts = [
            text.replace("{t}", table).replace("{u}", f"u_{number}_{place}")
            for place, (text, table) in enumerate(statements)
        ]
        marker = f"create table mark_{number} ()"
        files[f"migrations/{number}_x.sql"] = ";\n".join([marker, *texts]) + ";\n"
    return files


def state(database: Database) -> dict[str, object]:
    """Rows and columns of the tables, as far as they are there."""
    found: dict[str, object] = {}
    for table in TABLES:
        columns = database.rows(
            "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 "
            "and not attisdropped",
            table,
        )
        found |= {f"{table}.{name}": True for (name,) in columns}
        if columns:
            found[table] = database.value(f"select count(*) from {table}")
    return found


def declared_losses(database: Database) -> set[str]:
    """What the ledger says was taken away as its file declared, such as `delete t0`."""
    rows = database.rows("select jsonb_array_elements_text(losses) from predeploy.migration")
    return {loss.replace("public.", "").partition(" (")[0] for (loss,) in rows}


@settings(
    max_examples=40 if FULL else 8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(folders)
def test_nothing_is_lost_and_the_ledger_is_right(
    make_database: Callable[..., Database], tmp_path: Path, folder: list[list[tuple[str, str]]]
) -> None:
    """After exit 0 all is applied; after any other code nothing of the old is gone.

    The ledger agrees with the catalog either way, and a second run ends as the first did.
    """
    database = make_database()
    first = _write(tmp_path, {"migrations/0_base.sql": BASE})
    assert run_here(environ(database, first)).exit_code is ExitCode.OK
    before = state(database)
    root = _write(tmp_path, written(folder))

    report = run_here(environ(database, root))

    applied = {
        (file, position)
        for file, position in database.rows(
            "select file, position from predeploy.migration where is_done"
        )
    }
    whole = {f for (f,) in database.rows("select file from predeploy.migration where is_final")}
    expected = {ExitCode.OK, ExitCode.FAILED, ExitCode.PARTIAL, ExitCode.REFUSED}
    assert report.exit_code in {*expected, ExitCode.BAD_SOURCES}
    if report.exit_code is ExitCode.OK:
        assert whole == {path.name for path in (root / "migrations").iterdir()}
    for number in range(1, len(folder) + 1):
        is_there = database.value("select to_regclass(%s) is not null", f"mark_{number}")
        assert is_there == ((f"{number}_x.sql", 1) in applied)
    gone = {
        (f"drop-column {name}" if "." in name else f"delete {name}")
        for name, old in before.items()
        if state(database).get(name, 0) < old  # type: ignore[operator]
    }
    assert gone <= declared_losses(database)
    assert run_here(environ(database, root)).exit_code is report.exit_code


def _write(tmp_path: Path, files: Mapping[str, str]) -> Path:
    root = tmp_path / uuid.uuid4().hex
    for name, text in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root
