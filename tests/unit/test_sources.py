"""Reading the SQL folder: what counts, in which order, and what stops the run."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import SourcesError
from job.exit_codes import ExitCode
from job.sources import load_sources, read_declaration
from job.sources.native import version_of
from job.sources.script import Script

SQL = "select 1"


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def mount(root: Path, stamp: str, files: Mapping[str, str | bytes]) -> Path:
    """Lay files out as Kubernetes mounts a ConfigMap: links into a folder named by the moment."""
    write(root / f"..{stamp}", files)
    (root / "..data").symlink_to(f"..{stamp}")
    for name in {file.split("/")[0] for file in files}:
        (root / name).symlink_to(f"..data/{name}")
    return root


def problems(root: Path, files: Mapping[str, str | bytes]) -> tuple[str, ...]:
    with pytest.raises(SourcesError) as caught:
        load_sources(write(root, files))
    assert caught.value.exit_code is ExitCode.BAD_SOURCES
    return caught.value.problems


def names(root: Path, files: Mapping[str, str | bytes]) -> list[str]:
    return [script.name for script in load_sources(write(root, files)).migrations]


# one file


def test_a_file_is_its_name_text_and_hash(tmp_path: Path) -> None:
    """The ledger knows a migration by its name and by the hash of its bytes."""
    raw = "\ufeff-- é\r\nselect 1;".encode()

    sources = load_sources(write(tmp_path, {"migrations/2024/0042_a.sql": raw}))

    expected = Script(
        name="0042_a.sql",
        path="migrations/2024/0042_a.sql",
        text="-- é\r\nselect 1;",
        raw_hash=hashlib.sha256(raw).hexdigest(),
        version=42,
    )
    assert (sources.migrations, sources.seeds, sources.checks) == ((expected,), (), ())


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"ab\xff", ": byte 3 is not UTF-8; save the file as UTF-8"),
        ("é".encode("latin-1"), ": byte 1 is not UTF-8; save the file as UTF-8"),
        ("select 1".encode("utf-16"), ": byte 1 is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbfab\xff", ": byte 6 is not UTF-8; save the file as UTF-8"),
        (b"a;\r\n\r\n  \0", ":3: holds a NUL byte; PostgreSQL takes no such text"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, raw: bytes, problem: str) -> None:
    """The problem names the file and the byte or line; nothing is read with other letters."""
    assert problems(tmp_path, {"migrations/1_a.sql": raw}) == (f"migrations/1_a.sql{problem}",)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """One run shows all that is wrong with the folder, whatever part it is in."""
    found = problems(
        tmp_path,
        {
            "migrations/a.sql": SQL,
            "migrations/1_b.sql": b"\xff",
            "seed/c.sql": b"\0",
            "verify/d.sql": b"\xff",
        },
    )

    assert found == (
        "migrations/1_b.sql: byte 1 is not UTF-8; save the file as UTF-8",
        "migrations/a.sql: has no version; start its name with digits or a date, such as 0042_",
        "seed/c.sql:1: holds a NUL byte; PostgreSQL takes no such text",
        "verify/d.sql: byte 1 is not UTF-8; save the file as UTF-8",
    )


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    """A link that leads nowhere is not passed over."""
    write(tmp_path, {"migrations/1_a.sql": SQL})
    (tmp_path / "migrations/2_b.sql").symlink_to("nowhere.sql")

    found = problems(tmp_path, {})

    assert found == ("migrations/2_b.sql: cannot be read: No such file or directory",)


@pytest.mark.parametrize("name", ["migrations/2_b.sql", "predeploy.toml", "notes/pipe"])
def test_a_pipe_is_a_problem(tmp_path: Path, name: str) -> None:
    """Nobody waits for one who writes into it."""
    write(tmp_path, {"migrations/1_a.sql": SQL, "notes/readme": "none"})
    os.mkfifo(tmp_path / name)

    assert read_declaration(tmp_path) is None
    with pytest.raises(SourcesError) as caught:
        load_sources(tmp_path)
    assert caught.value.problems == (f"{name}: cannot be read: it is a pipe",)


def test_a_name_that_is_not_utf8_is_a_problem(tmp_path: Path) -> None:
    """Neither the ledger nor a log can hold such a name; the problem can be printed."""
    found = problems(tmp_path, {os.fsdecode(b"migrations/1_\xff.sql"): SQL})

    assert len(found) == 1
    assert "UTF-8" in found[0].encode().decode()


# versions and order


VERSIONS = {
    "1_a.sql": 1,
    "0042.sql": 42,
    "42abc.sql": 42,
    "20240102030405_a.sql": 20240102030405,
    "2024-01-02_a.sql": 20240102,
    "2024_01_02-a.sql": 20240102,
    "2024-01_02 a.sql": 20240102,
    "2024_01_02_030405_a.sql": 20240102,
    "2024-01-021_a.sql": 2024,
    "2024-1-2_a.sql": 2024,
    "9" * 60: int("9" * 60),
    "0000_a.sql": 0,
    "V1__a.sql": None,
    "a_1.sql": None,
    "-1.sql": None,
    " 1.sql": None,
    "²_a.sql": None,
    "": None,
}


def test_a_version_is_leading_digits_or_a_date() -> None:
    """Names are ordered by what they start with, and only by that."""
    assert {name: version_of(name) for name in VERSIONS} == VERSIONS


def test_numbers_that_cannot_be_a_date_are_none() -> None:
    """A version of four digits may be followed by other numbers."""
    assert version_of("0042_99_99_bottles.sql") == 42


def test_migrations_run_in_the_order_of_their_versions(tmp_path: Path) -> None:
    """Versions are compared as numbers across folders; one version twice runs in name order."""
    files = ("10_a.sql", "9_a.sql", "b/010_b.sql", "a/11_a.sql", "2024-01-02_x.sql", "0010_c.SQL")

    found = names(tmp_path, {f"migrations/{name}": SQL for name in files})

    assert found == [
        "9_a.sql", "0010_c.SQL", "010_b.sql", "10_a.sql", "11_a.sql", "2024-01-02_x.sql",
    ]  # fmt: skip


NAMES = st.builds(
    "{}{}_{}.sql".format,
    st.sampled_from(("", "0", "000")),
    st.integers(0, 12),
    st.sampled_from(("a", "b", "é")),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(NAMES, unique_by=str.lower, min_size=1, max_size=6).flatmap(
    lambda files: st.tuples(st.permutations(files), st.permutations(files))
))  # fmt: skip
def test_the_order_does_not_depend_on_how_files_were_made(
    tmp_path_factory: pytest.TempPathFactory, orders: tuple[list[str], list[str]]
) -> None:
    """Two folders with the same files have the same order, which is total, and the same digest."""
    folders = [
        load_sources(write(tmp_path_factory.mktemp("sql"), {f"migrations/{n}": SQL for n in order}))
        for order in orders
    ]

    one, other = folders
    keys = [(script.version, script.name) for script in one.migrations]
    assert one == other
    assert keys == sorted(keys)
    assert len(set(keys)) == len(orders[0])


# what counts


def test_what_is_no_migration_is_passed_over(tmp_path: Path) -> None:
    """Notes, hidden files and folders, and programs without a version are none."""
    found = names(
        tmp_path,
        {
            "migrations/1_a.sql": SQL,
            "migrations/README.md": "",
            "migrations/2_notes.txt": "",
            "migrations/.3_hidden.sql": b"\xff",
            "migrations/.git/4_a.sql": b"\xff",
            "migrations/helper.py": "",
            "migrations/5_a.sql.bak": "",
        },
    )

    assert found == ["1_a.sql"]


@pytest.mark.parametrize("folder", ["seed", "verify"])
def test_seeds_and_checks_are_read_in_name_order(tmp_path: Path, folder: str) -> None:
    """Hidden files, such as editors and macOS leave behind, are no part of them."""
    files = {f"{folder}/{name}": SQL for name in ("b.sql", "a.sql", "10.sql", "README.md")}
    hidden = {f"{folder}/.b.sql": SQL, f"{folder}/._a.sql": b"\xff"}

    sources = load_sources(write(tmp_path, files | hidden))

    scripts = sources.seeds if folder == "seed" else sources.checks
    assert [s.path for s in scripts] == [f"{folder}/{n}" for n in ("10.sql", "a.sql", "b.sql")]


@pytest.mark.parametrize("path", ["seed/a.SQL", "verify/orders/a.sql"])
def test_no_seed_and_no_check_is_left_out_silently(tmp_path: Path, path: str) -> None:
    """SQL in these folders is read, in whatever letter case and depth, or is a problem."""
    try:
        sources = load_sources(write(tmp_path, {path: SQL}))
        found = [script.path for script in (*sources.seeds, *sources.checks)]
    except SourcesError as error:
        found = [problem.split(":")[0] for problem in error.problems]

    assert found == [path]


def test_a_migration_in_another_language_stops_the_run(tmp_path: Path) -> None:
    """A later file may need what it does, so it cannot be passed over."""
    files = ("2_a.JS", "2_a.go", "2_a.psql", "2_a.py", "2_a.up.fizz")

    found = problems(tmp_path, {f"migrations/{name}": SQL for name in ("1_a.sql", *files)})

    why = "cannot be run here, and later files may need it; rewrite it as SQL"
    assert found == tuple(f"migrations/{name}: {why}" for name in files)


def test_a_file_that_undoes_is_refused(tmp_path: Path) -> None:
    """Run forward, it would drop what its twin has made."""
    files = ("1_a.UNDO.sql", "1_a.down.sql", "1_a.rollback.SQL")

    found = problems(tmp_path, {f"migrations/{name}": SQL for name in ("1_a.up.sql", *files)})

    why = "undoes a migration; predeploy only goes forward, so move it elsewhere"
    assert found == tuple(f"migrations/{name}: {why}" for name in files)


UNDOING = {
    "dbmate": "-- migrate:down",
    "dbmate, with an option": "-- migrate:down transaction:false",
    "goose": "-- +goose Down",
    "goose, in another hand": "--+goose DOWN",
    "node-pg-migrate": "  -- Down Migration",
    "Liquibase": "--rollback drop table t;",
    "tern": "---- create above / drop below ----",
    "sql-migrate": "-- +migrate Down",
    "MyBatis": "-- //@UNDO",
}


def test_a_section_that_undoes_is_refused(tmp_path: Path) -> None:
    """The marks of other tools are known, and named with their line."""
    files = {
        f"migrations/{number}_a.sql": f"-- up\r\ncreate table t ();\r\n{mark}\r\ndrop table t;\r\n"
        for number, mark in enumerate(UNDOING.values())
    }

    found = problems(tmp_path, files)

    end = "starts a section that undoes the file; predeploy only goes forward, so take it out"
    refused = {int(p.removeprefix("migrations/")[0]) for p in found if p.endswith(end)}
    assert [tool for n, tool in enumerate(UNDOING) if n not in refused] == []
    assert [p.split(": ")[0] for p in found] == [f"{path}:3" for path in files]


def test_a_file_that_only_goes_up_may_say_so(tmp_path: Path) -> None:
    """The marks of other tools for the way up are comments."""
    text = "-- migrate:up\n-- +goose Up\n-- Up Migration\n-- slow down migrations here\nselect 1"

    assert names(tmp_path, {"migrations/1_a.sql": text}) == ["1_a.sql"]


def test_a_name_may_stand_once(tmp_path: Path) -> None:
    """The ledger knows a file by its name, in whatever folder and letter case."""
    found = problems(tmp_path, {"migrations/a/1_a.sql": SQL, "migrations/b/1_A.sql": SQL})

    assert found == (
        "migrations/b/1_A.sql: has the name of migrations/a/1_a.sql; rename one of them",
    )


# the folder


def test_a_missing_folder_is_no_input(tmp_path: Path) -> None:
    """66 says that nothing was mounted where something was expected."""
    with pytest.raises(SourcesError) as caught:
        load_sources(tmp_path / "sql")

    assert caught.value.exit_code is ExitCode.NO_INPUT
    assert caught.value.problems == (
        f"the SQL folder {tmp_path / 'sql'} does not exist; mount it or set PREDEPLOY_SQL_DIR",
    )


@pytest.mark.parametrize(
    "files", [{}, {".gitkeep": ""}, {"README.md": ""}, {"0001_a.sql": SQL}, {"sql/seed/a.sql": SQL}]
)
def test_a_folder_without_any_part_of_ours_is_no_input(
    tmp_path: Path, files: dict[str, str]
) -> None:
    """A wrong folder never passes for one with nothing to do."""
    with pytest.raises(SourcesError) as caught:
        load_sources(write(tmp_path, files))

    assert caught.value.exit_code is ExitCode.NO_INPUT


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("seeds/admin.sql", "seeds is not read; call it seed, or something else altogether"),
        ("Migrations/1_a.sql", "Migrations is not read; call it migrations, or"),
        ("predeploy.tml", "predeploy.tml is not read; call it predeploy.toml, or"),
        ("migrations", "migrations is no folder"),
        ("predeploy.toml/a.sql", "predeploy.toml is no file"),
    ],
)
def test_what_is_almost_a_part_of_ours_is_not_passed_over(
    tmp_path: Path, path: str, problem: str
) -> None:
    """A typo in a folder's name would be a deploy without its migrations, and exit 0."""
    (found,) = problems(tmp_path, {"verify/a.sql": SQL, path: SQL})

    assert found.startswith(problem)


