"""Reading the SQL folder: what counts, in which order, and what stops the run."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unprivileged import bits_count

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.settings.versions import version_of
from predeploy.sources import Sources, declaration_of, read_folder, sources_of
from predeploy.sources.script import Script

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


def sources_in(root: Path) -> Sources:
    return sources_of(read_folder(root))


def declaration_in(root: Path) -> str | None:
    return declaration_of(read_folder(root))


def problems(root: Path, files: Mapping[str, str | bytes]) -> tuple[str, ...]:
    with pytest.raises(SourcesError) as caught:
        sources_in(write(root, files))
    assert caught.value.exit_code is ExitCode.BAD_SOURCES
    return caught.value.problems


def names(root: Path, files: Mapping[str, str | bytes]) -> list[str]:
    return [script.name for script in sources_in(write(root, files)).migrations]


# one file


def test_a_file_is_its_name_text_and_hash(tmp_path: Path) -> None:
    """The ledger knows a migration by its name and by the hash of its bytes."""
    raw = "\ufeff-- é\r\nselect 1;".encode()

    sources = sources_in(write(tmp_path, {"migrations/2024/0042_a.sql": raw}))

    expected = Script(
        name="0042_a.sql",
        path="migrations/2024/0042_a.sql",
        text="-- é\r\nselect 1;",
        raw_hash=hashlib.sha256(raw).hexdigest(),
        version=(42,),
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


@pytest.mark.parametrize(
    "links", [{"2_b.sql": "2_b.sql"}, {"2_b.sql": "3_c.sql", "3_c.sql": "2_b.sql"}]
)
def test_links_that_lead_to_each_other_are_problems(tmp_path: Path, links: dict[str, str]) -> None:
    """Nobody will ever read what is behind them."""
    write(tmp_path, {"migrations/1_a.sql": SQL})
    for name, target in links.items():
        (tmp_path / "migrations" / name).symlink_to(target)

    found = problems(tmp_path, {})

    reason = "cannot be read: Too many levels of symbolic links"
    assert found == tuple(f"migrations/{name}: {reason}" for name in links)


@pytest.mark.parametrize(("link", "target"), [("2024", "."), ("a/up", ".."), ("b", "../..")])
def test_a_link_to_a_folder_that_holds_it_is_a_problem(
    tmp_path: Path, link: str, target: str
) -> None:
    """Such a folder has no end, so nobody can say that all of it was read."""
    root = write(tmp_path / "sql", {"migrations/1_a.sql": SQL, "migrations/a/2_b.sql": SQL})
    (root / "migrations" / link).symlink_to(target)

    found = problems(root, {})

    end = "it is a link to a folder that holds it"
    assert any(p.startswith(f"migrations/{link}") and p.endswith(end) for p in found)


def test_folders_without_end_by_two_links_are_a_problem(tmp_path: Path) -> None:
    """Neither link leads to a folder that holds it, and yet there is no end."""
    write(tmp_path, {"migrations/a/1_a.sql": SQL, "migrations/b/2_b.sql": SQL})
    (tmp_path / "migrations/a/x").symlink_to("../b")
    (tmp_path / "migrations/b/y").symlink_to("../a")

    found = problems(tmp_path, {})

    assert [p.split(":")[0] for p in found if "link to a folder" in p] == [
        "migrations/a/x/y",
        "migrations/b/y/x",
    ]


UNREADABLE_PARTS = ("migrations", "schema", "fallback", "seed", "verify")
EVERY_PART: dict[str, str | bytes] = {f"{part}/1_a.sql": SQL for part in UNREADABLE_PARTS}


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o333])
@pytest.mark.parametrize("part", [*UNREADABLE_PARTS, "notes"])
def test_a_folder_that_may_not_be_listed_is_a_problem(tmp_path: Path, part: str, mode: int) -> None:
    """Whatever it is for: nobody knows what is in it. `COPY` of a checkout with umask 077."""
    write(tmp_path, EVERY_PART | {"notes/x": ""})
    (tmp_path / part).chmod(mode)

    with bits_count():
        found = problems(tmp_path, {})

    assert found == (f"{part}: cannot be read: Permission denied",)


@pytest.mark.parametrize("part", UNREADABLE_PARTS)
def test_a_folder_that_may_be_listed_and_not_entered_is_a_problem(
    tmp_path: Path, part: str
) -> None:
    """The names are known, the files behind them are not."""
    write(tmp_path, EVERY_PART)
    (tmp_path / part).chmod(0o444)

    with bits_count():
        found = problems(tmp_path, {})

    assert found == (f"{part}/1_a.sql: cannot be read: Permission denied",)


@pytest.mark.parametrize(
    "path", [*EVERY_PART, "predeploy.toml", "schema.sql", "migrations/a/2_b.sql", "README.md"]
)
def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path, path: str) -> None:
    """In every part, at the top, and deeper."""
    files = {"migrations/1_a.sql": SQL, path: ""}
    write(tmp_path, files)
    (tmp_path / path).chmod(0)

    with bits_count():
        found = problems(tmp_path, {})

    assert found == (f"{path}: cannot be read: Permission denied",)


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o333])
def test_the_sql_folder_itself_may_not_be_listed(tmp_path: Path, mode: int) -> None:
    """65 with the reason, and no traceback; it is there, so it is not 66."""
    root = write(tmp_path / "sql", EVERY_PART)
    root.chmod(mode)

    with bits_count():
        found = problems(root, {})

    assert found == (f"the SQL folder {root} cannot be read: Permission denied",)


def test_a_folder_above_the_sql_folder_may_not_be_entered(tmp_path: Path) -> None:
    """Whether the SQL folder is there is not known, so it is not told to be absent."""
    write(tmp_path / "app/sql", EVERY_PART)
    (tmp_path / "app").chmod(0)

    with bits_count():
        found = problems(tmp_path / "app/sql", {})

    assert found == (f"the SQL folder {tmp_path}/app/sql cannot be read: Permission denied",)


def test_what_npm_has_installed_is_not_ours(tmp_path: Path) -> None:
    """Templates of migrations among it, which nobody means to run."""
    files = {"migrations/1_a.sql": SQL, "node_modules/x/template.sql": SQL}

    assert len(sources_in(write(tmp_path, files)).migrations) == 1


def test_the_file_system_s_own_folder_is_none_of_ours(tmp_path: Path) -> None:
    """A volume of ext4 has a `lost+found` that root alone may list."""
    write(tmp_path, {"migrations/1_a.sql": SQL, "lost+found/x": ""})
    (tmp_path / "lost+found").chmod(0)

    with bits_count():
        assert names(tmp_path, {}) == ["1_a.sql"]


@pytest.mark.parametrize("name", ["migrations/2_b.sql", "predeploy.toml", "notes/pipe"])
def test_a_pipe_is_a_problem(tmp_path: Path, name: str) -> None:
    """Nobody waits for one who writes into it."""
    write(tmp_path, {"migrations/1_a.sql": SQL, "notes/readme": "none"})
    os.mkfifo(tmp_path / name)

    assert declaration_in(tmp_path) is None
    with pytest.raises(SourcesError) as caught:
        sources_in(tmp_path)
    assert caught.value.problems == (f"{name}: cannot be read: it is a pipe",)


def test_a_file_over_the_limit_is_a_problem_whatever_it_is_for(tmp_path: Path) -> None:
    """A dump of 3 GB in the folder: 65 at once, without reading it."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/1_a.sql").write_text("select 1;")
    for name in ("migrations/2_b.sql", "dump.tar"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 3 << 30)

    limit = "cannot be read: it is larger than 256 MB; take it out of the SQL folder, or raise "
    assert read_folder(tmp_path).problems == tuple(
        f"{name}: {limit}PREDEPLOY_MAX_FILE_SIZE" for name in ("dump.tar", "migrations/2_b.sql")
    )
    assert read_folder(tmp_path, 4 << 10).problems[0].startswith("dump.tar")


