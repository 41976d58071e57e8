"""The address of the database, read as libpq reads it, from connection URLs and PG* variables.

Nothing here connects, logs or looks at the environment by itself. With an unescaped `@` or `/` in a
password, a piece of the password stands where the host or the port belongs: therefore no message,
note, repr or target shows anything of a value that may have been split wrongly.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import unquote

from predeploy.contract.search_path import PATH_PARAMETERS, SearchPath, apart
from predeploy.contract.secret import Secret

_Reading: TypeAlias = tuple[dict[str, str], tuple[str, ...]]  # parameters and notes

URL_VARIABLES = (
    "MIGRATION_DATABASE_URL",
    "DATABASE_UNPOOLED_URL",
    "DIRECT_DATABASE_URL",
    "DIRECT_URL",
    "DATABASE_URL_UNPOOLED",
    "POSTGRES_URL_NON_POOLING",
    "DATABASE_URL",
)
_WITH_VARIABLE = """
    service user password passfile channel_binding connect_timeout dbname host hostaddr port
    client_encoding options application_name sslmode sslnegotiation sslcompression sslcert sslkey
    sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer require_auth min_protocol_version
    max_protocol_version ssl_min_protocol_version ssl_max_protocol_version gssencmode krbsrvname
    gsslib gssdelegation target_session_attrs load_balance_hosts
""".split()  # noqa: SIM905 - one word per line would bury the code; the same below
_WITHOUT_VARIABLE = """
    fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count
    tcp_user_timeout sslpassword replication scram_client_key scram_server_key oauth_issuer
    oauth_client_id oauth_client_secret oauth_scope sslkeylogfile
""".split()  # noqa: SIM905

KEYWORDS = frozenset((*_WITH_VARIABLE, *_WITHOUT_VARIABLE))
"""Every parameter of libpq 18."""
SECRET_KEYWORDS = frozenset(k for k in KEYWORDS if k.endswith(("password", "secret", "_key")))
VARIABLES: Mapping[str, str] = {
    **{keyword: f"PG{keyword.upper().replace('_', '')}" for keyword in _WITH_VARIABLE},
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
}
"""For each libpq keyword, the environment variable that is used if the keyword is not given."""
FOREIGN_PARAMETERS = frozenset(
    """
    binary_parameters command_timeout connection_limit connectTimeout default_query_exec_mode
    encoding loginTimeout pgbouncer pool pool_health_check_period
    pool_max_conn_idle_time pool_max_conn_lifetime pool_max_conns pool_min_conns pool_mode pool_size
    pool_timeout prepared_statement_cache_size prepared_statements prepareThreshold
    reWriteBatchedInserts single_use_connections socket_timeout socketTimeout
    sslaccept sslidentity statement_cache_size supa tcpKeepAlive timeout uselibpqcompat workaround
    """.split()  # noqa: SIM905
)
"""URL parameters of other languages' drivers, ORMs and poolers, which libpq refuses."""

_INTEGERS = {k for k in KEYWORDS if k.startswith("keepalives") or k.endswith("_timeout")}
_CHOICES = {
    "sslmode": "disable allow prefer require verify-ca verify-full",
    "sslnegotiation": "postgres direct",
    "sslcertmode": "disable allow require",
    "channel_binding": "disable prefer require",
    "gssencmode": "disable prefer require",
    "load_balance_hosts": "disable random",
    "replication": "false off no 0",  # over the others the server takes no bound values, or no SQL
    "target_session_attrs": "any read-write read-only primary standby prefer-standby",
}
_SSL_MODES = {
    **dict.fromkeys(("true", "1", "on", "yes", "no-verify"), "require"),
    **dict.fromkeys(("false", "0", "off", "no"), None),
}
_NOT_TEXT = r"[\x00\ud800-\udfff]"
_HOST_AND_PORT = re.compile(r"\A(?:\[([^\[\]]+)\]|([^:]*))(?::(.*))?\Z")
# possessive, so that a quote which is never closed cannot be read as no value at all
_PAIR = r"(?as:([^=\s]+)\s*=\s*+(?:'((?:[^'\\]|\\.)*+)'|((?!')(?:[^\s\\]|\\.|\\\Z)*+))\s*)"
_ADVICE = "in a URL's user name or password, write @ / : ? # % as %40 %2F %3A %3F %23 %25"
_NEITHER = "it is neither a postgresql:// URL nor libpq's key=value pairs, with every quote closed"
_UNREADABLE = {
    r"\A\Z": "it is empty",
    _NOT_TEXT: "it is not valid UTF-8, or holds a NUL character",
    r"\A\$\w|\$\{+[^{}]*\}|\$\([\w.]+\)|\{\{[^{}]*\}\}|[@/]\$[A-Za-z_]": (
        "it still holds a reference that the platform did not expand (a plain $ is written %24)"
    ),
    r"\A(['\"])(?s:.*)\1\Z": "it is wrapped in quotes; remove them",
}


