"""Settings: every one is read, every problem is told at once, and no secret is shown."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predeploy.contract.errors import SettingsError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.secret import Secret
from predeploy.settings import (
    FILE_VARIABLES,
    SETTINGS,
    Admin,
    Destructive,
    LogFormat,
    LogLevel,
    OnDrift,
    OnFailure,
    Setting,
    Settings,
    parse_duration,
    parse_settings,
    sql_dir,
)
from predeploy.settings.declaration import CriticalTable
from predeploy.settings.endpoint import URL_VARIABLES, Endpoint, parse_endpoint

bounded = settings(max_examples=100, deadline=None)

URL = {"DATABASE_URL": "postgres://app:QQQQ@db/shop"}
ADMIN = {"ADMIN_USERNAME": "root", "ADMIN_EMAIL": "root@example.org", "ADMIN_PASSWORD": "QQQQ"}
HASH = "$2b$12$" + "Qz" * 26 + "."
SQL = Path("sql")


def parsed(environ: dict[str, str], declaration: str | None = None) -> Settings:
    return parse_settings(URL | environ, declaration=declaration, default_sql_dir=SQL)


def problems_of(environ: dict[str, str], declaration: str | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        parsed(environ, declaration)
    return caught.value.problems


# defaults and the table of settings


def test_a_url_alone_is_enough() -> None:
    """Every other setting has a default."""
    assert parsed({}) == Settings(
        endpoint=parse_endpoint("DATABASE_URL", URL["DATABASE_URL"]),
        sql_dir=SQL,
        connect_budget_s=150,
        lock_budget_s=300,
        ddl_lock_timeout_s=2,
        ddl_budget_s=120,
        deadline_s=1800,
        ledger_schema="predeploy",
        report_path=None,
        log_format=LogFormat.AUTO,
        log_level=LogLevel.INFO,
        admin=None,
        critical=(),
        step_summary_path=None,
    )


EXAMPLES = [
    ("PREDEPLOY_SQL_DIR", "/db", Path("/db")),
    ("PREDEPLOY_CONNECT_BUDGET", "90", 90),
    ("PREDEPLOY_LOCK_BUDGET", "5m", 300),
    ("PREDEPLOY_DDL_LOCK_TIMEOUT", "500ms", 0.5),
    ("PREDEPLOY_DDL_BUDGET", "1.5h", 5400),
    ("PREDEPLOY_CONCURRENT_BUDGET", "10m", 600),
    ("PREDEPLOY_DEADLINE", "1h", 3600),
    ("PREDEPLOY_MAX_FILE_SIZE", "1GB", 1 << 30),
    ("PREDEPLOY_ON_FAILURE", "rescue", OnFailure.RESCUE),
    ("PREDEPLOY_ON_DRIFT", "warn", OnDrift.WARN),
    ("PREDEPLOY_DESTRUCTIVE", "allow", Destructive.ALLOW),
    ("PREDEPLOY_LEDGER_SCHEMA", "ledger_2", "ledger_2"),
    ("PREDEPLOY_FORMAT", "Prisma", "prisma"),
    ("PREDEPLOY_HISTORY_TABLE", "ops.done", "ops.done"),
    ("PREDEPLOY_MIRROR_HISTORY", "TRUE", True),
    (
        "PREDEPLOY_SHADOW_URL",
        "postgresql://joe:QQQQ@scratch/s",
        parse_endpoint("PREDEPLOY_SHADOW_URL", "postgresql://joe:QQQQ@scratch/s"),
    ),
    ("PREDEPLOY_REPORT", "out/report.json", Path("out/report.json")),
    ("PREDEPLOY_LOG_FORMAT", "pretty", LogFormat.PRETTY),
    ("PREDEPLOY_LOG_LEVEL", "DEBUG", LogLevel.DEBUG),
    ("GITHUB_STEP_SUMMARY", "/summary.md", Path("/summary.md")),
]


@pytest.mark.parametrize(("variable", "text", "value"), EXAMPLES)
def test_each_variable_sets_its_field(variable: str, text: str, value: object) -> None:
    field = next(setting.field for setting in SETTINGS if setting.variable == variable)
    changes: dict[str, Any] = {field: value}

    assert parsed({variable: f" {text}\n"}) == dataclasses.replace(parsed({}), **changes)


def test_the_examples_cover_every_setting() -> None:
    """Each in the place that it has in the table."""
    known = [setting.variable for setting in SETTINGS]
    shown = [variable for variable, *_ in EXAMPLES]

    assert known == shown, "give each row of SETTINGS a row of EXAMPLES, in the same order"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: str(setting.variable))
def test_a_blank_variable_is_not_set(setting: Setting) -> None:
    """Compose and CI set variables that nobody gave to the empty text."""
    assert parsed({setting.variable: " "}) == parsed({})


def test_the_table_knows_the_defaults() -> None:
    """README's table is made from them."""
    defaults = {setting.variable: setting.default for setting in SETTINGS}

    assert defaults["PREDEPLOY_SQL_DIR"] is dataclasses.MISSING
    assert defaults["PREDEPLOY_DEADLINE"] == 1800
    assert defaults["PREDEPLOY_REPORT"] is None