def test_folders_that_are_linked_in_every_way_are_a_problem_at_once(tmp_path: Path) -> None:
    """Twelve folders, each with links to all: half a billion paths would lead through them."""
    for number in range(12):
        (tmp_path / f"f{number}").mkdir()
        for other in range(12):
            (tmp_path / f"f{number}/l{other}").symlink_to(f"../f{other}")

    found = read_folder(tmp_path).problems
    assert len(found) == 10
    assert all(p.endswith("it is a link to a folder that holds it") for p in found)


ENDLESS = {
    "/dev/zero": "migrations/2_b.sql: cannot be read: it is a device",
    "{folder}/pipe": "migrations/2_b.sql: cannot be read: it is a pipe",
    "2_b.sql": "migrations/2_b.sql: cannot be read: Too many levels of symbolic links",
    "/proc/self/cwd/migrations": "migrations/2_b.sql: cannot be read: it is a link to a folder",
    "/proc/self": "more than 50,000 files and folders|a link to a folder that holds it",
    "/": "more than 50,000 files and folders|a link to a folder that holds it",
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("target", ENDLESS)
def test_a_link_to_what_has_no_end_is_a_problem_at_once(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is read, and nobody waits: 65, with its name."""
    root = write(tmp_path / "sql", {"migrations/1_a.sql": SQL})
    monkeypatch.chdir(root)
    os.mkfifo(tmp_path / "pipe")
    (root / "migrations/2_b.sql").symlink_to(target.format(folder=tmp_path))

    with pytest.raises(SourcesError) as caught:
        sources_in(root)

    assert caught.value.exit_code == ExitCode.BAD_SOURCES
    assert any(re.search(ENDLESS[target], problem) for problem in caught.value.problems)
    assert all(p.startswith("migrations/2_b.sql") for p in caught.value.problems)


def test_a_folder_of_very_many_files_is_a_problem_and_none_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the folder in which the search was given up."""
    monkeypatch.setattr("predeploy.sources.walk._MOST_ENTRIES", 20)
    write(tmp_path, {f"migrations/a/{n}_a.sql": SQL for n in range(21)})
    write(tmp_path, {"migrations/30_b.sql": SQL})

    folder = read_folder(tmp_path)

    assert folder.files == ()
    (problem,) = folder.problems
    assert problem == (
        "migrations/a: cannot be read: there are more than 20 files and folders up to here; take "
        "out the link that leads out of the SQL folder, or mount a smaller one"
    )


def test_a_device_is_a_problem(tmp_path: Path) -> None:
    """A file that is covered by /dev/null, as containers do it, is not an empty migration."""
    write(tmp_path, {"migrations/1_a.sql": SQL})
    (tmp_path / "migrations/2_b.sql").symlink_to("/dev/null")

    found = problems(tmp_path, {})

    assert found == ("migrations/2_b.sql: cannot be read: it is a device",)


def test_a_name_that_is_not_utf8_is_a_problem(tmp_path: Path) -> None:
    """Neither the ledger nor a log can hold such a name; the problem can be printed."""
    found = problems(tmp_path, {os.fsdecode(b"migrations/1_\xff.sql"): SQL})

    assert len(found) == 1
    assert "UTF-8" in found[0].encode().decode()


# versions and order


VERSIONS = {
    "1_a.sql": (1,),
    "0042.sql": (42,),
    "42abc.sql": (42,),
    "20240102030405_a.sql": (20240102030405,),
    "2024-01-02_a.sql": (20240102,),
    "2024_01_02-a.sql": (20240102,),
    "2024-01_02 a.sql": (20240102,),
    "2024_01_02_030405_a.sql": (20240102,),
    "2024-01-021_a.sql": (2024,),
    "2024-1-2_a.sql": (2024,),
    "9" * 60: (int("9" * 60),),
    "0000_a.sql": (0,),
    "V1__a.sql": (1,),
    "V1_2__a.sql": (1, 2),
    "V1.02.0__a.sql": (1, 2),
    "B7__a.sql": (7,),
    "1.2": (1, 2),
    "1.2_a.sql": (1,),
    "V1_a.sql": (),
    "R__a.sql": (),
    "a_1.sql": (),
    "-1.sql": (),
    " 1.sql": (),
    "²_a.sql": (),
    "": (),
}


def test_a_version_is_leading_digits_a_date_or_flyway_s() -> None:
    """Names are ordered by what they start with, and only by that."""
    assert {name: version_of(name) for name in VERSIONS} == VERSIONS


def test_numbers_that_cannot_be_a_date_are_none() -> None:
    """A version of four digits may be followed by other numbers."""
    assert version_of("0042_99_99_bottles.sql") == (42,)


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
        sources_in(write(tmp_path_factory.mktemp("sql"), {f"migrations/{n}": SQL for n in order}))
        for order in orders
    ]

    one, other = folders
    keys = [(script.version, script.name) for script in one.migrations]
    assert one == other
    assert keys == sorted(keys)
    assert len(set(keys)) == len(orders[0])


# what counts


COMPANIONS = (
    *("README", "LICENSE", "LICENSE-MIT", "CODEOWNERS", "erd.svg", "a.sql~", ".gitkeep"),
    *("migration_lock.toml", "meta/0000_snapshot.json", "2_b/snapshot.json"),
    *("flyway.conf", "alembic.ini", "env.py", "script.py.mako"),
    *("__init__.py", "__pycache__/0001_a.cpython-313.pyc", "embed.go", "mod.rs", "index.ts"),
)


def test_what_is_no_migration_is_passed_over(tmp_path: Path) -> None:
    """Notes, hidden files and folders, and the locks and loaders of other tools are none."""
    found = names(
        tmp_path,
        {
            "migrations/1_a.sql": SQL,
            "migrations/README.md": "",
            "migrations/2_notes.txt": "",
            "migrations/.3_hidden.sql": b"\xff",
            "migrations/.git/4_a.sql": b"\xff",
            "migrations/5_a.sql.bak": "",
            **{f"migrations/{name}": "" for name in COMPANIONS},
        },
    )

    assert found == ["1_a.sql"]


@pytest.mark.parametrize("folder", ["seed", "verify"])
def test_seeds_and_checks_are_read_in_name_order(tmp_path: Path, folder: str) -> None:
    """Hidden files, such as editors and macOS leave behind, are no part of them."""
    files = {f"{folder}/{name}": SQL for name in ("b.sql", "a.sql", "10.sql", "README.md")}
    hidden = {f"{folder}/.b.sql": SQL, f"{folder}/._a.sql": b"\xff"}

    sources = sources_in(write(tmp_path, files | hidden))

    scripts = sources.seeds if folder == "seed" else sources.checks
    assert [s.path for s in scripts] == [f"{folder}/{n}" for n in ("10.sql", "a.sql", "b.sql")]


@pytest.mark.parametrize("path", ["seed/a.SQL", "verify/orders/a.sql"])
def test_no_seed_and_no_check_is_left_out_silently(tmp_path: Path, path: str) -> None:
    """SQL in these folders is read, in whatever letter case and depth, or is a problem."""
    try:
        sources = sources_in(write(tmp_path, {path: SQL}))
        found = [script.path for script in (*sources.seeds, *sources.checks)]
    except SourcesError as error:
        found = [problem.split(":")[0] for problem in error.problems]

    assert found == [path]


def test_a_migration_in_another_language_stops_the_run(tmp_path: Path) -> None:
    """A later file may need what it does, so it cannot be passed over.

    Not all have a version: Alembic's start with letters as well as digits.
    """
    files = ("2_a.JS", "2_a.go", "2_a.py", "2_a.up.fizz", "ab12cd34ef56_a.py", "add_users.rb")

    found = problems(tmp_path, {f"migrations/{name}": SQL for name in ("1_a.sql", *files)})

    why = "cannot be run here, and later files may need it; rewrite it as SQL"
    assert {*found} == {f"migrations/{name}: {why}" for name in files}


def test_a_file_that_undoes_is_refused(tmp_path: Path) -> None:
    """Run forward, it would drop what its twin has made."""
    files = ("1_a.UNDO.sql", "1_a.down.sql", "1_a.rollback.SQL")

    found = problems(tmp_path, {f"migrations/{name}": SQL for name in ("1_a.sql", *files)})

    why = "undoes a migration; predeploy only goes forward, so move it elsewhere"
    assert found == tuple(f"migrations/{name}: {why}" for name in files)


UNDOING = {
    "dbmate": "-- migrate:down",
    "micrate": "-- +micrate Down",
    "rambler": "-- rambler down",
    "Play": "# --- !Downs",
    "Play, as a comment": "-- !Downs",
    "dbmate, with an option": "-- migrate:down transaction:false",
    "goose": "-- +goose Down",
    "goose, in another hand": "--+goose DOWN",
    "node-pg-migrate": "  -- Down Migration",
    "Liquibase": "--rollback drop table t;",
    "sql-migrate": "-- +migrate Down",
    "MyBatis": "-- //@UNDO",
}


def test_a_section_that_undoes_is_refused(tmp_path: Path) -> None:
    """The marks of other tools are known, and named with their line."""
    text = "-- up\r\ncreate table t ();\r\n{}\r\ndrop table t;\r\n"
    files = {
        f"migrations/{number:02}_a.sql": text.format(mark)
        for number, mark in enumerate(UNDOING.values())
    }

    found = problems(tmp_path, files)

    end = "starts a section that undoes the file; predeploy only goes forward, so take it out"
    refused = {int(p.removeprefix("migrations/").split("_")[0]) for p in found if p.endswith(end)}
    assert [tool for n, tool in enumerate(UNDOING) if n not in refused] == []
    assert [p.split(": ")[0] for p in found] == [f"{path}:3" for path in files]


UNREAD = {
    "Liquibase": {"1_a.sql": "--liquibase formatted sql\n--changeset me:1\nselect 1;"},
    "Liquibase, without its head": {"1_a.sql": "-- changeset me:1 context:test\nselect 1;"},
    "graphile-migrate": {"000001.sql": "--! Previous: -\n--! Hash: sha1:x\n\nselect 1;"},
    "tern": {"001_a.sql": "select 1;\n\n---- create above / drop below ----\n\nselect 2;"},
    "tern, by its settings": {"001_a.sql": "select 1;", "tern.conf": ""},
    "yoyo": {"1_a.sql": "select 1;", "1_b.sql": "-- depends: 1_a\nselect 1;"},
    "yoyo, by a rollback": {"1_a.sql": "select 1;", "1_a.rollback.sql": "select 2;"},
    "yoyo, by its settings": {"1_a.sql": "select 1;", "yoyo.ini": ""},
    "Sqitch": {"sqitch.plan": "", "deploy/a.sql": "select 1;", "revert/a.sql": "select 2;"},
}


@pytest.mark.parametrize("where", ["migrations/", ""])
@pytest.mark.parametrize("tool", UNREAD)
def test_what_is_of_a_tool_that_is_not_read_is_refused_by_name(
    tool: str, where: str, tmp_path: Path
) -> None:
    """As plain SQL it would run in another order, or what its tool leaves out, and end green."""
    (found,) = problems(tmp_path, {f"{where}{name}": text for name, text in UNREAD[tool].items()})

    assert f" is {tool.partition(',')[0]}'s, and as plain SQL" in found
    assert "command = [" in found
    assert "PREDEPLOY_SQL_DIR" in found


@pytest.mark.parametrize(
    "text",
    [
        "-- depends: on nothing else\nselect 1;",
        "-- the changeset of may\nselect 1;",
        "select '--! Previous: x';",
        "-- previous: 3\nselect 1;",
    ],
)
def test_a_comment_that_resembles_a_tool_s_mark_is_one(tmp_path: Path, text: str) -> None:
    assert names(tmp_path, {"migrations/1_a.sql": text}) == ["1_a.sql"]


def test_who_says_that_a_folder_is_plain_is_believed(tmp_path: Path) -> None:
    """With `format = "native"`: the marks may be comments there."""
    folder = read_folder(write(tmp_path, {"migrations/1_a.sql": "--changeset me:1\nselect 1;"}))

    assert len(sources_of(folder, "native").migrations) == 1


def test_a_file_that_only_goes_up_may_say_so(tmp_path: Path) -> None:
    """The marks of other tools for the way up are comments."""
    text = "-- migrate:up\n-- Up Migration\n-- slow down migrations here\nselect 1"

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
        sources_in(tmp_path / "sql")

    assert caught.value.exit_code is ExitCode.NO_INPUT
    assert caught.value.problems == (
        f"the SQL folder {tmp_path / 'sql'} does not exist; mount it or set PREDEPLOY_SQL_DIR",
    )


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "is empty"),
        ({".gitkeep": ""}, "is empty"),
        ({"README.md": ""}, "holds nothing to run, only README.md"),
        ({"sql/seed/a.sql": SQL}, "holds nothing to run, only sql/seed/a.sql"),
        ({"seed/README": "", "verify/README": ""}, "holds nothing to run, only seed/README, ver"),
        ({f"{n}.md": "" for n in "abcdefg"}, "only a.md, b.md, c.md, d.md, e.md and 2 more"),
    ],
)
def test_a_folder_without_any_part_of_ours_is_no_input(
    tmp_path: Path, files: dict[str, str], found: str
) -> None:
    """A wrong folder never passes for one with nothing to do; what is there instead is named."""
    told = no_input(write(tmp_path, files))

    assert told[0].startswith(f"the SQL folder {tmp_path} ")
    assert found in told[0]


