"""Whatever dies at whatever message: a clean rerun ends as a run that was never disturbed.

The suite tries a random sample, and its header prints the seed; `make chaos` tries every message
with every fault, and prints the table of docs/reliability.md.
"""

import json
import os
import random
import re
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
from conftest import SQL, Database, run_job, start_job, url_of
from crashing import Crashing, crashing
from production import contents, environ, orphans, prepare, run_here, until
from proxy import Direction, Fault, Harm, Proxy, proxied
from two_sides import facts
from workloads import WORKLOADS, Workload

from job.exit_codes import ExitCode
from job.plan import Outcome
from job.report import headline

SEED = os.environ["CHAOS_SEED"]
SAMPLE = int(os.environ.get("CHAOS_SAMPLE", "1"))  # of each workload and harm; 0: every message
ONLY = os.environ.get("CHAOS_WORKLOADS", "").split()
_LAST_MESSAGE_S = 2
SIGNALS = {"sigkill": signal.SIGKILL, "sigterm": signal.SIGTERM}
CRASH = "crash"  # of the server: an immediate stop, and a start
HARMS = (*(fault.value for fault in Fault), *SIGNALS, CRASH)
# Where a message is stalled, only the deadline ends the wait.
DEADLINE = "4s"
ENDED = {
    "cut": {0, 69, 75, 81},
    "reset": {0, 69, 75, 81},
    "stall": {0, 69, 75, 81},
    "delay": {0},
    "sigkill": {0, -9},
    "sigterm": {0, 143},
    CRASH: {0, 69, 75, 81},
}
A_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:")  # when the run was, which no two have in common


@dataclass(frozen=True)
class Stage:
    """A workload, the database it starts from, and what an undisturbed run makes of it."""

    workload: Workload
    template: str
    folder: Path
    messages: Mapping[Direction, int]
    undisturbed: "State"
    maker: "Maker"


@dataclass(frozen=True)
class State:
    """Schema facts, the ledger's rows, and every row."""

    facts: frozenset
    ledger: tuple
    rows: dict


def state(database: Database) -> State:
    applied = database.rows(
        "select file, position, occurrence, step_hash, is_final, is_done from predeploy.migration "
        "order by 1, 2"
    )
    rows = {
        table: [{k: v for k, v in row.items() if not A_TIME.match(str(v))} for row in found]
        for table, found in contents(database).items()
    }
    return State(facts(database), tuple(applied), rows)


@pytest.fixture(scope="module")
def stages(
    superuser_url: str, binaries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Stage]]:
    """Makes each workload's stage once, and once more on a server that can be crashed."""
    made: dict[tuple[str, bool], Stage] = {}
    with crashing(binaries) as shaky:
        calm = Maker(superuser_url)

        def stage(name: str, harm: str) -> Stage:
            key = (name, harm == CRASH)
            if key not in made:
                maker = Maker(shaky.server.url(), shaky) if harm == CRASH else calm
                made[key] = staged(WORKLOADS[name], maker, tmp_path_factory.mktemp(name))
            return made[key]

        yield stage
        calm.drop_all()


class Maker:
    """Makes databases and drops them; `crashing` is their server, where that can be crashed."""

    def __init__(self, superuser_url: str, crashing: Crashing | None = None) -> None:
        self.server = Database("postgres", superuser_url)
        self.crashing = crashing
        self.names: list[str] = []

    def make(self, template: str | None = None) -> Database:
        name = f"chaos_{uuid.uuid4().hex[:12]}"
        source = f' template "{template}"' if template else ""
        self.server.execute(f'create database "{name}"{source}')
        self.names.append(name)
        return Database(name, url_of(self.server.url, name))

    def drop(self, database: Database) -> None:
        self.server.execute(f'drop database "{database.name}" with (force)')
        self.names.remove(database.name)

    def drop_all(self) -> None:
        for name in self.names:
            self.server.execute(f'drop database if exists "{name}" with (force)')


def staged(workload: Workload, maker: Maker, root: Path) -> Stage:
    """Make the template and the folder, count the messages, and keep what comes of it."""
    folder = SQL if workload.files is None else written(root / "sql", workload.files)
    template = maker.make()
    if workload.starts_shipped:
        prepare(environ(template, SQL, **workload.environ))
    if workload.before:
        prepare(environ(template, written(root / "before", workload.before), **workload.environ))
    if workload.rows:
        template.execute(f"{workload.rows}; analyze")
    control = prepared(maker.make(template.name), workload)
    with proxied(port_of(control)) as proxy:
        done = run_job(environ=through(proxy, control, folder, workload), check=0)
        counted = dict(proxy.counted)
    assert done.stdout
    settle(control, folder, workload)
    undisturbed = state(control)
    maker.drop(control)
    return Stage(workload, template.name, folder, counted, undisturbed, maker)


