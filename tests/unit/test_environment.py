"""Values from files: what is mounted is read whole or refused, and never shown."""

import os
from pathlib import Path

import pytest

from predeploy.settings.environment import MAX_BYTES, with_files


def mounted(folder: Path, content: bytes) -> str:
    path = folder / "secret"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"pw", "pw"),
        (b"pw\n", "pw"),
        (b"pw\r\n", "pw"),
        (b"pw\n\n", "pw\n"),
        (b"pw\r", "pw\r"),
        (b" pw ", " pw "),
        (b"", ""),
        ("p\u00e4ss\n".encode(), "p\u00e4ss"),
        (b"x" * MAX_BYTES, "x" * MAX_BYTES),
    ],
)
def test_a_file_gives_its_text_without_one_newline(
    tmp_path: Path, content: bytes, text: str
) -> None:
    path = mounted(tmp_path, content)

    environ, problems = with_files({"PGPASSWORD_FILE": path, "OTHER": "x"}, ["PGPASSWORD"])

    assert environ == {"PGPASSWORD_FILE": path, "OTHER": "x", "PGPASSWORD": text}
    assert problems == ()


def test_an_empty_variable_gives_way_to_the_file(tmp_path: Path) -> None:
    """Compose sets variables that nobody gave to the empty text."""
    path = mounted(tmp_path, b"pw")

    environ, problems = with_files({"PGPASSWORD": "", "PGPASSWORD_FILE": path}, ["PGPASSWORD"])

    assert environ["PGPASSWORD"] == "pw"
    assert problems == ()


def test_only_the_given_names_are_read(tmp_path: Path) -> None:
    given = {"OTHER_FILE": mounted(tmp_path, b"x"), "PGPASSWORD_FILE": " "}

    assert with_files(given, ["PGPASSWORD", "DATABASE_URL"]) == (given, ())


def test_the_given_mapping_stays_as_it_is(tmp_path: Path) -> None:
    given = {"PGPASSWORD_FILE": mounted(tmp_path, b"pw")}

    with_files(given, ["PGPASSWORD"])

    assert set(given) == {"PGPASSWORD_FILE"}


def test_a_name_given_both_ways_is_a_problem(tmp_path: Path) -> None:
    """Which of the two was meant cannot be known."""
    given = {"PGPASSWORD": "a", "PGPASSWORD_FILE": mounted(tmp_path, b"b")}

    assert with_files(given, ["PGPASSWORD"]) == (
        given,
        ("PGPASSWORD and PGPASSWORD_FILE are both set: unset one of them",),
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"QQ\xffZZ", "is not UTF-8"),
        (b"QQ\0ZZ", "holds a NUL byte"),
        (b"Q" * (MAX_BYTES + 1), "is larger than 64 KiB"),
    ],
)
def test_an_unusable_content_is_a_problem_and_not_shown(
    tmp_path: Path, content: bytes, words: str
) -> None:
    given = {"PGPASSWORD_FILE": mounted(tmp_path, content)}

    environ, problems = with_files(given, ["PGPASSWORD"])

    assert environ == given
    assert problems == (f"PGPASSWORD_FILE: {given['PGPASSWORD_FILE']} {words}",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "does not exist"),
        ("", "is a directory"),
        ("secret/below", "cannot be read"),
        ("nul\0", "cannot be read"),
    ],
)
def test_a_path_that_cannot_be_opened_is_a_problem(tmp_path: Path, name: str, words: str) -> None:
    mounted(tmp_path, b"pw")
    given = {"PGPASSWORD_FILE": f"{tmp_path}/{name}"}

    environ, problems = with_files(given, ["PGPASSWORD"])

    assert environ == given
    assert problems == (f"PGPASSWORD_FILE: {tmp_path}/{name} {words}",)


@pytest.mark.parametrize("value", ["postgresql://app:hunter2@db/shop", "hunter2", "$2b$12$hunter2"])
def test_a_value_where_a_path_belongs_is_not_shown(value: str) -> None:
    """Who puts the secret itself into the variable for its file reads that, and not the secret."""
    _, problems = with_files({"PGPASSWORD_FILE": value}, ["PGPASSWORD"])

    (problem,) = problems
    assert problem.startswith("PGPASSWORD_FILE: ")
    assert "a path, not a value" in problem
    assert "hunter2" not in problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_problem(tmp_path: Path) -> None:
    path = mounted(tmp_path, b"pw")
    Path(path).chmod(0)

    _, problems = with_files({"PGPASSWORD_FILE": path}, ["PGPASSWORD"])

    assert problems == (f"PGPASSWORD_FILE: {path} cannot be read: permission denied",)


def test_every_problem_is_told_in_the_order_of_the_names(tmp_path: Path) -> None:
    given = {"B_FILE": f"{tmp_path}/b", "A_FILE": f"{tmp_path}/a"}

    _, problems = with_files(given, ["B", "A"])

    assert problems == (
        f"B_FILE: {tmp_path}/b does not exist",
        f"A_FILE: {tmp_path}/a does not exist",
    )
