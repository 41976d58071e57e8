"""An app's sessions beside a change of the schema: how long each takes, who waits."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

Action = Callable[[psycopg.Connection], None]

_APP = "the app"
_PAUSE_S = 0.01
# The app's sessions that wait for those that change the schema, or only stand in their queue.
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
    """What the app's sessions did while the traffic went on, and how long one was seen waiting."""

    took_s: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    samples: int = 0
    longest_s: float = 0
    worst: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def done(self) -> dict[str, int]:
        """How often each session has done its part."""
        return {name: len(took) for name, took in self.took_s.items()}

    def repeat(self, url: str, name: str, go: Action) -> None:
        """Do it again and again, in a session of its own, until the traffic is over."""
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
        """Look every few milliseconds who waits, until the traffic is over."""
        with psycopg.connect(url, application_name="the watch", autocommit=True) as conn:
            while not self.over.wait(_PAUSE_S):
                for pid, waited_s, query in conn.execute(_WAITING, [_APP]).fetchall():
                    if waited_s > self.longest_s:
                        self.longest_s, self.worst = waited_s, f"pid {pid}: {query}"
                self.samples += 1


@contextmanager
def traffic(url: str, sessions: Mapping[str, Action]) -> Iterator[Traffic]:
    """Keep these sessions busy meanwhile, and watch them."""
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
