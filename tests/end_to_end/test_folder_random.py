"""Two hundred random folders: exit 0 only where all that a reader would take for declared is there.

What has to be there is written down while a folder is made, as SQL that is true or false; none of
our code is asked. Whatever looks like something to run counts, wherever it lies and whether or not
it can be read: a reader of the folder would expect it in the database.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import Database
from in_process import command
from production import environ
from tiers import sampled
from unprivileged import bits_count

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Outcome

pytestmark = pytest.mark.dear

PORTION = 20
PARTS = ("migrations", "schema", "fallback", "seed", "verify")
NEVER = "false"  # nobody can run it, so nothing that it declares can be there
SEEDED = "exists (select from {} where id = 7)"

# SQL that nothing reads, or whose name says too little.
STRAY = (
    *("0900_j.sql", "2024-01-01_j.sql", "functions/j.sql", "up/0001_j.sql", "seeds/j.sql"),
    *("sql/migrations/0001_j.sql", "Migrations/0001_j.sql", "tables.ddl", "j.psql", "seed.sql"),
    *("migrations/0900_j.ddl", "migrations/0900_j.PSQL", "migrations/0900_j.sql.txt"),
    *("migrations/j.sql", "schema/j.pgsql", "seed/j.dml", "fallback.sql"),
)
QUIET = (
    *("README.md", "migrations/README", "migrations/.0900_j.sql", "migrations/meta/_journal.json"),
    *("queries/q.sql", "atlas.sum", "LICENSE", ".git/0001_j.sql"),
)
# What other tools, other apps and half a restore leave in a database.
FOREIGN = (
    "create table schema_migrations (version bigint, dirty boolean)",
    "create table alembic_version as select 'ab12cd34ef56' as version_num",
    "create schema other; create table other.schema_migrations (version text)",
    "create table customers as select 1 as id",
    "create schema predeploy",
)


def table(name: str) -> str:
    return f"to_regclass('public.{name}') is not null"


class Case:
    """A random folder, in order at first, and what must hold in the database after exit 0."""

    def __init__(self, seed: int, root: Path) -> None:
        """Make the folder; `tables` are those that its files create."""
        self.random = random.Random(seed)  # noqa: S311 - the same folders each time
        self.root = root
        self.must_hold: list[str] = []
        self.tables: list[str] = []
        self.troubles: list[str] = []
        root.mkdir()
        self._migrations()
        self._schema()
        self._seed_and_checks()
        for path in self.random.sample(QUIET, self.random.choice((0, 1, 2))):
            if (root / path).parent.is_dir() or "migrations" not in path:
                self.write(path, "create table q (id int);")

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def write(self, path: str, text: str, *conditions: str) -> None:
        """Write a file and remember what it declares, unless something of that name is there."""
        target = self.root / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            self.must_hold += conditions

    def _migrations(self) -> None:
        version = 0
        for _ in range(self.random.choice((0, 1, 1, 2, 3, 5))):
            version += self.random.choice((1, 1, 1, 2, 7))
            name = f"m{version}"
            text, conditions = f"create table {name} (id int primary key);", [table(name)]
            if self.chance(0.3):
                text += f"\ninsert into {name} values (1);"
                conditions.append(f"exists (select from {name} where id = 1)")
            self.tables.append(name)
            self.write(f"migrations/{version:04}_{name}.sql", text, *conditions)

    def _schema(self) -> None:
        paths = (["schema.sql"], ["schema/s0.sql", "schema/more/s1.sql"], [], [])
        for number, path in enumerate(self.random.choice(paths)):
            self.tables.append(f"s{number}")
            self.write(path, f"create table s{number} (id int primary key);", table(f"s{number}"))

    def _seed_and_checks(self) -> None:
        if self.tables and self.chance(0.4):
            name = self.random.choice(self.tables)
            text = f"insert into {name} (id) values (7) on conflict do nothing;"
            self.write("seed/a.sql", text, SEEDED.format(name))
        named = [*self.tables, "absent"] if self.chance(0.15) else self.tables
        if named and self.chance(0.4):
            name = self.random.choice(named)
            query = f"select '{name}' as missing where to_regclass('public.{name}') is null;"
            self.write("verify/tables.sql", query, table(name))
        if named and self.chance(0.4):
            name = self.random.choice(named)
            self.write("predeploy.toml", f'[critical]\n{name} = ["id"]\n', table(name))
        if self.tables and self.chance(0.2):
            name = self.random.choice(self.tables)
            self.write("fallback/a.sql", f"create table if not exists {name} (id int primary key);")

    def make_trouble(self) -> None:
        """Do one of the things that happen to folders."""
        kinds = (self._bits, self._bits, self._empty, self._stray, self._stray, self._unreal)
        kind = self.random.choice(kinds)
        self.troubles.append(kind.__name__)
        kind()

    def _bits(self) -> None:
        entries = [self.root, *sorted(self.root.rglob("*"))]
        entry = self.random.choice([entry for entry in entries if not entry.is_symlink()])
        entry.chmod(self.random.randrange(0o1000))

    def _empty(self) -> None:
        """Leave a part empty that was not there, or, as a wrong mount does, one that was."""
        part = self.root / self.random.choice(PARTS[:3])
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()

    def _stray(self) -> None:
        self.write(self.random.choice(STRAY), "create table j (id int);", table("j"))

    def _unreal(self) -> None:
        """Put something in a part that has the name of a file and is none."""
        part = self.root / self.random.choice(PARTS)
        part.mkdir(parents=True, exist_ok=True)
        path = part / "0950_x.sql"
        match self.random.choice(("broken", "loop", "up", "pipe", "folder", "cut", "device")):
            case "broken":
                path.symlink_to("nowhere.sql")
            case "loop":
                path.symlink_to(path.name)
            case "up":
                (part / "again").symlink_to("..")
            case "pipe" if not path.exists():
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case "cut":
                path.write_bytes(b"create table j (id int);\0")
            case _:
                path.symlink_to("/dev/null")
        self.must_hold.append(NEVER)


def missing(database: Database, conditions: list[str]) -> Iterator[str]:
    """Ask the database itself, by SQL of the test's own, for what does not hold."""
    with database.connect() as conn:
        for condition in conditions:
            try:
                row = conn.execute(f"select {condition}").fetchone()
            except psycopg.errors.UndefinedTable:
                row = None
            if row != (True,):
                yield condition


