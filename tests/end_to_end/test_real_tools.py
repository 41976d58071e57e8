"""A folder is the same to predeploy as to its tool, and both can go on where the other stopped."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Database, run_job, start_job
from production import report_of, whole_files
from real_tools import TOOLS, Tool
from tiers import sampled

pytestmark = pytest.mark.dear

Folder = Callable[[Mapping[str, str]], Path]

_TEXTS = (
    """create type state as enum ('new', 'paid', 'lost');
    create table users (id int primary key, email text not null, fax text, name text);
    create table orders (id serial primary key, user_id int not null references users,
        state state not null default 'new', total numeric(12, 2) not null);
    create table old (id int primary key);""",
    """insert into users select g, 'u' || g || '@example.com', 'fax', 'U; ' || g
        from generate_series(1, 50) g;
    insert into orders (user_id, total, state)
        select g, g * 1.5, 'paid' from generate_series(1, 50) g;
    insert into old values (1);""",
    """create function touch() returns trigger language plpgsql as $body$
    begin
        new.total := round(new.total, 2); -- a semicolon; and a 'quote'
        return new;
    end $body$;
    create trigger touch before insert or update on orders
        for each row execute function touch();""",
    "create index concurrently orders_user on orders (user_id);",
    """alter type state rename to state_old;
    create type state as enum ('new', 'paid', 'refunded');
    alter table orders alter column state drop default;
    alter table orders alter column state type state using state::text::state;
    alter table orders alter column state set default 'new';
    drop type state_old;""",
    """alter table users add column active boolean;
    update users set active = id % 2 = 0;
    alter table users alter column active set not null;""",
    """create view paid as select id, total from orders where state = 'paid';
    create materialized view totals as
        select user_id, sum(total) as total from orders group by 1;""",
    "alter table users drop column fax;",
    "alter table users rename column name to full_name;",
    "drop table old;",
    """comment on table users is 'It''s who; buys';
    alter table orders add constraint positive check (total >= 0);
    create unique index users_email on users (lower(email));""",
    """insert into orders (user_id, total) select id, 9.99 from users where active;""",
)
TEXTS = {f"202401{n:02}000000_m{n}": text for n, text in enumerate(_TEXTS, 1)}
NAMES = tuple(TEXTS)
HALF = {name: TEXTS[name] for name in NAMES[:6]}
_SIMPLE = {
    "m2": _TEXTS[1].replace("U; ", "U "),
    "m3": "create function cents(numeric) returns numeric language sql as 'select round($1, 2)'",
    "m11": _TEXTS[10].replace("who; buys", "who buys"),
}
MORE = {
    "20240201000000_more": "create table more (id int primary key); insert into more values (1)"
}
# What has to be compiled first takes minutes.
_COMPILED = ("golang-migrate", "goose", "sql-migrate")
tools = pytest.mark.parametrize(
    "tool",
    [
        *sampled([tool for name, tool in TOOLS.items() if name not in _COMPILED], 1),
        *(pytest.param(TOOLS[name], marks=pytest.mark.slow) for name in _COMPILED),
    ],
    ids=lambda tool: tool.name,
)


def laid(folder: Folder, tool: Tool, texts: Mapping[str, str]) -> Path:
    """Write the tool's folder, and what predeploy needs beside it to let the files destroy."""
    drops = {"m8": ["drop-column users.fax"], "m10": ["drop-table old"]}
    names = {n: tool.file.format(version=n[:14], rest=n[15:]) for n in texts}
    allowed = {names[n]: drops[n[15:]] for n in texts if n[15:] in drops}
    lines = [f"{json.dumps(name)} = {json.dumps(said)}" for name, said in allowed.items()]
    if "concurrently" in tool.without:
        texts = {name: text.replace("concurrently ", "") for name, text in texts.items()}
    if "semicolon" in tool.without:
        texts = {name: _SIMPLE.get(name[15:], text) for name, text in texts.items()}
    return folder({**tool.files(texts), "predeploy.toml": "\n".join(["[allow]", *lines])})


def applied(tool: Tool, folder: Path, database: Database) -> None:
    done = tool.apply(folder, database.url)
    assert done.returncode == 0, done.stdout + done.stderr


def deployed(folder: Path, database: Database, **more: str) -> dict[str, object]:
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(folder)}
    done = run_job("run", environ=environ | more)
    assert done.returncode == 0, done.stdout
    return report_of(done)


def dump(programs: Path, database: Database) -> str:
    """Everything but the histories: definitions, rows and positions of sequences."""
    left_out = ("--exclude-schema=predeploy", "--exclude-schema=drizzle")
    tables = [f"--exclude-table={tool.table}*" for tool in TOOLS.values()]
    command = [programs / "pg_dump", "--no-owner", *left_out, *tables, database.url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.sub(r"\\(un)?restrict .*", "", text)


def history(tool: Tool, database: Database) -> list[tuple]:
    return database.rows(f"select t::text from {tool.table} t order by 1")


@tools
def test_a_folder_comes_to_the_same(
    tool: Tool, folder: Folder, make_database: Callable[[], Database], programs: Path
) -> None:
    """By pg_dump, rows included; and the tool, told of it, finds nothing to do, and goes on."""
    theirs, ours = make_database(), make_database()
    applied(tool, laid(folder, tool, TEXTS), theirs)

    settings = {"PREDEPLOY_MIRROR_HISTORY": "true", "PREDEPLOY_FORMAT": tool.name}
    deployed(laid(folder, tool, TEXTS), ours, **settings)

    assert dump(programs, ours) == dump(programs, theirs)
    mirrored = history(tool, ours)
    applied(tool, laid(folder, tool, TEXTS), ours)
    assert history(tool, ours) == mirrored
    _goes_on(tool, folder, ours)


@tools
def test_what_the_tool_began_is_finished(
    tool: Tool, folder: Folder, make_database: Callable[[], Database], programs: Path
) -> None:
    """Half by the tool, half by two copies of predeploy at once; and then the tool goes on."""
    theirs, ours = make_database(), make_database()
    applied(tool, laid(folder, tool, TEXTS), theirs)
    applied(tool, laid(folder, tool, HALF), ours)
    root = laid(folder, tool, TEXTS)
    environ = {
        "DATABASE_URL": ours.url,
        "PREDEPLOY_SQL_DIR": str(root),
        "PREDEPLOY_MIRROR_HISTORY": "true",
    }

    with start_job("run", environ=environ) as one, start_job("run", environ=environ) as other:
        codes = [one.wait(60), other.wait(60)]

    assert codes == [0, 0]
    assert dump(programs, ours) == dump(programs, theirs)
    assert len(whole_files(ours)) == len(TEXTS)
    mirrored = history(tool, ours)
    applied(tool, root, ours)
    assert history(tool, ours) == mirrored
    _goes_on(tool, folder, ours)


def _goes_on(tool: Tool, folder: Folder, database: Database) -> None:
    """The tool applies a further file of its own, which predeploy then records."""
    root = laid(folder, tool, {**TEXTS, **MORE})
    applied(tool, root, database)

    report = deployed(root, database)

    assert "1 file recorded, not run" in json.dumps(report)
    assert database.rows("table more") == [(1,)]
    assert deployed(root, database)["outcome"] == "settled"
