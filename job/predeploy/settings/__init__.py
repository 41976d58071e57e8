"""Settings: turns the environment and `predeploy.toml` into one value, or reports all problems.

Pure: both are passed in. No problem shows the value of a connection string, a password or a hash.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predeploy.contract.errors import SettingsError
from predeploy.contract.secret import Secret
from predeploy.settings.declaration import (
    DECLARATION,
    CriticalTable,
    Sync,
    read_accepted,
    read_allowed,
    read_baseline,
    read_critical,
    read_format,
    read_missing,
    read_sync,
    read_tables,
)
from predeploy.settings.endpoint import (
    URL_VARIABLES,
    Endpoint,
    EndpointError,
    endpoint_from_environ,
    other_endpoints,
    parse_endpoint,
)
from predeploy.settings.versions import NO_VERSION, Version

if TYPE_CHECKING:  # only who has a command pays for it
    from predeploy.settings.command import Command

ADMIN_VARIABLES = ("ADMIN_USERNAME", "ADMIN_EMAIL", "ADMIN_PASSWORD", "ADMIN_PASSWORD_HASH")
SHADOW_URL = "PREDEPLOY_SHADOW_URL"
MAX_FILE_SIZE = "PREDEPLOY_MAX_FILE_SIZE"
FILE_VARIABLES: tuple[str, ...] = (*URL_VARIABLES, "PGPASSWORD", *ADMIN_VARIABLES, SHADOW_URL)
"""The variables whose value may be in a file, which the variable `NAME_FILE` names."""
RELEASE_COMMAND_DEADLINE_S = 270
"""Fly ends a release command after 300 s; the rest is for the rollback and the report."""

_PREFIX = "PREDEPLOY_"
_MAX_PASSWORD_BYTES = 72  # bcrypt reads no more
_MIN_DURATION_S, _MAX_DURATION_S = 0.001, 24 * 3600  # PostgreSQL takes 0 ms as no limit
_NO_ENDPOINT = (
    f"no database is named: set one of {', '.join(URL_VARIABLES)}, PGHOST, PGHOSTADDR, PGSERVICE "
    "(the first that is set wins); libpq's default socket is never used"
)
_LIKE_CONNECTION = re.compile("://|@|password", re.IGNORECASE)
_MAX_FILE_BYTES = 256 << 20
_SHIFTS = {"k": 10, "m": 20, "g": 30}
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


class OnFailure(Enum):
    """The policy for failed migrations: RESCUE continues, and succeeds if the gate verifies."""

    STOP = "stop"
    RESCUE = "rescue"


class Destructive(Enum):
    """The policy for a step that removes something that its file does not declare."""

    REFUSE = "refuse"
    ALLOW = "allow"


class OnDrift(Enum):
    """The policy for a step that would create an object that exists in another shape."""

    BLOCK = "block"
    WARN = "warn"


class LogFormat(Enum):
    """The format of log lines; AUTO is PRETTY on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    PRETTY = "pretty"


