"""A command of the operator's in the place of migrations: settled, lost, failed, stopped, watched.

The commands here are small programs that connect with what they find in DATABASE_URL, as a
migration tool does; the tools themselves are tried in test_real_commands.
"""

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Database, job_environ, run_job, start_job

Folder = Callable[[Mapping[str, str]], Path]

CONNECT = """
    import os, psycopg, sys, time
    conn = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
"""
COMMANDS = "select count(*) from pg_stat_activity where application_name like 'predeploy command%'"


class App:
    """An app with a migration command: a Python program that gets its address from us."""

    def __init__(self, folder: Folder, database: Database, tmp_path: Path) -> None:
        self._folder, self.database, self.root = folder, database, tmp_path
        self.program = tmp_path / "migrate.py"
        self.sql = tmp_path / "sql"

    def write(self, program: str, more: str = "", files: Mapping[str, str] | None = None) -> None:
        """Write the program, and a predeploy.toml that has it run, with `more` under [migrate]."""
        self.program.write_text(textwrap.dedent(CONNECT) + textwrap.dedent(program))
        command = json.dumps([sys.executable, str(self.program)])
        toml = f"[migrate]\ncommand = {command}\n{more}\n"
        self._folder({"predeploy.toml": toml, **(files or {})})

    @property
    def inputs(self) -> str:
        return f"inputs = [{json.dumps(str(self.program))}]"

    def environ(self, **more: str) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database.url,
            "PREDEPLOY_SQL_DIR": str(self.sql),
            "PREDEPLOY_REPORT": str(self.root / "report.json"),
            "PYTHONWARNINGS": "ignore",
            **more,
        }

    def run(self, *arguments: str, check: int | None = None, **more: str) -> dict[str, Any]:
        """Run predeploy; return its report."""
        done = run_job(*(arguments or ("run",)), environ=self.environ(**more), check=check)
        self.said = done.stdout
        return json.loads((self.root / "report.json").read_text())


@pytest.fixture
def app(folder: Folder, database: Database, tmp_path: Path) -> App:
    return App(folder, database, tmp_path)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def test_what_the_command_makes_is_told_and_verified(app: App) -> None:
    """Its lines are ours, the report says what it added, and the gate looks at what is declared."""
    app.write(
        """
        conn.execute("create table works (id int primary key, title text)")
        print("made it")
        """,
        app.inputs + '\n[critical]\nworks = ["title"]',
    )

    report = app.run(check=0)

    assert '"message":"made it"' in app.said
    assert "1 critical table" not in report["message"]
    assert "verified" in report["message"]
    (changed,) = [f for f in report["findings"] if f["code"] == "changed"]
    assert "added table public.works" in changed["message"]
    assert "public.works.title" not in changed["message"]


def test_unchanged_inputs_and_an_unchanged_catalog_are_settled(app: App) -> None:
    """The second run starts nothing; another program, another command or other DDL does."""
    app.write('conn.execute("create table if not exists works (id int)"); print("ran")', app.inputs)
    app.run(check=0)

    assert app.run(check=0)["outcome"] == "settled"
    assert '"ran"' not in app.said
    app.database.execute("create table other (id int)")
    assert app.run(check=0)["outcome"] == "ok"
    assert '"ran"' in app.said
    app.program.write_text(app.program.read_text() + "\n# another")
    assert app.run(check=0)["outcome"] == "ok"
    assert '"ran"' in app.said
    assert app.run(check=0)["outcome"] == "settled"


def test_without_inputs_it_runs_each_time(app: App) -> None:
    """What it depends on is not known, so nothing says that it has nothing to do."""
    app.write('print("ran")')

    for _ in range(2):
        assert app.run(check=0)["outcome"] == "ok"
        assert '"ran"' in app.said


def test_nothing_declared_is_not_verified(app: App) -> None:
    """The command's word is not ours: the report does not say verified, and verify is 66."""
    app.write("pass", app.inputs)

    assert "nothing is declared that could be verified" in app.run(check=0)["message"]
    assert "nothing is declared that could be verified" in app.run("verify", check=66)["message"]


