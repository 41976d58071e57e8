"""The operator's SQL folder as values. The only package that reads files.

`read_folder` reads; everything made from its result is pure. Nothing here is parsed as SQL; a file
is its name, its text and its hash.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.sources import formats
from predeploy.sources.formats.format import ToolSettings
from predeploy.sources.layout import SCHEMA_FILE, STRUCTURE_FILE, Role, misplaced, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import Folder, read_folder

if TYPE_CHECKING:  # only who has a command pays for it
    from predeploy.sources.inputs import Inputs

__all__ = ["Folder", "Sources", "declaration_of", "read_folder", "sources_of"]
_SHOWN = 5  # names of what was found instead
# The versions that Rails has applied, at the end of its structure.sql.
_HISTORY = re.compile(
    r'^INSERT INTO ((?:"?\w+"?\.)?"schema_migrations") \(version\) VALUES\s([^;]*);', re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Sources:
    """The SQL folder.

    `migrations` are in the order in which they run, `fallbacks`, `seeds` and `checks` in name
    order. `digest` is the SHA-256 over every file's path and bytes, whatever it is for: what the
    settled key uses. `schema` is the desired state: `schema.sql`, or the files below `schema/` in
    name order; empty without either. `format` is the name of the format of the migrations, and
    `tools` names the formats whose tools may have migrated with them. `inputs` are the files that
    the operator's command depends on, which migrates in the place of `migrations`.
    `tool` is what is said of the tool itself.
    """

    migrations: tuple[Script, ...]
    seeds: tuple[Script, ...]
    checks: tuple[Script, ...]
    digest: str
    fallbacks: tuple[Script, ...] = ()
    schema: tuple[Script, ...] = ()
    format: str = formats.NATIVE
    tools: tuple[str, ...] = ()
    inputs: "Inputs | None" = None
    tool: ToolSettings = ToolSettings()  # noqa: RUF009 - immutable

    @property
    def declares_something(self) -> bool:
        """Whether a run has anything to do or to verify; fallbacks alone are never run."""
        return bool(self.migrations or self.schema or self.seeds or self.checks)


def declaration_of(folder: Folder) -> str | None:
    """Return the text of `predeploy.toml`; None without one, or where `sources_of` refuses it."""
    for file in folder.having(Role.DECLARATION):
        with suppress(SourcesError):
            return script_of(file).text
    return None


def sources_of(
    folder: Folder,
    wanted_format: str = "",
    allowed: Sequence[tuple[str, tuple[str, ...]]] = (),
    *,
    command: str = "",
    inputs: "Inputs | None" = None,
    history_table: str = "",
) -> Sources:
    """Return the sources in the folder; its migrations are of `wanted_format`, if that is said.

    `allowed` is what files may destroy, by the file's name, beside what they say themselves. With a
    `command`, which depends on `inputs`, the folder's migrations are left to that. `history_table`
    is what the settings call the tool's table.

    Raises SourcesError with every problem: 66 if there is nothing to run or `migrations/` is empty,
    otherwise 65. Raises SettingsError (78) for a format that does not exist.
    """
    problems = [*folder.problems, *misplaced(folder.names, folder.folders)]
    if not folder.is_there:
        raise SourcesError(folder.problems, exit_code=ExitCode.NO_INPUT)
    # A folder that could not be listed is not known to be empty.
    empty = () if folder.problems else tuple(_empty(folder, has_command=bool(command)))
    _scripts(folder, Role.DECLARATION, problems)  # `declaration_of` leaves its problem to us
    format_name = formats.format_of(folder, wanted_format, problems)
    said = formats.named(format_name).settings(folder)
    sources = Sources(
        migrations=_left_to(command, folder, format_name, problems)
        if command
        else _migrations(folder, format_name, dict(allowed), problems),
        inputs=inputs,
        format=format_name,
        tools=formats.tools_of(format_name, wanted_format),
        tool=replace(said, table=history_table) if history_table else said,
        fallbacks=_scripts(folder, Role.FALLBACK, problems),
        seeds=_scripts(folder, Role.SEED, problems),
        checks=(*_scripts(folder, Role.CHECK, problems), *_recorded(folder)),
        digest=_digest(folder) + (inputs.digest if inputs else ""),
        schema=_schema(folder, command, problems),
    )
    if empty:
        raise SourcesError((*empty, *problems), exit_code=ExitCode.NO_INPUT)
    if problems:
        raise SourcesError(tuple(problems))
    return sources


def _migrations(
    folder: Folder, format_name: str, allowed: Mapping[str, tuple[str, ...]], problems: list[str]
) -> tuple[Script, ...]:
    scripts = formats.named(format_name).read(folder, problems)
    files = folder.having(Role.MIGRATION)
    if files and not scripts and not problems:
        problems.append(
            f"{shown(files[0].name)}: is no migration that {format_name} would run, nor is another "
            "file there; mount the right folder"
        )
    read = {script.path for script in scripts}
    problems.extend(
        f"{shown(file.name)}: cannot be run here, and later files may need it; rewrite it as SQL"
        for file in folder.having(Role.PROGRAM)
        if file.name not in read
    )
    unknown = allowed.keys() - {script.name for script in scripts}
    problems.extend(
        f"predeploy.toml: [allow] {name!r} is no migration of this folder; call it as "
        "`predeploy status` does"
        for name in sorted(unknown)
    )
    tool = "" if format_name == formats.NATIVE else format_name
    return tuple(replace(s, tool=tool, allows=allowed.get(s.name, ())) for s in scripts)


def _left_to(
    command: str, folder: Folder, format_name: str, problems: list[str]
) -> tuple[Script, ...]:
    """Leave the folder's migrations to the command, unless nobody else could mean to run them."""
    own = folder.having(Role.MIGRATION) if format_name == formats.NATIVE else ()
    problems.extend(
        f"{shown(file.name)}: is a migration of predeploy's, and predeploy.toml has `{command}` "
        "migrate; keep one of them"
        for file in own[:1]
    )
    return ()