def no_input(root: Path) -> tuple[str, ...]:
    with pytest.raises(SourcesError) as caught:
        sources_in(root)
    assert caught.value.exit_code is ExitCode.NO_INPUT
    return caught.value.problems


def test_a_file_in_place_of_the_sql_folder_is_no_input(tmp_path: Path) -> None:
    """It is not told to be absent: somebody would look for it in vain."""
    (tmp_path / "sql").write_text(SQL)

    assert no_input(tmp_path / "sql") == (
        f"the SQL folder {tmp_path}/sql is not a folder; mount it or set PREDEPLOY_SQL_DIR",
    )


@pytest.mark.parametrize("beside", [{}, {"schema.sql": SQL}, {"seed/a.sql": SQL}])
@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ((), "is empty"),
        ((".gitkeep",), "is empty"),
        (("README.md",), "holds nothing to run, only migrations/README.md"),
        (("0001_a.ddl",), "holds nothing to run, only migrations/0001_a.ddl"),
        (("ab12_a.py", "2024/x.js"), "only migrations/2024/x.js, migrations/ab12_a.py"),
    ],
)
def test_migrations_without_a_migration_are_no_input(
    tmp_path: Path, beside: dict[str, str], inside: tuple[str, ...], found: str
) -> None:
    """A wrong mount makes an empty folder. A team that gave migrations up removes the folder."""
    (tmp_path / "migrations").mkdir()
    root = write(tmp_path, beside | {f"migrations/{name}": "" for name in inside})

    told = no_input(root)

    assert told[0].startswith(f"migrations/ in the SQL folder {tmp_path} ")
    assert found in told[0]
    assert "or remove migrations/ if it is no longer used" in told[0]


