"""What speaks against a swap is judged from a look at the live database."""

from dataclasses import replace

import pytest

from predeploy.contract.exit_codes import ExitCode
from predeploy.database.shadow.guards import hazards, lock_estimate, rights_lacking
from predeploy.database.shadow.survey import LiveSchema, Survey
from predeploy.sql.schema_file.desired import read_desired

PUBLIC = LiveSchema("public", 2200, "joe", is_ours=True)
SURVEY = Survey(
    schemas=(PUBLIC,),
    usual_rights=(),
    may_create_schemas=True,
    may_create_databases=False,
    extensions=(("plpgsql", "pg_catalog"),),
    members=frozenset(),
    event_triggers=(),
    locks_each=64,
    lock_slots=100,
)
MARK = "__live_0123456789ab_"


@pytest.mark.parametrize(
    ("tables", "exit_code"),
    [(780, []), (781, [None]), (1580, [None]), (1581, [ExitCode.WRONG_ENDPOINT])],
)
def test_the_lock_table_is_never_filled(tables: int, exit_code: list[ExitCode | None]) -> None:
    """A quarter of it is worth a warning, half of it is refused."""
    desired = read_desired([("a.sql", "create table t ();" * tables)], "predeploy", ("public",))

    found = hazards(SURVEY, desired, MARK)

    assert [finding.exit_code for finding in found] == exit_code


def test_the_setting_that_would_do_is_named() -> None:
    """With the figures, and what to set."""
    text = "create table t ();" * 2930 + "create index on t (a);" * 500
    desired = read_desired([("a.sql", text)], "predeploy", ("public",))

    (found,) = hazards(SURVEY, desired, MARK)

    assert lock_estimate(desired) == 6400
    assert "about 6400 of the 6400 locks" in found.message
    assert "max_locks_per_transaction = 128 (now 64)" in found.remedy


def test_all_rights_that_lack_are_named() -> None:
    """Each schema that is somebody else's, and the right to make schemas."""
    survey = replace(SURVEY, schemas=(replace(PUBLIC, is_ours=False),), may_create_schemas=False)

    found = rights_lacking(survey, "ann", "shop")

    assert [f.code for f in found] == ["not-owner", "no-create"]
    assert {f.exit_code for f in found} == {ExitCode.DENIED}


def test_a_name_that_would_be_cut_is_refused() -> None:
    """PostgreSQL cuts names at 63 bytes; two schemas could become one."""
    survey = replace(SURVEY, schemas=(replace(PUBLIC, name="ü" * 22),))

    found = hazards(survey, read_desired([], "predeploy", ("public",)), MARK)

    assert [f.code for f in found] == ["long-name"]
