"""What the migrate layer plans, from a folder and what the ledger holds."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.step import LedgerEntry, LedgerRow
from predeploy.layers.migrate import LAYER, plan
from predeploy.layers.situation.base import Situation
from predeploy.settings import Settings
from predeploy.settings.endpoint import Endpoint
from predeploy.settings.versions import version_of
from predeploy.snapshot import Snapshot, View
from predeploy.sources import Sources
from predeploy.sources.script import Script
from predeploy.sources.steps import steps_of

A, B, C = "select 'a'", "select 'b'", "select 'c'"
WHEN = "2026-11-22T10:00:00Z"


def script(name: str, *steps: str) -> Script:
    text = "".join(f"begin;\n{step};\ncommit;\n" for step in steps) if len(steps) > 1 else steps[0]
    raw_hash = hashlib.sha256(text.encode()).hexdigest()
    return Script(name, f"migrations/{name}", text, raw_hash, version_of(name))


def rows(of: Script, *positions: int) -> tuple[LedgerRow, ...]:
    entries = [step.entry for step in steps_of(of).steps if step.entry]
    return tuple(
        LedgerRow(e, WHEN, "run") for e in entries if not positions or e.position in positions
    )


def row(name: str) -> LedgerRow:
    return LedgerRow(LedgerEntry(name, "x", 1, 1, is_final=True, raw_hash=""), WHEN, "run")


def planned(
    scripts: tuple[Script, ...],
    ledger: tuple[LedgerRow, ...] = (),
    *,
    has_ledger: bool = True,
    has_tables: bool = False,
) -> Plan:
    settings = Settings(Endpoint("DATABASE_URL", ()), Path("sql"), ledger_schema="house")
    sources = Sources(scripts, (), (), digest="")
    snapshot = Snapshot(180000, ledger, has_ledger=has_ledger, has_tables=has_tables)
    return plan(Situation(settings, sources, snapshot))


def labels(found: Plan) -> list[str]:
    return [step.label for step in found.steps]


def edited(message: str, remedy: str) -> Finding:
    return Finding("edited", message, remedy, ExitCode.BAD_SOURCES)


def test_the_layer_looks_at_the_ledger_only() -> None:
    """A failed step of it ends the run with 80."""
    assert (LAYER.name, LAYER.sees, LAYER.failed) == (
        "migrate",
        frozenset({View.LEDGER}),
        ExitCode.FAILED,
    )


def test_a_new_database_gets_everything_in_the_folder_s_order() -> None:
    """Without a ledger and without tables all files are pending."""
    files = (script("1_a.sql", A), script("2_b.sql", A, B), script("10_c.sql", C))

    found = planned(files, has_ledger=False)

    steps = tuple(step for file in files for step in steps_of(file).steps)
    assert found == Plan(steps, ())
    assert labels(found) == [
        "migrations/1_a.sql",
        "migrations/2_b.sql step 1",
        "migrations/2_b.sql step 2",
        "migrations/10_c.sql",
    ]


def test_a_database_that_holds_everything_gets_nothing() -> None:
    """The second run plans no step and says nothing."""
    files = (script("1_a.sql", A), script("2_b.sql", A, B))

    found = planned(files, rows(files[0]) + rows(files[1]), has_tables=True)

    assert found == Plan()


def test_nothing_is_planned_for_an_empty_folder() -> None:
    """A folder may hold no migrations, on whatever database."""
    assert planned((), has_ledger=False, has_tables=True) == Plan()


def test_a_half_applied_file_goes_on_where_it_stopped() -> None:
    """Steps that the ledger holds are not run again, and the rest may have been fixed."""
    before, now = script("1_a.sql", A, B), script("1_a.sql", A, C)

    found = planned((now,), rows(before, 1))

    assert found == Plan(steps_of(now).steps[1:], ())


def test_an_untouched_file_is_not_even_read() -> None:
    """What was applied as a whole is not judged again by a newer version's rules."""
    file = script("1_a.sql", "vacuum t")
    final = LedgerEntry("1_a.sql", "x", 1, 1, is_final=True, raw_hash=file.raw_hash)

    assert planned((file,), (LedgerRow(final, WHEN, "run"),)) == Plan()