def test_the_gate_holds_whatever_the_command_says(app: App) -> None:
    """It exits with 0 and has made nothing: 82."""
    app.write("pass", app.inputs + "\n[critical]\nworks = []")

    assert "table public.works is missing" in app.run(check=82)["message"]


def test_schema_sql_is_synced_behind_the_command(app: App) -> None:
    """An ORM team gets a verified deploy: what the models declare and the command did not make."""
    app.write(
        'conn.execute("create table if not exists works (id int primary key)")',
        app.inputs,
        {"schema.sql": "create table works (id int primary key); create index on works (id);"},
    )

    app.run(check=0)

    assert app.run(check=0)["outcome"] == "settled"
    assert app.database.value("select count(*) from pg_indexes where tablename = 'works'") == 2


def test_a_command_line_gives_the_command(database: Database) -> None:
    """`predeploy run -- PROGRAM`, without any folder."""
    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": ""}
    program = textwrap.dedent(CONNECT) + 'conn.execute("create table works (id int)")'

    done = run_job("run", "--", sys.executable, "-c", program, environ=environ, check=0)

    assert database.value("select to_regclass('works')::text") == "works"
    assert "ok: 1 step applied" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("verify", "--", "true"), "verify starts no command"), (("run", "true"), "unrecognized")],
)
def test_only_a_run_or_a_plan_has_a_command(
    database: Database, arguments: tuple[str, ...], said: str
) -> None:
    done = run_job(*arguments, environ={"DATABASE_URL": database.url}, check=64)

    assert said in done.stdout


def test_plan_and_status_name_the_command_while_it_is_pending(app: App) -> None:
    """Nobody knows what it would do; but whether it would be started."""
    app.write('conn.execute("create table if not exists works (id int)")', app.inputs)

    app.run("plan", "--exit-code", check=2)
    assert "(a command of yours)" in app.said
    app.run("status", "--exit-code", check=2)
    app.run(check=0)
    app.run("plan", "--exit-code", check=0)
    app.run("status", "--exit-code", check=0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('command = "alembic upgrade head"', "command must be a list of words"),
        ("command = []", "command must be a list of words"),
        ('inputs = ["a"]', "command must be a list of words"),
        ('command = ["a"]\ninputs = "a"', "inputs must be a list"),
        ('command = ["a"]\nretry = "yes"', "retry must be true or false"),
        ('command = ["a"]\nretries = 1', "'retries' is no key of [migrate]"),
        ('command = ["npx", "prisma", "migrate"]\nretry = true', "retry must be false"),
        ('command = ["knex", "migrate:latest"]\nretry = true', "retry must be false"),
    ],
)
def test_what_is_wrong_with_the_table_is_told(
    folder: Folder, database: Database, table: str, said: str
) -> None:
    sql = folder({"predeploy.toml": f"[migrate]\n{table}\n"})

    environ = {"DATABASE_URL": database.url, "PREDEPLOY_SQL_DIR": str(sql)}
    assert said in run_job("run", environ=environ, check=78).stdout


def test_an_input_that_is_not_there_is_no_input(app: App) -> None:
    """A wrong working directory looks like that: 66, and nothing is started."""
    app.write('print("ran")', 'inputs = ["/nowhere/alembic.ini", "/nowhere/migrations/**"]')

    report = app.run(check=66)

    assert "matches no file" in report["message"]
    assert '"ran"' not in app.said


def test_inputs_are_found_as_shells_find_them(app: App) -> None:
    """`**` is any folders, a folder is all of its files; hidden files and caches do not count."""
    for path in ("m/a.py", "m/b/c.py", "m/b/.hidden.py", "m/__pycache__/a.pyc", "m/d.txt"):
        target = app.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("1")
    app.write("pass", f"inputs = [{json.dumps(str(app.root / 'm' / '**' / '*.py'))}]")
    app.run(check=0)

    for path in ("m/b/.hidden.py", "m/__pycache__/a.pyc", "m/d.txt"):
        (app.root / path).write_text("2")
    assert app.run(check=0)["outcome"] == "settled"
    (app.root / "m/b/c.py").write_text("2")
    assert app.run(check=0)["outcome"] == "ok"
    (app.root / "m/b/e.py").write_text("2")
    assert app.run(check=0)["outcome"] == "ok"


