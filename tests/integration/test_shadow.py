"""The desired state is read by PostgreSQL itself, and the live database is as it was."""

from collections.abc import Iterator

import psycopg
import pytest

from job.database.shadow import Limits, ShadowFacts, read_shadow
from job.deadline import Deadline
from job.plan import Failure
from job.statements.desired import Desired, read_desired
from tests.conftest import SQL, Database

# A stand-in for the facts: relations, columns with types and defaults, constraints, indexes,
# functions, triggers, policies.
QUESTION = """
select 'column', concat_ws('.', n.nspname, c.relname, a.attname),
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'nn' end,
                 pg_get_expr(d.adbin, d.adrelid))
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where n.nspname in ({schemas}) and not exists (select from pg_depend e where e.deptype = 'e'
  and e.classid = 'pg_class'::regclass and e.objid = c.oid)
union all
select 'constraint', n.nspname || '.' || k.conname, pg_get_constraintdef(k.oid)
from pg_constraint k join pg_namespace n on n.oid = k.connamespace
where n.nspname in ({schemas}) and k.contype <> 'n'
union all
select 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indexrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ({schemas})
union all
select 'view', c.oid::regclass::text, pg_get_viewdef(c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and n.nspname in ({schemas})
union all
select 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ({schemas}) and p.prokind <> 'a' and not exists (select from pg_depend e
  where e.deptype = 'e' and e.classid = 'pg_proc'::regclass and e.objid = p.oid)
union all
select 'trigger', t.tgname, pg_get_triggerdef(t.oid)
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal and n.nspname in ({schemas})
union all
select 'policy', p.polname || ' on ' || p.polrelid::regclass, pg_get_expr(p.polqual, p.polrelid)
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ({schemas})
union all
select 'schema', n.nspname, concat_ws(' ', pg_get_userbyid(n.nspowner), n.nspacl::text,
       obj_description(n.oid, 'pg_namespace'))
from pg_namespace n where n.nspname in ({schemas})
order by 1, 2, 3
"""


def question(*schemas: str) -> str:
    names = ", ".join(f"'{s}'" for s in schemas or ("public",))
    return QUESTION.replace("{schemas}", names)


def desired(*texts: str) -> Desired:
    """What the texts declare, as files schema/1.sql and so on; nothing in them is refused."""
    found = read_desired([(f"schema/{n}.sql", t) for n, t in enumerate(texts, 1)], "predeploy")
    assert found.findings == ()
    return found


def limits(lock_budget_s: float = 10) -> Limits:
    return Limits(0.5, Deadline.after(lock_budget_s), Deadline.after(60))


def shadow(url: str, found: Desired, ask: str | None = None) -> ShadowFacts | Failure:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
        return read_shadow(conn, found, ask or question(*found.schemas), limits())


def rows(url: str, *texts: str) -> tuple[tuple[str | None, ...], ...]:
    found = shadow(url, desired(*texts))
    assert isinstance(found, ShadowFacts), found
    return found.rows


def failure(url: str, *texts: str) -> Failure:
    found = shadow(url, desired(*texts))
    assert isinstance(found, Failure), found
    return found


def live(database: Database, *schemas: str) -> tuple[tuple[str | None, ...], ...]:
    """The same question, asked of the live schemas."""
    with database.connect() as conn:
        conn.execute("set search_path = ''")
        answer = conn.execute(question(*schemas).encode())
        return tuple(tuple(row) for row in answer.fetchall())


STATE = """
    select n.nspname::text, n.oid::bigint, count(c.oid), coalesce(sum(c.oid::bigint), 0)::bigint
    from pg_namespace n left join pg_class c on c.relnamespace = n.oid
    where n.nspname !~ '^pg_toast' group by 1, 2 order by 1"""


@pytest.fixture
def unchanged(database: Database) -> Iterator[Database]:
    """A database with two rows, which after the test is what it was before."""
    database.execute("create table keep (a int); insert into keep values (1), (2)")
    before = database.rows(STATE)
    yield database
    assert database.rows(STATE) == before
    assert database.rows("select a from public.keep order by a") == [(1,), (2,)]


@pytest.fixture
def owner_url(database: Database) -> Iterator[str]:
    """The URL of the database's owner, who is no superuser."""
    role = f"owner_{database.name}"
    database.execute(f"create role {role} login; alter database {database.name} owner to {role}")
    yield database.url.replace("postgres@", f"{role}@")
    database.execute(
        f"alter database {database.name} owner to postgres; drop owned by {role}; drop role {role}"
    )


def test_facts_come_from_the_shadow_and_nothing_stays(unchanged: Database) -> None:
    """The rows tell of the files alone, under the names of the live schema."""
    found = rows(unchanged.url, "create table t (a int default 1); create table public.u (b text)")

    assert [row for row in found if row[0] == "column"] == [
        ("column", "public.t.a", "integer 1"),
        ("column", "public.u.b", "text"),
    ]


def test_thekeyn_as_owner_without_superuser(database: Database, owner_url: str) -> None:
    """The shipped schema.sql gives the rows that running it gives, schema and rights included."""
    text = (SQL / "schema.sql").read_text()
    found = rows(owner_url, text)
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute(text.encode())

    assert found == live(database)
    assert rows(owner_url, text) == found