def test_a_changed_comment_is_no_edit() -> None:
    """Steps are compared without comments and blanks."""
    before, now = script("1_a.sql", A), script("1_a.sql", f"-- why\n{A} ;")

    assert planned((now,), rows(before)) == Plan()


def test_an_edited_file_stops_the_run() -> None:
    """Every step that was applied and is gone is named, with where it stands now and since when."""
    before, now = script("1_a.sql", A, B, C), script("1_a.sql", A, "select\n'B'")

    found = planned((now,), rows(before))

    put_back = "put the old text back and write the change as a new migration"
    assert found.findings == (
        edited(
            f"migrations/1_a.sql: step 2 (now lines 5-6) was applied at {WHEN} and has been edited "
            "since",
            put_back,
        ),
        edited(
            f"migrations/1_a.sql: step 3 was applied at {WHEN} and has been edited since", put_back
        ),
    )
    assert found.refusal == found.findings[0]


def test_a_grown_file_stops_the_run() -> None:
    """What was added behind the last step of a whole file is named by its lines."""
    before, now = script("1_a.sql", A), script("1_a.sql", f"begin;{A};commit;\n\n{B};\n{C}")

    found = planned((now,), rows(before))

    message = "migrations/1_a.sql: lines 3-4 were added after the file was applied as a whole"
    assert found.findings == (edited(message, "move them to a new migration"),)


def test_an_edit_of_a_file_does_not_hide_the_next_one() -> None:
    """All that is wrong with the folder is told at once."""
    before = (script("1_a.sql", A), script("2_b.sql", B))
    now = (script("1_a.sql", C), script("2_b.sql", C), script("3_c.sql", "savepoint s"))

    found = planned(now, rows(before[0]) + rows(before[1]))

    assert [(f.code, f.message.split(":")[0]) for f in found.findings] == [
        ("edited", "migrations/1_a.sql"),
        ("edited", "migrations/2_b.sql"),
        ("unrunnable", "migrations/3_c.sql"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("begin; vacuum t; commit", "autocommit"),
        ("rollback", "unrunnable"),
        ("begin; select 1", "open-transaction"),
        ("select 'abc", "unreadable"),
        ("frobnicate; commit", "unreadable"),
    ],
)
def test_a_file_that_cannot_be_run_stops_the_run(text: str, code: str) -> None:
    """It is refused before any other file runs, since a later one may need it."""
    found = planned((script("1_a.sql", A), script("2_b.sql", text), script("3_c.sql", C)))

    assert found.refusal is not None
    assert (found.refusal.code, found.refusal.exit_code) == (code, ExitCode.BAD_SOURCES)
    assert found.refusal.message.startswith("migrations/2_b.sql:1: ")


def test_what_our_parser_does_not_know_runs_with_a_warning() -> None:
    """The server may be newer; the finding stops nothing."""
    found = planned((script("1_a.sql", "frobnicate t"),))

    assert [(f.code, f.level) for f in found.findings] == [("unparsed", "warn")]
    assert (labels(found), found.refusal) == (["migrations/1_a.sql"], None)


def test_a_late_file_runs_with_a_warning() -> None:
    """A pending file that is older than the newest applied one is out of order, not skipped."""
    files = (script("1_a.sql", A), script("2_b.sql", B), script("3_c.sql", C))

    found = planned(files, rows(files[0]) + rows(files[2]))

    message = "migrations/2_b.sql is older than the newest applied migration and runs after it"
    assert found == Plan(steps_of(files[1]).steps, (Finding("out-of-order", message),))


def test_the_rest_of_a_half_applied_file_is_not_out_of_order() -> None:
    """It began in its time; so did a file of the same version as the newest."""
    old, newest, same = script("1_a.sql", A, B), script("3_c.sql", C), script("3_d.sql", C)

    found = planned((old, newest, same), rows(old, 1) + rows(newest))

    assert found == Plan((steps_of(old).steps[1], *steps_of(same).steps), ())


