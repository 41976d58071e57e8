"""Where planning is hard: what waits, looks renamed, was left half done, or has a nasty name."""

import psycopg
import pytest
from two_sides import Make, apply, described, differ, facts

from predeploy.schema.ddl import Phase


def test_what_a_missing_part_holds_up_waits_and_fails_nothing(make_database: Make) -> None:
    """Whatever needs a column that cannot be added is reported, and the rest is added."""
    desired, live = make_database(), make_database()
    base = "create table item (id integer primary key); create table note (of integer)"
    desired.execute(f"""{base};
        alter table item add kind text not null, add other text;
        create index on item (kind); create index on item (other);
        alter table item add unique (kind); alter table item add check (kind <> other);
        alter table note add kind text references item (kind);
        create view kinds as select kind from item; create view again as select * from kinds;
        create function f() returns bigint language sql begin atomic
            select count(kind) from item; end;
        create function g() returns bigint language sql as 'select count(kind) from item';
        comment on column item.kind is 'k'; comment on view again is 'a';
        grant select (kind) on item to pg_monitor""")
    live.execute(f"{base}; insert into item values (1)")

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "TOGETHER column public.item.other",
        "TOGETHER column public.note.kind",
        "TOGETHER routine public.g()",
        "ONLINE index public.item.item_other_idx",
        "NOT_ADDABLE not-null-without-default column public.item.kind",
        "NOT_ADDABLE waits comment public.again.view",
        "NOT_ADDABLE waits comment public.item.column kind",
        "NOT_ADDABLE waits constraint public.item.item_check",
        "NOT_ADDABLE waits constraint public.item.item_kind_key",
        "NOT_ADDABLE waits constraint public.note.note_kind_fkey",
        "NOT_ADDABLE waits grant public.item.SELECT on kind to pg_monitor",
        "NOT_ADDABLE waits index public.item.item_kind_idx",
        "NOT_ADDABLE waits routine public.f()",
        "NOT_ADDABLE waits view public.again",
        "NOT_ADDABLE waits view public.kinds",
    ]
    assert [r.code for r in differ(facts(desired), live).reports if r.code != "waits"] == [
        "not-null-without-default"
    ]


def test_what_looks_like_a_rename_is_said_and_added(make_database: Make) -> None:
    """A missing column or table beside one of the same shape may have been renamed."""
    desired, live = make_database(), make_database()
    desired.execute("create table a (id integer, title text); create table b (x date, y date)")
    live.execute("create table a (id integer, name text); create table c (x date, y date)")

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "TOGETHER column public.a.title",
        "TOGETHER table public.b",
        "WARNING looks-like-rename column public.a.name",
        "WARNING looks-like-rename table public.c",
    ]
    assert described(differ(facts(desired), live)) == []


def test_an_invalid_index_is_built_anew(make_database: Make) -> None:
    """What a failed build left behind is dropped first, as an index or under a constraint."""
    desired, live = make_database(), make_database()
    desired.execute("""create table t (a integer, b integer, constraint b_key unique (b));
        create unique index a_key on t (a)""")
    live.execute("create table t (a integer, b integer); insert into t values (1, 1), (1, 1)")
    for column in ("a", "b"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            live.execute(f"create unique index concurrently {column}_key on t ({column})")
    live.execute(
        "update t set a = n, b = n from generate_series(1, 2) n where t.ctid = "
        "format('(0,%s)', n)::tid"
    )

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "ONLINE constraint public.t.b_key",
        "ONLINE index public.t.a_key",
    ]
    assert described(differ(facts(desired), live)) == []
    assert live.value("select count(*) from pg_index where not indisvalid") == 0