def test_migrations_of_ours_beside_a_command_are_ambiguous(app: App) -> None:
    app.write("pass", files={"migrations/0001_a.sql": "create table a (id int);"})

    assert "keep one of them" in app.run(check=65)["message"]


def test_a_program_that_is_not_there_is_a_setting(app: App) -> None:
    app.write("pass")
    app._folder({"predeploy.toml": '[migrate]\ncommand = ["no-such-program", "up"]\n'})

    report = app.run(check=78)

    assert "no-such-program up could not be started" in report["message"]


def test_a_program_that_is_not_there_hides_no_loss(app: App) -> None:
    """A killed run has lost a table, and then somebody breaks the command: 84 comes first."""
    app.database.execute("create table old (id int); insert into old values (1)")
    app.write('conn.execute("drop table if exists old"); print("done", flush=True); time.sleep(60)')
    with start_job("run", environ=app.environ()) as job:
        until(lambda: app.database.value("select to_regclass('old')::text") is None)
        job.kill()

    app._folder({"predeploy.toml": '[migrate]\ncommand = ["no-such-program", "up"]\n'})

    report = app.run(check=84)
    assert "drop-table public.old" in report["message"]
    assert "could not be started" in report["message"]


def test_a_table_that_could_not_be_read_is_not_called_lost(app: App) -> None:
    """It was locked when the run began. That is said, and the run does not settle."""
    app.database.execute("create table empty (id int); create table works (id int)")
    app.database.execute("insert into works values (1)")
    app.write("pass", app.inputs)
    conn = app.database.connect()
    conn.execute("begin; lock table empty in access exclusive mode")

    report = app.run(check=0)
    (told,) = [f for f in report["findings"] if f["code"] == "not-compared"]
    assert "public.empty" in told["message"]

    # Now the command ends the session that holds the lock.
    app.write(f'conn.execute("select pg_terminate_backend({conn.info.backend_pid})")', app.inputs)
    assert app.run(check=0)["outcome"] == "ok"
    conn.close()
    assert app.run(check=0)["outcome"] == "ok"
    assert app.run(check=0)["outcome"] == "settled"


def test_a_failure_says_what_it_left(app: App) -> None:
    """80 if the catalog is as it was, with its last line; 81 if it changed something first."""
    app.write('sys.exit("no such revision")')
    report = app.run(check=80)
    assert "exited with 1: no such revision" in report["message"]
    assert "the schema is as it was before" in report["message"]

    app.write('conn.execute("create table half (id int)"); sys.exit(3)')
    report = app.run(check=81)
    assert "it added table public.half, and that stays" in report["message"]

    app.write("os.kill(os.getpid(), 9)")
    assert "was ended by SIGKILL" in app.run(check=80)["message"]


def test_an_undeclared_loss_is_84_until_it_is_accepted(app: App) -> None:
    """It is committed. So the next run does not go green either, whatever the command does."""
    app.database.execute("create table old (id int); insert into old values (1)")
    app.database.execute("create table kept (id int, note text)")
    program = """
        conn.execute("drop table if exists old")
        conn.execute("alter table kept drop column if exists note")
    """
    app.write(program, app.inputs)

    report = app.run(check=84)
    assert "took away what nobody had declared" in report["message"]
    assert "drop-table public.old" in report["message"]
    assert "the command has committed that" in report["message"]
    app.run(check=84, PREDEPLOY_ON_FAILURE="rescue")
    report = app.run(check=84)
    assert "an earlier run" in report["message"]

    allowed = 'allow = ["drop-column public.kept.note", "drop-table public.old"]'
    assert allowed in report["message"]
    app.write(program, f"{app.inputs}\n{allowed}")
    assert app.run(check=0)["outcome"] == "ok"
    assert app.run(check=0)["outcome"] == "settled"