def test_a_schema_folder_without_a_file_is_no_input(tmp_path: Path) -> None:
    """Where nothing is declared, nothing was compared."""
    root = write(tmp_path, {"migrations/1_a.sql": SQL, "schema/README.md": ""})

    (told,) = no_input(root)

    assert told.startswith(f"schema/ in the SQL folder {root} holds nothing to run, only schema/R")


def test_seed_verify_and_fallback_may_be_empty(tmp_path: Path) -> None:
    """An app needs none of them, and a scaffold keeps their folders with .gitkeep."""
    files = {"migrations/1_a.sql": SQL, **{f"{p}/.gitkeep": "" for p in ("seed", "verify")}}

    assert names(tmp_path, files) == ["1_a.sql"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("seeds/admin.sql", "seeds is not read; call it seed, or move it out of the SQL folder"),
        ("Migrations/1_a.sql", "Migrations is not read; call it migrations, or"),
        ("predeploy.tml", "predeploy.tml is not read; call it predeploy.toml, or"),
        ("migrations", "migrations is no folder"),
        ("predeploy.toml/a.sql", "predeploy.toml is no file"),
        ("schema.sql/a.sql", "schema.sql is no file"),
        ("verify/b.sql/README.md", "verify/b.sql is no file"),
    ],
)
def test_what_is_almost_a_part_of_ours_is_not_passed_over(
    tmp_path: Path, path: str, problem: str
) -> None:
    """A typo in a folder's name would be a deploy without its migrations, and exit 0."""
    (found,) = problems(tmp_path, {"verify/a.sql": SQL, path: SQL})

    assert found.startswith(problem)


