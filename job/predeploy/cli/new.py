"""`predeploy new NAME`: the next migration, as the folder's own tool would name it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from predeploy.cli.project import said_format
from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.sources import formats, read_folder


def new(root: Path, environ: Mapping[str, str], name: str) -> ExitCode:
    """Write the files of the next migration into the folder `root`, and print their paths.

    Nothing that is there is changed. Raises SourcesError (65, 66) if the folder cannot be read, if
    only its tool can make one, or if a file cannot be written.
    """
    folder = read_folder(root)
    if folder.problems:
        code = ExitCode.BAD_SOURCES if folder.is_there else ExitCode.NO_INPUT
        raise SourcesError(folder.problems, exit_code=code)
    problems: list[str] = []
    chosen = formats.format_of(folder, said_format(folder, environ, problems), problems)
    if problems:
        raise SourcesError(tuple(problems))
    names = tuple(
        path.removeprefix(folder.home) for path in folder.names if path.startswith(folder.home)
    )
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not slug:
        raise SourcesError((f"{name!r} has no letter or digit to name a file by",))
    for path, text in formats.named(chosen).new(names, slug, datetime.now(UTC)).items():
        target = root / folder.home / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise SourcesError((f"{target}: cannot be written: {error.strerror}",)) from None
        print(target)
    return ExitCode.OK