def prepared(database: Database, workload: Workload) -> Database:
    """Settle a clone, where the workload starts settled: a clone is another database."""
    if workload.starts_shipped:
        prepare(environ(database, SQL, **workload.environ))
    return database


def written(root: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def port_of(database: Database) -> int:
    return int(psycopg.conninfo.conninfo_to_dict(database.url)["port"])


def through(proxy: Proxy, database: Database, folder: Path, workload: Workload) -> dict[str, str]:
    """The settings of a job that meets the server by the proxy."""
    # Without TLS, of which the proxy could not read the messages.
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{database.name}?sslmode=disable"
    settings = environ(database, folder, **workload.environ)
    return {**settings, "DATABASE_URL": f"{url}&gssencmode=disable"}


def settle(database: Database, folder: Path, workload: Workload) -> None:
    """Run undisturbed, and once more: all is well, and then there is nothing to do."""
    settings = environ(database, folder, **workload.environ)
    first = run_here(settings)
    assert first.exit_code is ExitCode.OK, headline(first)
    assert run_here(settings).outcome is Outcome.SETTLED


def chosen(stage: Stage, harm: str) -> list[tuple[Direction, int]]:
    """Every message of both directions, or a sample of them."""
    every = [(way, n) for way in Direction for n in range(1, stage.messages[way] + 1)]
    if not SAMPLE:
        return every
    chance = random.Random(f"{SEED} {stage.workload.name} {harm}")  # noqa: S311 - nobody guesses
    return chance.sample(every, min(SAMPLE, len(every)))


@pytest.mark.timeout(0 if not SAMPLE else 300)
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", ONLY or WORKLOADS)
def test_a_rerun_ends_as_an_undisturbed_run(
    stages: Callable[[str, str], Stage], name: str, harm: str
) -> None:
    """Whatever died where: facts, ledger and every row are as if nothing had."""
    stage = stages(name, harm)
    ended: Counter[int] = Counter()
    tried = chosen(stage, harm)
    for direction, at in tried:
        ended[disturbed(stage, direction, at, harm)] += 1

    tell(stage, harm, len(tried), ended)


def disturbed(stage: Stage, direction: Direction, at: int, harm: str) -> int:
    """Run once with the harm and once without; return the exit code of the first."""
    workload, folder = stage.workload, stage.folder
    story = f"CHAOS_SEED={SEED}: {workload.name}, {harm} at message {at} {direction.value}"
    database = prepared(stage.maker.make(stage.template), workload)
    with proxied(port_of(database)) as proxy:
        settings = through(proxy, database, folder, workload)
        if harm == Fault.STALL.value:
            settings["PREDEPLOY_DEADLINE"] = DEADLINE
        with start_job("run", environ=settings) as job:
            proxy.harm = Harm(direction, at, what_is_done(harm, stage, job))
            if stage.maker.crashing is not None:
                restart(stage.maker.crashing, job)
            said, _ = job.communicate(timeout=60)
    assert job.returncode in ENDED[harm], f"{story}: {job.returncode}\n{said}"

    settle(database, folder, workload)
    found = state(database)
    assert found.facts ^ stage.undisturbed.facts == frozenset(), story
    assert found.ledger == stage.undisturbed.ledger, story
    assert found.rows == stage.undisturbed.rows, story
    assert orphans(database) == [], story
    stage.maker.drop(database)
    return job.returncode


def what_is_done(
    harm: str, stage: Stage, job: subprocess.Popen[str]
) -> Fault | Callable[[], object]:
    """Return what the proxy does at the message: its own fault, or what a test does there."""
    if harm in SIGNALS:
        return partial(job.send_signal, SIGNALS[harm])
    if harm == CRASH:
        assert stage.maker.crashing is not None
        return stage.maker.crashing.stop
    return Fault(harm)


def restart(crashing: Crashing, job: subprocess.Popen[str]) -> None:
    """Start the server again as soon as it is down.

    The job's last message comes after its end, and a run may take some messages fewer than the one
    that was counted: then nothing has happened.
    """
    until(lambda: crashing.is_down or job.poll() is not None, "the crash", 60)
    end = time.monotonic() + _LAST_MESSAGE_S
    while not crashing.is_down and time.monotonic() < end:
        time.sleep(0.02)
    if crashing.is_down:
        crashing.start()


def tell(stage: Stage, harm: str, tried: int, ended: Counter[int]) -> None:
    """Add a line for the table that `make chaos` prints."""
    if "CHAOS_RESULTS" in os.environ:
        line = {
            "workload": stage.workload.name,
            "messages": {way.value: count for way, count in stage.messages.items()},
            "harm": harm,
            "tried": tried,
            "ended": {str(code): count for code, count in sorted(ended.items())},
        }
        with Path(os.environ["CHAOS_RESULTS"]).open("a") as results:
            results.write(json.dumps(line) + "\n")