def test_sql_dir_is_the_variable_or_the_default() -> None:
    assert sql_dir({}, SQL) == SQL
    assert sql_dir({"PREDEPLOY_SQL_DIR": " "}, SQL) == SQL
    assert sql_dir({"PREDEPLOY_SQL_DIR": "/db"}, SQL) == Path("/db")


@pytest.mark.parametrize(
    ("environ", "declaration", "deadline_s"),
    [
        ({"RELEASE_COMMAND": "1"}, None, 270),
        ({"RELEASE_COMMAND": "0"}, None, 1800),
        ({"RELEASE_COMMAND": "1", "PREDEPLOY_DEADLINE": "60"}, None, 60),
        ({"RELEASE_COMMAND": "1"}, "settings.deadline = 60", 60),
    ],
)
def test_a_release_command_has_a_shorter_deadline(
    environ: dict[str, str], declaration: str | None, deadline_s: float
) -> None:
    """Fly kills it after five minutes; who sets a deadline knows better."""
    assert parsed(environ, declaration).deadline_s == deadline_s


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("PREDEPLOY_DEADLINE", "soon", "a duration from 1 ms to 24 h, such as 90, 90s, 5m"),
        ("PREDEPLOY_LEDGER_SCHEMA", "pg_ledger", "not public or pg_…"),
        ("PREDEPLOY_LEDGER_SCHEMA", "public", "not public or pg_…"),
        ("PREDEPLOY_LEDGER_SCHEMA", "information_schema", "a schema of ours"),
        ("PREDEPLOY_LEDGER_SCHEMA", "Ledger", "1 to 63 of a-z, 0-9 and _"),
        ("PREDEPLOY_LEDGER_SCHEMA", "a" * 64, "1 to 63 of a-z, 0-9 and _"),
        ("PREDEPLOY_LEDGER_SCHEMA", 'a"; drop', "1 to 63 of a-z, 0-9 and _"),
        ("PREDEPLOY_LOG_FORMAT", "xml", "it must be one of auto, json, pretty"),
        ("PREDEPLOY_LOG_LEVEL", "warning", "it must be one of debug, info, warn, error"),
    ],
)
def test_a_wrong_value_is_quoted_with_what_it_must_be(variable: str, text: str, words: str) -> None:
    (problem,) = problems_of({variable: text})

    assert problem.startswith(f"{variable} is {text!r}; it must be ")
    assert words in problem


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *((s.variable, "postgres://app:hunter2@db/shop") for s in SETTINGS if s.field != "shadow"),
        ("PREDEPLOY_DEADLINE", "app:hunter2@db"),
        ("PREDEPLOY_LEDGER_SCHEMA", "host=db password=hunter2"),
    ],
)
def test_a_connection_string_in_the_wrong_variable_is_not_shown(variable: str, text: str) -> None:
    """Nobody sees a password because of a slip in a platform's form."""
    (problem,) = problems_of({variable: text})

    assert problem.startswith(f"{variable} is a connection string; it must be ")
    assert "hunter2" not in problem


# durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("90 s", 90),
        ("5m", 300),
        ("1h", 3600),
        ("24H", 86400),
        ("500ms", 0.5),
        ("1ms", 0.001),
        ("0.5", 0.5),
        (".5m", 30),
        ("007", 7),
    ],
)
def test_reads_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0s", "0.9ms", "-1", "+1", "nan", "inf", "1e3", "1d", "5 m 3 s", "1.", "1,5"),
        *("s", "25h", "86400.1", "9" * 400, "\u0661", "90\n", "0x10", "1_000"),
    ],
)
def test_refuses_what_is_no_duration_from_1_ms_to_24_h(text: str) -> None:
    """Less than 1 ms would become 0 ms, which PostgreSQL reads as no limit."""
    with pytest.raises(ValueError, match="a duration from 1 ms to 24 h"):
        parse_duration(text)