def test_what_is_pending_runs_where_the_ledger_has_diverged() -> None:
    """What the folder lacks is named, oldest first, with the command that forgets it."""
    one, file = script("1_a.sql", A), script("4_d.sql", A)
    ledger = (*rows(one), *(row(f"{number}_x.sql") for number in (12, 9, 10)))

    found = planned((one, file), ledger)

    assert found == Plan(
        steps_of(file).steps,
        (
            Finding(
                "diverged",
                "the ledger has diverged from this folder: it holds 9_x.sql, 10_x.sql, 12_x.sql, "
                "not in this folder",
                "put back what is missing; or, where its branch was given up, run `predeploy "
                "settle 9_x.sql --forget`",
            ),
            Finding(
                "out-of-order",
                "migrations/4_d.sql is older than the newest applied migration and runs after it",
            ),
        ),
    )


def test_a_ledger_without_one_file_of_the_folder_is_refused() -> None:
    """65: another app's files are no history of this one."""
    found = planned((script("1_orders.sql", A),), (row("1_users.sql"), row("2_x.sql")))

    assert found.refusal == Finding(
        "unrelated",
        "the ledger house holds 1_users.sql, 2_x.sql, and not one file of this folder",
        "for another app in the same database, set PREDEPLOY_LEDGER_SCHEMA to a ledger of its own; "
        "for a squash of those files, start it with `-- predeploy: replaces 1..2`; else put the "
        "old files back",
        ExitCode.BAD_SOURCES,
    )


def test_a_renamed_only_file_is_told_as_renamed() -> None:
    """65 with both names: that says better what is wrong than that no file is in common."""
    found = planned((script("1_new.sql", A),), rows(script("1_old.sql", A)))

    assert [f.code for f in found.findings] == ["renamed"]


def test_pruned_files_are_noted() -> None:
    """Rows below the folder's lowest version are history."""
    found = planned((script("2_b.sql", B),), (row("1_a.sql"), *rows(script("2_b.sql", B))))

    note = "applied, but not in this folder: 1_a.sql"
    assert found == Plan((), (Finding("not-in-folder", note, is_note=True),))


UNKNOWN = {"has_ledger": False, "has_tables": True}


def test_what_may_have_been_run_before_is_not_replayed() -> None:
    """Nobody knows what has been applied there: what is not additive stops the run."""
    found = planned((script("1_a.sql", "create table t ();\ndelete from t"),), **UNKNOWN)

    assert found.refusal is not None
    assert (found.refusal.code, found.refusal.exit_code) == (
        "unknown-database",
        ExitCode.BAD_SOURCES,
    )
    assert found.refusal.message.startswith("migrations/1_a.sql:2: DELETE FROM may have been run")


def test_what_only_adds_is_replayed_on_an_unknown_database() -> None:
    """Each such step is marked, so that what was there before is watched while it runs."""
    found = planned((script("1_a.sql", "create table t (); do $$ begin end $$"),), **UNKNOWN)

    assert [step.is_replay for step in found.steps] == [True]
    assert found.refusal is None


def test_a_step_that_locks_first_and_works_then_is_warned_about() -> None:
    """Who reviews the plan reads what to do; a table that the same run makes has no readers."""
    added = "alter table notes add column a int;\nupdate notes set a = 1"
    made = script("1_notes.sql", "create table notes (id int)")
    change = script("2_change.sql", added)

    assert planned((made, change)).findings == ()
    assert planned((made, change), rows(made)).findings == (
        Finding(
            "holds-lock",
            "migrations/2_change.sql:1: 'alter table notes' keeps others from notes until its step "
            "ends, and 'update notes set' (line 2) may take long",
            "put BEGIN and COMMIT around each, or a file of its own, so that the lock is brief",
        ),
    )
    assert planned((made, script("2_change.sql", *added.split(";"))), rows(made)).findings == ()


def test_what_only_its_tool_can_run_is_refused_until_the_ledger_holds_it() -> None:
    """A later file may need it. Its row says that the tool has applied it."""
    program = replace(script("2_b.go", ""), only_by="goose")
    files = (script("1_a.sql", A), program)

    refused = planned(files, rows(files[0]))
    recorded = planned(files, rows(files[0]) + rows(program))

    assert refused.refusal
    assert refused.refusal.message == "migrations/2_b.go is not applied, and only goose can run it"
    assert recorded == Plan()
