"""What depends on a thing that is not as declared waits; all else is done, and the cause is named.

Each case is a database that one schema.sql has made, perhaps with rows, and the next schema.sql.
Nobody wrote the statements of ours that cannot run there, so none of them ends a run with 80.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Database, run_job
from production import report_of
from tiers import sampled

FAR = "create extension postgres_fdw; create server far foreign data wrapper postgres_fdw"
NOTE = "create table note (id integer primary key);"


@dataclass(frozen=True)
class Case:
    """`cause` and `waits` are labels that findings begin with, `made` names that are there."""

    before: str
    after: str
    exit_code: int
    cause: tuple[str, ...]
    waits: tuple[str, ...] = ()
    made: tuple[str, ...] = ("note",)
    rows: str = ""
    beside: str = ""


CASES = {
    "check over a column of another type": Case(
        "create table doc (id integer primary key, tags text);",
        f"""create table doc (id integer primary key, tags text[], check (cardinality(tags) > 0));
        {NOTE}""",
        84,
        ("column public.doc.tags is there with another shape",),
        ("constraint public.doc.doc_tags_check",),
    ),
    "generated column over one of another type": Case(
        "create table doc (id integer primary key, n text);",
        f"""create table doc (id integer primary key, n integer default 5,
            m integer generated always as (n * 2) stored); {NOTE}""",
        84,
        ("column public.doc.n is there with another shape",),
        ("column public.doc.m",),
    ),
    "foreign key to another primary key": Case(
        "create table country (code text primary key, id integer not null);",
        f"""create table country (code text, id integer primary key); {NOTE}
        create table city (id integer primary key, country integer references country (id));""",
        84,
        ("constraint public.country.country_pkey is there with another shape",),
        ("constraint public.city.city_country_fkey",),
        ("note", "city"),
    ),
    "foreign key to an index whose name is taken": Case(
        """create table country_old (id integer primary key, code text);
        create unique index country_code on country_old (code);""",
        f"""create table country (id integer primary key, code text);
        create unique index country_code on country (code); {NOTE}
        create table city (id integer primary key, country text references country (code));""",
        82,
        ("index public.country.country_code is missing",),
        ("constraint public.city.city_country_fkey",),
        ("note", "country", "city"),
    ),
    "foreign key to a key that rows violate": Case(
        """create table country (id integer primary key, code text);
        create table city (id integer primary key, country text);""",
        f"""create table country (id integer primary key, code text unique); {NOTE}
        create table city (
            id integer primary key, country text references country (code), name text);
        create index city_name on city (name); comment on table city is 'a place';""",
        82,
        ("constraint public.country.country_code_key is not there as schema.sql declares it",),
        ("constraint public.city.city_country_fkey",),
        ("note", "city_name"),
        "insert into country values (1, 'de'), (2, 'de'); insert into city values (1, 'de')",
    ),
    "foreign key over a column of another type": Case(
        "create table author (id integer primary key);",
        f"""create table author (id uuid primary key); {NOTE}
        create table book (id integer primary key, author uuid references author);""",
        84,
        ("column public.author.id is there with another shape",),
        ("constraint public.book.book_author_fkey",),
        ("note", "book"),
    ),
    "index over a column of another type": Case(
        "create table doc (id integer primary key, tags text);",
        f"""create table doc (id integer primary key, tags text[]); {NOTE}
        create index doc_tags on doc using gin (tags);""",
        84,
        ("column public.doc.tags is there with another shape",),
        ("index public.doc.doc_tags",),
    ),
    "view over a column of another type": Case(
        "create table doc (id integer primary key, tags text);",
        f"""create table doc (id integer primary key, tags text[]); {NOTE}
        create view flat as select id, unnest(tags) as tag from doc;""",
        84,
        ("column public.doc.tags is there with another shape",),
        ("view public.flat",),
    ),
    "view over a view of other columns": Case(
        """create table sale (id integer primary key, customer text, amount integer);
        create view total as select id, customer from sale;""",
        f"""create table sale (id integer primary key, customer text, amount integer); {NOTE}
        create view total as select id, amount from sale;
        create view big as select amount from total where amount > 100;""",
        84,
        ("view public.total is there with another shape",),
        ("view public.big",),
    ),
    "comment on a key that rows violate": Case(
        "create table event (id integer not null, what text);",
        f"""create table event (id integer not null, what text,
            constraint event_pkey primary key (id)); {NOTE}
        comment on constraint event_pkey on event is 'the key';
        comment on table event is 'what happened';""",
        82,
        ("constraint public.event.event_pkey is not there as schema.sql declares it",),
        ("comment public.event.constraint event_pkey",),
        rows="insert into event values (1, 'a'), (1, 'b')",
    ),
    "replica identity by an index that rows violate": Case(
        "create table event (id integer not null, what text);",
        f"""create table event (id integer not null, what text); {NOTE}
        create unique index event_id on event (id);
        alter table event replica identity using index event_id;
        comment on table event is 'what happened';""",
        82,
        ("index public.event.event_id is not there as schema.sql declares it",),
        rows="insert into event values (1, 'a'), (1, 'b')",
    ),
    "view that groups by a key that rows violate": Case(
        "create table event (id integer not null, what text);",
        f"""create table event (id integer primary key, what text); {NOTE}
        create view tally as select id, what, count(*) from event group by id;
        comment on table event is 'what happened';""",
        82,
        ("constraint public.event.event_pkey is not there as schema.sql declares it",),
        ("view public.tally",),
        rows="insert into event values (1, 'a'), (1, 'b')",
    ),
    "child of a foreign table": Case(
        "",
        f"""create foreign table remote (id integer) server far;
        create table near () inherits (remote); {NOTE}""",
        82,
        ("table public.remote is missing",),
        ("table public.near",),
        beside=FAR,
    ),
    "trigger on a foreign table": Case(
        "",
        f"""create foreign table remote (id integer) server far;
        create function note() returns trigger language plpgsql as 'begin return new; end';
        create trigger remote_note before insert on remote for each row execute function note();
        {NOTE}""",
        82,
        ("table public.remote is missing",),
        ("trigger public.remote.remote_note",),
        beside=FAR,
    ),
    "a partition that is a foreign table": Case(
        "",
        f"""create table visit (id integer, place text) partition by list (place);
        create foreign table visit_far partition of visit for values in ('far') server far;
        create index visit_id on visit (id);
        create view all_visits as select * from visit; {NOTE}""",
        82,
        ("table public.visit_far is missing",),
        made=("note", "visit", "visit_id", "all_visits"),
        beside=FAR,
    ),
    "an operator that sync does not make": Case(
        "",
        f"""create function same(integer, integer) returns boolean language sql immutable
            as 'select $1 = $2';
        create operator === (function = same, leftarg = integer, rightarg = integer);
        create table pair (a integer, b integer, check (a === b));
        create view alike as select a from pair where a === b; {NOTE}""",
        82,
        ("operator public.===(integer,integer) is missing",),
        ("constraint public.pair.pair_check", "view public.alike"),
        ("note", "pair"),
    ),
    "the same words, and no dependency": Case(
        """create table item (id integer primary key);
        create table owner (id integer primary key, name text);""",
        """create table item (id integer primary key, name text not null);
        create table owner (id integer primary key, name text, item integer references item);
        create view owners as select o.name, i.id as item from owner o
            join item i on i.id = o.item;
        create index owner_name on owner (name) where item is not null;
        comment on column owner.name is 'of the item';""",
        82,
        ("column public.item.name is missing",),
        made=("owners", "owner_name"),
        rows="insert into item values (1)",
    ),
    "tenants of the same shape": Case(
        """create schema north; create schema south;
        create table north.account (id integer primary key, name text);
        create table south.account (id integer primary key, name text);""",
        """create schema north; create schema south;
        create table north.account (id integer primary key, name text, code text not null);
        create table south.account (id integer primary key, name text, code text not null);
        create index account_code on north.account (code);
        create index account_code on south.account (code);
        create view south.codes as select code from south.account;""",
        82,
        ("column north.account.code is missing",),
        ("index north.account.account_code",),
        ("south.account_code", "south.codes"),
        rows="insert into north.account values (1, 'a')",
    ),
    "serial on a live column": Case(
        "create table product (id integer not null, name text);",
        """create table product (id serial primary key, name text);
        create table part (id integer primary key, product integer references product);
        create index product_id_name on product (id, name);""",
        82,
        ("sequence public.product_id_seq is missing",),
        made=("product_pkey", "part", "product_id_name"),
        rows="insert into product values (1, 'a'), (2, 'b')",
    ),
}


def prepare(database: Database, folder: Callable[..., Path], case: Case) -> dict[str, str]:
    """Bring the database to where the next schema.sql comes; return a job's environment."""
    if case.beside:
        database.execute(case.beside)
    root = folder({"schema.sql": case.before or NOTE})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    if case.before:
        run_job("run", environ=environ, check=0)
    if case.rows:
        database.execute(case.rows)
    folder({"schema.sql": case.after})
    return environ