@pytest.mark.dear
def test_an_interrupted_proof_is_taken_up_again(make_database: Make) -> None:
    """Whichever statement a run dies after, the next one leads to the same end."""
    desired = make_database()
    desired.execute("""create table t (id integer primary key, a integer not null check (a > 0),
        b integer references t, unique (a))""")
    wanted = facts(desired)
    live = make_database()
    live.execute("create table t (id integer, a integer, b integer); insert into t values (1, 1)")
    steps = [s for change in differ(wanted, live).changes for s in change.statements]

    for died_after in range(len(steps)):
        live = make_database()
        live.execute(
            "create table t (id integer, a integer, b integer); insert into t values (1, 1)"
        )
        with live.connect() as conn:
            for statement in steps[:died_after]:
                conn.execute(statement)
        apply(live, differ(wanted, live))
        assert described(differ(wanted, live)) == []
        assert facts(live) == wanted


def test_what_is_not_modelled_is_named(make_database: Make) -> None:
    """Operators, collations, casts, publications and their like are listed, not passed over."""
    desired, live = make_database(), make_database()
    desired.execute("""
        create collation public.plain (locale = 'C');
        create function public.same(integer, text) returns boolean language sql as 'select true';
        create operator public.=== (leftarg = integer, rightarg = text, function = public.same);
        create text search configuration public.mine (copy = simple);
        create type public.pair as (a integer);
        create function public.to_pair(integer) returns public.pair language sql as 'select row(1)';
        create cast (integer as public.pair) with function public.to_pair(integer);
        create publication all_of_it for all tables""")

    found = differ(facts(desired), live)

    assert [r.object for r in found.reports if r.code == "unmodelled"] == [
        "unmodelled public.operator public.===(integer,pg_catalog.text)",
        "unmodelled publication all_of_it",
    ]


def test_an_extension_is_one_fact_and_its_members_are_none(make_database: Make) -> None:
    """It comes before all else, and its version is reported; of a member only a grant is."""
    desired, live = make_database(), make_database()
    desired.execute(
        "create schema app; create extension citext schema app; comment on "
        "function app.citext_eq is 'x'; grant execute on function app.citext_eq to "
        "pg_monitor; create table app.t (a app.citext)"
    )

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "BEFORE extension citext",
        "TOGETHER schema app",
        "TOGETHER table app.t",
        "AFTER grant EXECUTE on app.citext_eq(app.citext, app.citext) to pg_monitor",
    ]
    assert described(differ(facts(desired), live)) == []
    live.execute("update pg_extension set extversion = '0.9' where extname = 'citext'")
    assert described(differ(facts(desired), live)) == ["WARNING extension-differs extension citext"]


def test_names_and_texts_are_quoted(make_database: Make) -> None:
    """Names and texts that try to be SQL stay names and texts."""
    nasty = """a'; drop table "t" -- \\ %s {}"""
    name = '"' + nasty.replace('"', '""') + '"'
    text = "'" + nasty.replace("'", "''") + "'"
    desired, live = make_database(), make_database()
    desired.execute(
        f"""create type {name} as enum ({text}, 'b');
        create table public."t {nasty.replace('"', '""')}" ({name} {name} default {text});
        create index {name[:-1]}i" on "t {nasty.replace('"', '""')}" ({name});
        comment on type {name} is {text}""".encode().decode()
    )

    apply(live, differ(facts(desired), live))

    assert facts(live) == facts(desired)


def test_what_has_another_name_is_there(make_database: Make) -> None:
    """Unnamed indexes and constraints are matched by their definition, and get the comments."""
    desired, live = make_database(), make_database()
    desired.execute("""create table t (id integer primary key, a integer check (a > 0),
            b integer references t, c integer unique);
        create index on t (a); create index on t (b); create index on t (b);
        comment on index t_a_idx is 'a'; comment on constraint t_a_check on t is 'positive';
        create domain d as text check (value <> ''); comment on constraint d_check on domain d
            is 'not empty'""")
    live.execute("""create table t (id integer constraint one primary key,
            a integer constraint two check (a > 0), b integer constraint three references t,
            c integer constraint four unique);
        create index five on t (a); create index six on t (b);
        create domain d as text constraint seven check (value <> '');
        insert into t values (1, 1, 1, 1)""")

    found = differ(facts(desired), live)
    apply(live, found)

    assert [(c.phase, c.fact.kind) for c in found.changes] == [
        (Phase.ONLINE, "index"),
        *[(Phase.AFTER, "comment")] * 3,
    ]
    assert found.reports == ()
    assert described(differ(facts(desired), live)) == []