@bounded
@given(
    number=st.floats(0, 1e6, allow_nan=False).map(lambda number: f"{number:.3f}"),
    unit=st.sampled_from([("", 1.0), ("s", 1.0), ("ms", 0.001), ("m", 60.0), ("h", 3600.0)]),
)
def test_a_duration_is_its_number_times_its_unit(number: str, unit: tuple[str, float]) -> None:
    seconds = float(number) * unit[1]
    if 0.001 <= seconds <= 86400:
        assert parse_duration(number + unit[0]) == seconds
    else:
        with pytest.raises(ValueError, match="a duration"):
            parse_duration(number + unit[0])


@bounded
@given(st.text())
def test_any_text_is_a_finite_duration_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        assert str(error).startswith("a duration from ")  # noqa: PT017
    else:
        assert math.isfinite(seconds)
        assert 0 < seconds <= 86400


# the endpoint


def test_without_an_endpoint_every_variable_is_listed_in_order() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({}, default_sql_dir=SQL)

    (problem,) = caught.value.problems
    assert f"set one of {', '.join((*URL_VARIABLES, 'PGHOST'))}" in problem
    assert "libpq's default socket is never used" in problem
    assert caught.value.exit_code is ExitCode.CONFIG


def test_a_wrong_endpoint_is_told_without_its_value() -> None:
    (problem,) = problems_of({"DIRECT_URL": "postgres://a:QQ@ZZ@db"})

    assert problem.startswith("DIRECT_URL: it cannot be split")
    assert not set("QZ") & set(problem)


def test_an_unreadable_url_file_is_the_only_problem() -> None:
    """That no database is named would follow from it, and say nothing more."""
    given_problems = ("DATABASE_URL_FILE: /run/db does not exist",)

    with pytest.raises(SettingsError) as caught:
        parse_settings({}, default_sql_dir=SQL, problems=given_problems)

    assert caught.value.problems == given_problems


# unknown variables


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("PREDEPLOY_LOCK_BUGDET", "; did you mean PREDEPLOY_LOCK_BUDGET?"),
        ("PREDEPLOY_DEAD_LINE", "; did you mean PREDEPLOY_DEADLINE?"),
        ("PREDEPLOY_", ""),
        ("PREDEPLOY_XYZZY", ""),
        ("PREDEPLOY_REPORT_FILE", "; did you mean PREDEPLOY_REPORT?"),
    ],
)
def test_an_unknown_variable_with_our_prefix_is_a_problem(variable: str, hint: str) -> None:
    """A typo is never ignored silently."""
    assert problems_of({variable: "QQ"}) == (f"{variable} is not a setting{hint}",)


def test_variables_of_tests_files_and_others_are_let_through() -> None:
    environ = {"PREDEPLOY_TEST_DATABASE_URL": "x", "PATH": "/bin", "predeploy_x": "y"}
    environ |= {f"{name}_FILE": "/run/x" for name in FILE_VARIABLES}

    assert parsed(environ) == parsed({})


# the admin


@pytest.mark.parametrize(
    ("environ", "admin"),
    [
        ({}, None),
        (dict.fromkeys(ADMIN, ""), None),
        (ADMIN, Admin("root", "root@example.org", Secret("QQQQ"), None)),
        (
            ADMIN | {"ADMIN_PASSWORD": "", "ADMIN_PASSWORD_HASH": HASH},
            Admin("root", "root@example.org", None, Secret(HASH)),
        ),
        (
            ADMIN | {"ADMIN_PASSWORD": " \u00e9" * 24},
            Admin("root", "root@example.org", Secret(" \u00e9" * 24), None),
        ),
    ],
)
def test_reads_the_admin(environ: dict[str, str], admin: Admin | None) -> None:
    assert parsed(environ).admin == admin


