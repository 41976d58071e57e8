"""`[migrate]` of predeploy.toml as a value, and the environment that its command gets."""

import re
import tomllib
from pathlib import Path

import pytest

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.secret import Secret
from predeploy.settings.command import Command, Retry, environment_of, read_command
from predeploy.settings.endpoint import endpoint_from_environ
from predeploy.sources.inputs import read_inputs

_LIMIT = 1 << 20
_SEEN = ("a.ini", "b.ini", "m/1.py", "m/n/2.py")
_PAGE = (Path(__file__).parents[2] / "docs" / "from" / "ORM.md").read_text()


@pytest.mark.parametrize(
    ("words", "retry"),
    [
        ("alembic upgrade head", Retry.KNOWN),
        ("poetry run alembic upgrade head", Retry.KNOWN),
        ("/app/bin/python -m alembic upgrade head", Retry.KNOWN),
        ("python /app/manage.py migrate", Retry.KNOWN),
        ("npx prisma migrate deploy", Retry.NEVER),
        ("node_modules/.bin/knex migrate:latest", Retry.NEVER),
        ("/usr/bin/migrate -path m up", Retry.NEVER),
        ("sequelize-cli db migrate", Retry.UNKNOWN),
        ("python migrate.py", Retry.UNKNOWN),
    ],
)
def test_what_is_known_of_a_program(words: str, retry: Retry) -> None:
    """By its name, behind whatever starts it."""
    assert Command(tuple(words.split())).retry is retry


def environment(environ: dict[str, str], **options: str) -> dict[str, str]:
    endpoint = endpoint_from_environ(environ)
    assert endpoint is not None
    command = Command(("true",), environ=tuple(environ.items()))
    return environment_of(command, endpoint, "predeploy x", options)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:p@h/d?application_name=predeploy%20x"),
        (
            "postgres://u@h/d?schema=s&application_name=mine",
            "postgres://u@h/d?schema=s&application_name=predeploy%20x",
        ),
        (
            "postgresql+psycopg://u@h/d",
            "postgresql+psycopg://u@h/d?application_name=predeploy%20x",
        ),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("host=h dbname=d", "host=h dbname=d application_name='predeploy x'"),
    ],
)
def test_the_address_keeps_its_form(given: str, expected: str) -> None:
    """The app's driver understands it; only the application name is ours."""
    assert environment({"DATABASE_URL": given})["DATABASE_URL"] == expected


def test_every_variable_with_an_address_holds_the_chosen_one() -> None:
    """A tool that has a variable for migrations must not go through the pooler."""
    found = environment({"DATABASE_URL": "postgresql://p/d", "DIRECT_URL": "postgresql://h/d"})

    assert found["DATABASE_URL"] == found["DIRECT_URL"]
    assert found["DIRECT_URL"].startswith("postgresql://h/d?")
    assert "DIRECT_DATABASE_URL" not in found


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"PGHOST": "h", "PGPORT": "6", "PGUSER": "a b", "PGPASSWORD": "p@/", "PGDATABASE": "d"},
            "postgresql://a%20b:p%40%2F@h:6/d?",
        ),
        ({"PGHOST": "/run/pg", "PGDATABASE": "d"}, "postgresql:///d?host=%2Frun%2Fpg&"),
        ({"PGHOST": "::1", "PGPORT": "1"}, "postgresql://[::1]:1/?"),
        ({"PGHOST": "a,b", "PGPORT": "1,2"}, "postgresql://a:1,b:2/?"),
        ({"PGHOST": "a,b", "PGPORT": "1"}, "postgresql://a:1,b:1/?"),
        ({"PGHOST": "h", "PGSSLMODE": "require"}, "postgresql://h/?sslmode=require&"),
    ],
)  # fmt: skip
def test_variables_become_an_address(environ: dict[str, str], expected: str) -> None:
    """A tool that only knows DATABASE_URL works where PG* variables are set."""
    found = environment(environ)

    assert found["DATABASE_URL"] == f"{expected}application_name=predeploy%20x"
    assert found["PGAPPNAME"] == "predeploy x"


