"""The operator's own migration command: `[migrate]` of predeploy.toml, and what it is started with.

Values in, values and problems out; nothing is started here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from urllib.parse import quote

from predeploy.contract.secret import Secret
from predeploy.settings.declaration import DECLARATION
from predeploy.settings.endpoint import URL_VARIABLES, Endpoint

_KEYS = ("command", "inputs", "retry", "allow")
_SHOWN = 80  # characters of a command in messages
# `poetry run alembic`, `npx prisma`, `python -m alembic`, `bundle exec rake`
_WORDS_BEFORE = 5
# asyncpg takes each parameter of SQLAlchemy's URL for an argument of its own, and refuses this one.
_REFUSES_A_NAME = re.compile(r"postgres(?:ql)?\+asyncpg://")
_PASSWORD = re.compile(r"\A\w+(?:\+\w+)?://[^:/?#@]*:([^@]+)@")


class Retry(Enum):
    """Whether a command that was cancelled leaves nothing behind, so that it may run again."""

    KNOWN = "known"  # nothing is left behind, unless the migrations say otherwise
    UNKNOWN = "unknown"
    NEVER = "never"  # it records the failure, and refuses everything afterwards


@dataclass(frozen=True, slots=True)
class _Tool:
    """What is known of a program; `resume` is what it needs after it was stopped or failed."""

    retry: Retry
    resume: str = ""


_TOOLS = {
    "alembic": _Tool(Retry.KNOWN),
    "manage.py": _Tool(Retry.KNOWN),
    "django-admin": _Tool(Retry.KNOWN),
    "prisma": _Tool(Retry.NEVER, "`prisma migrate resolve --rolled-back MIGRATION`"),
    "knex": _Tool(Retry.NEVER, "`knex migrate:unlock`"),
}
_UNKNOWN = _Tool(Retry.UNKNOWN)
# Its name is a word of other tools' commands, too.
_GOLANG_MIGRATE = _Tool(Retry.NEVER, "`migrate force VERSION`, with the last one that is whole")


@dataclass(frozen=True, slots=True)
class Command:
    """A command that migrates in the place of the migrations of the SQL folder.

    `argv` is the program and its arguments, `inputs` the patterns of the files that it depends on,
    relative to the working directory; without any, it runs each time. `may_retry` says whether it
    may run again after it was cancelled; None leaves that to what is known of the program. `allows`
    is what it may take away, such as `drop-table old`. `environ` is the environment of the job.
    """

    argv: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    may_retry: bool | None = None
    allows: tuple[str, ...] = ()
    environ: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """How logs and reports name it: the words of the command, shortened."""
        program, *rest = self.argv
        words = " ".join(" ".join((PurePath(program).name, *rest)).split())
        return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}…"

    @property
    def retry(self) -> Retry:
        """What is known of the program."""
        return self._tool.retry

    @property
    def resume(self) -> str:
        """The command that its program may need after it failed or was stopped; or empty."""
        return self._tool.resume

    @property
    def _tool(self) -> _Tool:
        names = [PurePath(word).name.lower() for word in self.argv[:_WORDS_BEFORE]]
        known = next((_TOOLS[name] for name in names if name in _TOOLS), _UNKNOWN)
        return _GOLANG_MIGRATE if names[0] == "migrate" else known

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """Return what decides whether it has to run again, besides its inputs and the catalog."""
        return tuple(("command", word) for word in self.argv)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The passwords as they are written in addresses: it may print one."""
        addresses = (dict(self.environ).get(name, "") for name in URL_VARIABLES)
        found = (_PASSWORD.search(address.strip()) for address in addresses)
        return tuple(Secret(match[1]) for match in found if match)


def read_command(
    declared: Mapping[str, object],
    given: Sequence[str],
    environ: Mapping[str, str],
    found: list[str],
) -> Command | None:
    """Return the command of `[migrate]`, or `given` of the command line in its place; else None.

    Problems go to `found`.
    """
    problems = [*_problems(declared, given)]
    found += problems
    words = [*given] or declared.get("command", [])
    if problems or not words:
        return None
    may_retry = declared.get("retry")
    command = Command(
        _texts(words),
        _texts(declared.get("inputs", [])),
        may_retry if isinstance(may_retry, bool) else None,
        _texts(declared.get("allow", [])),
        tuple(environ.items()),
    )
    if command.may_retry and command.retry is Retry.NEVER:
        found.append(
            f"{DECLARATION}[migrate] retry must be false: {command.label} records a failure, and "
            "refuses everything afterwards"
        )
    return command