@pytest.mark.parametrize(
    ("lacking", "problem"),
    [
        (
            ["ADMIN_USERNAME"],
            "ADMIN_EMAIL, ADMIN_PASSWORD without ADMIN_USERNAME: the seed needs all or none",
        ),
        (
            ["ADMIN_EMAIL"],
            "ADMIN_USERNAME, ADMIN_PASSWORD without ADMIN_EMAIL: the seed needs all or none",
        ),
        (
            ["ADMIN_USERNAME", "ADMIN_PASSWORD"],
            (
                "ADMIN_EMAIL without ADMIN_USERNAME, ADMIN_PASSWORD or ADMIN_PASSWORD_HASH: "
                "the seed needs all or none"
            ),
        ),
    ],
)
def test_half_an_admin_is_a_problem_that_names_what_lacks(lacking: list[str], problem: str) -> None:
    assert problems_of(ADMIN | dict.fromkeys(lacking, "")) == (problem,)


LONG = "ADMIN_PASSWORD is longer than 72 bytes, and bcrypt reads no more"
NO_ADDRESS = "ADMIN_EMAIL must be an address such as admin@example.org"
NO_HASH = "ADMIN_PASSWORD_HASH is not a bcrypt hash ($2b$12$ and 53 characters)"


def unfit(name: str) -> str:
    return f"{name} is blank, is not UTF-8, or holds a NUL character"


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("ADMIN_PASSWORD", "Q" * 73, LONG),
        ("ADMIN_PASSWORD", "\u00e9" * 37, LONG),
        ("ADMIN_PASSWORD", "QQ\0Q", unfit("ADMIN_PASSWORD")),
        ("ADMIN_PASSWORD", "QQ\udcff", unfit("ADMIN_PASSWORD")),
        ("ADMIN_PASSWORD", "  ", unfit("ADMIN_PASSWORD")),
        ("ADMIN_USERNAME", "\t", unfit("ADMIN_USERNAME")),
        ("ADMIN_EMAIL", "QQ", NO_ADDRESS),
        ("ADMIN_EMAIL", "@QQ", NO_ADDRESS),
        ("ADMIN_EMAIL", "QQ@", NO_ADDRESS),
        ("ADMIN_EMAIL", "Q Q@Q", NO_ADDRESS),
        ("ADMIN_EMAIL", "QQ@Q\n", NO_ADDRESS),
    ],
)
def test_an_unfit_admin_value_is_a_problem_and_not_shown(
    variable: str, text: str, problem: str
) -> None:
    assert problems_of(ADMIN | {variable: text}) == (problem,)


@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
@pytest.mark.parametrize("cost", ["04", "12", "31"])
def test_a_bcrypt_hash_is_taken(version: str, cost: str) -> None:
    text = f"${version}${cost}${'a' * 53}"
    admin = parsed(ADMIN | {"ADMIN_PASSWORD": "", "ADMIN_PASSWORD_HASH": text}).admin

    assert admin is not None
    assert admin.password_hash == Secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "QQ",
        HASH[:-1],
        HASH + "Q",
        HASH + "\n",
        HASH.replace("2b", "2x"),
        HASH.replace("12", "03"),
        HASH.replace("12", "32"),
        HASH.replace(".", "_"),
    ],
)
def test_what_is_no_bcrypt_hash_is_a_problem_and_not_shown(text: str) -> None:
    """In a shell an unquoted hash loses what follows each $."""
    environ = ADMIN | {"ADMIN_PASSWORD": "", "ADMIN_PASSWORD_HASH": text}

    assert problems_of(environ) == (NO_HASH,)


def test_password_and_hash_together_are_a_problem() -> None:
    assert problems_of(ADMIN | {"ADMIN_PASSWORD_HASH": HASH}) == (
        "ADMIN_PASSWORD and ADMIN_PASSWORD_HASH are both set: unset one of them",
    )


def test_the_variables_that_may_stand_in_files() -> None:
    expected = ("PGPASSWORD", *ADMIN, "ADMIN_PASSWORD_HASH", "PREDEPLOY_SHADOW_URL")

    assert (*URL_VARIABLES, *expected) == FILE_VARIABLES


# predeploy.toml


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('connect_budget = "90s"', "connect_budget_s", 90),
        ("lock_budget = 90", "lock_budget_s", 90),
        ("ddl_lock_timeout = 0.5", "ddl_lock_timeout_s", 0.5),
        ('ddl_budget = "5m"', "ddl_budget_s", 300),
        ('deadline = "1h"', "deadline_s", 3600),
        ('ledger_schema = "ledger"', "ledger_schema", "ledger"),
        ('log_format = "json"', "log_format", LogFormat.JSON),
        ('log_level = "error"', "log_level", LogLevel.ERROR),
    ],
)
def test_the_declaration_sets_a_field(line: str, field: str, value: object) -> None:
    changes: dict[str, Any] = {field: value}

    assert parsed({}, f"[settings]\n{line}") == dataclasses.replace(parsed({}), **changes)