def test_what_else_stands_in_the_folder_is_nobody_s_business(tmp_path: Path) -> None:
    """Nor is what is called almost like a part that is there."""
    files = {"schema.sql": SQL, "schemas/a.sql": SQL, "queries/a.sql": SQL, ".seeds/a.sql": SQL}

    assert load_sources(write(tmp_path, files)).schema


def test_the_desired_state_is_one_file(tmp_path: Path) -> None:
    """What `schema.sql` says is the desired state."""
    sources = load_sources(write(tmp_path, {"schema.sql": SQL}))

    assert [(s.path, s.text) for s in sources.schema] == [("schema.sql", SQL)]


def test_the_desired_state_may_be_a_folder(tmp_path: Path) -> None:
    """Every SQL file below `schema/` belongs to it, in the order of the paths."""
    files = {"schema/b.sql": SQL, "schema/a/z.sql": SQL, "schema/README.md": "words"}

    sources = load_sources(write(tmp_path, files))

    assert [s.path for s in sources.schema] == ["schema/a/z.sql", "schema/b.sql"]


def test_two_desired_states_are_refused(tmp_path: Path) -> None:
    """A file and a folder would leave open which of them is meant."""
    found = problems(tmp_path, {"schema.sql": SQL, "schema/a.sql": SQL})

    assert found == ("schema.sql and schema/ are both there; keep one of them",)