def test_what_else_stands_in_the_folder_is_nobody_s_business(tmp_path: Path) -> None:
    """Nor is what is called almost like a part that is there. Queries are what the app runs."""
    sql = ("schema.sql", "queries/a.sql", ".seeds/a.sql", "tests/a.sql", "docs/a.sql")
    others = (
        "schemas/a.json",
        "sqlc.yaml",
        "src/main.go",
        "x",
        "LICENSE",
        "README.md",
        "atlas.sum",
    )
    files = dict.fromkeys((*sql, *others, "Makefile", "schema.sql.bak"), SQL)

    assert sources_in(write(tmp_path, files)).schema


WHERE = {
    "0002_u.sql": "put it into migrations/",
    "2024-01-02_u.SQL": "put it into migrations/",
    "0002_u.ddl": "put it into migrations/",
    "0002_u.sql.txt": "put it into migrations/",
    "seed.sql": "put it into seed/",
    "seeds.pgsql": "put it into seed/",
    "verify.sql": "put it into verify/",
    "fallback.psql": "put it into fallback/",
    "Schema.SQL": "call it schema.sql",
    "schema.ddl": "call it schema.sql",
    "migrations.sql": "put it into migrations/",
    "functions.sql": "put it into migrations/, schema/, seed/, verify/ or fallback/",
    "functions/f.sql": "put it into migrations/, schema/, seed/, verify/ or fallback/",
    "sql/migrations/0001_a.sql": "put it into migrations/",
    "schemas/a.sql": "put it into migrations/, schema/, seed/, verify/ or fallback/",
}


