"""Convergence: after a run that went well, a further run changes nothing, and says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ADMIN, SQL, Database
from production import (
    ADMIN_BY_HASH,
    SHIPPED_SEED,
    USERS_TABLE,
    catalog,
    contents,
    environ,
    ledger,
    prepare,
    report_here,
    run_here,
)

Folder = Callable[[Mapping[str, str]], Path]

FIRST = {"migrations/1_users.sql": USERS_TABLE}
SECOND = {**FIRST, "migrations/2_more.sql": "create table more (id integer primary key);"}
SEEDED = {**SECOND, "seed/admin.sql": SHIPPED_SEED}
THEIR_OWN = """
insert into users (username, email, password_hash) values ('root-admin', 'a@b.example', 'x')
"""
STEPS = {
    **FIRST,
    "migrations/2_steps.sql": """
        begin; create type mood as enum ('calm'); commit;
        alter type mood add value 'wild';
        begin; insert into users (username, email, password_hash) values ('a', 'b@c', 'd'); commit;
        begin; insert into users (username, email, password_hash) values ('b', 'c@d', 'e'); commit;
        -- the end""",
    "migrations/3_empty.sql": "-- nothing",
}


@dataclass(frozen=True)
class Situation:
    """What had been run before, the run that goes well, and how a run after it ends."""

    before: tuple[dict[str, str], ...]
    folder: dict[str, str]
    admin: dict[str, str]
    outcome: str
    again: str
    sql: str = ""


SITUATIONS = {
    "empty": Situation((), FIRST, {}, "ok", "settled"),
    "pending": Situation((FIRST,), SECOND, {}, "ok", "settled"),
    "seeded": Situation((), SEEDED, ADMIN_BY_HASH, "ok", "settled"),
    "seeded later": Situation((SECOND,), SEEDED, ADMIN_BY_HASH, "ok", "settled"),
    "seed skipped": Situation((), SEEDED, {}, "ok", "settled"),
    "seed half matched": Situation((SECOND,), SEEDED, ADMIN_BY_HASH, "ok", "settled", THEIR_OWN),
    "steps": Situation((), STEPS, {}, "ok", "settled"),
    "only checks": Situation((), {"verify/a.sql": "select 1 where false"}, {}, "ok", "settled"),
    "only a declaration": Situation((), {"predeploy.toml": "[critical]\n"}, {}, "ok", "settled"),
    "ahead": Situation((SECOND,), FIRST, {}, "ahead", "ahead"),
    "ahead, with an admin": Situation(
        (SECOND,), {**FIRST, "seed/admin.sql": SHIPPED_SEED}, ADMIN_BY_HASH, "ahead", "ahead"
    ),
    "out of order": Situation(
        (SECOND,),
        {**SECOND, "migrations/0_older.sql": "create table older (id integer)"},
        {},
        "ok",
        "settled",
    ),
    "pruned": Situation(
        (SECOND,), {"migrations/2_more.sql": SECOND["migrations/2_more.sql"]}, {}, "ok", "settled"
    ),
}


def state_of(database: Database) -> tuple[Any, ...]:
    """Return all that a run could change: ledger, catalog and every row."""
    return ledger(database), catalog(database), contents(database)


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_further_run_changes_nothing(database: Database, folder: Folder, name: str) -> None:
    """Whatever a good run found, the next one writes no row and no schema, and says why."""
    situation = SITUATIONS[name]
    for files in situation.before:
        prepare(environ(database, folder(files)))
    if situation.sql:
        database.execute(situation.sql)
    settings = environ(database, folder(situation.folder), **situation.admin)
    first = run_here(settings)
    state = state_of(database)

    second = run_here(settings)

    assert (first.outcome.value, int(first.exit_code)) == (situation.outcome, 0)
    assert (second.outcome.value, int(second.exit_code)) == (situation.again, 0)
    assert second.applied == 0
    assert state_of(database) == state


def test_a_run_that_looks_again_changes_nothing(thekeyn: Database, shipped_copy: Path) -> None:
    """A run that is not settled, since a comment has changed, applies and writes nothing."""
    prepare(environ(thekeyn, SQL, **ADMIN))
    accounts = shipped_copy / "migrations" / "0001_accounts.sql"
    accounts.write_text(f"-- a comment\n{accounts.read_text()}")
    before = ledger(thekeyn)["migration"], catalog(thekeyn), contents(thekeyn)

    report = report_here(environ(thekeyn, shipped_copy, **ADMIN))

    assert (report["exit_code"], report["outcome"]) == (0, "ok")
    assert report["message"] == "ok: nothing to apply, verified"
    assert (ledger(thekeyn)["migration"], catalog(thekeyn), contents(thekeyn)) == before


def test_a_failed_run_repeats_itself(database: Database, folder: Folder) -> None:
    """A run that fails in the middle fails again at the same place, and changes nothing."""
    files = {**SECOND, "migrations/3_bad.sql": "create table bad (id integer); select 1 / 0;"}
    settings = environ(database, folder(files))
    first = run_here(settings)
    state = state_of(database)

    second = run_here(settings)

    assert (int(first.exit_code), int(second.exit_code)) == (80, 80)
    assert first.failure == second.failure
    assert state_of(database) == state