def test_a_desired_state_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """It is read as all other files are."""
    found = problems(tmp_path, {"schema.sql": b"a\0"})

    assert found == ("schema.sql:1: holds a NUL byte; PostgreSQL takes no such text",)


def test_the_declaration_is_text_or_nothing(tmp_path: Path) -> None:
    """A folder needs no predeploy.toml; one that is no text is refused."""
    without = read_declaration(tmp_path)
    given_one = read_declaration(write(tmp_path, {"predeploy.toml": "\ufeff[critical]\r\n"}))

    assert (without, given_one) == (None, "[critical]\r\n")
    with pytest.raises(SourcesError, match=r"predeploy\.toml: byte 1 is not UTF-8"):
        read_declaration(write(tmp_path, {"predeploy.toml": b"\xff"}))


# the digest

FILES: dict[str, str | bytes] = {"migrations/1_a.sql": SQL, "predeploy.toml": "", "notes/x": "y"}


def digest(root: Path, files: Mapping[str, str | bytes]) -> str:
    return load_sources(write(root, files)).digest


def test_any_change_of_the_folder_changes_the_digest(tmp_path: Path) -> None:
    """A byte, a name, a file more or less: the database is not settled for that folder."""
    variants: tuple[Mapping[str, str | bytes], ...] = (
        FILES,
        FILES | {"migrations/1_a.sql": "select 2"},
        FILES | {"migrations/1_a.sql": b"\xef\xbb\xbfselect 1"},
        FILES | {"predeploy.toml": "\n"},
        FILES | {"notes/y": ""},
        FILES | {"notes/x": "", "notes/y": "y"},
        {"migrations/1_a.sql": SQL, "predeploy.toml": ""},
        {"migrations/1_b.sql": SQL, "predeploy.toml": "", "notes/x": "y"},
        {"migrations/a/1_a.sql": SQL, "predeploy.toml": "", "notes/x": "y"},
        {"migrations/1_a.sql": SQL, "predeploy.toml": "", "notes/xy": ""},
    )

    digests = [digest(tmp_path / str(number), files) for number, files in enumerate(variants)]

    assert len(set(digests)) == len(variants)