@pytest.mark.parametrize("path", WHERE)
def test_sql_that_nothing_reads_is_named_with_where_it_belongs(tmp_path: Path, path: str) -> None:
    """In a ConfigMap all files lie flat: they would be passed over, and the deploy be green."""
    files = {"migrations/1_a.sql": SQL, "schema.sql": SQL, "predeploy.toml": "", path: SQL}
    files |= {f"{part}/a.sql": SQL for part in ("seed", "verify", "fallback")}

    found = problems(tmp_path, files)

    assert found == (f"{path} is not read; {WHERE[path]}, or move it out of the SQL folder",)


@pytest.mark.parametrize("part", ["seed", "verify", "fallback", "migrations"])
def test_a_file_with_a_part_s_name_goes_into_it(tmp_path: Path, part: str) -> None:
    """Also where that folder does not exist yet: a file is never told to be called as a folder."""
    (found,) = problems(tmp_path, {"schema.sql": SQL, f"{part}.sql": SQL})

    assert found.startswith(f"{part}.sql is not read; put it into {part}/, or")


def test_many_files_of_one_folder_that_nothing_reads_are_one_problem(tmp_path: Path) -> None:
    """The first is named, and how many more there are."""
    files = {f"functions/{n}.sql": SQL for n in "abc"}

    (found,) = problems(tmp_path, {"schema.sql": SQL, **files})

    assert found.startswith("functions/a.sql (and 2 more in functions/) is not read; put it into")


