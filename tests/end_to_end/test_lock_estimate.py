"""A schema that fits is read by a role that may not create databases."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from conftest import Database, run_job
from psycopg.conninfo import conninfo_to_dict

Folder = Callable[[Mapping[str, str]], Path]


def test_180_small_tables_fit_into_the_lock_table_as_the_server_ships_it(
    database: Database, folder: Folder
) -> None:
    """Exit 0 (case corpora/lock-estimate: 76, 'about 3600 of 6400'; 725 locks are held)."""
    role = f"{database.name}_owner"
    database.execute(f"create role {role} login nocreatedb")
    database.execute(f'alter database "{database.name}" owner to {role}')
    tables = (
        f"create table thing_{n} (id int primary key, size int not null);"
        f"create index thing_{n}_by_size on thing_{n} (size);"
        for n in range(180)
    )
    root = folder({"schema.sql": "\n".join(tables)})
    port = conninfo_to_dict(database.url)["port"]
    url = f"postgresql://{role}@127.0.0.1:{port}/{database.name}"

    done = run_job(environ={"DATABASE_URL": url, "PREDEPLOY_SQL_DIR": str(root)})

    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, report
    database.execute(f'alter database "{database.name}" owner to current_user')
    database.execute(f"drop owned by {role} cascade")
    database.execute(f"drop role {role}")
