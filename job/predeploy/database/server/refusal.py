"""Why the server refused a connection, judged by the only evidence: the error's text.

A failed connection carries no SQLSTATE (psycopg 3.3, libpq 18), so its text is matched; an unknown
text is judged by a ping (`PQping`). The texts never leave this module, because libpq may quote a
connection string in them.
"""

import re
from dataclasses import dataclass

from psycopg import pq

from predeploy.contract.exit_codes import ExitCode
from predeploy.database.server.failure import READ_ONLY

# In effect no limit: the grace period and the connect budget decide.
_PATIENT = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal: its meaning, the remedy, and how long it may last.

    It is retried until `tries` attempts have been made or `grace_s` seconds have passed, within the
    connect budget; then the run ends with `exit_code`.
    """

    pattern: str
    words: str
    exit_code: ExitCode
    remedy: str = ""
    tries: int = _PATIENT
    grace_s: float = float("inf")


_HOST = "check the host name; an unescaped @ or / in the password also ends here"
_ROLE = "check user and password (a role that does not exist is refused in the same words)"
_OPEN = "check that the server runs, and host and port"

NO_SLOT = Refusal("too many clients already|remaining connection slots|too many connections for", "it has no free connection slot", ExitCode.UNAVAILABLE, "raise max_connections or the role's or the database's CONNECTION LIMIT, or close idle sessions")  # fmt: skip

# Tried in order: the first match wins. Timeouts come last: if a name has two addresses, an answer
# from one of them outweighs the silence of the other.
REFUSALS = (
    Refusal('database ".*" is not currently accepting connections', "the database accepts no connections", ExitCode.DENIED, "allow them: ALTER DATABASE … ALLOW_CONNECTIONS true", 5, 30),
    Refusal("is starting up|is shutting down|in recovery mode|not yet accepting|not accepting connections", "the server is starting or stopping", ExitCode.UNAVAILABLE, "wait, or look at the server's log"),
    NO_SLOT,
    Refusal("No space left on device|could not write init file", "its disk is full", ExitCode.UNAVAILABLE, "make room on the server"),
    Refusal("session is read-only|server is in hot standby mode", "it is a standby or read-only", ExitCode.WRONG_ENDPOINT, READ_ONLY),
    Refusal("session is not read-only|server is not in hot standby mode", "it is a primary, and target_session_attrs asks for a standby", ExitCode.CONFIG, "take target_session_attrs out of the URL (or unset PGTARGETSESSIONATTRS)", 5, 30),
    Refusal("password authentication failed|SCRAM|authentication failed for user", "user name or password is wrong", ExitCode.DENIED, _ROLE, 3, 30),
    Refusal("no password supplied", "the server wants a password and none is set", ExitCode.CONFIG, "put it into the URL or into PGPASSWORD", 1, 0),
    Refusal("SSL encryption(?s:.)*no encryption", "the server's pg_hba.conf does not let us in from here", ExitCode.DENIED, "add an entry for this user, database and address", 3, 30),
    Refusal("pg_hba.conf.*no encryption", "the server takes no unencrypted connection from here", ExitCode.DENIED, "add sslmode=require to the URL", 3, 30),
    Refusal("pg_hba.conf", "the server's pg_hba.conf does not let us in from here", ExitCode.DENIED, "add an entry for this user, database and address", 3, 30),
    Refusal("is not permitted to log in", "the role may not log in", ExitCode.DENIED, "ALTER ROLE … LOGIN", 3, 30),
    Refusal('role ".*" does not exist', "the role does not exist", ExitCode.DENIED, "CREATE ROLE … LOGIN", 3, 30),
    Refusal("permission denied for database", "the role may not connect to the database", ExitCode.DENIED, "GRANT CONNECT ON DATABASE … TO …", 1, 0),
    Refusal('database ".*" does not exist|no such database', "the database does not exist (yet)", ExitCode.CONFIG, "create it, or fix the database name", 8, 30),
    Refusal("server does not support SSL", "TLS is required and the server offers none", ExitCode.WRONG_ENDPOINT, "set sslmode=prefer, or turn TLS on in the server", 1, 0),
    Refusal("certificate verify failed|certificate|does not match host name", "its certificate cannot be trusted", ExitCode.WRONG_ENDPOINT, "mount its CA and set sslrootcert, or use sslmode=require (encrypts, checks nothing)", 1, 0),
    Refusal("invalid response to SSL negotiation|expected authentication request", "what answers there is not PostgreSQL", ExitCode.WRONG_ENDPOINT, "check host and port", 1, 0),
    Refusal("server closed the connection unexpectedly|Connection reset|EOF detected|unexpected eof|query_wait_timeout|server login has been failing", "it closed the connection", ExitCode.UNAVAILABLE, "look at the server's log"),
    Refusal("unsupported startup parameter|unrecognized configuration parameter|invalid value for parameter|requires a value|permission denied to set parameter|SSL error|sslmode|invalid .*option|weak sslmode", "a connection parameter is not accepted", ExitCode.CONFIG, "check the parameters behind the ? of the URL, and the PG variables beside it", 1, 0),
    Refusal("no name server has answered", "no name server answers (yet)", ExitCode.UNAVAILABLE, "check the network and its name servers"),
    Refusal("failed to resolve host|could not translate host name", "the host name is not known (yet)", ExitCode.UNAVAILABLE, _HOST),
    Refusal("Connection refused", "nothing is listening there (yet)", ExitCode.UNAVAILABLE, _OPEN),
    Refusal("connection timeout expired|timed out|timeout expired", "no answer in time", ExitCode.UNAVAILABLE, _OPEN),
    Refusal("No route to host|Network is unreachable|No such file or directory", "it cannot be reached (yet)", ExitCode.UNAVAILABLE, _OPEN),
)  # fmt: skip

_BY_PING = {
    pq.Ping.OK: Refusal("", "it refuses this connection", ExitCode.UNAVAILABLE, "look at the server's log", 5, 60),
    pq.Ping.REJECT: Refusal("", "it is not accepting connections right now", ExitCode.UNAVAILABLE, "look at the server's log"),
    pq.Ping.NO_RESPONSE: Refusal("", "it does not answer", ExitCode.UNAVAILABLE, _OPEN),
    pq.Ping.NO_ATTEMPT: Refusal("", "the connection parameters are not valid", ExitCode.CONFIG, "check the URL", 1, 0),
}  # fmt: skip


def classify(text: str) -> Refusal | None:
    """Return the refusal that matches an error's text; None if the text is unknown."""
    without_names = re.sub(r'"[^"\n]*"', '""', text)  # a host's name may match an error's text
    found = (r for r in REFUSALS if re.search(r.pattern, without_names, re.IGNORECASE))
    return next(found, None)


def classify_ping(ping: pq.Ping) -> Refusal:
    """Return the refusal that corresponds to a ping's result."""
    return _BY_PING[ping]
