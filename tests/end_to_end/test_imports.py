"""What a settled run does not need, it does not import: it stands before every deploy."""

from conftest import ADMIN, Database, run_job

HEAVY = {
    *("postgast", "google.protobuf", "bcrypt", "tomllib"),
    *("job.layers", "job.statements", "job.database.foreign"),
}


def imported(database: Database) -> set[str]:
    """The modules that a run imports, as Python itself reports them."""
    environ = {"DATABASE_URL": database.url, "PYTHONPROFILEIMPORTTIME": "1", **ADMIN}
    lines = run_job("run", environ=environ, check=0).stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if "|" in line}


def test_a_settled_run_imports_no_parser(database: Database) -> None:
    """The first run needs the parser and bcrypt; the second, settled, neither."""
    first, second = imported(database), imported(database)

    assert HEAVY - first == set()
    assert HEAVY & second == {"tomllib"}
