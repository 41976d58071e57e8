"""Folders of migrations as tools keep them, made of names such as 20240101000000_init and texts."""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

DOWN = "drop table users;"


def version(name: str) -> str:
    return name.partition("_")[0]


def when(name: str) -> int:
    """The time in a name, in milliseconds, as Drizzle's journal has it."""
    moment = datetime.strptime(version(name), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1000


def prisma_files(texts: Mapping[str, str]) -> dict[str, str]:
    files = {f"migrations/{name}/migration.sql": text for name, text in texts.items()}
    return files | {"migrations/migration_lock.toml": 'provider = "postgresql"\n'}


def drizzle_files(texts: Mapping[str, str]) -> dict[str, str]:
    entries = [
        {"idx": n, "version": "7", "when": when(name), "tag": name, "breakpoints": True}
        for n, name in enumerate(texts)
    ]
    journal = json.dumps({"version": "7", "dialect": "postgresql", "entries": entries})
    files = {f"migrations/{name}.sql": text for name, text in texts.items()}
    return files | {"migrations/meta/_journal.json": journal, "migrations/meta/0_s.json": "{}"}


def drizzle_folders(texts: Mapping[str, str]) -> dict[str, str]:
    files = {f"migrations/{name}/migration.sql": text for name, text in texts.items()}
    return files | {f"migrations/{name}/snapshot.json": "{}" for name in texts}


def flyway_files(texts: Mapping[str, str]) -> dict[str, str]:
    ups = {f"migrations/V{version(n)}__{n.partition('_')[2]}.sql": t for n, t in texts.items()}
    downs = {f"migrations/U{version(n)}__{n.partition('_')[2]}.sql": DOWN for n in texts}
    return ups | downs


def atlas_files(texts: Mapping[str, str]) -> dict[str, str]:
    outside = {n: "-- atlas:txmode none\n\n" for n, text in texts.items() if "concurrently" in text}
    files = {f"{name}.sql": outside.get(name, "") + text for name, text in texts.items()}
    sha, whole, lines = sha256(), sha256(), []
    for name, text in files.items():
        sha.update(name.encode() + text.encode())
        one = b64encode(sha.digest()).decode()
        whole.update(name.encode() + one.encode())
        lines.append(f"{name} h1:{one}\n")
    sums = f"h1:{b64encode(whole.digest()).decode()}\n" + "".join(lines)
    return {f"migrations/{n}": t for n, t in files.items()} | {"migrations/atlas.sum": sums}


def supabase_files(texts: Mapping[str, str]) -> dict[str, str]:
    return {f"migrations/{name}.sql": text for name, text in texts.items()}


def pairs(texts: Mapping[str, str]) -> dict[str, str]:
    """`.up.sql` and `.down.sql`, as golang-migrate has them, and sqlx."""
    ups = {f"migrations/{name}.up.sql": text for name, text in texts.items()}
    return ups | {f"migrations/{name}.down.sql": DOWN for name in texts}


def goose_files(texts: Mapping[str, str]) -> dict[str, str]:
    outside = {name: "-- +goose NO TRANSACTION\n" for name, t in texts.items() if "concurr" in t}
    return {
        f"migrations/{name}.sql": f"{outside.get(name, '')}-- +goose Up\n-- +goose StatementBegin\n"
        f"{text}\n-- +goose StatementEnd\n-- +goose Down\n{DOWN}\n"
        for name, text in texts.items()
    }


def dbmate_files(texts: Mapping[str, str]) -> dict[str, str]:
    outside = {name: " transaction:false" for name, text in texts.items() if "concurr" in text}
    return {
        f"migrations/{name}.sql": f"-- migrate:up{outside.get(name, '')}\n{text}\n"
        f"-- migrate:down\n{DOWN}\n"
        for name, text in texts.items()
    }


def sqlx_files(texts: Mapping[str, str]) -> dict[str, str]:
    return {f"migrations/{name}.sql": sqlx_text(text) for name, text in texts.items()}


def sqlx_text(text: str) -> str:
    return f"-- no-transaction\n{text}" if "concurrently" in text else text


def sql_migrate_files(texts: Mapping[str, str]) -> dict[str, str]:
    outside = {name: " notransaction" for name, text in texts.items() if "concurr" in text}
    return {
        f"migrations/{name}.sql": f"-- +migrate Up{outside.get(name, '')}\n"
        f"-- +migrate StatementBegin\n{text}\n-- +migrate StatementEnd\n"
        f"-- +migrate Down\n{DOWN}\n"
        for name, text in texts.items()
    }


def node_pg_files(texts: Mapping[str, str]) -> dict[str, str]:
    return {
        f"migrations/{name}.sql": f"-- Up Migration\n{text}\n\n-- Down Migration\n{DOWN}\n"
        for name, text in texts.items()
    }


def diesel_files(texts: Mapping[str, str]) -> dict[str, str]:
    ups = {f"migrations/{name}/up.sql": text for name, text in texts.items()}
    downs = {f"migrations/{name}/down.sql": DOWN for name in texts}
    outside = {
        f"migrations/{name}/metadata.toml": "run_in_transaction = false\n"
        for name, text in texts.items()
        if "concurrently" in text
    }
    return ups | downs | outside
