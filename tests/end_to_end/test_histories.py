"""Generated histories: nothing is asked on an empty database, and all at once on one with rows."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg
import pytest
from conftest import Database
from histories import History
from production import contents, environ, report_here
from tiers import sampled

FILES = 50
SEQUENCES = """
    select sequencename, last_value from pg_sequences where schemaname <> 'predeploy' order by 1"""

Folder = Callable[[Mapping[str, str]], Path]


def written(files: Sequence[str]) -> dict[str, str]:
    return {f"migrations/{number:03}_f.sql": text for number, text in enumerate(files, start=1)}


def by_psql(database: Database, texts: Sequence[str]) -> None:
    """Run each text in a transaction of its own, as psql -1 does."""
    with psycopg.connect(database.url, autocommit=True) as psql:
        for text in texts:
            psql.execute(text.encode())


def pasted(files: Sequence[str], report: Mapping) -> list[str]:
    """Paste what a report asks for, where it says that it belongs."""
    lines = [text.split("\n") for text in files]
    for ask in reversed(report["asks"]):
        place = lines[int(ask["file"].split("/")[1][:3]) - 1]
        place[ask["before_line"] - 1 : ask["before_line"] - 1] = ask["lines"]
    return ["\n".join(text) for text in lines]


@pytest.mark.parametrize("seed", sampled(range(100), 1))
def test_an_empty_database_asks_for_nothing(
    seed: int, make_database: Callable[..., Database], folder: Folder
) -> None:
    """Exit 0 without one declaration, with the rows and ids that psql gives."""
    files = History(seed).files(FILES)
    expected, database = make_database(), make_database()
    by_psql(expected, files)

    report = report_here(environ(database, folder(written(files))))

    assert report["exit_code"] == 0, report
    assert contents(database) == contents(expected)
    assert database.rows(SEQUENCES) == expected.rows(SEQUENCES)


@pytest.mark.parametrize("seed", sampled(range(100), 1))
def test_a_database_with_rows_asks_for_all_at_once(
    seed: int, make_database: Callable[..., Database], folder: Folder
) -> None:
    """84 with a complete list: pasted, it lets the files pass, with psql's rows and ids."""
    history = History(seed)
    first = random.Random(seed).randint(5, 25)  # noqa: S311
    applied = history.files(first)
    rows = history.rows()
    files = [*applied, *history.files(FILES - first)]
    expected, database = make_database(), make_database()
    by_psql(expected, [*applied, rows, *files[first:]])
    assert report_here(environ(database, folder(written(applied))))["exit_code"] == 0
    database.execute(rows)

    refused = report_here(environ(database, folder(written(files))))
    declared = pasted(files, refused)
    report = report_here(environ(database, folder(written(declared))))

    assert refused["exit_code"] == 84, refused
    assert report["exit_code"] == 0, report
    assert contents(database) == contents(expected)
    assert database.rows(SEQUENCES) == expected.rows(SEQUENCES)