def findings(done: object) -> list[str]:
    """What a job says of things that are not as declared, warnings about other things left out."""
    return sorted(f["message"] for f in report_of(done)["findings"] if f["level"] == "error")


@pytest.mark.parametrize("name", sampled(CASES, 10))
def test_what_depends_on_it_waits(
    name: str, database: Database, folder: Callable[..., Path]
) -> None:
    """The cause and what waits are reported, once each; a second run says the same.

    A plan names the cause, too, also while there is something to do, and ends as the run will: but
    for what only the rows tell.
    """
    case = CASES[name]
    environ = prepare(database, folder, case)

    if "as schema.sql declares it" not in case.cause[0]:
        planned = run_job("plan", environ=environ, check=case.exit_code)
        assert [m for m in findings(planned) if m.startswith(case.cause)]
    first = run_job("run", environ=environ, check=case.exit_code)
    second = run_job("run", environ=environ, check=case.exit_code)

    told = findings(first)
    begins = (*case.cause, *(f"{label} is missing and is not added: " for label in case.waits))
    assert len(told) == len(begins), told
    for beginning in begins:
        assert [m for m in told if m.startswith(beginning)], (beginning, told)
    assert findings(second) == told
    for made in case.made:
        assert database.value("select to_regclass(%s) is not null", made), made