def test_options_come_before_its_own() -> None:
    """The later one wins in libpq."""
    own = {"DATABASE_URL": "postgresql://h/d", "PGOPTIONS": "-c lock_timeout=9"}

    assert environment(own, lock_timeout="2")["PGOPTIONS"] == "-c lock_timeout=2 -c lock_timeout=9"
    assert environment(own)["PGOPTIONS"] == "-c lock_timeout=9"


def test_the_words_of_the_command_line_win() -> None:
    """The rest of the table still counts."""
    found: list[str] = []
    declared = {"command": ["a"], "inputs": ["b"], "allow": ["drop-table c"]}

    command = read_command(declared, ["d", "e"], {}, found)

    assert not found
    assert command == Command(("d", "e"), ("b",), None, ("drop-table c",))


def test_the_password_as_it_is_written_is_a_secret() -> None:
    command = Command(("true",), environ=(("DATABASE_URL", "postgres://u:p%40ss@h/d"),))

    assert command.secrets == (Secret("p%40ss"),)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A link to itself, a pipe, a file that is too large; 65."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "loop").symlink_to(tmp_path / "m")
    (tmp_path / "m" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "m" / "large").write_bytes(b"x" * (_LIMIT + 1))

    with pytest.raises(SourcesError) as refused:
        read_inputs(tmp_path, ["m/**"], _LIMIT)

    assert refused.value.exit_code is ExitCode.BAD_SOURCES
    assert {problem.partition(":")[0] for problem in refused.value.problems} == {
        "m/loop",
        "m/gone",
        "m/large",
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.ini", ["a.ini"]),
        ("*.ini", ["a.ini", "b.ini"]),
        ("[!a].ini", ["b.ini"]),
        ("?.ini", ["a.ini", "b.ini"]),
        ("m", ["m/1.py", "m/n/2.py"]),
        ("m/", ["m/1.py", "m/n/2.py"]),
        ("m/*", ["m/1.py"]),
        ("m/**", ["m/1.py", "m/n/2.py"]),
        ("**/2.py", ["m/n/2.py"]),
        ("**/m/*.py", ["m/1.py"]),
        ("./a.ini", ["./a.ini"]),
    ],
)
def test_patterns_match_as_shells_do(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    """Save for hidden files and caches, which are nobody's input."""
    for path in (*_SEEN, "m/.git/3.py", "m/__pycache__/4.pyc", "m/venv/lib/site-packages/m/5.py"):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)

    assert [each.path for each in read_inputs(tmp_path, [pattern], _LIMIT).files] == expected


def test_the_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    """A file that was renamed is another one."""
    (tmp_path / "a").write_text("1")
    before = read_inputs(tmp_path, ["*"], _LIMIT).digest
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = read_inputs(tmp_path, ["*"], _LIMIT).digest
    (tmp_path / "b").write_text("2")

    assert len({before, renamed, read_inputs(tmp_path, ["*"], _LIMIT).digest}) == 3


def test_the_pages_examples_are_understood() -> None:
    """Every block of its predeploy.toml, and every line of its table of commands."""
    blocks = re.findall(
        r"```toml\n(.*?)```", re.sub("^ +", "", _PAGE, flags=re.MULTILINE), re.DOTALL
    )
    rows = re.findall(r"^\| .+? \| `(\[.+?\])` \| `(\[.+?\])` \|", _PAGE, re.MULTILINE)
    blocks += [f"[migrate]\ncommand = {command}\ninputs = {inputs}" for command, inputs in rows]
    found: list[str] = []

    commands = [read_command(tomllib.loads(block)["migrate"], (), {}, found) for block in blocks]

    assert len(commands) == 2 + 9
    assert all(commands), found