def test_only_content_counts_for_the_digest(tmp_path: Path) -> None:
    """Where the folder is, when its files were written and what is hidden in it do not matter."""
    one = digest(tmp_path / "one", FILES)
    other = write(tmp_path / "other", FILES | {".git/HEAD": "x", "notes/.x.swp": "x"})
    os.utime(other / "predeploy.toml", (1, 1))

    assert digest(other, {}) == one


def test_a_mounted_config_map_reads_like_the_folder_it_is(tmp_path: Path) -> None:
    """Kubernetes mounts links into a folder that each pod names anew: they count as files."""
    paths = ("migrations/1_a.sql", "migrations/b/2_b.sql", "seed/a.sql", "verify/a.sql")
    files = dict.fromkeys(paths, SQL)

    plain = load_sources(write(tmp_path / "plain", files))
    mounted = load_sources(mount(tmp_path / "mounted", "2026_11_22_10_00_00.1", files))

    assert mounted == plain


def test_migrations_behind_a_link_are_migrations(tmp_path: Path) -> None:
    """A linked folder is read, and counts for the digest, as if it stood there itself."""
    files = {"1_a.sql": SQL, "2024/2_b.sql": SQL}
    root = write(tmp_path / "sql", {"predeploy.toml": ""})
    mount(root / "migrations", "2026", files)

    before = load_sources(root)
    write(root / "migrations/..2026", {"2024/2_b.sql": "select 2"})
    after = load_sources(root)

    assert [script.path for script in before.migrations] == [f"migrations/{name}" for name in files]
    assert after.digest != before.digest
