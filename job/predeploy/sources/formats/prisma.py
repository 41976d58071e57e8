"""Prisma up to 7: `migrations/<YYYYMMDDHHMMSS>_<name>/migration.sql`, run in the order of names.

Other files of a migration's folder, such as a `down.sql`, are left alone, as Prisma leaves them.
https://www.prisma.io/docs/orm/prisma-migrate/understanding-prisma-migrate/migration-histories
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import literal
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import (
    TABLE,
    Applied,
    Format,
    History,
    Mirror,
    Row,
    stray,
    timestamp,
)
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_SQL = "migration.sql"
_TABLE = "_prisma_migrations"


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations, which are named by their folders; problems go to `problems`."""
    scripts = scripts_of(folder.having(Role.MIGRATION), partial(_read, home=folder.home), problems)
    problems.extend(_empty(folder, scripts))
    return tuple(sorted(scripts, key=lambda script: script.name))


def _read(file: File, home: str) -> Script | None:
    inside, _, base = file.name.removeprefix(home).rpartition("/")
    if not inside:
        raise stray(file, "Prisma", f"<name>/{_SQL}")
    is_run = base == _SQL and "/" not in inside
    return script_of(file, name=inside, version=version_of(inside)) if is_run else None


def _empty(folder: Folder, scripts: list[Script]) -> Iterator[str]:
    """Name the folders without a migration, which Prisma refuses as well (P3015)."""
    known = {script.name for script in scripts}
    for name in folder.folders:
        inside = name.removeprefix(folder.home)
        is_below = name.startswith(folder.home) and inside and "/" not in inside
        if is_below and version_of(inside) and inside not in known and not _holds_sql(folder, name):
            yield f"{shown(name)}: holds no {_SQL}; put it back, or remove the folder"


def _holds_sql(folder: Folder, name: str) -> bool:
    return any(file.name == f"{name}/{_SQL}" for file in folder.files)


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: rows that are finished and not rolled back.

    A migration has several rows if it was tried several times.
    """
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row["migration_name"]].append(row)
    texts = {script.name: script for script in scripts}
    done = {
        name: finished
        for name, tries in by_name.items()
        if (finished := next((r for r in tries if _is_done(r)), None))
    }
    return Applied(
        {name: str(row["finished_at"]) for name, row in done.items() if name in texts},
        tuple(
            (name, _failed(name, tries[-1]))
            for name, tries in by_name.items()
            if name not in done and any(_has_failed(row) for row in tries)
        ),
        tuple(_edited(texts, done)),
    )


def _is_done(row: Row) -> bool:
    return row["finished_at"] is not None and row["rolled_back_at"] is None


def _has_failed(row: Row) -> bool:
    return row["finished_at"] is None and row["rolled_back_at"] is None


def _failed(name: str, row: Row) -> Finding:
    return Finding(
        "history-failed",
        f"Prisma started {name} at {row['started_at']} and did not finish it (P3009): what it has "
        "done until then is not known",
        f"look at `select logs from {TABLE} where migration_name = '{name}'` and at the database; "
        f"then run `prisma migrate resolve --applied {name}` if all of it is there, or "
        f"`--rolled-back {name}` once nothing of it is",
        ExitCode.BAD_SOURCES,
    )


def _edited(texts: Mapping[str, Script], done: Mapping[str, Row]) -> Iterator[Finding]:
    """Warn of files that have changed since; Prisma does not stop for them, either."""
    for name, script in texts.items():
        if name in done and done[name]["checksum"] not in _checksums(script):
            yield Finding(
                "history-edited",
                f"{script.path} has been edited since Prisma applied it at "
                f"{done[name]['finished_at']}: its checksum is another",
                "put the old text back, so that new databases get what this one has",
            )


def _checksums(script: Script) -> set[str]:
    """Return what Prisma accepts: the file's SHA-256, with either kind of line end.

    Rows of old versions lack leading zeros of each byte.
    """
    unix = script.text.replace("\r\n", "\n")
    texts = (unix, unix.replace("\n", "\r\n"))
    digests = [hashlib.sha256(text.encode()).digest() for text in texts]
    digests.append(bytes.fromhex(script.raw_hash))
    return {
        form for digest in digests for form in (digest.hex(), "".join(map("{:x}".format, digest)))
    }


def _create(table: str) -> tuple[str, ...]:
    return (
        f"""create table if not exists {table} (
            id varchar(36) primary key not null, checksum varchar(64) not null,
            finished_at timestamptz, migration_name varchar(255) not null, logs text,
            rolled_back_at timestamptz, started_at timestamptz not null default now(),
            applied_steps_count integer not null default 0)""",
    )


def _write(script: Script, table: str, _: frozenset[str]) -> tuple[str, ...]:
    values = f"{literal(script.raw_hash)}, {literal(script.name)}"
    return (
        f"""insert into {table}
            (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
            values (pg_catalog.gen_random_uuid()::text, {values}, now(), clock_timestamp(), 1)""",
    )


def _new(names: tuple[str, ...], name: str, now: datetime) -> dict[str, str]:
    version = timestamp(names, now)
    return {f"{version}_{name}/{_SQL}": ""}


FORMAT = Format(
    read,
    History(
        "Prisma",
        _TABLE,
        frozenset({"migration_name", "checksum", "finished_at", "rolled_back_at", "started_at"}),
        "started_at",
        judge,
        mirror=Mirror(_create, _write),
    ),
    _new,
)