DRIFTED = Case(
    "create table owner (id int primary key, name varchar(20));",
    f"""create table owner (id text primary key, name varchar(30));
    create table parcel (id int primary key, owner_id text references owner (id));
    create index owner_name on owner (name); {NOTE}""",
    84,
    (),
)
ACCEPTED = """[accept]
"column public.owner.id" = "integer"
"column public.owner.name" = "character varying(20)"
"""


@pytest.mark.parametrize("how", ["ON_DRIFT=warn", "[accept]"])
def test_what_can_be_made_of_a_shape_that_is_accepted_is_made(
    how: str, database: Database, folder: Callable[..., Path]
) -> None:
    """An index of a shorter column is; a key over another type is not, and says why (82)."""
    environ = prepare(database, folder, DRIFTED)
    if how == "[accept]":
        folder({"schema.sql": DRIFTED.after, "predeploy.toml": ACCEPTED})
    else:
        environ["PREDEPLOY_ON_DRIFT"] = "warn"

    for _ in range(2):
        done = run_job("run", environ=environ, check=82)

        (refused,) = findings(done)
        assert refused.startswith("constraint public.parcel.parcel_owner_id_fkey is not there")
        assert "PostgreSQL refuses it: 42804" in refused
    assert database.value("select to_regclass('owner_name') is not null")
    assert database.value("select to_regclass('note') is not null")