def test_another_primary_key_is_never_added_beside(make_database: Make) -> None:
    """A table has one; which it is to be, a migration says."""
    desired, live = make_database(), make_database()
    desired.execute("create table t (a integer not null, b integer not null, primary key (a))")
    live.execute("""create table t (a integer not null, b integer not null,
        constraint other primary key (b)); insert into t values (1, 1)""")

    assert described(differ(facts(desired), live)) == [
        "NOT_ADDABLE other-primary-key constraint public.t.t_pkey"
    ]


def test_not_null_that_holds_for_new_rows_only_is_proven(make_database: Make) -> None:
    """PostgreSQL 18 has NOT NULL … NOT VALID; declared NOT NULL means all rows."""
    desired, live = make_database(), make_database()
    with live.connect() as conn:
        if conn.info.server_version < 180000:
            pytest.skip("before PostgreSQL 18 there is none")
    desired.execute("create table t (a integer not null)")
    live.execute("""create table t (a integer); insert into t values (1);
        alter table t add constraint sure not null a not valid""")

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == ["ONLINE column public.t.a"]
    assert {fact for fact in facts(live) if fact.name != "sure"} == facts(desired)


def test_settings_of_tables_and_columns_follow(make_database: Make) -> None:
    """Options, replica identity, storage, compression and statistics are set in place."""
    desired, live = make_database(), make_database()
    base = "create table t (id integer primary key, a text, b text)"
    desired.execute(f"""{base}; alter table t set (fillfactor = 70, autovacuum_enabled = off,
        toast.autovacuum_vacuum_threshold = 9);
        alter table t replica identity full, alter a set storage external,
        alter b set compression pglz, alter b set statistics 500, force row level security""")
    live.execute(f"{base}; alter table t set (fillfactor = 80); insert into t values (1)")

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "TOGETHER table public.t",
        "TOGETHER table public.t",
        "TOGETHER column public.t.a",
        "TOGETHER column public.t.b",
        "TOGETHER column public.t.b",
        "AFTER table public.t",
    ]
    assert facts(live) == facts(desired)


@pytest.mark.parametrize("version", ["new", "in part"])
def test_a_table_is_made_with_all_its_settings(make_database: Make, version: str) -> None:
    """Also what neither CREATE TABLE nor ADD COLUMN can hold."""
    desired, live = make_database(), make_database()
    desired.execute("""create table t (id integer, a text) with (toast.autovacuum_enabled = off);
        alter table t alter a set storage external, alter a set statistics 0;
        create rule keep as on delete to t do instead nothing;
        create rule log as on update to t do also nothing;
        alter table t disable rule keep, enable always rule log""")
    if version == "in part":
        live.execute("create table t (id integer, b text) with (toast.autovacuum_enabled = off)")

    apply(live, differ(facts(desired), live))

    assert facts(desired) <= facts(live)
    assert differ(facts(desired), live).changes == ()


def test_a_rule_that_was_switched_is_switched_back(make_database: Make) -> None:
    """As with triggers: that touches no row, and can be taken back."""
    desired, live = make_database(), make_database()
    text = "create table t (id integer); create rule keep as on delete to t do instead nothing"
    desired.execute(text)
    live.execute(f"{text}; alter table t disable rule keep")

    found = differ(facts(desired), live)

    assert described(found) == ["AFTER rule public.t.keep"]


def test_a_constraint_that_rows_break_stays_not_valid(make_database: Make) -> None:
    """Only its validation fails; a later run takes it up there."""
    desired, live = make_database(), make_database()
    desired.execute("create table t (a integer, constraint positive check (a > 0))")
    live.execute("create table t (a integer); insert into t values (-1)")

    with pytest.raises(psycopg.errors.CheckViolation):
        apply(live, differ(facts(desired), live))
    found = differ(facts(desired), live)
    live.execute("update t set a = 1")
    apply(live, found)

    assert [change.statements for change in found.changes] == [
        ('ALTER TABLE "public"."t" VALIDATE CONSTRAINT "positive"',)
    ]
    assert facts(live) == facts(desired)


