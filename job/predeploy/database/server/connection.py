"""Opens connections: retries transient failures, gives up quickly on permanent ones.

Each refusal is logged once per attempt, in predeploy's own words, without any part of a connection
string.
"""

import time
from typing import Any

import psycopg
import structlog
import tenacity
from psycopg import pq

from predeploy import __version__
from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import ConnectionLostError, DatabaseRefusedError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.secret import Secret
from predeploy.database.server.refusal import NO_SLOT, Refusal, classify, classify_ping
from predeploy.database.server.resolve import bounded, with_addresses
from predeploy.database.server.wire import ENDED, Connection
from predeploy.settings.endpoint import Endpoint

log = structlog.get_logger()

APPLICATION = f"predeploy/{__version__}"
_OLDEST, _NEWEST = 15, 18  # major versions that predeploy is tested with
_TRY_S = 10
_BESIDE_S = 30  # for all addresses: the first may not work
_TRIES_BESIDE = 3
_MIN_LOOK_UP_S = 1
# With these a vanished server is noticed within ten seconds, even in the middle of a statement.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": _TRY_S,
    "keepalives": 1,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8000,
    "target_session_attrs": "read-write",
    "client_encoding": "utf8",
}


class _RefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


class _Patience:
    """Decides when to stop, by each refusal's attempts and grace period and the overall budget."""

    def __init__(self, budget: Deadline) -> None:
        self._budget = budget
        self._refusal: Refusal | None = None
        self._tries = 0
        self._since_s = 0.0

    def stop(self, state: tenacity.RetryCallState) -> bool:
        refusal = _refusal_of(state)
        # Each kind of refusal starts with its own attempts and grace period.
        if refusal is not self._refusal:
            self._refusal, self._tries, self._since_s = refusal, 0, time.monotonic()
        self._tries += 1
        grace = Deadline(self._since_s + refusal.grace_s)
        left_s = min(grace.left_s, self._budget.left_s)
        return self._tries >= refusal.tries or left_s <= 0

    def wait(self, state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(multiplier=0.5, min=0.25, max=5)
        return min(jitter(state), self._budget.left_s)


def connect(endpoint: Endpoint, budget: Deadline) -> Connection:
    """Connect, in autocommit mode, within `budget`.

    Raises DatabaseRefusedError with the exit code of the last refusal: 69 if the server could not
    be reached, 76 if it is the wrong one, 77 if it denies access, 78 if the settings are invalid.
    No connection is left open in that case.
    """
    patience = _Patience(budget)

    def log_refusal(state: tenacity.RetryCallState) -> None:
        log.warning(
            f"cannot connect: {_refusal_of(state).words}",
            target=endpoint.target,
            attempt=state.attempt_number,
            next_in_s=round(state.upcoming_sleep, 2),
            budget_left_s=round(budget.left_s),
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_RefusedError),
        stop=patience.stop,
        wait=patience.wait,
        before_sleep=log_refusal,
        reraise=True,
    )
    try:
        conn = retrying(_try_once, endpoint, budget)
    except _RefusedError as refused:
        raise _given_up(endpoint, refused.refusal) from None
    _require_usable(conn, endpoint)
    return conn


def connect_beside(endpoint: Endpoint) -> Connection:
    """Open a second connection next to an open one, with few attempts.

    Raises DatabaseRefusedError: with 75 if the server is unavailable, with a message about the two
    connections that predeploy needs; otherwise as `connect` does. A lack of connection slots is not
    retried, because predeploy's own first connection may hold the last one.
    """
    budget = Deadline.after(_BESIDE_S)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass_soon),
        stop=tenacity.stop_after_attempt(_TRIES_BESIDE),
        wait=tenacity.wait_random_exponential(multiplier=0.25, max=1),
        reraise=True,
    )
    try:
        conn: Connection = retrying(_try_once, endpoint, budget)
    except _RefusedError as refused:
        error = _given_up(endpoint, refused.refusal)
        if refused.refusal.exit_code is ExitCode.UNAVAILABLE:
            message = f"predeploy needs two connections and got one: {error}"
            raise DatabaseRefusedError(message, exit_code=ExitCode.TEMPFAIL) from None
        raise error from None
    return conn