@pytest.mark.parametrize("ending", ["ddl", "psql", "PGSQL", "dml", "sql.txt"])
@pytest.mark.parametrize("part", ["migrations", "seed", "verify", "fallback", "schema"])
def test_sql_of_another_ending_is_not_passed_over(tmp_path: Path, part: str, ending: str) -> None:
    """Only `*.sql` is read. Windows hides the ending of `0002_a.sql.txt`."""
    found = problems(tmp_path, {f"{part}/1_a.sql": SQL, f"{part}/2_a.{ending}": SQL})

    assert found == (f"{part}/2_a.{ending} is not read; call it 2_a.sql",)


@pytest.mark.parametrize("name", ["users.csv", "admin.ts", "0001_a.sql.gz", "0002_a.sql.disabled"])
def test_what_is_no_sql_is_not_passed_over_in_a_part(tmp_path: Path, name: str) -> None:
    """Its author expects it to be run."""
    found = problems(tmp_path, {"seed/a.sql": SQL, f"seed/{name}": ""})

    rest = "is not read, only *.sql is; rewrite it as SQL, or move it out of the SQL folder"
    assert found == (f"seed/{name} {rest}",)


def test_the_desired_state_is_one_file(tmp_path: Path) -> None:
    """What `schema.sql` says is the desired state."""
    sources = sources_in(write(tmp_path, {"schema.sql": SQL}))

    assert [(s.path, s.text) for s in sources.schema] == [("schema.sql", SQL)]