def test_a_name_that_another_object_has_is_not_taken_from_it(make_database: Make) -> None:
    """Relations and types share their names; what cannot be made fails nothing else."""
    desired, live = make_database(), make_database()
    desired.execute("""create view a as select 1 as id; create view over_a as select id from a;
        create table b (id integer, more text); create type c as enum ('x');
        create table d (id integer); create unique index e on d (id);
        create table fine (id integer, n integer)""")
    live.execute("""create table a (id integer, other text); create view b as select 1 as id;
        create table c (id integer, n integer);
        create table d (id integer, constraint e unique (id));
        insert into d values (1)""")

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "TOGETHER table public.fine",
        "NOT_ADDABLE waits column public.b.more",
        "NOT_ADDABLE name-taken enum public.c",
        "NOT_ADDABLE name-taken index public.d.e",
        "NOT_ADDABLE name-taken table public.b",
        "NOT_ADDABLE name-taken view public.a",
        "NOT_ADDABLE waits view public.over_a",
        "WARNING looks-like-rename table public.c",
    ]


def test_what_has_no_online_form_is_said(make_database: Make) -> None:
    """Exclusion, and foreign keys of partitioned tables before 18, need a lock while built."""
    desired, live = make_database(), make_database()
    base = """create table t (id integer, during tsrange);
        create table p (id integer, at date) partition by range (at);
        create table p_1 partition of p for values from ('2024-01-01') to ('2025-01-01');
        create table m (id integer primary key)"""
    desired.execute(f"""{base}; alter table t add constraint apart exclude using gist (during
        with &&); alter table p add foreign key (id) references m""")
    live.execute(f"""{base}; insert into t values (1, '[2024-01-01,2024-01-02)');
        insert into m values (1); insert into p values (1, '2024-02-02')""")

    found = differ(facts(desired), live)
    apply(live, found)

    needs_lock = "NOT_ADDABLE constraint-needs-lock constraint public"
    before_18 = ["p.p_id_fkey"] if found.changes == () else []
    assert [line for line in described(found) if "ONLINE" not in line] == [
        f"{needs_lock}.{name}" for name in (*before_18, "t.apart")
    ]
    with live.connect() as conn:
        assert (conn.info.server_version < 180000) is bool(before_18)


def test_an_index_takes_in_what_partitions_have_already(make_database: Make) -> None:
    """An equal index of a partition is attached, not built once more."""
    desired, live = make_database(), make_database()
    base = """create table p (id integer, at date) partition by range (at);
        create table p_1 partition of p for values from ('2024-01-01') to ('2025-01-01')"""
    desired.execute(f"{base}; create index by_id on p (id)")
    live.execute(f"{base}; create index mine on p_1 (id); insert into p values (1, '2024-02-02')")

    (change,) = differ(facts(desired), live).changes
    apply(live, differ(facts(desired), live))

    assert change.statements == (
        'CREATE INDEX IF NOT EXISTS "by_id" ON ONLY "public"."p" USING btree (id)',
        'ALTER INDEX "public"."by_id" ATTACH PARTITION "public"."mine"',
    )
    assert described(differ(facts(desired), live)) == []


@pytest.mark.dear
def test_an_interrupted_build_on_partitions_is_taken_up_again(make_database: Make) -> None:
    """Whichever statement a run dies after, what is attached stays, and the rest follows."""
    base = """create table p (id integer, at date) partition by range (at);
        create table p_1 partition of p for values from ('2024-01-01') to ('2025-01-01');
        create table p_2 partition of p for values from ('2025-01-01') to ('2026-01-01')
            partition by range (at);
        create table p_2_1 partition of p_2 for values from ('2025-01-01') to ('2025-07-01');
        create table p_3 partition of p for values from ('2026-01-01') to ('2027-01-01')"""
    desired, live = make_database(), make_database()
    desired.execute(f"{base}; create index by_id on p (id)")
    with_rows = f"{base}; create index mine on p_1 (id); insert into p values (1, '2024-02-02')"
    live.execute(with_rows)
    wanted = facts(desired)
    steps = [s for change in differ(wanted, live).changes for s in change.statements]

    for died_after in range(len(steps)):
        live = make_database()
        live.execute(with_rows)
        with live.connect() as conn:
            for statement in steps[:died_after]:
                conn.execute(statement)
        apply(live, differ(wanted, live))
        assert (died_after, described(differ(wanted, live))) == (died_after, [])
        assert live.value("select count(*) from pg_index where not indisvalid") == 0
        built = "select count(*) from pg_index where indrelid in (select relid from "
        assert live.value(f"{built}pg_partition_tree('p'))") == 5


