"""Every format reads whatever lies in a folder, and says what is wrong with it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from foreign_folders import dbmate_files, drizzle_files, goose_files, pairs, prisma_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predeploy.contract.errors import SourcesError
from predeploy.sources import read_folder, sources_of
from predeploy.sources.formats import FORMATS
from predeploy.sources.steps import steps_of

# Parts of names and of texts that mean something to one of the tools.
_WORDS = st.sampled_from(
    [
        *("20240101000000_a", "0001_b", "V1__c", "meta", "_journal", "migration", "snapshot"),
        *(".up", ".down", ".sql", ".json", ".go", ".toml", "/", " ", "é", "R__", "1"),
    ]
)
_NAMES = st.lists(_WORDS, min_size=1, max_size=5).map("".join)
_TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(b"-- +goose Up\n", b"-- +goose Down\r\n", b"-- migrate:up transaction:false\n"),
                *(b"-- migrate:down\n", b"-- no-transaction\n", b"-- +goose NO TRANSACTION\n"),
                *(
                    b"\xef\xbb\xbf",
                    b"\xff",
                    b"\0",
                    b"select 1;\n",
                    b"drop table t;",
                    b"<<<<<<< a\n",
                ),
                *(b'{"entries": [{"tag": "0001_b", "when": 1}]}', b'{"entries": 1}', b"[" * 3000),
            ]
        ),
        st.binary(max_size=20),
    ),
    max_size=5,
).map(b"".join)


def _written(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        target = root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError:  # a file in place of a folder, or the other way round
            continue
    return root


@pytest.mark.parametrize("wanted", ["", *FORMATS])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=st.dictionaries(_NAMES, _TEXTS, max_size=6), is_below=st.booleans())
def test_whatever_lies_in_a_folder_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    wanted: str,
    files: dict[str, bytes],
    is_below: bool,
) -> None:
    """Scripts whose names are told apart, and whose texts can be cut into steps; or problems."""
    home = "migrations/" if is_below else ""
    root = tmp_path_factory.mktemp("sql")
    _written(root, {home + name.strip("/"): text for name, text in files.items()})

    try:
        told, migrations = (), sources_of(read_folder(root), wanted).migrations
    except SourcesError as error:
        told, migrations = error.problems, ()

    assert bool(told) != bool(migrations)
    assert len({script.name for script in migrations}) == len(migrations)
    for script in migrations:
        steps_of(script)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (prisma_files, "prisma"),
        (drizzle_files, "drizzle"),
        (pairs, "golang-migrate"),
        (goose_files, "goose"),
        (dbmate_files, "dbmate"),
    ],
)
def test_what_goes_down_is_no_part_of_a_script(
    files: Callable[[Mapping[str, str]], dict[str, str]], name: str, tmp_path: Path
) -> None:
    """Whatever undoes a file is left alone: no script has a statement of it."""
    texts = {"20240101000000_a": "create table a ();", "20240102000000_b": "create table b ();"}
    laid = files(texts)
    _written(tmp_path, {path: text.encode() for path, text in laid.items()})

    found = sources_of(read_folder(tmp_path))

    statements = [
        s.text
        for script in found.migrations
        for step in steps_of(script).steps
        for s in step.statements
    ]
    assert found.format == name
    assert statements == ["create table a ()", "create table b ()"]