@pytest.mark.parametrize(
    "statement", ["delete from works", "truncate works", "drop table works; create table works ()"]
)
def test_a_table_that_was_emptied_is_a_loss(app: App, statement: str) -> None:
    app.database.execute("create table works (id int); insert into works values (1)")
    app.write(f'conn.execute("{statement}")')

    assert "public.works" in app.run(check=84)["message"]


def test_what_loses_nothing_is_no_loss(app: App) -> None:
    """A rewrite, a rename, a few rows deleted, an enum rebuilt with all of its labels."""
    app.database.execute(
        "create type mood as enum ('a', 'b'); create table works (id int, m mood, n int);"
        "insert into works select g, 'a', g from generate_series(1, 10) g"
    )
    app.write(
        """
        conn.execute("alter table works alter column n type bigint")
        conn.execute("alter table works rename column n to number")
        conn.execute("delete from works where id = 1")
        conn.execute("create type mood2 as enum ('a', 'b')")
        conn.execute("alter table works alter m type mood2 using m::text::mood2")
        conn.execute("drop type mood")
        conn.execute("alter type mood2 rename to mood")
        """
    )

    app.run(check=0)


def test_a_loss_of_a_run_that_was_killed_is_found_by_the_next(app: App) -> None:
    """What was there before is in the ledger, so SIGKILL hides nothing."""
    app.database.execute("create table old (id int); insert into old values (1)")
    app.write('conn.execute("drop table if exists old"); print("done", flush=True); time.sleep(60)')
    with start_job("run", environ=app.environ()) as job:
        until(lambda: app.database.value("select to_regclass('old')::text") is None)
        job.kill()

    app.write("pass")

    assert "drop-table public.old" in app.run(check=84)["message"]


def test_destructive_allow_lets_a_loss_pass(app: App) -> None:
    app.database.execute("create table old (id int); insert into old values (1)")
    app.write('conn.execute("drop table if exists old")')

    report = app.run(check=0, PREDEPLOY_DESTRUCTIVE="allow")

    assert any(f["code"] == "taken-away" for f in report["findings"])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_passed_on_and_its_statement_is_cancelled(
    app: App, number: int, status: int
) -> None:
    """The command hears the same signal; what the server still runs for it is cancelled."""
    app.write(
        """
        import signal
        def hear(number, frame):
            print("heard", number, flush=True); os._exit(7)
        signal.signal(signal.SIGTERM, hear); signal.signal(signal.SIGINT, hear)
        conn.execute("create table works (id int)")
        print("sleeps", flush=True)
        while True:
            time.sleep(1)
        """
    )
    job = start_job("run", environ=app.environ())
    until(lambda: app.database.value("select to_regclass('works')::text"))
    time.sleep(0.3)

    job.send_signal(number)
    out, _ = job.communicate(timeout=10)

    assert job.returncode == status, out
    assert f"heard {number:d}" in out
    report = json.loads(out.splitlines()[-1])
    assert "it exited with 7 on SIG" in report["message"]
    assert "what its own transactions had committed by then stays" in report["message"]
    assert app.database.value(COMMANDS) == 0


def test_a_command_that_ignores_the_signal_is_killed(app: App) -> None:
    """After five seconds; its children with it, and its statement is cancelled on the server."""
    app.write(
        """
        import signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "300"])
        conn.execute("create table works (id int)")
        conn.execute("select pg_sleep(300)")
        """
    )
    job = start_job("run", environ=app.environ())
    until(lambda: app.database.value(COMMANDS + " and query like '%pg_sleep%'"))
    began = time.monotonic()
    job.send_signal(signal.SIGTERM)

    out, _ = job.communicate(timeout=20)

    assert job.returncode == 143, out
    assert 4 < time.monotonic() - began < 9
    assert "it was ended by SIGKILL on SIGTERM" in out
    assert app.database.value(COMMANDS) == 0


