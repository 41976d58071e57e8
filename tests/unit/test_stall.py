"""Which steps keep others from a table for as long as something else takes."""

import pytest

from predeploy import sql

BRIEF = "alter table old add column a int;"

STALLS = {
    "an UPDATE behind an ADD COLUMN": (f"{BRIEF} update old set a = 1", "old"),
    "of another table, too": (f"{BRIEF} delete from other where a", "old"),
    "an INSERT from a query": (f"{BRIEF} insert into other select * from old", "old"),
    "a COPY": (f"{BRIEF}\ncopy other from stdin;\n1\n\\.\n", "old"),
    "an index": (f"{BRIEF} create index i on old (a)", "old"),
    "a change of type": (f"{BRIEF} alter table other alter b type text", "old"),
    "a column with a sequence": (f"{BRIEF} alter table other add c bigserial", "old"),
    "a column with an identity": (
        f"{BRIEF} alter table other add c int generated always as identity",
        "old",
    ),
    "a volatile default": (f"{BRIEF} alter table old add u uuid default gen_random_uuid()", "old"),
    "a default by a function of the app": (
        f"{BRIEF} alter table old add u text default upper(app.token())",
        "old",
    ),
    "a foreign key that is validated": (
        f"{BRIEF} alter table old add foreign key (a) references other",
        "old",
    ),
    "behind a trigger": (
        "create trigger t after insert on old for each row execute function f(); delete from x",
        "old",
    ),
    "behind a rename": ("alter table old rename a to b; update old set b = 1", "old"),
    "behind a LOCK": ("lock table old; update old set b = 1", "old"),
    "of an old table beside a new one": (
        f"create table new (); alter table new add a int; {BRIEF} update new set a = 1",
        "old",
    ),
}


@pytest.mark.parametrize("what", STALLS)
def test_a_lock_that_something_slow_follows_is_found(what: str) -> None:
    """Whoever reads or writes the table waits for all of the step."""
    text, table = STALLS[what]

    found = stall_of(text)

    assert found is not None
    assert found.table == table
    assert found.locking.start < found.slow.start


@pytest.mark.parametrize(
    "column",
    ["u uuid default gen_random_uuid()", "n serial", "g int generated always as (1) stored",
     "n int default random() * 10", "n int generated always as identity"],
)  # fmt: skip
def test_a_column_that_writes_every_row_anew_is_found_by_itself(column: str) -> None:
    """It locks the table and takes its time in one statement."""
    found = stall_of(f"alter table old add column {column}")

    assert found is not None
    assert found.table == "old"
    assert found.locking is found.slow


FINE = {
    "a lock at the end": f"update old set b = 1; {BRIEF}",
    "a new table": "create table new (); alter table new add a int; create index on new (a)",
    "two brief ones": f"{BRIEF} alter table other add column b text default 'x'",
    "a few rows": f"{BRIEF} insert into old values (1), (2)",
    "an index of a new table": f"{BRIEF} create table new (a int); create index on new (a)",
    "a constraint that is not validated": (
        f"{BRIEF} alter table old add foreign key (a) references other not valid"
    ),
    "a constraint on an index that is there": (
        f"{BRIEF} alter table old add constraint u unique using index i"
    ),
    "a default that is the same for all rows": (
        f"{BRIEF} alter table old add b timestamptz default now(), add c text default lower('A')"
    ),
    "a volatile default of a new table": (
        "create table new (); alter table new add u uuid default gen_random_uuid()"
    ),
    "a volatile default for rows to come": "alter table old alter u set default random()",
    "what keeps nobody out": "alter table old validate constraint c; update old set a = 1",
    "a view": "alter view v alter a set default 1; update old set a = 1",
    "rows alone": "update old set a = 1; delete from old",
}


@pytest.mark.parametrize("what", FINE)
def test_what_keeps_nobody_for_long_is_not_warned_about(what: str) -> None:
    """A new table has no readers, and what comes before the lock holds it up in nothing."""
    assert stall_of(FINE[what]) is None


def stall_of(text: str) -> sql.Stall | None:
    found = sql.read(text).statements
    return sql.stall(found, {a.name for s in found for a in s.creates})