class EndpointError(ValueError):
    """A connection string that is invalid or ambiguous. The message shows no part of it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the database is, and how to log in."""

    variable: str
    """The environment variable that named the endpoint, such as `DATABASE_URL` or `PGHOST`."""
    parameters: tuple[tuple[str, str | Secret], ...]
    """Pairs of libpq keyword and value, sorted; values of `SECRET_KEYWORDS` are Secret objects."""
    notes: tuple[str, ...] = ()
    """What was removed, changed or filled in, for the log; never contains a value."""
    search_path: SearchPath | None = None
    """The search_path that it sets; None leaves the session's default."""

    @property
    def target(self) -> str:
        """Return `user@host:port/dbname`, safe to log."""
        values = {k: v for k, v in self.parameters if isinstance(v, str)}
        user = f"{values['user']}@" if values.get("user") else ""
        dbname = f"/{values['dbname']}" if values.get("dbname") else ""
        text = f"{user}{','.join(_addresses(values))}{dbname}"
        return "".join(c if c.isprintable() else "?" for c in text)


def parse_endpoint(variable: str, value: str) -> Endpoint:
    """Read a connection URL, or libpq's `key=value` pairs; white space around it is ignored.

    Raises EndpointError. Its message begins with `variable` and shows nothing of `value` except the
    name of a parameter that libpq does not know, where that cannot be a piece of a secret.
    """
    return _endpoint(variable, value, {})


def endpoint_from_environ(environ: Mapping[str, str]) -> Endpoint | None:
    """Take the first that is set of URL_VARIABLES, PGHOST, PGHOSTADDR, PGSERVICE; none: None.

    Blank is not set. As in libpq, PG* variables fill in what a URL does not name; but here, so that
    they are checked, shown, and may come from a file. Raises EndpointError when the one that is
    taken is invalid: it never falls to the next.
    """
    variable = next(_set_variables(environ), None)
    if variable is None:
        return None
    endpoint = _named(variable, environ)
    return replace(endpoint, notes=(*endpoint.notes, *_elsewhere(endpoint, environ)))