def test_the_deadline_stops_the_command(app: App) -> None:
    app.write('conn.execute("select pg_sleep(300)")')

    report = app.run(check=75, PREDEPLOY_DEADLINE="2s")

    assert "deadline" in report["message"]
    assert app.database.value(COMMANDS) == 0


def children_of(folder: Path) -> int:
    """How many processes have this folder in their command line."""
    found = 0
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += str(folder).encode() in each.read_bytes()
        except OSError:
            continue
    return found


def test_the_lock_outlives_a_killed_run_until_its_command_is_gone(app: App) -> None:
    """Otherwise the next run would start a second command beside the first."""
    app.write(
        """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        conn.execute("create table works (id int)")
        conn.execute("select pg_sleep(300)")
        """
    )
    with start_job("run", environ=app.environ()) as job:
        until(lambda: app.database.value(COMMANDS + " and query like '%pg_sleep%'"))
        job.kill()

    assert children_of(app.program) == 1
    app.write("print('second')")
    report = app.run(check=0)

    assert report["outcome"] == "ok"
    assert "waiting for the lock" in app.said
    assert children_of(app.program) == 0


def test_of_ten_copies_one_runs_it(app: App) -> None:
    """The others wait for the lock and find the database settled."""
    app.write(
        """
        conn.execute("create table if not exists calls (at timestamptz default now())")
        conn.execute("insert into calls default values")
        """,
        app.inputs,
    )
    with ThreadPoolExecutor(10) as pool:
        environ = {k: v for k, v in app.environ().items() if k != "PREDEPLOY_REPORT"}
        done = list(pool.map(lambda _: run_job("run", environ=environ), range(10)))

    assert [each.returncode for each in done] == [0] * 10
    assert app.database.value("select count(*) from calls") == 1


def test_a_lost_lock_stops_the_command(app: App) -> None:
    """Without the lock another replica may start its own: 75, and it is not started again."""
    app.write('conn.execute("create table works (id int)"); time.sleep(60)')
    job = start_job("run", environ=app.environ())
    until(lambda: app.database.value("select to_regclass('works')::text"))
    time.sleep(0.3)
    app.database.execute(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
        " and database = (select oid from pg_database where datname = current_database())"
    )

    out, _ = job.communicate(timeout=20)

    assert job.returncode == 75, out
    assert "was stopped" in out
    assert out.count('"running ') == 1


@contextmanager
def reader(database: Database, table: str) -> Iterator[psycopg.Connection]:
    """A session that has read a table and does not end its transaction."""
    with database.connect() as conn:
        conn.execute(f"begin; select * from {table}")
        yield conn


ALTER = """
    conn.execute("set lock_timeout = 0") if len(sys.argv) > 9 else None
    conn.execute("alter table works add column if not exists note text")
"""


def test_with_retry_nobody_waits_longer_than_the_lock_timeout(app: App) -> None:
    """It waits behind a reader, is cancelled before it keeps others waiting, and runs again."""
    app.database.execute("create table works (id int)")
    app.write(ALTER, "retry = true")
    waits: list[float] = []
    with reader(app.database, "works") as holder:
        job = start_job("run", environ=app.environ(PREDEPLOY_DDL_LOCK_TIMEOUT="1s"))
        until(lambda: app.database.value(COMMANDS + " and wait_event_type = 'Lock'"))
        end = time.monotonic() + 5
        while time.monotonic() < end:
            began = time.monotonic()
            app.database.value("select count(*) from works")
            waits.append(time.monotonic() - began)
            time.sleep(0.05)
        holder.execute("commit")
        out, _ = job.communicate(timeout=30)

    assert job.returncode == 0, out
    assert max(waits) < 2.5, waits
    assert "trying again" in out
    assert app.database.value("select count(note) from works") == 0


