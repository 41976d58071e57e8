"""What a project migrates with: found by the files and folders that its tool is known by."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.sources import formats, read_folder, sources_of
from predeploy.sources.layout import DECLARATION

# Where tools keep SQL that predeploy reads; the first that holds some is taken.
_FOLDERS = (
    "sql", "prisma/migrations", "drizzle", "supabase/migrations", "db/migrations", "migrations",
    "database/migrations", "src/main/resources/db/migration",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Program:
    """A tool whose migrations are programs: what is there of it, its command and its inputs.

    One of each of `signs` is there.
    """

    name: str
    signs: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    inputs: tuple[str, ...]


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
        "Rails", (("bin/rails",), ("db/migrate",)), ("bin/rails", "db:migrate"), ("db/migrate/**",)
    ),
    Program(
        "Ecto",
        (("mix.exs",), ("priv/repo/migrations",)),
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
)


@dataclass(frozen=True, slots=True)
class Project:
    """Where predeploy.toml belongs, below the project, and what migrates.

    `format` is that of the SQL in `folder`, and `texts` that SQL; with a `program` there is none.
    """

    folder: str
    format: str = formats.NATIVE
    texts: tuple[str, ...] = ()
    program: Program | None = None

    @property
    def declaration(self) -> str:
        """The path of its predeploy.toml."""
        return f"{self.folder}/{DECLARATION}"


def look(root: Path, environ: Mapping[str, str]) -> Project:
    """Return what the project below `root` migrates with; an empty `sql/` if it has nothing.

    A folder that PREDEPLOY_SQL_DIR names counts before all others, and PREDEPLOY_FORMAT says whose
    it is. Raises SourcesError if the folder that is found cannot be read as it is, and
    SettingsError (78) for a format that does not exist.
    """
    format_name = environ.get("PREDEPLOY_FORMAT", "").strip().lower()
    if wanted := environ.get("PREDEPLOY_SQL_DIR", "").strip():
        return _read(root, wanted, format_name)
    # Its folder of programs may be called like one of SQL.
    for program in PROGRAMS:
        if all(any((root / path).exists() for path in sign) for sign in program.signs):
            return Project(_FOLDERS[0], program=program)
    there = [name for name in _FOLDERS if (root / name).is_dir()]
    found = [project for name in there if (project := _read(root, name, format_name)).texts]
    return next(iter(found), Project(there[0] if there else _FOLDERS[0]))


def _read(root: Path, name: str, format_name: str) -> Project:
    """Read a folder of SQL. One with nothing to run is no problem: a project starts like that."""
    folder = read_folder(root / name)
    if not folder.is_there:
        raise SourcesError(folder.problems, exit_code=ExitCode.NO_INPUT)
    problems: list[str] = []
    wanted = formats.format_of(folder, format_name, problems)
    if problems:
        raise SourcesError(tuple(problems))
    try:
        sources = sources_of(folder, wanted)
    except SourcesError as error:
        if error.exit_code is ExitCode.NO_INPUT:
            return Project(name.rstrip("/"))
        raise
    files = (*sources.migrations, *sources.schema)
    return Project(name.rstrip("/"), wanted, tuple(each.text for each in files))
