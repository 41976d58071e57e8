"""Statements are put behind what they use."""

import pytest

from predeploy.sql.schema_file.need import by_need


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], ()),
        (["create table a ()", "create table b (x int references a)"], (0, 1)),
        (["create view v as select from t", "create index on t (a)", "create table t (a int)"],
         (2, 0, 1)),
        (["create view w as select from v", "create view v as select from t",
          "create table t (a kind)", "create type kind as enum ()"], (3, 2, 1, 0)),
        (["create trigger g before insert on t execute function f()", "create table t ()",
          "create function f() returns trigger language plpgsql as ''"], (1, 2, 0)),
        (["create table a (x int references b)", "create table b (x int references a)"], (1, 0)),
        (["create table a (b text)", "create table b ()"], (0, 1)),
    ],
)  # fmt: skip
def test_statements_come_behind_what_they_use(texts: list[str], expected: tuple[int, ...]) -> None:
    """Otherwise they stay in their order, circles included."""
    assert by_need(texts) == expected