def run_and_check(case: Case, database: Database) -> bool:
    """Run, verify, and run again: each ends with 0 only where all is there. Say if all did."""
    codes = set()
    for name in ("run", "verify", "run"):
        with bits_count():
            done = command(name, environ=environ(database, case.root))
        codes.add(done.exit_code)
        about = (case.root.name, name, case.troubles, done.report["message"])
        assert done.exit_code is not ExitCode.UNEXPECTED, about
        if done.exit_code is ExitCode.OK:
            # An older image never seeds what a newer one has left.
            is_ahead = done.report["outcome"] == Outcome.AHEAD.value
            seeded = {SEEDED.format(name) for name in case.tables} if is_ahead else set()
            wanted = [condition for condition in case.must_hold if condition not in seeded]
            assert list(missing(database, wanted)) == [], about
    return codes == {ExitCode.OK}


@pytest.mark.parametrize("portion", sampled(range(8), 4))
def test_exit_0_means_that_all_that_is_declared_is_there(
    tmp_path: Path, make_database: Callable[[], Database], portion: int
) -> None:
    """Random permission bits, empty parts, junk, gaps, links, pipes, other tools' ledgers.

    A folder in order, in an empty database, does end with 0.
    """
    green = []
    for seed in range(portion * PORTION, (portion + 1) * PORTION):
        case, database = Case(seed, tmp_path / f"sql-{seed}"), make_database()
        is_plain = bool(case.tables) and table("absent") not in case.must_hold
        if case.chance(0.6):
            is_plain = False
            for _ in range(case.random.choice((1, 1, 2))):
                if os.access(case.root, os.W_OK):
                    case.make_trouble()
        if case.chance(0.25):
            is_plain = False
            database.execute(case.random.choice(FOREIGN))
        green.append(run_and_check(case, database))
        assert green[-1] or not is_plain, seed
    assert 3 <= sum(green) <= PORTION - 3


@pytest.mark.parametrize("portion", sampled(range(4), 2))
def test_exit_0_means_so_where_our_own_ledger_knows_other_files(
    tmp_path: Path, make_database: Callable[[], Database], portion: int
) -> None:
    """Another app's ledger, or that of a release before: files that are gone, and gaps."""
    green = []
    size = PORTION // 2
    for seed in range(1000 + portion * size, 1000 + (portion + 1) * size):
        case, database = Case(seed, tmp_path / f"sql-{seed}"), make_database()
        before = tmp_path / f"before-{seed}"
        gone = case.random.choice(("0000_gone.sql", "0004_gone.sql", "0800_gone.sql"))
        (before / "migrations").mkdir(parents=True)
        (before / "migrations" / gone).write_text("create table gone (id int);")
        for path in sorted((case.root / "migrations").glob("*_m*.sql")):
            if case.chance(0.5):
                shutil.copy(path, before / "migrations")
        assert command("run", environ=environ(database, before)).exit_code is ExitCode.OK
        green.append(run_and_check(case, database))
    assert 1 <= sum(green) <= size - 1
