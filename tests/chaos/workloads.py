"""What the chaos suite disturbs: a state of the database, and a folder that changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from production import ADMIN_BY_HASH


@dataclass(frozen=True)
class Workload:
    """`before` is applied by a run of its own, then `rows` are inserted; `files` None: shipped."""

    name: str
    files: Mapping[str, str] | None
    before: Mapping[str, str] = field(default_factory=dict)
    rows: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    starts_shipped: bool = False


_ITEMS = "create table item (id bigint primary key, kind integer, words text);"
_MANY = "insert into item select n, n % 100, 'words ' || n from generate_series(1, {}) n"

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("fresh", None, environ=ADMIN_BY_HASH),
        Workload("settled", None, environ=ADMIN_BY_HASH, starts_shipped=True),
        Workload(
            "concurrently",
            {
                "migrations/0001_items.sql": _ITEMS,
                "migrations/0002_index.sql": """
                    create index concurrently item_kind on item (kind);
                    create table after_it (id integer primary key);
                    create unique index concurrently item_words on item (words);""",
            },
            before={"migrations/0001_items.sql": _ITEMS},
            rows=_MANY.format(5_000),
        ),
        Workload(
            "data",
            {
                "migrations/0001_items.sql": _ITEMS,
                "migrations/0002_data.sql": """
                    alter table item add column size integer;
                    update item set size = length(words);
                    create table log (n bigint);
                    insert into log select count(*) from item where size > 0;""",
            },
            before={"migrations/0001_items.sql": _ITEMS},
            rows=_MANY.format(100_000),
        ),
        Workload(
            "sync",
            {
                "schema.sql": """
                    create table kind (id integer primary key, name text);
                    create table item (
                        id bigint primary key,
                        kind integer,
                        words text not null,
                        size integer not null default 3,
                        maker integer references kind
                    );
                    create index item_kind on item (kind);
                    create view kinds as select kind, count(*) from item group by kind;""",
            },
            before={
                "schema.sql": "create table kind (id integer primary key, name text);"
                "create table item (id bigint primary key, kind integer, words text, "
                "maker integer);"
            },
            rows=_MANY.format(5_000),
        ),
        Workload(
            "seed",
            {
                "migrations/0001_users.sql": "create table users (id serial primary key, "
                "username text unique, email text unique, password_hash text);",
                "seed/admin.sql": "select from users where username = %(admin_username)s;\n"
                "insert into users (username, email, password_hash) values (%(admin_username)s, "
                "%(admin_email)s, %(admin_password_hash)s);",
            },
            before={
                "migrations/0001_users.sql": "create table users (id serial primary key, "
                "username text unique, email text unique, password_hash text);",
            },
            environ=ADMIN_BY_HASH,
        ),
    )
}
