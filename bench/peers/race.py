"""Runs contestants against each other: which ones are available, and what their runs take."""

import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench.harness import SHIPPED, BenchError, Database, Ground, Size
from bench.peers.install import installed
from bench.peers.tool import Contestant, Migration, Peer
from bench.process import Running, Usage, start
from bench.relay import Relay, relayed
from bench.table import Words

_COLUMNS = """
    select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0"""
_SAID = 160
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
OURS = "predeploy"


@dataclass(frozen=True, slots=True)
class Way:
    """The number of a run's round trips and connections."""

    round_trips: int
    connections: int


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contestant that has proved itself; its round trips on the first and on a further run."""

    contestant: Contestant
    first: Way
    again: Way


@dataclass(frozen=True, slots=True)
class Field:
    """The contestants that run, and those that are skipped, with the reason."""

    entrants: tuple[Entrant, ...]
    skipped: tuple[str, ...]

    def words(self) -> Words:
        """Return what runs in which version, and what is skipped."""
        ran = "; ".join(
            f"{each.peer.name}: {each.peer.install.what}" for each in self._contestants()
        )
        why = f" Skipped: {'; '.join(self.skipped)}." if self.skipped else ""
        return Words(f"{ran}.{why}")

    def _contestants(self) -> Iterator[Contestant]:
        return (each.contestant for each in self.entrants)


@dataclass(frozen=True, slots=True)
class Result:
    """One contestant's measured runs by round trip delay, up to its first failure."""

    contestant: Contestant
    way: Way
    runs: dict[int, list[Usage]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The contestant's name."""
        return self.contestant.peer.name

    def run(self, port: int, database: Database, delay_ms: int, *, again: bool = False) -> None:
        """Run once more, and record the usage or the failure."""
        try:
            used = ran(self.contestant, port, database, again=again)
        except BenchError as error:
            self.failures.append(f"{error}, at {delay_ms} ms")
        else:
            self.runs.setdefault(delay_ms, []).append(used)

    @property
    def medians(self) -> dict[int, float]:
        """Return the median seconds at each delay."""
        return {
            delay: statistics.median(run.seconds for run in runs)
            for delay, runs in self.runs.items()
        }

    @property
    def cpu_s(self) -> float:
        """Return the median CPU seconds."""
        return statistics.median(run.cpu_s for run in self._all())

    @property
    def rss_mb(self) -> float:
        """Return the median peak memory in MB."""
        return statistics.median(run.rss_mb for run in self._all())

    def _all(self) -> list[Usage]:
        return [run for runs in self.runs.values() for run in runs]


def shipped() -> tuple[Migration, ...]:
    """Return the migrations of sql/, in no tool's format."""
    files = sorted((SHIPPED / "migrations").iterdir())
    return tuple(
        Migration(n, path.stem.partition("_")[2], path.read_text())
        for n, path in enumerate(files, start=1)
    )


def entered(ground: Ground, peers: Iterable[Peer], migrations: Sequence[Migration]) -> Field:
    """Install the peers, lay out their folders, and check that each applies the migrations.

    Peers that fail are skipped. Raises BenchError if predeploy itself fails.
    """
    whole = wanted(ground, migrations)
    entrants: list[Entrant] = []
    skipped: list[str] = []
    for peer in peers:
        try:
            home = installed(peer.name, peer.install)
            contestant = Contestant(peer, home, ground.folder(peer.layout(migrations)))
            entrants.append(_proved(ground, contestant, whole))
        except BenchError as error:
            if peer.name.startswith(OURS):
                raise
            skipped.append(f"{peer.name} ({error})")
    return Field(tuple(entrants), tuple(skipped))


def fresh(ground: Ground, entrants: Sequence[Entrant], size: Size) -> tuple[Result, ...]:
    """Measure each on an empty database."""
    results = [Result(each.contestant, each.first) for each in entrants]
    with _lines(ground, size.delays_ms) as lines:
        for delay, result in _turns(size, results):
            with ground.database() as database:
                result.run(lines[delay], database, delay)
    return tuple(results)


def settled(ground: Ground, entrants: Sequence[Entrant], size: Size) -> tuple[Result, ...]:
    """Measure each on a database where it has nothing left to do."""
    results = [Result(each.contestant, each.again) for each in entrants]
    with _lines(ground, size.delays_ms) as lines, ExitStack() as stack:
        databases = {result.name: _prepared(ground, result.contestant, stack) for result in results}
        for delay, result in _turns(size, results):
            result.run(lines[delay], databases[result.name], delay, again=True)
    return tuple(results)


def started(
    contestant: Contestant, port: int, database: Database, *, again: bool = False
) -> Running:
    """Start a contestant, on the server's port or a relay's."""
    return start(
        contestant.command(port, database.name, again=again),
        contestant.environ(port, database.name),
        contestant.folder,
    )


def ran(contestant: Contestant, port: int, database: Database, *, again: bool = False) -> Usage:
    """Run a contestant to its end. Raises BenchError if it fails."""
    used = started(contestant, port, database, again=again).wait()
    if used.code:
        raise BenchError(
            f"{contestant.peer.name} ended with {used.code}: {complaint(contestant, used)}"
        )
    return used


def complaint(contestant: Contestant, used: Usage) -> str:
    """Return the first line that mentions an error, or the last line, without local paths."""
    said = used.said.replace(str(contestant.home), "").replace(str(contestant.folder), "")
    lines = [line.strip() for line in _CONTROL.sub("", said).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines[-1:] or [""])[0][:_SAID]


def wanted(ground: Ground, migrations: Sequence[Migration]) -> int:
    """Return how many columns the migrations create."""
    with ground.database() as database:
        database.execute("\n".join(each.sql for each in migrations))
        return columns(database)


def _proved(ground: Ground, contestant: Contestant, whole: int) -> Entrant:
    """Run it twice and count round trips; exit code 0 proves little, so check the columns."""
    with ground.database() as database, relayed(ground.server.port) as relay:
        ran(contestant, relay.port, database)
        if (made := columns(database)) < whole:
            raise BenchError(f"exits with 0 and leaves {made} of {whole} columns")
        first = Way(relay.round_trips, relay.connections)
        relay.reset()
        ran(contestant, relay.port, database, again=True)
        return Entrant(contestant, first, Way(relay.round_trips, relay.connections))


def columns(database: Database) -> int:
    """Return the number of columns of the tables in public."""
    with database.connect() as conn:
        row = conn.execute(_COLUMNS).fetchone()
    return int(row[0]) if row else 0


def _prepared(ground: Ground, contestant: Contestant, stack: ExitStack) -> Database:
    database = stack.enter_context(ground.database())
    ran(contestant, ground.server.port, database)
    return database


def _turns(size: Size, results: Sequence[Result]) -> Iterator[tuple[int, Result]]:
    """Yield each result once for each round and delay, so that load affects all."""
    for _ in range(size.rounds):
        for delay in size.delays_ms:
            for result in results:
                if not result.failures:
                    yield delay, result


@contextmanager
def _lines(ground: Ground, delays_ms: Sequence[int]) -> Iterator[Mapping[int, int]]:
    """Yield the port for each delay; without a delay it is the server's own, with no relay."""
    with ExitStack() as stack:
        relays: dict[int, Relay] = {
            delay: stack.enter_context(relayed(ground.server.port, delay / 1000))
            for delay in delays_ms
            if delay
        }
        yield dict.fromkeys(delays_ms, ground.server.port) | {
            delay: relay.port for delay, relay in relays.items()
        }