def _scripts(folder: Folder, role: Role, problems: list[str]) -> tuple[Script, ...]:
    return tuple(scripts_of(folder.having(role), script_of, problems))


def _schema(folder: Folder, command: str, problems: list[str]) -> tuple[Script, ...]:
    """Read the desired state; two of them would be ambiguous.

    Rails' has its history at the end, which the command records that has migrated.
    """
    names = {file.name for file in folder.having(Role.SCHEMA)}
    for own in (SCHEMA_FILE, STRUCTURE_FILE):
        if own in names and len(names) > 1:
            first, below, _ = min(names - {own}).partition("/")
            other = f"{first}{below}"
            problems.append(f"{own} and {other} are both there; keep one of them")
            break
    scripts = _scripts(folder, Role.SCHEMA, problems)
    if STRUCTURE_FILE not in names:
        return scripts
    if not command:
        problems.append(
            f"{STRUCTURE_FILE}: is Rails' own, whose history only Rails records; have Rails "
            'migrate: command = ["bin/rails", "db:migrate"] under [migrate] in predeploy.toml'
        )
    return tuple(replace(each, text=_HISTORY.sub(_blank, each.text)) for each in scripts)


def _recorded(folder: Folder) -> Iterator[Script]:
    """Yield the question of what Rails' structure.sql has as applied and the database has not."""
    for file in folder.having(Role.SCHEMA):
        text = file.content.decode(errors="replace") if file.name == STRUCTURE_FILE else ""
        if found := _HISTORY.search(text):
            table, versions = found.groups()
            question = f"""select 'migration ' || v.version || ' is in {STRUCTURE_FILE}, and Rails '
                'has not applied it' from (values {versions}) v(version)
                where v.version not in (select m.version from {table} m) order by 1"""
            yield Script(file.name, file.name, question, file.sha256.hex())


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\r\n]", " ", match[0])


def _empty(folder: Folder, *, has_command: bool) -> Iterator[str]:
    """Say where nothing is to be run although something has to be, and what is there instead."""
    is_idle = not has_command and all(
        file.role in (Role.OTHER, Role.UNREAD) for file in folder.files
    )
    for role in (Role.MIGRATION, Role.SCHEMA):
        inside = f"{role.value}/"
        files = [file for file in folder.having(role) if file.name.startswith(inside)]
        if role.value in folder.folders and not files:
            is_idle = False  # it is reported here
            what = _instead([name for name in folder.names if name.startswith(inside)])
            remedy = f"mount the right folder, or remove {inside} if it is no longer used"
            yield f"{inside} in the SQL folder {folder.path} {what}; {remedy}"
    if is_idle:
        what = _instead(folder.names)
        where = "put migrations/, schema.sql, seed/ or verify/ into it"
        yield f"the SQL folder {folder.path} {what}; {where}, or mount the right one"


def _instead(names: Sequence[str]) -> str:
    if not names:
        return "is empty"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"holds nothing to run, only {', '.join(map(shown, names[:_SHOWN]))}{more}"


def _digest(folder: Folder) -> str:
    sha = hashlib.sha256()
    for file in folder.files:
        name = os.fsencode(file.name)
        sha.update(len(name).to_bytes(8, "big") + name + file.sha256)
    return sha.hexdigest()