def test_without_retry_the_blocker_is_named_and_the_deadline_decides(app: App) -> None:
    """Nobody knows what a cancelled command leaves behind, so it is left alone."""
    app.database.execute("create table works (id int)")
    app.write(ALTER)
    with reader(app.database, "works") as holder:
        report = app.run(check=75, PREDEPLOY_DEADLINE="4s", PREDEPLOY_DDL_LOCK_TIMEOUT="500ms")

        assert f"waits for a lock, blocked by pid {holder.info.backend_pid}" in app.said
        assert "deadline" in report["message"]
    app.run(check=0)


@pytest.mark.parametrize("form", ["url", "variables", "direct"])
def test_the_command_gets_the_address_that_was_chosen(app: App, form: str) -> None:
    """Also where it came from PG* variables, or from another variable than DATABASE_URL."""
    app.write('print("db", conn.info.dbname, os.environ.get("PGAPPNAME")[:17])')
    parts = psycopg.conninfo.conninfo_to_dict(app.database.url)
    environ = app.environ()
    if form == "variables":
        del environ["DATABASE_URL"]
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
        environ |= {names[k]: str(v) for k, v in parts.items() if k in names}
        environ |= {"PGPASSWORD": str(parts["password"])} if "password" in parts else {}
    elif form == "direct":
        environ |= {"DIRECT_URL": app.database.url, "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}

    done = run_job("run", environ=environ, check=0)

    assert f"db {app.database.name} predeploy command" in done.stdout


def test_a_password_that_it_prints_is_not_logged(app: App) -> None:
    """In its address the password is encoded, which is another text."""
    app.database.execute("drop role if exists leaky; create role leaky superuser login")
    app.database.execute("alter role leaky password 'p@ss/word-1'")
    app.write('print(os.environ["DATABASE_URL"]); print("p@ss/word-1")')
    parts = psycopg.conninfo.conninfo_to_dict(app.database.url)
    url = f"postgresql://leaky:p%40ss%2Fword-1@{parts['host']}:{parts['port']}/{app.database.name}"

    try:
        app.run(check=0, DATABASE_URL=url)
    finally:
        app.database.execute("drop owned by leaky; drop role leaky")

    assert "p%40ss%2Fword-1" not in app.said
    assert "p@ss/word-1" not in app.said


def test_a_flood_of_lines_is_cut(app: App) -> None:
    """Platforms drop lines beyond a few hundred a second: then ours would be among them."""
    app.write('[print("line", n) for n in range(5000)]; print("\\x1b[31mred\\x1b[0m")')

    app.run(check=0)

    assert app.said.count('"line ') <= 2 * 200 * 3
    assert "were left out of the log" in app.said
    assert "\\u001b" not in app.said


def test_a_relative_input_is_below_the_working_directory(app: App) -> None:
    """Where the command runs, as its own files are."""
    app.write("pass", 'inputs = ["migrate.py"]')

    for expected in ("ok", "settled"):
        done = subprocess.run(
            [sys.executable, "-m", "predeploy", "run"],
            env=job_environ(app.environ()),
            capture_output=True,
            text=True,
            check=True,
            cwd=app.root,
        )
        assert json.loads(done.stdout.splitlines()[-1])["outcome"] == expected


def test_a_failed_command_may_be_rescued(app: App) -> None:
    """Then fallback and verify decide, as for migrations."""
    app.write("sys.exit(1)", "\n[critical]\nworks = []",
              {"fallback/a.sql": "create table if not exists works (id int);"})  # fmt: skip

    assert app.run(check=0, PREDEPLOY_ON_FAILURE="rescue")["outcome"] == "degraded"


def test_its_own_lock_is_not_taken_from_it(app: App) -> None:
    """We take the locks of tools whose tables are here; but not from the tool that we start."""
    app.database.execute("create table schema_migrations (version bigint primary key, dirty bool)")
    app.write(
        """
        import zlib
        name = conn.info.dbname
        text = "public\\0schema_migrations\\0" + name
        key = zlib.crc32(text.encode()) * 1486364155 % 2**32
        ok = conn.execute("select pg_try_advisory_lock(%s)", [key]).fetchone()[0]
        sys.exit(0 if ok else 5)
        """
    )

    app.run(check=0)
