"""Why the server would not have us: every text that it is told by, and what that means."""

import math
import re

import pytest
from psycopg import pq

from predeploy.contract.exit_codes import ExitCode
from predeploy.database.server.refusal import REFUSALS, Refusal, classify, classify_ping

AT = 'connection failed: connection to server at "10.1.2.3", port 5432 failed: '
FATAL = f"{AT}FATAL:  "
NO_ENTRY = 'no pg_hba.conf entry for host "10.9.9.9", user "app", database "shop"'
REJECTED = 'pg_hba.conf rejects connection for host "10.9.9.9", user "app", database "shop"'
ON_THAT_HOST = "Is the server running on that host and accepting TCP/IP connections?"
REFUSED = f"Connection refused\n\t{ON_THAT_HOST}"
SOCKET = (
    'connection is bad: connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: '
    "No such file or directory\n\tIs the server running locally and accepting connections on "
    "that socket?"
)
CLOSED = (
    "server closed the connection unexpectedly\n\tThis probably means the server terminated "
    "abnormally\n\tbefore or while processing the request."
)
NO_ROOT = (
    'root certificate file "/app/.postgresql/root.crt" does not exist\nEither provide the file, '
    "use the system's trusted roots with sslrootcert=system, or change sslmode to disable server "
    "certificate verification."
)
NOT_YET = (
    "the database system is not yet accepting connections\n"
    "DETAIL:  Consistent recovery state has not been yet reached."
)
WRONG_PASSWORD = 'password authentication failed for user "app"'
WEAK_SSLMODE = (
    'connection is bad: weak sslmode "prefer" may not be used with sslnegotiation=direct '
    '(use "require", "verify-ca", or "verify-full")'
)
HOT_STANDBY_OFF = (
    "the database system is not accepting connections\nDETAIL:  Hot standby mode is disabled."
)

# Row by row: the text as libpq or psycopg gives it.
WAIT = (
    "failed to resolve host 'db.railway.internal': [Errno -2] Name or service not known",
    "failed to resolve host 'db': [Errno -3] Temporary failure in name resolution",
    "failed to resolve host 'db': [Errno -5] No address associated with hostname",
    'could not translate host name "db" to address: Name or service not known',
    f"{AT}{REFUSED}",
    f"{AT}Connection timed out\n\t{ON_THAT_HOST}",
    f"{AT}No route to host\n\t{ON_THAT_HOST}",
    f"{AT}Network is unreachable",
    f"{AT}timeout expired",
    "connection timeout expired",
    SOCKET,
    f"{AT}{CLOSED}",
    f"{AT}could not receive data from server: Connection reset by peer",
    f"{AT}SSL SYSCALL error: EOF detected",
    f"{AT}SSL SYSCALL error: Connection reset by peer",
    f"{FATAL}the database system is starting up",
    f"{FATAL}the database system is shutting down",
    f"{FATAL}the database system is in recovery mode",
    f"{FATAL}{NOT_YET}",
    f"{FATAL}{HOT_STANDBY_OFF}",
    f"{FATAL}sorry, too many clients already",
    f"{FATAL}remaining connection slots are reserved for roles with the SUPERUSER attribute",
    f"{FATAL}remaining connection slots are reserved for non-replication superuser connections",
    f'{FATAL}too many connections for role "app"',
    f'{FATAL}too many connections for database "shop"',
    f"{FATAL}could not write init file: No space left on device",
    f"{FATAL}could not write init file",
    f"{FATAL}query_wait_timeout",
    f"{FATAL}server login has been failing, cached error: connect failed (server_login_retry)",
)
WAIT_THEN_WRONG_ENDPOINT = (
    f"{AT}session is read-only",
    f"{AT}server is in hot standby mode",
)
GRACE_THEN_DENIED = (
    f'{FATAL}database "shop" is not currently accepting connections',
    f"{FATAL}{WRONG_PASSWORD}",
    f"{FATAL}{WRONG_PASSWORD}\n{FATAL}{WRONG_PASSWORD}",
    f'{FATAL}role "app" is not permitted to log in',
    f'{FATAL}role "app" does not exist',
    f"{FATAL}{NO_ENTRY}, no encryption",
    f"{FATAL}{NO_ENTRY}, SSL encryption",
    f"{FATAL}{REJECTED}, no encryption",
)
GRACE_THEN_CONFIG = (
    f'{FATAL}database "shop" does not exist',
    f"{FATAL}no such database: shop",
    f"{AT}session is not read-only",
    f"{AT}server is not in hot standby mode",
)
DENIED = (
    f'{FATAL}permission denied for database "shop"\nDETAIL:  User does not have CONNECT privilege.',
)
WRONG_ENDPOINT = (
    f"{AT}server does not support SSL, but SSL was required",
    f"{AT}SSL error: certificate verify failed: self-signed certificate in certificate chain",
    f"{AT}{NO_ROOT}",
    f'{AT}server certificate for "a.example.org" does not match host name "b.example.org"',
    f"{AT}received invalid response to SSL negotiation: H",
    f"{AT}expected authentication request from server, but received H",
)
CONFIG = (
    'connection is bad: invalid sslmode value: "bogus"',
    'connection is bad: invalid integer value "abc" for connection option "port"',
    f'{FATAL}unrecognized configuration parameter "search_pat"',
    f"{FATAL}unsupported startup parameter: options",
    f'{FATAL}invalid value for parameter "TimeZone": "Mars"',
    f"{FATAL}-c foo requires a value",
    f'{FATAL}permission denied to set parameter "log_statement"',
    f"{FATAL}unsupported startup parameter in options: statement_timeout",
    WEAK_SSLMODE,
)
VERDICTS = (
    (WAIT, (ExitCode.UNAVAILABLE, "as long as the budget lasts")),
    (WAIT_THEN_WRONG_ENDPOINT, (ExitCode.WRONG_ENDPOINT, "as long as the budget lasts")),
    (GRACE_THEN_DENIED, (ExitCode.DENIED, "for a while")),
    (GRACE_THEN_CONFIG, (ExitCode.CONFIG, "for a while")),
    (DENIED, (ExitCode.DENIED, "not at all")),
    (WRONG_ENDPOINT, (ExitCode.WRONG_ENDPOINT, "not at all")),
    (CONFIG, (ExitCode.CONFIG, "not at all")),
)