def test_the_shell_of_an_index_is_filled_where_no_rows_are(make_database: Make) -> None:
    """An index over partitions cannot be dropped concurrently, so it is completed there, too."""
    base = """create table t (id integer) partition by range (id);
        create table t_1 partition of t for values from (0) to (10);"""
    desired, live = make_database(), make_database()
    desired.execute(f"{base} create index t_id on t (id)")
    live.execute(f"{base} create index t_id on only t (id)")

    apply(live, differ(facts(desired), live))

    assert facts(live) == facts(desired)


def test_a_proof_that_nobody_wants_any_more_is_cleared_away(make_database: Make) -> None:
    """The helper of a NOT NULL whose rows stood in the way goes when the file gives it up."""
    strict, lax, live = make_database(), make_database(), make_database()
    strict.execute("create table t (a integer not null)")
    lax.execute("create table t (a integer)")
    live.execute("create table t (a integer); insert into t values (null)")
    with pytest.raises(psycopg.errors.CheckViolation):
        apply(live, differ(facts(strict), live))
    left = [s for change in differ(facts(strict), live).changes for s in change.statements]

    apply(live, differ(facts(lax), live))

    assert len(left) == 3
    assert (
        live.value(
            "select count(*) from pg_constraint where contype = 'c' and conrelid = 't'::regclass"
        )
        == 0
    )
    live.execute("insert into t values (null)")


def test_what_a_partition_would_inherit_holds_up_what_needs_it(make_database: Make) -> None:
    """An index of a partition alone waits for the column that its parent does not get."""
    base = """create table t (id integer{}) partition by range (id);
        create table t_1 partition of t for values from (0) to (10);"""
    desired, live = make_database(), make_database()
    desired.execute(base.format(", a integer not null") + "create index t_1_a on t_1 (a)")
    live.execute(base.format("") + "insert into t values (1)")

    assert described(differ(facts(desired), live)) == [
        "NOT_ADDABLE not-null-without-default column public.t.a",
        "NOT_ADDABLE waits index public.t_1.t_1_a",
    ]


def test_what_goes_with_an_index_that_is_built_anew_comes_back(make_database: Make) -> None:
    """Its comment is set again, and a partition made meanwhile has its own index already."""
    base = """create table t (id integer, a integer) partition by range (id);
        create table t_1 partition of t for values from (0) to (10);"""
    new = "create table t_2 partition of t for values from (10) to (20);"
    index = "create index t_1_a on t_1 (a); comment on index t_1_a is 'one'; "
    desired, live = make_database(), make_database()
    desired.execute(f"{base}{new}{index} create index t_id on t (id)")
    live.execute(f"{base}{index} insert into t values (1, 1); create index t_id on only t (id)")
    live.execute("update pg_index set indisvalid = false where indexrelid = 't_1_a'::regclass")

    apply(live, differ(facts(desired), live))

    assert described(differ(facts(desired), live)) == []
    assert facts(live) == facts(desired)


def test_a_comment_waits_for_an_attribute_that_is_not_added(make_database: Make) -> None:
    """What is said of a type's attribute needs that attribute."""
    desired, live = make_database(), make_database()
    desired.execute("create type p as (x integer, y integer); comment on column p.y is 'y'")
    live.execute("create type p as (x integer, z integer)")

    assert described(differ(facts(desired), live)) == [
        "DRIFT composite-attributes composite type public.p",
        "NOT_ADDABLE waits comment public.p.column y",
    ]