def _may_pass_soon(error: BaseException) -> bool:
    return (
        isinstance(error, _RefusedError)
        and error.refusal.exit_code is ExitCode.UNAVAILABLE
        and error.refusal is not NO_SLOT
    )


def _try_once(endpoint: Endpoint, budget: Deadline) -> Connection:
    given = {k: v.reveal() if isinstance(v, Secret) else v for k, v in endpoint.parameters}
    parameters = {**_DEFAULTS, **given, "application_name": APPLICATION}
    try:
        # libpq's connect_timeout does not cover name resolution.
        parameters = with_addresses(parameters, min(_TRY_S, max(budget.left_s, _MIN_LOOK_UP_S)))
        parameters = bounded(parameters, budget.left_s, has_timeout="connect_timeout" in given)
        # Without prepared statements, which do not survive a pooler in transaction mode.
        return psycopg.connect(autocommit=True, prepare_threshold=None, **parameters)
    except psycopg.Error as error:
        refusal = classify(str(error)) or _pinged(parameters)
    raise _RefusedError(refusal)


def _pinged(parameters: dict[str, Any]) -> Refusal:
    conninfo = psycopg.conninfo.make_conninfo("", **parameters)
    return classify_ping(pq.Ping(pq.PGconn.ping(conninfo.encode())))


def _refusal_of(state: tenacity.RetryCallState) -> Refusal:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _RefusedError)  # noqa: S101 - nothing else is retried
    return error.refusal


def _given_up(endpoint: Endpoint, refusal: Refusal) -> DatabaseRefusedError:
    remedy = f"; {refusal.remedy}" if refusal.remedy else ""
    return DatabaseRefusedError(
        f"cannot connect to {endpoint.target} ({endpoint.variable}): {refusal.words}{remedy}",
        exit_code=refusal.exit_code,
    )


def _require_usable(conn: Connection, endpoint: Endpoint) -> None:
    """Refuse a server that predeploy would misuse: an old one, or one with old string syntax."""
    major = conn.info.server_version // 10000
    if major < _OLDEST:
        conn.close()
        raise DatabaseRefusedError(
            f"{endpoint.target} is PostgreSQL {major}; predeploy needs {_OLDEST} or newer, "
            f"and is tested on {_OLDEST} to {_NEWEST}",
            exit_code=ExitCode.WRONG_ENDPOINT,
        )
    # The parser assumes that a backslash in a plain literal is an ordinary character.
    if conn.info.parameter_status("standard_conforming_strings") == "off":
        conn.close()
        raise DatabaseRefusedError(
            f"{endpoint.target} has standard_conforming_strings off, so the files would be read "
            "differently from how they were checked; turn it on for the role or the database",
            exit_code=ExitCode.BAD_SOURCES,
        )
    if major > _NEWEST:
        log.warning(
            f"{endpoint.target} is PostgreSQL {major}; this predeploy is tested on {_OLDEST} to "
            f"{_NEWEST}: look for a newer one"
        )


def require_alive(conn: Connection) -> None:
    """Raise ConnectionLostError if the server has closed the connection; needs no round trip."""
    last_words: list[psycopg.errors.Diagnostic] = []

    def hear(said: psycopg.errors.Diagnostic) -> None:
        if said.severity_nonlocalized == "FATAL":
            last_words.append(said)

    conn.add_notice_handler(hear)  # an unsolicited error arrives as a notice
    try:
        conn.pgconn.consume_input()
        conn.pgconn.is_busy()
    except psycopg.Error:
        last_words = last_words or [psycopg.errors.OperationalError().diag]
    finally:
        conn.remove_notice_handler(hear)
    if last_words:
        why = "the lock's connection was lost; run again"
        raise ConnectionLostError(why, was_ended=last_words[0].sqlstate == ENDED) from None
