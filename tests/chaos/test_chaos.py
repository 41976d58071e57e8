"""Whatever dies at whatever message: a clean rerun ends as a run that was never disturbed.

The suite tries a third of the pairs of workload and fault, each at a random message, and its header
prints the seed; `make chaos` tries every message with every fault, and prints the table of
docs/reliability.md.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from threading import BoundedSemaphore

import pytest
from crashing import Crashing, crashing
from forked import Forked, forked_job
from messages import Depth, Place
from production import until
from proxy import Fault, Harm, proxied
from record import Record
from stages import Maker, Stage, port_of, staged
from tiers import sampled
from workloads import WORKLOADS

pytestmark = pytest.mark.dear

SEED = os.environ["CHAOS_SEED"]
SAMPLE = int(os.environ.get("CHAOS_SAMPLE", "1"))  # of each workload and harm; 0: every message
DEPTH = Depth(os.environ.get("CHAOS_DEPTH", "every"))
ONLY = os.environ.get("CHAOS_WORKLOADS", "").split()
MINUTES = float(os.environ.get("CHAOS_MINUTES", "inf"))  # then nothing more is begun
_RESULTS = os.environ.get("CHAOS_RESULTS")
_LAST_MESSAGE_S = 2
_ENDS_WITHIN_S = 60
SIGNALS = {"sigkill": signal.SIGKILL, "sigterm": signal.SIGTERM}
CRASH = "crash"  # of the server: an immediate stop, and a start
FAULTS = (Fault.CUT, Fault.RESET, Fault.STALL, Fault.DELAY)
HARMS = (*(fault.value for fault in FAULTS), *SIGNALS, CRASH)
# How many at once: who waits for a silent server costs nothing; one is crashed for one job only.
AT_ONCE = {Fault.STALL.value: 16, CRASH: 3, **dict.fromkeys(SIGNALS, 4)}
AT_ONCE_ELSE = 5  # who connects again waits a little, too
_BUSY = BoundedSemaphore(3)  # with what keeps a core busy
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
# They start again hundreds of times, and have little to do.
_SMALL = {"shared_buffers": "16MB", "autovacuum": "off"}


class Theatre:
    """Makes each workload's stages once: one on a calm server, and one on each that can crash."""

    def __init__(self, calm: Maker, binaries: Path, make_root: Callable[[str], Path]) -> None:
        self.record = Record(Path(_RESULTS) if _RESULTS else None)
        self.began = time.monotonic()
        self._calm = calm
        self._binaries = binaries
        self._make_root = make_root
        self._shaky: list[Maker] = []
        self._made: dict[tuple[str, Maker], Stage] = {}
        self._open = ExitStack()
        # A server dies with the thread that started it, so they live as long as the servers.
        self._threads = self._open.enter_context(ThreadPoolExecutor(max(AT_ONCE.values())))

    def close(self) -> None:
        self._calm.drop_all()
        self._open.close()

    @property
    def is_late(self) -> bool:
        return time.monotonic() - self.began > MINUTES * 60

    def each(self, name: str, harm: str, try_one: Callable[[Stage, Place], int]) -> list[Exception]:
        """Try what was not tried yet, several at once; return what was wrong."""
        at_once = min(AT_ONCE.get(harm, AT_ONCE_ELSE), SAMPLE or 99)
        stages = self._stages(name, harm, at_once)
        idle: SimpleQueue[Stage] = SimpleQueue()
        for at in range(at_once):
            idle.put(stages[at % len(stages)])

        def try_it(place: Place) -> Exception | None:
            stage = idle.get()
            try:
                if not self.is_late:
                    self.record.note(name, harm, place, try_one(stage, place))
            except Exception as wrong:  # noqa: BLE001 - the others are tried all the same
                self.record.note(name, harm, place, None)
                return wrong
            finally:
                idle.put(stage)
            return None

        left = [
            place
            for place in chosen(stages[0], harm)
            if self.record.ended.get((name, harm, place)) is None
        ]
        trying = [self._threads.submit(try_it, place) for place in left]
        try:
            return [wrong for tried in trying if (wrong := tried.result()) is not None]
        finally:
            for tried in trying:  # somebody may have interrupted us
                tried.cancel()

    def _stages(self, name: str, harm: str, at_once: int) -> list[Stage]:
        calm = self._stage(name, self._calm, None)
        if harm != CRASH:
            return [calm]
        while len(self._shaky) < at_once:
            entering = self._threads.submit(
                self._open.enter_context, crashing(self._binaries, _SMALL)
            )
            server = entering.result()
            self._shaky.append(Maker(server.server.url(), server))
        return [self._stage(name, maker, calm) for maker in self._shaky[:at_once]]

    def _stage(self, name: str, maker: Maker, calm: Stage | None) -> Stage:
        if (name, maker) not in self._made:
            if calm is None:
                known = self.record.messages.get(name)
                made = staged(WORKLOADS[name], maker, self._make_root(name), known)
                self.record.note_messages(name, made.messages)
            else:
                made = calm.elsewhere(maker)
            self._made[name, maker] = made
        return self._made[name, maker]