ADDED = "create table note (id integer primary key);"
VIOLATED = {
    "descending": (
        "create table t (id integer primary key, a text);",
        "create unique index t_a on t (a desc)",
        "insert into t values (1, 'x'), (2, 'x'), (3, null), (4, null)",
        1,
    ),
    "an expression": (
        "create table t (id integer primary key, a text);",
        "create unique index t_a on t (lower(a), (id % 2))",
        "insert into t values (1, 'X'), (3, 'x'), (5, 'y'), (2, 'x')",
        1,
    ),
    "included columns": (
        "create table t (id integer primary key, a text);",
        "create unique index t_a on t (a) include (id)",
        "insert into t values (1, 'x'), (2, 'x')",
        1,
    ),
    "a part of the rows": (
        "create table t (id integer primary key, a text);",
        "create unique index t_a on t (a) where id > 1",
        "insert into t values (1, 'x'), (2, 'x'), (3, 'x'), (4, 'y')",
        1,
    ),
    "nulls that are alike": (
        "create table t (id integer primary key, a text);",
        "create unique index t_a on t (a) nulls not distinct",
        "insert into t values (1, null), (2, null)",
        1,
    ),
    "a primary key with nulls": (
        "create table t (id integer, a text);",
        "alter table t add primary key (id)",
        "insert into t values (1, 'x'), (null, 'y')",
        1,
    ),
    "a foreign key": (
        "create table t (id integer primary key, a integer);",
        "alter table t add foreign key (a) references t",
        "insert into t values (1, 1), (2, 9), (3, null)",
        1,
    ),
    "a check": (
        "create table t (id integer primary key, a integer);",
        "alter table t add constraint t_a check (a > 0)",
        "insert into t values (1, 1), (2, 0), (3, null)",
        1,
    ),
}


@pytest.mark.parametrize("name", VIOLATED)
def test_rows_in_the_way_are_found_by_the_query_that_is_told(
    name: str, database: Database, folder: Callable[..., Path]
) -> None:
    """82, with a query of just those rows; all else is done, and with them gone all is."""
    table, key, rows, offending = VIOLATED[name]
    case = Case(table, f"{table} {key}; {ADDED} comment on table t is 'x'", 82, (), (), (), rows)
    environ = prepare(database, folder, case)

    done = run_job("run", environ=environ, check=82)

    # That a column of a primary key is null is said of the column, too.
    *_, found = [f for f in report_of(done)["findings"] if f["level"] == "error"]
    query = found["next"].removeprefix("fix the rows that this finds: ")
    assert found["code"] == "violated"
    assert len(database.rows(query)) == offending, query
    assert database.value("select obj_description('t'::regclass)") == "x"
    assert database.value("select to_regclass('note') is not null")
    database.execute("truncate t")
    run_job("run", environ=environ, check=0)


def test_a_generated_column_that_rows_leave_null(
    database: Database, folder: Callable[..., Path]
) -> None:
    """It is NOT NULL: 82 with the rows that its expression gives nothing for."""
    table = "create table request (id integer primary key, body jsonb"
    generated = "n integer not null generated always as ((body ->> 'n')::integer) stored"
    rows = """insert into request values (1, '{"n": 5}'), (2, '{}')"""
    case = Case(f"{table});", f"{table}, {generated}); {ADDED}", 82, (), (), (), rows)
    environ = prepare(database, folder, case)

    done = run_job("run", environ=environ, check=82)

    (found,) = [f for f in report_of(done)["findings"] if f["level"] == "error"]
    query = found["next"].removeprefix("fix the rows that this finds: ")
    assert [row[0] for row in database.rows(query)] == [2]
    assert database.value("select to_regclass('note') is not null")
    database.execute("delete from request where id = 2")
    run_job("run", environ=environ, check=0)


@pytest.mark.parametrize("rows", ["", "insert into account values (1, 'a')"])
def test_a_constraint_takes_the_index_of_its_name(
    rows: str, database: Database, folder: Callable[..., Path]
) -> None:
    """Whether the table holds rows or not."""
    table = "create table account (id integer primary key, email text not null"
    index = "create unique index account_email on account (email);"
    case = Case(
        f"{table}); {index}", f"{table}, constraint account_email unique (email)); {ADDED}",
        0, (), rows=rows,
    )  # fmt: skip
    environ = prepare(database, folder, case)
    before = database.value("select 'account_email'::regclass::oid")

    run_job("run", environ=environ, check=0)

    taken = "select conindid from pg_constraint where conname = 'account_email'"
    assert database.value(taken) == before