def test_the_environment_wins_over_the_declaration() -> None:
    assert parsed({"PREDEPLOY_DEADLINE": "60"}, "settings.deadline = 90").deadline_s == 60


def test_critical_tables_are_read_in_their_order() -> None:
    declaration = """
        [critical]
        users = ["id", "email"]
        "billing.invoice" = ["id"]
        audit.event = []
        "odd name" = ["Odd, column"]
    """

    assert parsed({}, declaration).critical == (
        CriticalTable("", "users", ("id", "email")),
        CriticalTable("billing", "invoice", ("id",)),
        CriticalTable("audit", "event", ()),
        CriticalTable("", "odd name", ("Odd, column",)),
    )


@pytest.mark.parametrize("declaration", [None, "", "# nothing\n", "[critical]\n[settings]\n"])
def test_an_empty_declaration_declares_nothing(declaration: str | None) -> None:
    assert parsed({}, declaration) == parsed({})


COLUMNS = "must be a list of different columns"
NO_TABLE = "is not one of the tables [critical], [settings], [accept], [allow], [sync], [migrate]"


@pytest.mark.parametrize(
    ("declaration", "problem"),
    [
        ("[critical\n", "line 1 is not valid TOML"),
        ("[critical]\nusers = [", "line 2 is not valid TOML"),
        ("\n\nusers == 1\n", "line 3 is not valid TOML"),
        ("a = 1\na = 2\n", "line 2 is not valid TOML"),
        ("[critial]\n", f"'critial' {NO_TABLE}"),
        ("x = 1", f"'x' {NO_TABLE}"),
        ("critical = 1", f"'critical' {NO_TABLE}"),
        ("[[settings]]", f"'settings' {NO_TABLE}"),
        (
            "[settings]\nlock_bugdet = 1",
            "lock_bugdet is no setting of [settings]; did you mean lock_budget?",
        ),
        ("[settings]\nsql_dir = 'x'", "sql_dir is no setting of [settings]"),
        ("[settings]\nreport = 'x'", "report is no setting of [settings]"),
        ("[settings]\ndeadline = true", "deadline must be a text or a number of seconds"),
        ("[settings]\ndeadline = []", "deadline must be a text or a number of seconds"),
        ("[settings]\nlog_level = 1", "log_level must be a text"),
        (
            "[settings]\nlog_level = 'loud'",
            "log_level is 'loud'; it must be one of debug, info, warn, error",
        ),
        ("[critical]\nusers = 'id'", f"[critical] 'users' {COLUMNS}"),
        ("[critical]\nusers = [1]", f"[critical] 'users' {COLUMNS}"),
        ("[critical]\nusers = ['']", f"[critical] 'users' {COLUMNS}"),
        ("[critical]\nusers = [['id']]", f"[critical] 'users' {COLUMNS}"),
        ("[critical]\nusers = ['id', 'id']", f"[critical] 'users' {COLUMNS}"),
        ("[critical]\na.b.c = ['id']", f"[critical] 'a.b' {COLUMNS}"),
        ("[critical]\n'a.b.c' = ['id']", "[critical] 'a.b.c' is not named table or schema.table"),
        ("[critical]\n'' = ['id']", "[critical] '' is not named table or schema.table"),
        (
            "[critical]\npublic.users = []\n'public.users' = []",
            "[critical] 'public.users' is there twice",
        ),
    ],
)
def test_a_wrong_declaration_is_a_problem(declaration: str, problem: str) -> None:
    assert problems_of({}, declaration) == (f"predeploy.toml: {problem}",)


@pytest.mark.parametrize("number", ["0", "-1", "nan", "inf", "1e9", "0.0001", "86401"])
def test_a_number_that_is_no_duration_is_a_problem(number: str) -> None:
    (problem,) = problems_of({}, f"settings.deadline = {number}")

    assert problem.startswith("predeploy.toml: deadline is ")


# all at once