class LogLevel(Enum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Admin:
    """The seed's parameters. Exactly one of `password` and `password_hash` (bcrypt) is set."""

    username: str
    email: str
    password: Secret | None
    password_hash: Secret | None

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """Return who it is, under the names that a seed's placeholders have."""
        return (("admin_username", self.username), ("admin_email", self.email))


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a run. Names that end in `_s` are in seconds."""

    endpoint: Endpoint
    sql_dir: Path
    connect_budget_s: float = 150
    lock_budget_s: float = 300
    ddl_lock_timeout_s: float = 2
    ddl_budget_s: float = 120
    concurrent_budget_s: float = 1800
    deadline_s: float = 1800
    max_file_bytes: int = _MAX_FILE_BYTES
    on_failure: OnFailure = OnFailure.STOP
    on_drift: OnDrift = OnDrift.BLOCK
    destructive: Destructive = Destructive.REFUSE
    mirror_history: bool = False
    """Whether a file is recorded in its tool's own history table, too."""
    ledger_schema: str = "predeploy"
    format: str = ""
    """The name of the folder's format; empty if the folder tells."""
    history_table: str = ""
    """The tool's history table, as `schema.table` or `table`; empty if it has its usual name."""
    report_path: Path | None = None
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = LogLevel.INFO
    step_summary_path: Path | None = None
    admin: Admin | None = None
    shadow: Endpoint | None = None
    alternatives: tuple[Endpoint, ...] = ()
    """The endpoints that the other variables name: one of them may bypass a pooler."""
    critical: tuple[CriticalTable, ...] = ()
    baseline: Version = NO_VERSION
    accepted: tuple[tuple[str, str], ...] = ()
    accepted_missing: frozenset[str] = frozenset()
    allowed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What files may destroy: by the file's name, such as `drop-table old`."""
    sync: Sync = field(default_factory=Sync)
    command: "Command | None" = None
    """What migrates in the place of the SQL folder's migrations."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Return every secret that the run knows, so that each can be redacted."""
        endpoints = (self.endpoint, *self.alternatives, *([self.shadow] if self.shadow else []))
        values = [value for endpoint in endpoints for _, value in endpoint.parameters]
        if self.admin:
            values += [v for v in (self.admin.password, self.admin.password_hash) if v]
        values += self.command.secrets if self.command else ()
        return tuple(value for value in values if isinstance(value, Secret))

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """Return what decides whether a database is settled: no budget, output, or secret."""
        tables = sorted((c.schema, c.table, *sorted(c.columns)) for c in self.critical)
        path = self.endpoint.search_path
        return (
            ("ledger_schema", self.ledger_schema),
            *((("search_path", path.text),) if path else ()),
            *((("format", self.format),) if self.format else ()),
            *((("history_table", self.history_table),) if self.history_table else ()),
            *((("mirror_history", "true"),) if self.mirror_history else ()),
            *(("critical", json.dumps(table)) for table in tables),
            *(() if self.sync.may_alter else (("alter", "never"),)),
            *(("partitions left", name) for name in sorted(self.sync.left)),
            *(self.admin.identity if self.admin else ()),
            *(self.command.identity if self.command else ()),
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table of settings."""

    variable: str
    field: str
    """The field of Settings that it sets, which has the default."""
    parse: Callable[[str], object]
    """Parses the text; raises ValueError with a message that says what the text must be."""
    types: tuple[type, ...] = ()
    """The types that `predeploy.toml` may contain; empty if only the environment may set it."""

    @property
    def key(self) -> str:
        """The name in `predeploy.toml`, such as `lock_budget`."""
        return self.variable.removeprefix(_PREFIX).lower()

    @property
    def default(self) -> object:
        """The default of the field; MISSING where the caller gives it."""
        return {known.name: known.default for known in fields(Settings)}[self.field]


def parse_duration(text: str) -> float:
    """Return seconds. Raises ValueError unless the text is a duration from 1 ms to 24 h."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?(ms|s|m|h)?", text, re.IGNORECASE)
    seconds = float(match[1]) * _UNITS_S[(match[2] or "s").lower()] if match else 0.0
    if _MIN_DURATION_S <= seconds <= _MAX_DURATION_S:
        return seconds
    raise ValueError("a duration from 1 ms to 24 h, such as 90, 90s, 5m, 1.5h or 500ms")


def parse_size(text: str) -> int:
    """Return bytes. Raises ValueError unless the text is a size from 1 kB to 16 GB."""
    match = re.fullmatch(r"([0-9]{1,9}) ?([kmg])i?b?", text, re.IGNORECASE)
    size = int(match[1]) << _SHIFTS[match[2].lower()] if match else 0
    if 0 < size <= 16 << 30:
        return size
    raise ValueError("a size from 1 kB to 16 GB, such as 256MB or 1GB")


def _parse_schema(text: str) -> str:
    # What stands in it is ours: nobody would look after the app's tables there.
    if re.fullmatch(r"(?!pg_|(?:information_schema|public)\Z)[a-z_][a-z0-9_]{0,62}", text):
        return text
    raise ValueError("a schema of ours: 1 to 63 of a-z, 0-9 and _, not public or pg_…")


def _parse_format(text: str) -> str:
    # Which formats there are is known where folders are read.
    if re.fullmatch(r"[a-z]+(-[a-z]+)*", text.lower()):
        return text.lower()
    raise ValueError("the name of a format, such as prisma")


def _parse_table(text: str) -> str:
    if re.fullmatch(r"([\w$-]+\.)?[\w$-]+", text):
        return text
    raise ValueError("the name of a table, such as public.schema_version")


def _parse_switch(text: str) -> bool:
    switch = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
    if text.lower() in switch:
        return switch[text.lower()]
    raise ValueError("true or false")


def _parse_path(text: str) -> Path:
    if "://" not in text:
        return Path(text)
    raise ValueError("a path")


def _parse_choice(choices: type[Enum], text: str) -> object:
    by_value = {choice.value: choice for choice in choices}
    if choice := by_value.get(text.lower()):
        return choice
    raise ValueError(f"one of {', '.join(by_value)}")


_NUMBERS = (str, int, float)
SETTINGS = (
    Setting("PREDEPLOY_SQL_DIR", "sql_dir", _parse_path),
    Setting("PREDEPLOY_CONNECT_BUDGET", "connect_budget_s", parse_duration, _NUMBERS),
    Setting("PREDEPLOY_LOCK_BUDGET", "lock_budget_s", parse_duration, _NUMBERS),
    Setting("PREDEPLOY_DDL_LOCK_TIMEOUT", "ddl_lock_timeout_s", parse_duration, _NUMBERS),
    Setting("PREDEPLOY_DDL_BUDGET", "ddl_budget_s", parse_duration, _NUMBERS),
    Setting("PREDEPLOY_CONCURRENT_BUDGET", "concurrent_budget_s", parse_duration, _NUMBERS),
    Setting("PREDEPLOY_DEADLINE", "deadline_s", parse_duration, _NUMBERS),
    Setting(MAX_FILE_SIZE, "max_file_bytes", parse_size),
    Setting("PREDEPLOY_ON_FAILURE", "on_failure", partial(_parse_choice, OnFailure), (str,)),
    Setting("PREDEPLOY_ON_DRIFT", "on_drift", partial(_parse_choice, OnDrift), (str,)),
    Setting("PREDEPLOY_DESTRUCTIVE", "destructive", partial(_parse_choice, Destructive), (str,)),
    Setting("PREDEPLOY_LEDGER_SCHEMA", "ledger_schema", _parse_schema, (str,)),
    Setting("PREDEPLOY_FORMAT", "format", _parse_format),
    Setting("PREDEPLOY_HISTORY_TABLE", "history_table", _parse_table, (str,)),
    Setting("PREDEPLOY_MIRROR_HISTORY", "mirror_history", _parse_switch),
    Setting(SHADOW_URL, "shadow", partial(parse_endpoint, SHADOW_URL)),
    Setting("PREDEPLOY_REPORT", "report_path", _parse_path),
    Setting("PREDEPLOY_LOG_FORMAT", "log_format", partial(_parse_choice, LogFormat), (str,)),
    Setting("PREDEPLOY_LOG_LEVEL", "log_level", partial(_parse_choice, LogLevel), (str,)),
    Setting("GITHUB_STEP_SUMMARY", "step_summary_path", _parse_path),
)
"""All settings except the endpoint's and the admin's. A new one needs an entry and a field."""


def sql_dir(environ: Mapping[str, str], default: Path) -> Path:
    """Return the folder that PREDEPLOY_SQL_DIR names, or `default`; blank counts as not set."""
    return Path(environ.get("PREDEPLOY_SQL_DIR", "").strip() or default)


def max_file_bytes(environ: Mapping[str, str]) -> int:
    """Return how large a file may be; the default where `parse_settings` refuses what is said."""
    with suppress(ValueError):
        return parse_size(environ.get(MAX_FILE_SIZE, "").strip())
    return _MAX_FILE_BYTES


def parse_settings(
    environ: Mapping[str, str],
    *,
    declaration: str | None = None,
    command: Sequence[str] = (),
    default_sql_dir: Path,
    problems: tuple[str, ...] = (),
) -> Settings:
    """Return the settings; the environment wins over `declaration`, the text of predeploy.toml.

    `command` holds the words of a command that is to migrate, which wins, too. Blank is not set.
    Raises SettingsError with `problems`, the caller's, and all that are found.
    """
    found = list(problems)
    endpoint = _endpoint(environ, found)
    declared = read_tables(declaration, found)
    is_release = environ.get("RELEASE_COMMAND") == "1"
    values: dict[str, Any] = {
        "sql_dir": default_sql_dir,
        **({"deadline_s": RELEASE_COMMAND_DEADLINE_S} if is_release else {}),
        **_declared(declared.get("settings", {}), found),
        **read_format(declaration, found),
        **_from_environ(environ, found),
        "baseline": read_baseline(declaration, found),
        "critical": read_critical(declared.get("critical", {}), found),
        "accepted": read_accepted(declared.get("accept", {}), found),
        "accepted_missing": read_missing(declared.get("accept", {}), found),
        "allowed": read_allowed(declared.get("allow", {}), found),
        "sync": read_sync(declared.get("sync", {}), found),
        "admin": _admin(environ, found),
        "command": _command(declared.get("migrate", {}), command, environ, found),
    }
    found += _unknown_variables(environ)
    if found or endpoint is None:
        raise SettingsError(tuple(found))
    return Settings(endpoint=endpoint, alternatives=other_endpoints(environ), **values)


def _endpoint(environ: Mapping[str, str], found: list[str]) -> Endpoint | None:
    try:
        endpoint = endpoint_from_environ(environ)
    except EndpointError as error:
        found.append(str(error))
        return None
    # a problem with one of the variables says better why there is no endpoint
    if endpoint is None and not any(problem.startswith(URL_VARIABLES) for problem in found):
        found.append(_NO_ENDPOINT)
    return endpoint


def _command(
    declared: Mapping[str, object],
    given: Sequence[str],
    environ: Mapping[str, str],
    found: list[str],
) -> "Command | None":
    if not (declared or given):
        return None
    from predeploy.settings.command import read_command  # noqa: PLC0415 - only who has one

    return read_command(declared, given, environ, found)


def _from_environ(environ: Mapping[str, str], found: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for setting in SETTINGS:
        if text := environ.get(setting.variable, "").strip():
            values |= _parsed(setting, text, setting.variable, found)
    return values


def _parsed(setting: Setting, text: str, name: str, found: list[str]) -> dict[str, object]:
    try:
        return {setting.field: setting.parse(text)}
    except EndpointError as error:
        found.append(str(error))  # it shows nothing of the text, which holds a password
        return {}
    except ValueError as error:
        # a connection string that was meant for another variable holds a password
        shown = "a connection string" if _LIKE_CONNECTION.search(text) else repr(text)
        found.append(f"{name} is {shown}; it must be {error}")
        return {}


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    known = [setting.variable for setting in SETTINGS if setting.variable.startswith(_PREFIX)]
    allowed = {*known, *(f"{name}_FILE" for name in FILE_VARIABLES)}
    for name in sorted(environ):
        is_ours = name.startswith(_PREFIX) and not name.startswith("PREDEPLOY_TEST_")
        if is_ours and name not in allowed:
            yield f"{name} is not a setting{_nearest(name, known)}"


def _nearest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake pays for it

    # All names share the prefix, which would make each of them a close match.
    by_rest = {candidate.removeprefix(_PREFIX): candidate for candidate in known}
    matches = get_close_matches(name.removeprefix(_PREFIX), by_rest, n=1)
    return f"; did you mean {by_rest[matches[0]]}?" if matches else ""


def _admin(environ: Mapping[str, str], found: list[str]) -> Admin | None:
    given = {name: value for name in ADMIN_VARIABLES if (value := environ.get(name, ""))}
    problems = tuple(_admin_problems(given)) if given else ()
    found += problems
    if problems or not given:
        return None
    secrets = [Secret(given[name]) if name in given else None for name in ADMIN_VARIABLES[2:]]
    return Admin(given["ADMIN_USERNAME"], given["ADMIN_EMAIL"], *secrets)


def _admin_problems(given: Mapping[str, str]) -> Iterator[str]:
    _, email, password, password_hash = (given.get(name) for name in ADMIN_VARIABLES)
    lacking = [name for name in ADMIN_VARIABLES[:2] if name not in given]
    if not password and not password_hash:
        lacking.append("ADMIN_PASSWORD or ADMIN_PASSWORD_HASH")
    if lacking:
        yield f"{', '.join(given)} without {', '.join(lacking)}: the seed needs all or none"
    if password and password_hash:
        yield "ADMIN_PASSWORD and ADMIN_PASSWORD_HASH are both set: unset one of them"
    for name, value in given.items():
        if not value.strip() or re.search("[\0\ud800-\udfff]", value):
            yield f"{name} is blank, is not UTF-8, or holds a NUL character"
    if email and not re.fullmatch(r"\S+@\S+", email):
        yield "ADMIN_EMAIL must be an address such as admin@example.org"
    if password and len(password.encode(errors="replace")) > _MAX_PASSWORD_BYTES:
        yield f"ADMIN_PASSWORD is longer than {_MAX_PASSWORD_BYTES} bytes, and bcrypt reads no more"
    pattern = r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}"
    if password_hash and not re.fullmatch(pattern, password_hash):
        yield "ADMIN_PASSWORD_HASH is not a bcrypt hash ($2b$12$ and 53 characters)"


def _declared(table: Mapping[str, object], found: list[str]) -> dict[str, object]:
    settings = {setting.key: setting for setting in SETTINGS if setting.types}
    values: dict[str, object] = {}
    for key, value in table.items():
        name = f"{DECLARATION}{key}"
        if key not in settings:
            found.append(f"{name} is no setting of [settings]{_nearest(key, list(settings))}")
        elif type(value) not in settings[key].types:
            more = " or a number of seconds" if int in settings[key].types else ""
            found.append(f"{name} must be a text{more}")
        else:
            text = f"{value:f}" if isinstance(value, float) else str(value)
            values |= _parsed(settings[key], text, name, found)
    return values