@pytest.mark.parametrize("rows", ["", "insert into account values (1, 'a'), (2, 'b')"])
def test_a_constraint_of_a_partitioned_table_stands_in_for_the_index_of_its_name(
    rows: str, database: Database, folder: Callable[..., Path]
) -> None:
    """No constraint can take that over: it is set aside by another name, and said."""
    table = "create table account (id integer not null, email text"
    parts = """) partition by range (id);
        create table account_1 partition of account for values from (1) to (2);
        create table account_2 partition of account default;"""
    case = Case(
        f"{table}{parts} create unique index account_key on account (id);",
        f"{table}, constraint account_key unique (id){parts} {ADDED}",
        0, (), rows=rows,
    )  # fmt: skip
    environ = prepare(database, folder, case)

    done = run_job("run", environ=environ, check=0)

    assert [f["code"] for f in report_of(done)["findings"]] == ["index-set-aside"]
    valid = """select x.indisvalid and k.contype = 'u' from pg_index x
        join pg_constraint k on k.conindid = x.indexrelid where k.conname = 'account_key'"""
    assert database.value(valid) is True
    assert "settled" in run_job("run", environ=environ, check=0).stdout


CIRCULAR = """
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
CREATE VIEW public.priced AS
    SELECT NULL::integer AS id, NULL::integer AS price, NULL::text AS label;
CREATE FUNCTION public.label(p public.priced) RETURNS text LANGUAGE sql STABLE
    BEGIN ATOMIC SELECT ('item '::text || (p).id); END;
CREATE TABLE public.item (id integer NOT NULL, price integer);
ALTER TABLE ONLY public.item ADD CONSTRAINT item_pkey PRIMARY KEY (id);
CREATE OR REPLACE VIEW public.priced AS SELECT id, price,
    public.label(ROW(id, price, ''::text)::public.priced) AS label FROM public.item i;
"""


def test_a_dump_of_a_view_and_a_function_of_its_row_is_read(
    database: Database, folder: Callable[..., Path]
) -> None:
    """As psql reads it: the view of nothing first, then what needs its type, then the view."""
    root = folder({"schema.sql": CIRCULAR})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}

    run_job("run", environ=environ, check=0)

    database.execute("insert into item values (7, 1)")
    assert database.rows("select id, price, label from priced") == [(7, 1, "item 7")]
    assert "settled" in run_job("run", environ=environ, check=0).stdout


def test_a_plan_of_an_adoption_says_what_the_run_does(
    database: Database, folder: Callable[..., Path]
) -> None:
    """What is there in another shape before us is accepted, by both."""
    database.execute("create table item (id int primary key, n text)")
    schema = f"create table item (id int primary key, n int); create index on item (n); {NOTE}"
    root = folder({"schema.sql": schema})
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}

    planned = run_job("plan", environ=environ, check=0)
    done = run_job("run", environ=environ, check=0)

    for job in (planned, done):
        (adopted,) = report_of(job)["findings"]
        assert (adopted["code"], adopted["level"]) == ("adopted-drift", "warn")
    assert re.search("CREATE INDEX .*item_n_idx", planned.stdout)
    assert database.value("select to_regclass('item_n_idx') is not null")


def test_a_plan_says_what_has_drifted_while_a_migration_is_pending(
    database: Database, folder: Callable[..., Path]
) -> None:
    """As a warning: the migration may change that."""
    files = {"schema.sql": "create table item (id int primary key);"}
    root = folder(files)
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(root)}
    run_job("run", environ=environ, check=0)
    folder({
        "schema.sql": "create table item (id bigint primary key);",
        "migrations/1_wider.sql": "alter table item alter id type bigint;",
    })  # fmt: skip

    planned = run_job("plan", environ=environ, check=0)
    (found,) = report_of(planned)["findings"]
    assert (found["code"], found["level"]) == ("drift", "warn")
    assert found["message"].endswith("(before the pending migrations)")

    run_job("run", environ=environ, check=0)