def test_every_problem_is_told_at_once() -> None:
    """The given ones first, then one per mistake, in one exception with one exit code."""
    environ = {
        "DATABASE_URL": "postgres://a:QQ@ZZ@db",
        "PREDEPLOY_DEADLINE": "soon",
        "PREDEPLOY_LOG_LEVEL": "loud",
        "PREDEPLOY_TYPO": "1",
        "ADMIN_EMAIL": "Q",
    }

    with pytest.raises(SettingsError) as caught:
        parse_settings(
            environ,
            declaration="[settings]\nlock_budget = 0\n[other]\n",
            default_sql_dir=SQL,
            problems=("PGPASSWORD_FILE: /x does not exist",),
        )

    assert [re.split(r"[ :]", problem)[0] for problem in caught.value.problems] == [
        "PGPASSWORD_FILE",
        "DATABASE_URL",
        "predeploy.toml",
        "predeploy.toml",
        "PREDEPLOY_DEADLINE",
        "PREDEPLOY_LOG_LEVEL",
        "ADMIN_EMAIL",
        "ADMIN_EMAIL",
        "PREDEPLOY_TYPO",
    ]
    assert caught.value.exit_code == 78
    assert not set("QZ") & set(str(caught.value))


def test_settings_print_no_secret() -> None:
    assert "QQQQ" not in repr(parsed(ADMIN)) + str(dataclasses.asdict(parsed(ADMIN)))


# what decides whether a database is settled


def test_identity_holds_names_and_no_secret() -> None:
    assert parsed(ADMIN, '[critical]\nusers = ["id", "email"]').identity == (
        ("ledger_schema", "predeploy"),
        ("critical", '["", "users", "email", "id"]'),
        ("admin_username", "root"),
        ("admin_email", "root@example.org"),
    )


@pytest.mark.parametrize(
    ("environ", "declaration"),
    [
        ({"PREDEPLOY_LEDGER_SCHEMA": "other"}, "critical.a = ['x', 'y']"),
        ({"ADMIN_USERNAME": "other"}, "critical.a = ['x', 'y']"),
        ({"ADMIN_EMAIL": "other@x"}, "critical.a = ['x', 'y']"),
        (dict.fromkeys(ADMIN, ""), "critical.a = ['x', 'y']"),
        ({}, "critical.a = ['x']"),
        ({}, "critical.a = ['x, y']"),
        ({}, "critical.b.a = ['x', 'y']"),
        ({}, "critical.public.a = ['x', 'y']"),
        ({}, "[critical]\na = ['x']\ny = []"),
        ({}, None),
    ],
)
def test_identity_changes_with_what_decides(
    environ: dict[str, str], declaration: str | None
) -> None:
    before = parsed(ADMIN, "critical.a = ['x', 'y']").identity

    assert parsed(ADMIN | environ, declaration).identity != before


@pytest.mark.parametrize(
    ("environ", "declaration"),
    [
        (dict.fromkeys(["PREDEPLOY_DEADLINE", "PREDEPLOY_DDL_BUDGET"], "1s"), None),
        ({"PREDEPLOY_LOG_LEVEL": "debug", "PREDEPLOY_REPORT": "x"}, None),
        ({"DATABASE_URL": "postgres://elsewhere"}, None),
        ({"ADMIN_PASSWORD": "other"}, None),
        ({"ADMIN_PASSWORD": "", "ADMIN_PASSWORD_HASH": HASH}, None),
        ({}, "critical.a = ['y', 'x']\ncritical.b = []"),
    ],
)
def test_identity_stays_with_what_does_not_decide(
    environ: dict[str, str], declaration: str | None
) -> None:
    tables = "critical.b = []\ncritical.a = ['x', 'y']"

    assert parsed(ADMIN | environ, declaration or tables).identity == parsed(ADMIN, tables).identity


def test_a_settings_value_can_be_made_by_hand() -> None:
    """Tests of other modules need an endpoint and a folder, nothing else."""
    made = Settings(endpoint=Endpoint("DATABASE_URL", ()), sql_dir=SQL)

    assert made.identity == (("ledger_schema", "predeploy"),)


def test_a_bad_shadow_url_shows_nothing_of_its_password() -> None:
    """It is an endpoint as the other one, and its password is a secret of the run."""
    (problem,) = problems_of({"PREDEPLOY_SHADOW_URL": "postgresql://joe:QQQQ@h/d?nonsense=1"})
    settings = parsed({"PREDEPLOY_SHADOW_URL": "postgresql://joe:QQQQ2@h/d"})

    assert problem.startswith("PREDEPLOY_SHADOW_URL")
    assert "QQQQ" not in problem
    assert "QQQQ2" in [secret.reveal() for secret in settings.secrets]