def environment_of(
    command: Command, endpoint: Endpoint, application: str, options: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment in which the command runs.

    `DATABASE_URL`, and each other variable with an address that is set, hold `endpoint`, with
    `application` as the application name where the driver takes one. PGOPTIONS carries `options`,
    the settings of its sessions, before its own.
    """
    environ = dict(command.environ)
    address = environ.get(endpoint.variable, "") if endpoint.variable in URL_VARIABLES else ""
    address = address.strip() or _address(endpoint)
    if address:
        named = _with_name(address, application)
        set_too = (name for name in URL_VARIABLES if environ.get(name, "").strip())
        environ |= dict.fromkeys(("DATABASE_URL", *set_too), named)
    environ["PGAPPNAME"] = application
    if options:
        ours = [f"-c {name}={value}" for name, value in options.items()]
        environ["PGOPTIONS"] = " ".join((*ours, environ.get("PGOPTIONS", ""))).rstrip()
    return environ


def _problems(declared: Mapping[str, object], given: Sequence[str]) -> Iterator[str]:
    where = f"{DECLARATION}[migrate]"
    yield from (f"{where} {key!r} is no key of [migrate]" for key in declared if key not in _KEYS)
    if declared and not given and not _texts(declared.get("command")):
        yield f'{where} command must be a list of words, such as ["alembic", "upgrade", "head"]'
    for key, example in (("inputs", "migrations/**"), ("allow", "drop-table old")):
        if key in declared and not _texts(declared[key]):
            yield f'{where} {key} must be a list such as ["{example}"]'
    if not isinstance(declared.get("retry", False), bool):
        yield f"{where} retry must be true or false"


def _texts(value: object) -> tuple[str, ...]:
    """Return a list of texts; nothing for anything else, or with an empty or a NUL in one."""
    if not isinstance(value, list):
        return ()
    texts = [each for each in value if isinstance(each, str) and each and "\0" not in each]
    return tuple(texts) if len(texts) == len(value) else ()


def _with_name(address: str, application: str) -> str:
    """Return an address with an application name, in place of its own."""
    if _REFUSES_A_NAME.match(address):
        return address
    if "://" not in address:
        return f"{address} application_name='{application}'"  # libpq takes the last one
    place, _, query = address.partition("?")
    kept = [p for p in query.split("&") if p and not p.startswith("application_name=")]
    return f"{place}?{'&'.join([*kept, f'application_name={quote(application)}'])}"


def _address(endpoint: Endpoint) -> str:
    """Return a URL of the endpoint that PG* variables name; empty for a service."""
    values = {
        key: value.reveal() if isinstance(value, Secret) else value
        for key, value in endpoint.parameters
    }
    if "service" in values:
        return ""
    login = ":".join(_quoted(values.pop(key)) for key in ("user", "password") if key in values)
    hosts = ports = ""
    if not values.get("host", "").startswith("/"):  # a socket's folder goes into the query
        hosts = values.pop("host", "") or values.get("hostaddr", "")
        ports = values.pop("port", "")
    place = _places(hosts.split(","), ports.split(","))
    dbname = _quoted(values.pop("dbname", ""))
    query = "&".join(f"{key}={_quoted(value)}" for key, value in values.items())
    return (
        f"postgresql://{login}{'@' if login else ''}{place}/{dbname}{'?' if query else ''}{query}"
    )


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _places(hosts: Sequence[str], ports: Sequence[str]) -> str:
    each = [*ports] * (len(hosts) if len(ports) == 1 else 1)
    named = (f"[{host}]" if ":" in host else host for host in hosts)
    pairs = zip(named, each, strict=True)
    return ",".join(f"{host}:{port}" if port else host for host, port in pairs)