def test_the_desired_state_may_be_a_folder(tmp_path: Path) -> None:
    """Every SQL file below `schema/` belongs to it, in the order of the paths."""
    files = {"schema/b.sql": SQL, "schema/a/z.sql": SQL, "schema/README.md": "words"}

    sources = sources_in(write(tmp_path, files))

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
    without = declaration_in(tmp_path)
    given_one = declaration_in(write(tmp_path, {"predeploy.toml": "\ufeff[critical]\r\n"}))

    assert (without, given_one) == (None, "[critical]\r\n")
    unreadable = "predeploy.toml: byte 1 is not UTF-8; save the file as UTF-8"
    assert problems(tmp_path, {"predeploy.toml": b"\xff"}) == (unreadable,)
    assert declaration_in(tmp_path) is None


# the digest

FILES: dict[str, str | bytes] = {"migrations/1_a.sql": SQL, "predeploy.toml": "", "notes/x": "y"}


def digest(root: Path, files: Mapping[str, str | bytes]) -> str:
    return sources_in(write(root, files)).digest


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

    plain = sources_in(write(tmp_path / "plain", files))
    mounted = sources_in(mount(tmp_path / "mounted", "2026_11_22_10_00_00.1", files))

    assert mounted == plain


def swap(root: Path, stamp: str) -> None:
    """Put another state in place of the one that is mounted, as kubelet does: one rename."""
    (root / "..next").symlink_to(f"..{stamp}")
    (root / "..next").rename(root / "..data")


STATES = {
    "old": {"migrations/1_a.sql": "old", "migrations/2_b.sql": "old", "schema.sql": "old"},
    "new": {"migrations/1_a.sql": "new", "migrations/2_b.sql": "new", "schema.sql": "new"},
}


@pytest.mark.parametrize("gone", [False, True], ids=["old state stays", "old state is removed"])
@pytest.mark.parametrize("reads", range(1, 7))
def test_files_of_two_states_are_never_taken_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int, *, gone: bool
) -> None:
    """A ConfigMap is swapped behind any file that is opened: scripts and digest are of one state.

    Only behind the very last file of the second reading may it be the old one.
    """
    state = "old" if reads == 2 * len(STATES["old"]) else "new"
    root = mount(tmp_path / "sql", "old", STATES["old"])
    write(root / "..new", STATES["new"])
    opened = 0
    real = os.open

    def opening(path: Path, flags: int, *more: int, **named: int) -> int:
        nonlocal opened
        descriptor = real(path, flags, *more, **named)
        if str(path).startswith(str(root)) and str(path).endswith(".sql"):
            opened += 1
            if opened == reads:
                swap(root, "new")
                if gone:
                    shutil.rmtree(root / "..old")
        return descriptor

    monkeypatch.setattr(os, "open", opening)
    read = sources_in(root)
    monkeypatch.undo()

    assert opened >= reads
    assert read == sources_in(write(tmp_path / "plain", STATES[state]))


def test_a_folder_that_never_stands_still_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read for ever, and nothing of it is run."""
    root = write(tmp_path / "sql", {"migrations/1_a.sql": SQL})
    real = os.open

    def opening(path: Path, flags: int, *more: int, **named: int) -> int:
        with (root / "migrations/1_a.sql").open("a") as file:
            file.write("-- more\n")
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", opening)
    found = problems(root, {})

    end = "changes while it is read; run again when nothing writes to it"
    assert found == (f"the SQL folder {root} {end}",)


def test_migrations_behind_a_link_are_migrations(tmp_path: Path) -> None:
    """A linked folder is read, and counts for the digest, as if it stood there itself."""
    files = {"1_a.sql": SQL, "2024/2_b.sql": SQL}
    root = write(tmp_path / "sql", {"predeploy.toml": ""})
    mount(root / "migrations", "2026", files)

    before = sources_in(root)
    write(root / "migrations/..2026", {"2024/2_b.sql": "select 2"})
    after = sources_in(root)

    assert [script.path for script in before.migrations] == [f"migrations/{name}" for name in files]
    assert after.digest != before.digest
