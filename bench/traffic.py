"""An app's sessions during a schema change: how long each action takes, and which ones wait."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

Action = Callable[[psycopg.Connection], None]

_APP = "the app"
_PAUSE_S = 0.01
# Sessions of the app that wait for those that change the schema, directly or in their queue.
_WAITING = """
    select l.pid, extract(epoch from clock_timestamp() - l.waitstart)::float, a.query
    from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where not l.granted and a.datname = current_database()
      and a.application_name = %s and l.waitstart is not null
      and exists (
        select from pg_stat_activity b where b.pid = any (pg_blocking_pids(l.pid))
          and b.application_name ~ '^(predeploy|psql)')"""


@dataclass
class Traffic:
    """The app's actions while the traffic runs, and the longest wait that was observed."""

    took_s: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    samples: int = 0
    longest_s: float = 0
    worst: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def done(self) -> dict[str, int]:
        """How often each session has completed its action."""
        return {name: len(took) for name, took in self.took_s.items()}

    def repeat(self, url: str, name: str, go: Action) -> None:
        """Repeat an action, in a separate session, until the traffic is over."""
        took = self.took_s.setdefault(name, [])
        with psycopg.connect(url, application_name=_APP, autocommit=True) as conn:
            while not self.over.wait(_PAUSE_S):
                started = time.perf_counter()
                try:
                    go(conn)
                except psycopg.Error as error:
                    self.errors.append(f"{name}: {error}")
                took.append(time.perf_counter() - started)

    def watch(self, url: str) -> None:
        """Check every few milliseconds which sessions wait, until the traffic is over."""
        with psycopg.connect(url, application_name="the watch", autocommit=True) as conn:
            while not self.over.wait(_PAUSE_S):
                for pid, waited_s, query in conn.execute(_WAITING, [_APP]).fetchall():
                    if waited_s > self.longest_s:
                        self.longest_s, self.worst = waited_s, f"pid {pid}: {query}"
                self.samples += 1


@contextmanager
def traffic(url: str, sessions: Mapping[str, Action]) -> Iterator[Traffic]:
    """Keep these sessions busy during the block, and watch them."""
    seen = Traffic()
    threads = [threading.Thread(target=seen.watch, args=(url,))]
    threads += [
        threading.Thread(target=seen.repeat, args=(url, name, go)) for name, go in sessions.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        seen.over.set()
        for thread in threads:
            thread.join(60)
