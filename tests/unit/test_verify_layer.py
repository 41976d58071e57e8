"""What the gate says, from what the database holds."""

from pathlib import Path

import pytest

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.step import LedgerEntry, LedgerRow
from predeploy.layers.situation.base import Situation
from predeploy.layers.verify import LAYER, plan
from predeploy.schema.facts import Fact
from predeploy.settings import CriticalTable, Settings
from predeploy.settings.endpoint import Endpoint
from predeploy.settings.versions import version_of
from predeploy.snapshot import Response, Snapshot, View
from predeploy.sources import Sources
from predeploy.sources.script import Script

USERS = CriticalTable("public", "users", ("id", "email"))
FACTS = frozenset(
    {
        Fact("table", "public", "users", ""),
        Fact("column", "public", "users", "id"),
        Fact("column", "public", "users", "email"),
    }
)


def row(name: str, *, is_final: bool = True) -> LedgerRow:
    return LedgerRow(LedgerEntry(name, "x", 1, 1, is_final=is_final, raw_hash=""), "", "run")


def judged(
    *names: str,
    ledger: tuple[LedgerRow, ...] = (),
    facts: frozenset[Fact] = FACTS,
    critical: tuple[CriticalTable, ...] = (),
    checks: tuple[Script, ...] = (),
    answers: tuple[Response, ...] = (),
) -> Plan:
    scripts = tuple(Script(n, f"migrations/{n}", "", "", version_of(n)) for n in names)
    settings = Settings(Endpoint("DATABASE_URL", ()), Path("sql"), critical=critical)
    snapshot = Snapshot(180000, ledger, has_ledger=True, facts=facts, checks=answers)
    return plan(Situation(settings, Sources(scripts, (), checks, digest=""), snapshot))


def missing(what: str, remedy: str = "add it in a migration") -> Finding:
    return Finding(
        "missing",
        f"{what} is missing",
        f"{remedy}; predeploy.toml declares it as critical",
        ExitCode.NOT_VERIFIED,
    )


def failed(message: str, exit_code: ExitCode | None = ExitCode.NOT_VERIFIED) -> Finding:
    return Finding("check-failed", message, "fix the rows, or the check", exit_code)


def test_the_layer_looks_and_runs_nothing() -> None:
    """It sees the ledger, the critical tables and the answers of the checks."""
    assert (LAYER.name, LAYER.sees) == (
        "verify",
        frozenset(View) - {View.SEEDED},
    )


def test_a_database_that_holds_everything_passes() -> None:
    """All files whole, all critical columns there, no offending row: nothing to say."""
    found = judged(
        "1_a.sql",
        ledger=(row("1_a.sql"),),
        critical=(USERS,),
        checks=(Script("a.sql", "verify/a.sql", "select 1", ""),),
        answers=(Response("verify/a.sql", ("x",)),),
    )

    assert (found.steps, found.findings) == ((), ())


def test_a_file_that_is_not_whole_is_named() -> None:
    """Nothing of the folder is skipped silently, be it half applied or not at all."""
    found = judged(
        "1_a.sql", "2_b.sql", "3_c.sql", ledger=(row("1_a.sql"), row("2_b.sql", is_final=False))
    )

    assert found.findings == tuple(
        Finding(
            "not-applied",
            f"migrations/{name} has not been applied",
            "run `predeploy run`",
            ExitCode.NOT_VERIFIED,
        )
        for name in ("2_b.sql", "3_c.sql")
    )


@pytest.mark.parametrize(
    ("critical", "expected"),
    [
        (USERS, ()),
        (CriticalTable("public", "users", ()), ()),
        (CriticalTable("public", "users", ("id", "name")), ("column public.users.name",)),
        (CriticalTable("public", "users", ("a", "id", "b")),
         ("column public.users.a", "column public.users.b")),
        (CriticalTable("public", "works", ("id",)), ("table public.works",)),
        (CriticalTable("other", "users", ("id",)), ("table other.users",)),
        (CriticalTable("public", "Users", ()), ("table public.Users",)),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(critical: CriticalTable, expected: tuple[str, ...]) -> None:
    """A missing table is named once, without its columns; names are compared exactly."""
    found = judged(critical=(critical,))

    assert found.findings == tuple(missing(what) for what in expected)


def test_a_column_that_is_no_table_does_not_count_as_one() -> None:
    """Facts of other kinds with the same name are not what was declared."""
    facts = frozenset({Fact("index", "public", "users", ""), Fact("column", "public", "users", "")})

    found = judged(facts=facts, critical=(USERS,))

    assert found.findings == (missing("table public.users"),)


@pytest.mark.parametrize(
    ("rows", "count", "shown"),
    [
        ((("1", "a"),), 1, "id=1, name=a"),
        ((("1", None), ("2", "b")), 2, "id=1, name=None; id=2, name=b"),
        ((("1", "a"), ("2", "b"), ("3", "c")), 3, "id=1, name=a; id=2, name=b; id=3, name=c"),
        ((("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")), 4000,
         "id=1, name=a; id=2, name=b; id=3, name=c and 3997 more"),
    ],
)  # fmt: skip
def test_a_check_with_rows_fails(
    rows: tuple[tuple[str | None, ...], ...], count: int, shown: str
) -> None:
    """The first three offending rows are shown, and how many there are in all."""
    found = judged(answers=(Response("verify/a.sql", ("id", "name"), rows, count),))

    expected = failed(f"verify/a.sql returned {count} offending row(s): {shown}")
    assert found.findings == (expected,)


def test_a_check_that_cannot_be_asked_fails() -> None:
    """What is not known to be right is not verified."""
    found = judged(answers=(Response("verify/a.sql", sqlstate="42P01", message="no table t"),))

    message = "verify/a.sql could not be asked: no table t (42P01)"
    expected = Finding("check-broken", message, "fix the query", ExitCode.NOT_VERIFIED)
    assert found.findings == (expected,)


def test_a_file_that_is_no_check_is_refused() -> None:
    """It is never asked, so it must not pass for one that found nothing."""
    found = judged(checks=(Script("a.sql", "verify/a.sql", "delete from t", ""),))

    message = "verify/a.sql:1: DELETE FROM instead of a query"
    expected = Finding("bad-check", message, exit_code=ExitCode.BAD_SOURCES)
    assert found.findings == (expected,)


def test_on_a_database_that_is_ahead_checks_only_warn() -> None:
    """A newer version's rows may break an old rule; what the app needs must still be there."""
    found = judged(
        "1_a.sql",
        ledger=(row("1_a.sql"), row("2_b.sql")),
        critical=(CriticalTable("public", "works", ()),),
        answers=(
            Response("verify/a.sql", ("id",), (("1",),), 1),
            Response("verify/b.sql", sqlstate="42703", message="no column c"),
        ),
    )

    assert found.findings == (
        missing(
            "table public.works",
            "a newer version has taken it away: deploy a version that does without it, or bring it "
            "back in a migration",
        ),
        failed("verify/a.sql returned 1 offending row(s): id=1", None),
        Finding(
            "check-broken",
            "verify/b.sql could not be asked: no column c (42703)",
            "fix the query",
        ),
    )
    assert [finding.level for finding in found.findings] == ["error", "warn", "warn"]


def test_pruned_history_is_not_ahead() -> None:
    """Checks gate as ever where only files below the folder's lowest are gone."""
    found = judged(
        "2_b.sql",
        ledger=(row("1_a.sql"), row("2_b.sql")),
        answers=(Response("verify/a.sql", ("id",), (("1",),), 1),),
    )

    assert found.findings == (failed("verify/a.sql returned 1 offending row(s): id=1"),)