def verdict(refusal: Refusal | None) -> tuple[ExitCode, str] | None:
    """How the run ends, and how long it is tried again before."""
    if refusal is None:
        return None
    if refusal.tries == 1:
        return refusal.exit_code, "not at all"
    is_patient = refusal.grace_s == math.inf and refusal.tries > 1000
    return refusal.exit_code, "as long as the budget lasts" if is_patient else "for a while"


def test_every_known_text_has_its_verdict() -> None:
    """What passes is waited for, what may pass gets a grace, and the rest ends at once."""
    expected = {text: said for texts, said in VERDICTS for text in texts}

    found = {text: verdict(classify(text)) for text in expected}

    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{AT}fe_sendauth: no password supplied", (ExitCode.CONFIG, "not at all")),
        (
            f"{AT}SSL error: unexpected eof while reading",
            (ExitCode.UNAVAILABLE, "as long as the budget lasts"),
        ),
    ],
)
def test_a_text_is_not_judged_by_half_of_it(text: str, expected: tuple[ExitCode, str]) -> None:
    """A password that is not set is a setting; a TLS handshake that is cut off is no parameter."""
    assert verdict(classify(text)) == expected


def test_what_nobody_has_a_word_for_is_left_to_a_ping() -> None:
    """Messages may be in another language: then the server is asked whether it is up."""
    texts = (
        "",
        f"{FATAL}das Datenbanksystem startet",
        'missing "=" after "nonsense" in connection info string\n',
        'invalid URI query parameter: "foo"\n',
    )

    assert [classify(text) for text in texts] == [None] * 4


def test_every_answer_of_a_ping_has_its_verdict() -> None:
    """A server that is up is tried a few times, one that is not as long as the budget lasts."""
    assert {ping: verdict(classify_ping(ping)) for ping in pq.Ping} == {
        pq.Ping.OK: (ExitCode.UNAVAILABLE, "for a while"),
        pq.Ping.REJECT: (ExitCode.UNAVAILABLE, "as long as the budget lasts"),
        pq.Ping.NO_RESPONSE: (ExitCode.UNAVAILABLE, "as long as the budget lasts"),
        pq.Ping.NO_ATTEMPT: (ExitCode.CONFIG, "not at all"),
    }