@pytest.fixture(scope="module")
def theatre(
    superuser_url: str, binaries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Theatre]:
    theatre = Theatre(Maker(superuser_url), binaries, tmp_path_factory.mktemp)
    yield theatre
    theatre.close()


def chosen(stage: Stage, harm: str) -> list[Place]:
    """Return what to disturb, in a random order; of every message of both directions, a sample."""
    places = stage.messages.places(Depth.EVERY if SAMPLE else DEPTH)
    chance = random.Random(f"{SEED} {stage.scene.workload.name} {harm}")  # noqa: S311 - nobody guesses
    return chance.sample(places, min(SAMPLE or len(places), len(places)))


@pytest.mark.timeout(0 if not SAMPLE else 300)
@pytest.mark.parametrize("pair", sampled(product(ONLY or WORKLOADS, HARMS), 10), ids="-".join)
def test_a_rerun_ends_as_an_undisturbed_run(theatre: Theatre, pair: tuple[str, str]) -> None:
    """Whatever died where: facts, ledger and every row are as if nothing had."""
    name, harm = pair
    wrong = theatre.each(name, harm, partial(disturbed, harm))

    assert not wrong, "\n\n".join(map(str, wrong))


def disturbed(harm: str, stage: Stage, place: Place) -> int:
    """Run once with the harm and once without; return the exit code of the first."""
    scene, (direction, at) = stage.scene, place
    story = f"CHAOS_SEED={SEED}: {scene.workload.name}, {harm} at message {at} {direction.value}"
    database = scene.clone()
    with proxied(port_of(database)) as proxy:
        settings = scene.settings(database, proxy)
        if harm == Fault.STALL.value:
            settings["PREDEPLOY_DEADLINE"] = DEADLINE
        with forked_job("run", environ=settings) as job:
            proxy.harm = Harm(direction, at, what_is_done(harm, stage, job))
            if scene.maker.crashing is not None:
                restart(scene.maker.crashing, job)
            status = job.wait(_ENDS_WITHIN_S)
            assert status in ENDED[harm], f"{story}: {status}\n{job.said}"

    with _BUSY:
        scene.settle(database, story)
        stage.undisturbed.require_like(database, story)
        scene.maker.drop(database)
    return status


def what_is_done(harm: str, stage: Stage, job: Forked) -> Fault | Callable[[], object]:
    """Return what the proxy does at the message: its own fault, or what a test does there."""
    if harm in SIGNALS:
        return partial(job.send_signal, SIGNALS[harm])
    if harm == CRASH:
        assert stage.scene.maker.crashing is not None
        return stage.scene.maker.crashing.stop
    return Fault(harm)


def restart(crashing: Crashing, job: Forked) -> None:
    """Start the server again as soon as it is down.

    The job's last message comes after its end, and a run may take some messages fewer than the one
    that was counted: then nothing has happened.
    """
    until(lambda: crashing.is_down or job.status is not None, "the crash", 60)
    end = time.monotonic() + _LAST_MESSAGE_S
    while not crashing.is_down and time.monotonic() < end:
        time.sleep(0.02)
    if crashing.is_down:
        crashing.start()