def _elsewhere(endpoint: Endpoint, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a note on each unused address with other schemas, which may be the app's."""
    for other in other_endpoints(environ):
        if other.search_path and other.search_path.names != (
            endpoint.search_path and endpoint.search_path.names
        ):
            yield (
                f"{other.variable} names other schemas ({other.search_path.text}), which do not "
                f"count: {endpoint.variable} is used"
            )


def other_endpoints(environ: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Return the endpoints of the variables after the first, in order: one may bypass a pooler.

    Those that equal the first, and invalid ones, are left out; an unused one is not an error.
    """
    first, *others = _set_variables(environ)
    found: list[Endpoint] = []
    for variable in others:
        try:
            found.append(_named(variable, environ))
        except EndpointError:
            continue
    taken = _named(first, environ).parameters
    return tuple(endpoint for endpoint in found if endpoint.parameters != taken)


def _set_variables(environ: Mapping[str, str]) -> Iterator[str]:
    names = (*URL_VARIABLES, "PGHOST", "PGHOSTADDR", "PGSERVICE")
    return (name for name in names if environ.get(name, "").strip())


def _named(variable: str, environ: Mapping[str, str]) -> Endpoint:
    return _endpoint(variable, environ[variable] if variable in URL_VARIABLES else None, environ)


def _endpoint(variable: str, value: str | None, environ: Mapping[str, str]) -> Endpoint:
    try:
        given, notes = ({}, ()) if value is None else _read(value)
        filled = _filled_in(given, environ)
        parameters = given | filled
        _check(parameters, {keyword: VARIABLES[keyword] for keyword in filled})
        parameters, search_path = apart(parameters, filled, variable)
    except ValueError as error:
        raise EndpointError(f"{variable}: {error}") from None
    if value is not None:
        taken = (keyword for keyword in filled if keyword in parameters)
        notes += tuple(f"{keyword} is taken from {VARIABLES[keyword]}" for keyword in taken)
    wrapped = {k: Secret(v) if k in SECRET_KEYWORDS else v for k, v in sorted(parameters.items())}
    notes = (*notes, *_remarks(parameters))
    return Endpoint(variable, tuple(wrapped.items()), notes, search_path)


def _read(value: str) -> _Reading:
    text = value.strip()
    for pattern, words in _UNREADABLE.items():
        if re.search(pattern, text):
            raise EndpointError(words)
    if scheme := re.match(r"postgres(?:ql)?(\+\w+)?://", text):
        parameters, notes = _read_url(text[scheme.end() :])
        suffix = "the driver suffix of the URL's scheme was stripped"
        return parameters, (suffix, *notes) if scheme[1] else notes
    # not `text`: an escaped space may end the last value
    pairs = tuple(_conninfo_pairs(value.lstrip(" \t\n\v\f\r")))
    if KEYWORDS.isdisjoint(keyword for keyword, _ in pairs):
        raise EndpointError(_NEITHER)
    return _collect(pairs)


def _read_url(text: str) -> _Reading:
    if re.search(r"[\s\x00-\x1f\x7f-\x9f]", text):
        raise EndpointError(f"it holds white space or a control character; {_ADVICE}, a space %20")
    credentials, _, rest = text.rpartition("@")
    # libpq ends a password at the first @, others at the last; a query may also precede the @
    if re.match(r".*[@/]|[^:]*\?|.*\?\w*=", credentials):
        raise EndpointError(f"it cannot be split into its parts with certainty; {_ADVICE}")
    place, _, query = rest.partition("?")
    before = _place(credentials, place)
    _check(before, {})  # a wrong port must be told before the query, which may be the password's
    listed, notes = _collect(_query_pairs(query), before.keys() - {"host"})
    if "host" in before and "host" in listed:  # a common form for the sockets of cloud proxies
        notes = (*notes, "the host in the URL's query replaces the one before it")
    return before | listed, notes


def _place(credentials: str, text: str) -> dict[str, str]:
    user, _, password = credentials.partition(":")
    authority, _, dbname = text.partition("/")
    parts = [_HOST_AND_PORT.findall(part)[0] for part in authority.split(",")]
    host = ",".join(address or name for address, name, _ in parts)
    port = ",".join(port for *_, port in parts)
    named = {"user": user, "password": password, "host": host, "port": port, "dbname": dbname}
    return {keyword: _decoded(value) for keyword, value in named.items() if value}


def _query_pairs(query: str) -> Iterator[tuple[str, str]]:
    for item in query.removesuffix("&").split("&") if query else ():
        keyword, equals, value = item.partition("=")
        if not equals or "=" in value:
            raise EndpointError(f"its query is not name=value joined by &; {_ADVICE}, = & %3D %26")
        yield _decoded(keyword), _decoded(value)


def _decoded(text: str) -> str:
    decoded = unquote(text, errors="surrogateescape")
    if re.search(r"%(?![0-9A-Fa-f]{2})", text) or re.search(_NOT_TEXT, decoded):
        raise EndpointError("a % in user name or password must be written as %25")
    return decoded


def _conninfo_pairs(text: str) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(f"(?:{_PAIR})*+", text):
        raise EndpointError(_NEITHER)
    for keyword, quoted, bare in re.findall(_PAIR, text):
        yield keyword, re.sub(r"(?s)\\(.?)", r"\1", quoted or bare)


def _collect(pairs: Iterable[tuple[str, str]], taken: Collection[str] = ()) -> _Reading:
    parameters: dict[str, str] = {}
    notes: list[str] = []
    ssl_mode: str | None = None
    for keyword, value in pairs:
        if keyword == "ssl":
            ssl_mode = _SSL_MODES.get(value, value)  # some drivers put a mode there
            notes.append("the parameter ssl is not libpq's; sslmode is used instead")
        elif keyword in FOREIGN_PARAMETERS:
            notes.append(f"the parameter {keyword} is not libpq's and was stripped")
        elif keyword not in KEYWORDS and keyword not in PATH_PARAMETERS:
            raise EndpointError(_unknown(keyword, parameters))
        elif keyword in parameters or keyword in taken:
            raise EndpointError(f"{keyword} is given twice")
        else:
            parameters[keyword] = value
    return ({"sslmode": ssl_mode} if ssl_mode else {}) | parameters, tuple(notes)


def _unknown(keyword: str, before: Mapping[str, str]) -> str:
    # after a secret, what looks like a name may be the secret's rest
    if re.fullmatch(r"[A-Za-z_]+", keyword) and SECRET_KEYWORDS.isdisjoint(before):
        return f"the parameter {keyword} is not one of libpq's; remove it"
    return f"it holds a parameter that is not one of libpq's; {_ADVICE}, & %26"


def _filled_in(given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    # a service file comes before PG* variables, so with one these are left to libpq; the password
    # is not, since it may have come from a file that libpq does not know
    service = given.get("service") or environ.get("PGSERVICE", "").strip()
    wanted = {k: VARIABLES[k] for k in ("service", "password")} if service else VARIABLES
    found = {k: environ.get(variable, "") for k, variable in wanted.items() if k not in given}
    return {k: value for k, value in found.items() if value.strip()}


def _check(parameters: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Raise for what libpq would complain about; `variables` says which values come from where."""
    for keyword, value in parameters.items():
        is_fine, demand = _RULES.get(keyword, _ANY_TEXT)
        if re.search(_NOT_TEXT, value) or not is_fine(value):
            advice = f"; {_ADVICE}" if keyword in {"host", "port"} - variables.keys() else ""
            raise EndpointError(f"{variables.get(keyword, keyword)} {demand}{advice}")
    _check_lists(parameters)
    is_system = parameters.get("sslrootcert") == "system"
    mode = parameters.get("sslmode", "verify-full" if is_system else "prefer")
    if is_system and mode != "verify-full":
        raise EndpointError("sslrootcert=system needs sslmode=verify-full")
    if parameters.get("sslnegotiation") == "direct" and mode in {"disable", "allow", "prefer"}:
        raise EndpointError("sslnegotiation=direct needs sslmode=require or stronger")


def _is_port(text: str) -> bool:
    return bool(re.fullmatch("[0-9]{1,5}", text)) and 0 < int(text) < 2**16


def _is_host(text: str) -> bool:
    is_socket = text.startswith("/") and "://" not in text
    return is_socket or bool(re.fullmatch("[A-Za-z0-9_.-]+", text)) or _is_address(text)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _each(is_fine: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda value: all(not item or is_fine(item) for item in value.split(","))


_ANY_TEXT = (lambda _: True, "must be UTF-8 without NUL characters")
_RULES: dict[str, tuple[Callable[[str], object], str]] = {
    **dict.fromkeys(_INTEGERS, (re.compile("-?[0-9]{1,9}").fullmatch, "must be a whole number")),
    **dict.fromkeys(("user", "dbname", "service"), (lambda v: "://" not in v, "cannot be a URL")),
    **{k: (v.split().__contains__, f"must be one of: {v}") for k, v in _CHOICES.items()},
    "port": (_each(_is_port), "must be a number from 1 to 65535"),
    "host": (_each(_is_host), "cannot be the name of a host or the folder of a socket"),
    "hostaddr": (_each(_is_address), "must be an IP address"),
}


def _check_lists(parameters: Mapping[str, str]) -> None:
    lists = [parameters.get(keyword) for keyword in ("host", "hostaddr", "port")]
    hosts, hostaddrs, ports = (text.count(",") + 1 if text else 0 for text in lists)
    if hosts and hostaddrs and hosts != hostaddrs:
        raise EndpointError("host and hostaddr must name equally many")
    if ports > 1 and ports != (hostaddrs or hosts or 1):
        raise EndpointError("there must be one port, or as many as hosts")


def _remarks(parameters: Mapping[str, str]) -> Iterator[str]:
    if parameters.get("options"):
        yield "the parameter options is refused by most poolers"
    if not any(parameters.get(keyword) for keyword in ("host", "hostaddr", "service")):
        yield "no host is named: libpq's default socket is used"


def _addresses(values: Mapping[str, str]) -> Iterator[str]:
    if (service := values.get("service")) and not values.get("host"):
        yield f"service={service}"
        return
    hosts = (values.get("host") or values.get("hostaddr") or "").split(",")
    ports = (values.get("port") or "").split(",")
    for host, port in zip(hosts, ports * (len(hosts) // len(ports)), strict=False):
        name = f"[{host}]" if ":" in host and not host.startswith("/") else host
        yield f"{name or '(default socket)'}:{port or 5432}"