def test_a_grace_is_short() -> None:
    """A wrong password is tried three times at most, so that nobody is locked out."""
    texts = (*GRACE_THEN_DENIED, *GRACE_THEN_CONFIG)

    found = {
        refusal.words: (refusal.tries, refusal.grace_s)
        for refusal in map(classify, texts)
        if refusal
    }

    assert found == {
        "the database accepts no connections": (5, 30),
        "it is a primary, and target_session_attrs asks for a standby": (5, 30),
        "user name or password is wrong": (3, 30),
        "the role may not log in": (3, 30),
        "the role does not exist": (3, 30),
        "the server takes no unencrypted connection from here": (3, 30),
        "the server's pg_hba.conf does not let us in from here": (3, 30),
        "the database does not exist (yet)": (8, 30),
    }


@pytest.mark.parametrize(
    ("text", "advises_tls"),
    [
        (f"{FATAL}{NO_ENTRY}, no encryption", True),
        (f"{FATAL}{REJECTED}, no encryption", True),
        (f"{FATAL}{NO_ENTRY}, SSL encryption", False),
        (f"{FATAL}{NO_ENTRY}, SSL encryption\n{FATAL}{NO_ENTRY}, no encryption", False),
    ],
)
def test_tls_is_advised_where_it_was_not_tried(text: str, *, advises_tls: bool) -> None:
    """With sslmode=prefer libpq tries both; who is refused both ways needs another advice."""
    refusal = classify(text)

    assert refusal is not None
    assert ("sslmode=require" in refusal.remedy) is advises_tls


@pytest.mark.parametrize(
    ("silence", "answer", "expected"),
    [
        (REFUSED, f"FATAL:  {WRONG_PASSWORD}", ExitCode.DENIED),
        ("timeout expired", 'FATAL:  database "shop" does not exist', ExitCode.CONFIG),
        (
            "Network is unreachable",
            "server does not support SSL, but SSL was required",
            ExitCode.WRONG_ENDPOINT,
        ),
    ],
)
def test_an_answer_outweighs_the_silence_of_another_address(
    silence: str, answer: str, expected: ExitCode
) -> None:
    """Of a name's two addresses (::1 and 127.0.0.1) often only one has a server behind it."""
    text = (
        f'connection failed: connection to server at "127.0.0.1", port 5432 failed: {answer}\n'
        "Multiple connection attempts failed. All failures were:\n"
        "- host: 'localhost', port: '5432', hostaddr: '::1': connection failed: connection to "
        f'server at "::1", port 5432 failed: {silence}\n'
        "- host: 'localhost', port: '5432', hostaddr: '127.0.0.1': connection failed: connection "
        f'to server at "127.0.0.1", port 5432 failed: {answer}'
    )

    refusal = classify(text)

    assert refusal is not None
    assert refusal.exit_code is expected


@pytest.mark.parametrize("name", ["certificates.internal", "scram-db", "timed out"])
def test_a_name_is_not_taken_for_a_message(name: str) -> None:
    """Hosts, users and databases may be called like an error."""
    closed = f'connection failed: connection to server at "{name}", port 5432 failed: {CLOSED}'
    missing = f'{FATAL}database "{name}" does not exist'

    assert verdict(classify(closed)) == verdict(classify(f"{AT}{CLOSED}"))
    assert verdict(classify(missing)) == verdict(classify(f'{FATAL}database "shop" does not exist'))


def test_a_refusal_speaks_in_our_own_words() -> None:
    """Words and remedy are constants without a driver's text, and say what to do."""
    for refusal in (*REFUSALS, *map(classify_ping, pq.Ping)):
        assert refusal.words
        assert refusal.remedy
        assert not re.search(r"FATAL|DETAIL|[\"\n\t%{}]", refusal.words + refusal.remedy)
        assert refusal.exit_code.label in {"unavailable", "wrong-endpoint", "denied", "config"}
        assert refusal.tries >= 1
        assert refusal.grace_s >= 0
