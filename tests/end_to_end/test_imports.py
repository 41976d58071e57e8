"""What a settled run does not need, it does not import: it stands before every deploy."""

import re
import sys

from conftest import ADMIN, Database
from conftest import run_cold_job as run_job

HEAVY = {
    *("postgast", "google.protobuf", "bcrypt", "tomllib"),
    *("predeploy.layers", "predeploy.sql", "predeploy.database.session.other_tools"),
}
# All that it does import of ours. Who adds to it makes every deploy slower.
ROOMS = {
    "": "cli contract database journal log run settings sources",
    "contract": "deadline errors exit_codes grants plan quoting report search_path secret "
    "statement step words",
    "database": "catalog ledger server session",
    "database.catalog": "fingerprint trust",
    "database.ledger": "settled",
    "database.server": "allowed connection failure path pooler "
    "privilege refusal resolve rows transaction wire",
    "database.session": "lock",
    "settings": "declaration endpoint environment versions",
    "sources": "comments filtered formats layout placeholders script walk",
    # And the folder's own format, by `import_module`, which the report does not show.
    "sources.formats": "format unread",
}
OURS = {
    "predeploy",
    *(
        ".".join(filter(None, ("predeploy", room, name)))
        for room, names in ROOMS.items()
        for name in names.split()
    ),
}
# Of others'; some only ask whether a package is there.
OTHERS = {
    *("psycopg", "psycopg_binary", "psycopg_c", "structlog", "tenacity", "typing_extensions"),
    *("better_exceptions", "colorama", "greenlet", "rich", "tornado", "twisted"),
}
NOBODYS = re.compile(
    "imported package|_distutils_hack|_sysconfigdata.*|sitecustomize|org|__editable__.*"
)


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
    assert {name for name in second if name.split(".")[0] == "predeploy"} == OURS
    tops = {name.split(".")[0] for name in second} - set(sys.stdlib_module_names) - {"predeploy"}
    assert {top for top in tops if not NOBODYS.fullmatch(top)} <= OTHERS
