"""What the seed layer plans, from the seeds and the answers to their questions."""

from pathlib import Path

import pytest

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.secret import Secret
from predeploy.contract.step import Addition, LedgerEntry, LedgerRow
from predeploy.layers.seed import LAYER, plan
from predeploy.layers.situation.base import Situation
from predeploy.settings import Admin, Settings
from predeploy.settings.endpoint import Endpoint
from predeploy.snapshot import Response, Snapshot, View
from predeploy.sources import Sources
from predeploy.sources.script import Script
from predeploy.sources.seeds import read_seed

PATH = "seed/admin.sql"
ASKING = (
    "select username, email from users where username = %(admin_username)s "
    "or email = %(admin_email)s;\n"
)
INSERTING = (
    "insert into users values (%(admin_username)s, %(admin_email)s, %(admin_password_hash)s);"
)
HASH = Secret("$2b$12$" + "a" * 53)
ADMIN = Admin("ann", "ann@example.org", password=None, password_hash=HASH)


def planned(
    *texts: str,
    admin: Admin | None = ADMIN,
    answers: tuple[Response, ...] = (),
    ledger: tuple[LedgerRow, ...] = (),
    migrations: tuple[Script, ...] = (),
) -> Plan:
    paths = [PATH, *(f"seed/{number}.sql" for number in range(len(texts) - 1))]
    seeds = tuple(Script(p, p, text, "") for p, text in zip(paths, texts, strict=True))
    settings = Settings(Endpoint("DATABASE_URL", ()), Path("sql"), admin=admin)
    snapshot = Snapshot(180000, ledger, seeded=answers)
    return plan(Situation(settings, Sources(migrations, seeds, (), digest=""), snapshot))


def answer(*rows: tuple[str, str], count: int | None = None) -> Response:
    return Response(PATH, ("username", "email"), rows, len(rows) if count is None else count)


def half(taken: str) -> Finding:
    return Finding(
        "seed-half-match",
        f"{PATH}: the {taken} is taken by another user; nothing was written",
        "make ADMIN_USERNAME and ADMIN_EMAIL those of one user, or choose free ones",
    )


def test_the_layer_looks_at_ledger_and_seeds() -> None:
    """A failed step of it ends the run with 83."""
    assert (LAYER.name, LAYER.sees, LAYER.failed) == (
        "seed",
        frozenset({View.LEDGER, View.SEEDED}),
        ExitCode.SEED_FAILED,
    )


@pytest.mark.parametrize(
    "answers", [(), (answer(),), (Response(PATH, sqlstate="42P01", message="no such table"),)]
)
def test_the_seed_is_written_where_nobody_is(answers: tuple[Response, ...]) -> None:
    """One step without a ledger row holds the inserts, each with its values bound."""
    text = ASKING + INSERTING

    found = planned(text, answers=answers)

    (bound,) = read_seed(Script(PATH, PATH, text, "")).inserts
    (step,) = found.steps
    assert found.findings == ()
    assert step == Addition(
        PATH,
        INSERTING.removesuffix(";"),
        step.statements,
        binds=(("ann", "ann@example.org", HASH),),
    )
    assert [(s.text, s.line, s.column) for s in step.statements] == [(bound.sql, 2, 1)]


def test_each_insert_gets_its_own_values() -> None:
    """Values are bound statement by statement; a seed without names binds none."""
    found = planned("insert into a values (%(admin_email)s); insert into b values (1)")

    assert [step.binds for step in found.steps] == [(("ann@example.org",), ())]


@pytest.mark.parametrize(
    "response",
    [
        answer(("ann", "ann@example.org")),
        answer(("bob", "b@x"), ("ann", "ann@example.org")),
        Response(PATH, ("?column?",), (("1",),), 1),
        Response(PATH, ("id", "username"), (("1", "bob"),), 1),
    ],
)
def test_who_is_there_already_is_left_alone(response: Response) -> None:
    """One row of an answer means present: nothing is written, and nothing said."""
    assert planned(ASKING + INSERTING, answers=(response,)) == Plan()


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ((("ann", "other@x"),), "username"),
        ((("other", "ann@example.org"),), "email"),
        ((("ann", "other@x"), ("other", "ann@example.org")), "email and username"),
    ],
)
def test_half_a_match_is_a_warning(rows: tuple[tuple[str, str], ...], taken: str) -> None:
    """Where somebody else has one of the two names nothing is written, and it is said which."""
    found = planned(ASKING + INSERTING, answers=(answer(*rows),))

    assert found == Plan((), (half(taken),))


def test_a_seed_without_a_person_needs_no_settings() -> None:
    """Only a seed that has placeholders asks for an admin."""
    found = planned("insert into t values (1) on conflict do nothing", admin=None)

    assert [(s.text, s.binds) for s in found.steps] == [
        ("insert into t values (1) on conflict do nothing", ((),))
    ]


def test_a_seed_is_skipped_where_nobody_was_named() -> None:
    """The warning says how to name somebody."""
    found = planned(ASKING + INSERTING, admin=None)

    remedy = "set ADMIN_USERNAME, ADMIN_EMAIL and ADMIN_PASSWORD (or ADMIN_PASSWORD_HASH)"
    assert found == Plan(
        (), (Finding("seed-skipped", f"{PATH}: skipped, no admin is configured", remedy),)
    )


def test_a_broken_question_stops_the_run() -> None:
    """Whoever cannot be asked for may be there; only a missing table means nobody is."""
    response = Response(PATH, sqlstate="42703", message='column "usrname" does not exist')

    found = planned(ASKING + INSERTING, answers=(response,))

    message = f'{PATH}: the presence question failed: column "usrname" does not exist (42703)'
    expected = Finding("seed-broken", message, "fix the leading SELECT", ExitCode.SEED_FAILED)
    assert found == Plan((), (expected,))


def test_a_seed_that_does_more_than_insert_stops_the_run() -> None:
    """The finding of the seed is the plan's."""
    found = planned("delete from users")

    message = f"{PATH}:1: DELETE FROM in a seed; a seed only inserts"
    assert found == Plan((), (Finding("bad-seed", message, exit_code=ExitCode.BAD_SOURCES),))


def test_a_question_alone_inserts_nothing() -> None:
    """A seed may ask and do nothing."""
    assert planned("select 1", answers=(Response(PATH),)) == Plan()


def test_seeds_are_independent_and_in_name_order() -> None:
    """One that is present does not keep the next from being written."""
    one, other = "select 1; insert into a values (1)", "insert into b values (2)"

    found = planned(one, other, answers=(Response(PATH, ("?column?",), (("1",),), 1),))

    assert [(step.path, step.text) for step in found.steps] == [("seed/0.sql", other)]


def test_nobody_is_added_to_a_database_that_is_ahead() -> None:
    """A newer version has been here; what its users are is not known to this one."""
    old, newer = (
        LedgerRow(LedgerEntry(name, "x", 1, 1, is_final=True, raw_hash=""), "", "")
        for name in ("1_a.sql", "9_x.sql")
    )
    folder = (Script("1_a.sql", "migrations/1_a.sql", "", "", (1,)),)

    assert planned(ASKING + INSERTING, ledger=(old, newer), migrations=folder) == Plan()
    assert planned(ASKING + INSERTING, ledger=(old,), migrations=folder).steps


def test_a_plan_shows_no_secret() -> None:
    """Whoever prints the step does not print the hash."""
    found = planned(ASKING + INSERTING)

    assert HASH.reveal() not in repr(found)
