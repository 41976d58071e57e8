"""The ledger's texts of what is there: ledgers and `[accept]` hold them, so they never change."""

from conftest import Database

from predeploy.schema.described import RECORDED, recorded
from predeploy.schema.facts import as_printed
from predeploy.schema.kinds import READ_WITH, every_sql

THERE = """
    create extension pg_stat_statements;
    create schema "S s";
    create table p (a int, d date, constraint c check (d > '2020-02-03'))
        partition by range (a);
    create table p1 partition of p for values from (1) to (9);
    create index pi on only p (a);
    create unique index ui on p1 (a) where a > 2;
    create table "S s"."T t" ("Q c" int constraint pk primary key, v varchar(20),
        i int generated always as identity,
        constraint k check (v in ('a', 'b')), constraint ex exclude using btree (i with =));
    alter table "S s"."T t" add constraint nv check (i > 1) not valid;
    create sequence q as smallint increment -2 maxvalue 5 minvalue -9 start 3 cache 4 cycle;
    create view v as select 1 as one;
    create type e as enum ('a', 'b"c', '\u00e9');
    create type nothing as enum ();
    create type co as (x int, "Y y" numeric(3, 1));
    create domain dm as varchar(7) not null;
    create function fd(float8, float8) returns float8 language sql immutable return $1 - $2;
    create type rf as range (subtype = float8, subtype_diff = fd);
    create type rt as range
        (subtype = text, collation = "C", subtype_opclass = text_pattern_ops)"""
TEXTS = {
    "relation public.p": "table partitioned by RANGE (a)",
    "partition public.p": "of nothing",
    "column public.p.d": "date",
    "constraint public.p.c": "CHECK ((d > '2020-02-03'::date))",
    "type public.p": 'row type ["a integer", "d date"]',
    "relation public.p1": "table",
    "partition public.p1": "of public.p",
    "constraint public.p1.c": "CHECK ((d > '2020-02-03'::date))",
    "constraint S s.T t.nv": "CHECK ((i > 1)) NOT VALID",
    "relation public.pi": "index",
    "index public.pi": "on public.p USING btree (a)",
    "index public.ui": "unique on public.p1 USING btree (a) WHERE (a > 2)",
    "constraint S s.T t.pk": 'PRIMARY KEY ("Q c")',
    "index S s.pk": 'unique on S s.T t USING btree ("Q c")',
    "constraint S s.T t.ex": "EXCLUDE USING btree (i WITH =)",
    "index S s.ex": "on S s.T t USING btree (i)",
    "constraint S s.T t.k": (
        "CHECK (((v)::text = ANY ("
        "(ARRAY['a'::character varying, 'b'::character varying])::text[])))"
    ),
    "sequence S s.T t_i_seq": "integer from 1 by 1 between 1 and 2147483647 cache 1",
    "relation public.q": "sequence",
    "sequence public.q": "smallint from 3 by -2 between -9 and 5 cache 4 cycle",
    "relation public.v": "view",
    "column public.v.one": "integer",
    "type public.v": 'row type ["one integer"]',
    "type public.e": 'enum ["a", "b\\"c", "\u00e9"]',
    "type public.nothing": "enum []",
    "relation public.co": "composite type",
    "type public.co": 'composite ["x integer", "Y y numeric(3,1)"]',
    "column public.co.x": "integer",
    "type public.dm": "domain over character varying(7)",
    "type public.rf": (
        "range of double precision difference public.fd(double precision,double precision)"
    ),
    "type public.rt": ('range of text opclass pg_catalog.text_pattern_ops collation "C"'),
    "relation public.pg_stat_statements": "view",
}


def test_the_ledger_s_texts_stay(database: Database) -> None:
    """Also of what is no fact of a schema: a member of an extension, the index of a key."""
    database.execute(THERE)
    with database.connect() as conn:
        for name, value in READ_WITH.items():
            conn.execute("select set_config(%s, %s, false)", (name, value))
        rows = conn.execute(every_sql(RECORDED, "q.schema in ('public', 'S s')")).fetchall()

    texts = {f"{row.word} {row.name}": row.text for row in recorded(as_printed(rows)).values()}

    assert {name: texts.get(name) for name in TEXTS} == TEXTS
