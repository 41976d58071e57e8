"""What is not additive is said, and never done."""

import pytest
from two_sides import Make, described, differ, shop

from predeploy.schema.ddl import Verdict

REPORTED = [
    (
        "alter table item alter code type char(9)",
        ["DRIFT column-type column public.item.code"],
    ),
    (
        "alter table item alter code set not null",
        [
            "WARNING live-not-null column public.item.code",
        ],
    ),
    (
        "alter table void alter name set default 'x'",
        [
            "WARNING live-default column public.void.name",
        ],
    ),
    (
        "alter table void add old text not null",
        [
            "BREAKING extra-column-not-null column public.void.old",
        ],
    ),
    ("alter table void add old text not null default 1, add older text", []),
    ("create table other (id integer not null)", []),
    (
        "alter table maker rename name to title",
        [
            "BREAKING extra-column-not-null column public.maker.title",
            "DRIFT constraint-definition constraint public.maker.maker_name_key",
            "NOT_ADDABLE not-null-without-default column public.maker.name",
        ],
    ),
    (
        """alter table item drop constraint item_price_check;
        alter table item add constraint item_price_check check (price >= 0)""",
        ["DRIFT constraint-definition constraint public.item.item_price_check"],
    ),
    (
        "drop index item_code; create unique index item_code on item (code)",
        ["DRIFT index-definition index public.item.item_code"],
    ),
    ("alter sequence ticket increment by -1", ["DRIFT sequence-parameters sequence public.ticket"]),
    (
        "drop type size; create type size as (high integer, wide integer)",
        ["DRIFT composite-attributes composite type public.size"],
    ),
    (
        """alter table maker alter mood drop default; alter table maker alter mood type text;
        drop type mood; create type mood as enum ('glad', 'ok', 'sad')""",
        [
            "DRIFT column-type column public.maker.mood",
            "DRIFT enum-order enum public.mood",
        ],
    ),
    ("alter type mood add value 'odd'", ["WARNING enum-label-extra enum public.mood"]),
    ("alter domain code set not null", ["DRIFT domain-differs domain public.code"]),
    (
        "drop view cheap; create view cheap as select price, id from item",
        ["DRIFT view-columns view public.cheap"],
    ),
    (
        "drop materialized view totals; create materialized view totals as select 1 as one",
        ["DRIFT materialized-view-differs materialized view public.totals"],
    ),
    ("alter table item set unlogged", ["DRIFT table-differs table public.item"]),
    (
        "alter table void enable row level security",
        [
            "WARNING row-security-extra table public.void",
        ],
    ),
    (
        """drop function double; create function double(m integer) returns integer
        language sql as 'select m * 2'; revoke execute on function double(integer) from public;
        grant execute on function double(integer) to pg_monitor;
        comment on function double(integer) is 'twice'""",
        ["DRIFT routine-signature routine public.double(integer)"],
    ),
    (
        "grant execute on function double(integer) to public",
        [
            "DRIFT granted-to-public grant public.on double(integer) not to PUBLIC",
        ],
    ),
    ("grant delete on item to pg_monitor; grant select on void to public", []),
    (
        """drop aggregate total(integer);
        create aggregate total(integer) (sfunc = int4mul, stype = integer)""",
        ["DRIFT aggregate-differs aggregate public.total(integer)"],
    ),
    (
        """drop trigger late on item;
        create constraint trigger late after update on item for each row
        execute function stamp()""",
        ["DRIFT trigger-differs trigger public.item.late"],
    ),
    (
        "alter policy own on item using (true) with check (true)",
        ["DRIFT policy-differs policy public.item.own"],
    ),
    (
        "drop statistics pair; create statistics pair (mcv) on code, maker from item",
        ["DRIFT statistics-differ statistics public.item.pair"],
    ),
    ("create policy more on item using (true); comment on table void is 'x'", []),
]


@pytest.mark.parametrize(
    ("change", "expected"), REPORTED, ids=[change[:60] for change, _ in REPORTED]
)
def test_what_is_not_additive_is_only_said(
    make_database: Make, change: str, expected: list[str]
) -> None:
    """Each report has its code and its object; nothing of it is planned."""
    desired, live = shop(make_database, change)

    found = differ(desired, live)

    assert described(found) == expected
    assert all(report.message and report.remedy for report in found.reports)
    drifts = [r for r in found.reports if r.verdict is Verdict.DRIFT]
    assert all(r.declared and r.live and r.declared != r.live for r in drifts)
