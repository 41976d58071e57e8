"""Log lines: for platforms, for people, and never with a secret."""

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from predeploy.contract.secret import Secret, redact
from predeploy.log import configure, is_pretty
from predeploy.settings import LogFormat, LogLevel

bounded = settings(max_examples=25, deadline=None)

PASSWORD = Secret("hunter2-hunter2")


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# redaction


@pytest.mark.parametrize(
    ("text", "secrets", "expected"),
    [
        ("", ("secret",), ""),
        ("nothing to hide", ("secret",), "nothing to hide"),
        ("a secret, a secret", ("secret",), "a ***, a ***"),
        ("Secret", ("secret",), "Secret"),
        ("p=geheim q=passwort", ("passwort", "geheim"), "p=*** q=***"),
        ("geheimßnis", ("geheimß",), "***nis"),
        ("short words stay", ("short", ""), "short words stay"),
        ("six hides: sixsix", ("sixsix",), "six hides: ***"),
    ],
)
def test_secrets_are_replaced(text: str, secrets: tuple[str, ...], expected: str) -> None:
    """Three asterisks stand for each; what is shorter than a word's six letters stays."""
    assert redact(text, [Secret(secret) for secret in secrets]) == expected


secret_texts = st.text('ab"\\é', min_size=6, max_size=8)


@bounded
@example(["aaaaaa", "aaaaaab"], [1])
@given(st.lists(secret_texts, min_size=1, max_size=3), st.lists(st.integers(0, 2), max_size=4))
def test_no_text_keeps_a_secret(secrets: list[str], order: list[int]) -> None:
    """Wherever secrets stand in a text, side by side or one in another, none is left in it."""
    text = "".join(f"{secrets[number % len(secrets)]}, " for number in order)

    found = redact(text, [Secret(secret) for secret in secrets])

    assert set(found) <= set("*, ")


# JSON


def test_a_line_is_an_object_with_message_and_level_first(stream: io.StringIO) -> None:
    """Platforms read these two; time and fields follow, one line each."""
    configure(LogFormat.JSON, stream=stream)

    structlog.get_logger().info("größe\nzwei", rows=3, by="DATABASE_URL")

    (line,) = lines(stream)
    stamp = line.pop("timestamp")
    assert line == {"message": "größe\nzwei", "level": "info", "rows": 3, "by": "DATABASE_URL"}
    assert stream.getvalue().startswith('{"message":"größe\\nzwei","level":"info",')
    assert stream.getvalue().count("\n") == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", stamp)


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (LogLevel.DEBUG, ["debug", "info", "warn", "error"]),
        (LogLevel.INFO, ["info", "warn", "error"]),
        (LogLevel.WARN, ["warn", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
def test_levels_have_the_names_that_platforms_know(
    stream: io.StringIO, level: LogLevel, heard: list[str]
) -> None:
    """A warning is `warn`; what is below the level is not written."""
    configure(LogFormat.JSON, level, stream=stream)

    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")

    assert [line["level"] for line in lines(stream)] == heard


@pytest.mark.parametrize(
    "value",
    [
        "a hunter2-hunter2 b",
        ["a", "hunter2-hunter2"],
        {"why": {"text": "hunter2-hunter2"}},
        Path("/hunter2-hunter2"),
        ValueError("hunter2-hunter2"),
        PASSWORD,
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_field_lets_a_secret_out(stream: io.StringIO, value: object) -> None:
    """Whatever is logged passes the redaction, however deep it stands, in both forms."""
    for log_format in (LogFormat.JSON, LogFormat.PRETTY):
        configure(log_format, secrets=(PASSWORD,), stream=stream)
        structlog.get_logger().info("about hunter2-hunter2", value=value)

    assert stream.getvalue().count("about ***") == 2
    assert "hunter2" not in stream.getvalue()


def test_what_json_does_not_know_is_written_as_text(stream: io.StringIO) -> None:
    """A path or an error in a field never breaks the line."""
    configure(LogFormat.JSON, stream=stream)

    structlog.get_logger().warning("odd", path=Path("/sql"), error=ValueError("no"), none=None)

    (line,) = lines(stream)
    line.pop("timestamp")
    assert line == {
        "message": "odd",
        "level": "warn",
        "path": repr(Path("/sql")),
        "error": "ValueError('no')",
        "none": None,
    }


def test_a_logger_follows_a_later_configuration(stream: io.StringIO) -> None:
    """Modules get their loggers before the settings are known."""
    configure(LogFormat.JSON, LogLevel.ERROR)
    log = structlog.get_logger()
    log.info("lost")

    configure(LogFormat.JSON, LogLevel.DEBUG, stream=stream)
    log.debug("heard")

    assert [line["message"] for line in lines(stream)] == ["heard"]


# for people


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "warn  look out"),
        ({"rows": 3, "by": "a b"}, "warn  look out  rows=3 by=a b"),
    ],
)
def test_a_person_reads_clock_level_message_and_fields(
    stream: io.StringIO, fields: dict[str, object], expected: str
) -> None:
    """The date is left out, and levels are padded so that messages stand below each other."""
    configure(LogFormat.PRETTY, stream=stream)

    structlog.get_logger().warning("look out", **fields)

    clock, rest = stream.getvalue().split(" ", 1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", clock)
    assert rest == f"{expected}\n"


def test_lines_are_pretty_for_a_terminal() -> None:
    """Unless it is said, a terminal gets lines for people, and everything else JSON."""
    main, terminal = os.openpty()

    with os.fdopen(main), os.fdopen(terminal, "w") as tty:
        found = {
            log_format: (is_pretty(log_format, tty), is_pretty(log_format, io.StringIO()))
            for log_format in LogFormat
        }

    assert found == {
        LogFormat.AUTO: (True, False),
        LogFormat.JSON: (False, False),
        LogFormat.PRETTY: (True, True),
    }
