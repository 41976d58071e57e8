"""What a project migrates with: found by the files and folders that its tool is known by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.settings.declaration import read_format
from predeploy.sources import declaration_of, formats, read_folder, sources_of
from predeploy.sources.inputs import is_there
from predeploy.sources.layout import DECLARATION
from predeploy.sources.walk import Folder

# Where tools keep SQL that predeploy reads; the first that holds some is taken.
_FOLDERS = (
    "sql", "prisma/migrations", "drizzle", "supabase/migrations", "db/migrations", "db/migration",
    "db/migrate", "migrations", "database/migrations", "src/main/resources/db/migration",
)  # fmt: skip
# Whose a folder of plain files is, where its place tells.
_PLACES = {"supabase/migrations": "supabase"}


@dataclass(frozen=True, slots=True)
class Program:
    """A tool whose migrations are programs: what is there of it, its command and its inputs.

    Of each of `signs` one pattern matches a file of the project.
    """

    name: str
    signs: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    inputs: tuple[str, ...]

    def is_in(self, root: Path) -> bool:
        """Whether the project below `root` migrates with it."""
        return all(any(is_there(root, path) for path in sign) for sign in self.signs)


PROGRAMS = (
    Program(
        "Alembic",
        (("alembic.ini",),),
        ("alembic", "upgrade", "head"),
        ("alembic.ini", "**/versions/*.py"),
    ),
    Program(
        "Django",
        (("manage.py",),),
        ("python", "manage.py", "migrate", "--no-input"),
        ("**/migrations/*.py",),
    ),
    Program(
        "Knex",
        (("knexfile.js", "knexfile.ts", "knexfile.mjs", "knexfile.cjs"),),
        ("npx", "knex", "migrate:latest"),
        ("knexfile.*", "migrations/**"),
    ),
    Program(
        "Rails",
        (("bin/rails",), ("db/migrate/*.rb",)),
        ("bin/rails", "db:migrate"),
        ("db/migrate/**",),
    ),
    Program(
        "Ecto",
        (("mix.exs",), ("priv/repo/migrations/*.exs",)),
        ("mix", "ecto.migrate"),
        ("priv/repo/migrations/**",),
    ),
    Program(
        "TypeORM",
        (("ormconfig.json", "ormconfig.js", "src/data-source.ts", "data-source.ts"),),
        ("npx", "typeorm", "migration:run", "-d", "dist/data-source.js"),
        ("dist/migrations/**",),
    ),
    Program(
        "Sequelize",
        ((".sequelizerc",),),
        ("npx", "sequelize-cli", "db:migrate"),
        ("migrations/**",),
    ),
    Program(
        "EF Core",
        (("**/Migrations/*ModelSnapshot.cs",),),
        ("./efbundle",),
        ("efbundle",),
    ),
)


@dataclass(frozen=True, slots=True)
class Project:
    """Where predeploy.toml belongs, below the project, and what migrates.

    `format` is that of the SQL in `folder`, `is_said` if a setting says so, and `texts` that SQL;
    with a `program` there is none. `beside` are other folders of SQL.
    """

    folder: str
    format: str = formats.NATIVE
    is_said: bool = False
    texts: tuple[str, ...] = ()
    program: Program | None = None
    beside: tuple[str, ...] = ()

    @property
    def declaration(self) -> str:
        """The path of its predeploy.toml."""
        return f"{self.folder}/{DECLARATION}"


def look(root: Path, environ: Mapping[str, str]) -> Project:
    """Return what the project below `root` migrates with; an empty `sql/` if it has nothing.

    A folder that PREDEPLOY_SQL_DIR names counts before all others; PREDEPLOY_FORMAT, or the
    folder's predeploy.toml, says whose it is. Raises SourcesError if the folder that is found
    cannot be read as it is, and SettingsError (78) for a format that does not exist.
    """
    if wanted := environ.get("PREDEPLOY_SQL_DIR", "").strip():
        return _read(root, _below(root, wanted), environ)
    # Its folder of programs may be called like one of SQL.
    if program := next((each for each in PROGRAMS if each.is_in(root)), None):
        return Project(_FOLDERS[0], program=program)
    there = [name for name in _FOLDERS if (root / name).is_dir()]
    chosen: Project | None = None
    beside = []
    for name in there:
        try:
            found = _read(root, name, environ)
        except SourcesError:
            if not chosen:
                raise
            beside.append(name)
        else:
            if found.texts:
                chosen = chosen or found
                beside += [name] if found is not chosen else []
    if chosen:
        return replace(chosen, beside=tuple(beside))
    return Project(there[0] if there else _FOLDERS[0])


def said_format(folder: Folder, environ: Mapping[str, str], problems: list[str]) -> str:
    """Return the format that a setting names for a folder, or else its predeploy.toml; or empty.

    What is wrong with the latter goes to `problems`.
    """
    declared = read_format(declaration_of(folder), problems).get("format", "")
    return environ.get("PREDEPLOY_FORMAT", "").strip().lower() or declared


def _below(root: Path, wanted: str) -> str:
    """Return a path as the files of a project may name it: below `root`, if it is there."""
    path, at = Path(wanted), root.resolve()
    return (path.relative_to(at) if path.is_relative_to(at) else path).as_posix()


def _read(root: Path, name: str, environ: Mapping[str, str]) -> Project:
    """Read a folder of SQL. One with nothing to run is no problem: a project starts like that."""
    folder = read_folder(root / name)
    if not folder.is_there:
        raise SourcesError(folder.problems, exit_code=ExitCode.NO_INPUT)
    problems: list[str] = []
    said = said_format(folder, environ, problems)
    chosen = formats.format_of(folder, said, problems)
    if problems:
        raise SourcesError(tuple(problems))
    if chosen == formats.NATIVE and not said:
        chosen = _PLACES.get(name, chosen)
    try:
        sources = sources_of(folder, chosen)
    except SourcesError as error:
        if error.exit_code is ExitCode.NO_INPUT:
            return Project(name, chosen, bool(said))
        raise
    files = (*sources.migrations, *sources.schema)
    return Project(name, chosen, bool(said), tuple(each.text for each in files))
