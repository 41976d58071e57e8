"""The commands: parse, call, print. The last line is always a report."""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import structlog

from predeploy import __version__, log
from predeploy.contract.errors import (
    Interrupted,
    JobError,
    ProblemsError,
    SourcesError,
    interruption_behind,
)
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Outcome
from predeploy.contract.report import Report, as_json, as_markdown, as_text
from predeploy.contract.secret import Secret, redact, redact_all
from predeploy.settings import (
    FILE_VARIABLES,
    LogFormat,
    Settings,
    max_file_bytes,
    parse_duration,
    parse_settings,
    sql_dir,
)
from predeploy.settings.environment import with_files
from predeploy.settings.versions import Version, version_of
from predeploy.sources import Folder, Sources, declaration_of, read_folder, sources_of
from predeploy.sources.formats import NATIVE

if TYPE_CHECKING:
    from predeploy.sources.inputs import Inputs

_TERMINATION_LOG = Path("/dev/termination-log")
_MOUNTED_SQL = Path("/sql")
_WAIT_S = 300.0
_BEHIND = "--"


class Edge(Protocol):
    """What the process edge provides to a command: a deadline alarm, and a way to turn it off."""

    def set_deadline(self, seconds: float) -> None:
        """Interrupt the command `seconds` from now."""

    def quiet(self) -> None:
        """Stop interrupting the command."""


@dataclass(frozen=True, slots=True)
class _Output:
    """The report's destination and format, and the secrets to redact from it."""

    log_format: LogFormat
    report_path: Path | None
    step_summary_path: Path | None
    secrets: tuple[Secret, ...] = ()


def _output_of(environ: Mapping[str, str]) -> _Output:
    """Return the output for a report that is written without valid settings."""
    known = {log_format.value: log_format for log_format in LogFormat}
    report, summary = (
        Path(path) if (path := environ.get(name, "").strip()) and "://" not in path else None
        for name in ("PREDEPLOY_REPORT", "GITHUB_STEP_SUMMARY")
    )
    log_format = known.get(environ.get("PREDEPLOY_LOG_FORMAT", ""), LogFormat.AUTO)
    return _Output(log_format, report, summary)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise JobError(f"{message}; see `predeploy --help`", exit_code=ExitCode.USAGE)


def main(argv: Sequence[str], environ: Mapping[str, str], edge: Edge) -> ExitCode:
    """Run one command; return its exit code. Its last line on stdout is the report."""
    log.configure()
    own, given = _apart(argv)
    try:
        arguments = _parser().parse_args(own)
        _require_use(arguments, given)
    except JobError as error:
        return _end(_early(" ".join(argv[:1]), error), _output_of(environ), edge)
    try:
        if arguments.command in ("demo", "explain", "lint", "new", "init"):
            return _without_report(arguments, environ, edge)
    except JobError as error:
        return _end(_early(arguments.command, error), _output_of(environ), edge)
    return _with_settings(arguments, given, environ, edge)


def _without_report(
    arguments: argparse.Namespace, environ: Mapping[str, str], edge: Edge
) -> ExitCode:
    """Run a command for a person at a terminal. Each imports what only it needs."""
    if arguments.command == "demo":
        from predeploy.cli.demo import demo  # noqa: PLC0415 - only here is a server of our own needed

        return demo(environ, lambda settings: main(["run"], settings, edge))
    if arguments.command == "explain":
        from predeploy.cli.explain import explain  # noqa: PLC0415 - as above

        return explain(arguments.what)
    if arguments.command == "lint":
        from predeploy.cli.lint import lint_folder  # noqa: PLC0415 - as above

        return lint_folder(
            arguments.folder or sql_dir(environ, _default_folder()),
            environ,
            since=arguments.since,
            fail_on=arguments.fail_on,
            form=arguments.format,
            shows_notes=arguments.notes or arguments.fail_on == "note",
        )
    if arguments.command == "new":
        from predeploy.cli.new import new  # noqa: PLC0415 - as above

        return new(sql_dir(environ, _default_folder()), environ, arguments.name)
    from predeploy.cli.init import init  # noqa: PLC0415 - as above

    return init(Path(), environ, arguments.platform, write=arguments.write)


def _apart(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return predeploy's own arguments, and the command behind `--`."""
    at = [*argv, _BEHIND].index(_BEHIND)
    return argv[:at], argv[at + 1 :]


def _require_use(arguments: argparse.Namespace, given: Sequence[str]) -> None:
    if given and arguments.command not in ("run", "plan"):
        raise JobError(
            f"{arguments.command} starts no command; see `predeploy --help`",
            exit_code=ExitCode.USAGE,
        )


def _default_folder() -> Path:
    # lexists: a dangling mount must not fall back to another folder
    return _MOUNTED_SQL if os.path.lexists(_MOUNTED_SQL) else Path("sql")


def _with_settings(
    arguments: argparse.Namespace, given: Sequence[str], environ: Mapping[str, str], edge: Edge
) -> ExitCode:
    command = str(arguments.command)
    try:
        settings, sources = _load(environ, given)
    except JobError as error:
        return _end(_early(command, error), _output_of(environ), edge)
    except Exception as error:  # noqa: BLE001 - the last resort: see below
        # Without its message, as no secret is known yet that could be redacted from it.
        where = "".join(traceback.format_tb(error.__traceback__))
        report = _unexpected(command, f"{where}{type(error).__name__}")
        return _end(report, _output_of(environ), edge)
    output = _Output(
        settings.log_format, settings.report_path, settings.step_summary_path, settings.secrets
    )
    log.configure(settings.log_format, settings.log_level, settings.secrets)
    logger = structlog.get_logger()
    for note in settings.endpoint.notes:
        logger.info(note, variable=settings.endpoint.variable)
    if sources.format != NATIVE and not settings.command:
        logger.info(f"the migrations are read as {sources.format} has them")
    edge.set_deadline(settings.deadline_s)
    try:
        report = _call(arguments, settings, sources)
    except JobError as error:
        report = _early(command, error)
    except (Interrupted, Exception) as error:  # noqa: BLE001 - the last resort: see below
        if interruption := interruption_behind(error):
            stop = JobError(str(interruption), exit_code=interruption.exit_code)
            return _end(_early(command, stop), output, edge)
        report = _unexpected(command, redact(traceback.format_exc(), settings.secrets))
    return _end(report, output, edge)


def _unexpected(command: str, told: str) -> Report:
    """Log an exception, which is a bug, by its redacted traceback; return the report of it (1)."""
    structlog.get_logger().error("unexpected: this is a bug in predeploy", traceback=told)
    return _early(command, JobError(ExitCode.UNEXPECTED.explanation))


def _call(arguments: argparse.Namespace, settings: Settings, sources: Sources) -> Report:
    """Run the command. Each imports what it needs: a settled run must start fast."""
    if arguments.command == "run":
        from predeploy.run import run  # noqa: PLC0415 - only what the command needs

        return run(settings, sources)
    if arguments.command == "adopt" and arguments.baseline is not None:
        from predeploy.run import adopt  # noqa: PLC0415 - only what the command needs

        return adopt(replace(settings, baseline=arguments.baseline), sources)
    if arguments.command == "settle":
        from predeploy.layers.migrating.settling import Correction  # noqa: PLC0415 - only what the command needs
        from predeploy.run import settle  # noqa: PLC0415 - as above

        return settle(
            settings, sources, Correction(arguments.correction), Path(arguments.file).name
        )
    from predeploy import inspection  # noqa: PLC0415 - only what the command needs

    if arguments.command == "verify":
        return inspection.verify(settings, sources, wait_s=arguments.wait)
    looks = {"plan": inspection.plan, "status": inspection.status, "adopt": inspection.adopt}
    report, text, data = looks[arguments.command](settings, sources)
    report = replace(report, command=str(arguments.command))  # adopt looks as plan does
    secrets = settings.secrets
    told = json.dumps(redact_all(data, secrets), ensure_ascii=False)
    print(told if arguments.json else redact(text, secrets))
    if report.exit_code is ExitCode.OK and report.pending and arguments.exit_code:
        return replace(report, exit_code=ExitCode.PENDING)
    return report


def _load(environ: Mapping[str, str], given: Sequence[str]) -> tuple[Settings, Sources]:
    """Read settings and folder; all problems of the settings are reported first.

    With a command given, there need be no folder where none is named.
    """
    complete, problems = with_files(environ, FILE_VARIABLES)
    path = sql_dir(complete, _default_folder())
    is_named = complete.get("PREDEPLOY_SQL_DIR", "").strip()
    is_lacking = given and not is_named and not os.path.lexists(path)
    folder = Folder(path) if is_lacking else read_folder(path, max_file_bytes(complete))
    settings = parse_settings(
        complete,
        declaration=declaration_of(folder),
        command=given,
        default_sql_dir=folder.path,
        problems=problems,
    )
    command = settings.command
    sources = sources_of(
        folder.knowing(complete),
        settings.format,
        settings.allowed,
        command=command.label if command else "",
        inputs=_inputs_of(settings),
        history_table=settings.history_table,
    )
    if not (sources.declares_something or settings.critical or command):
        nothing = f"the SQL folder {folder.path} declares nothing that could be run or verified"
        where = "put migrations/, schema.sql, seed/ or verify/ into it, or mount the right one"
        raise SourcesError((f"{nothing}; {where}",), exit_code=ExitCode.NO_INPUT)
    return settings, sources


def _inputs_of(settings: Settings) -> "Inputs | None":
    if settings.command is None:
        return None
    from predeploy.sources.inputs import read_inputs  # noqa: PLC0415 - only who has a command

    return read_inputs(Path.cwd(), settings.command.inputs, settings.max_file_bytes)


def _early(command: str, error: JobError) -> Report:
    """Return the report of a command that was stopped before or outside its layers."""
    problems = error.problems if isinstance(error, ProblemsError) else (str(error),)
    return Report(command, __version__, Outcome.FAILED, error.exit_code, problems=problems)


def _end(report: Report, output: _Output, edge: Edge) -> ExitCode:
    """Write the report to every destination, stdout last; return the exit code."""
    edge.quiet()
    line = as_json(report, output.secrets)
    if _TERMINATION_LOG.exists():
        _write(_TERMINATION_LOG, line)
    if output.report_path:
        _write(output.report_path, as_json(report, output.secrets, limit_bytes=None) + "\n")
    if output.step_summary_path:
        _append(output.step_summary_path, redact(as_markdown(report), output.secrets))
    pretty = log.is_pretty(output.log_format, sys.stdout)
    print(as_text(report, output.secrets) if pretty else line, flush=True)
    return report.exit_code


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        structlog.get_logger().warning(f"the report was not written to {path}: {error.strerror}")


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(text)
    except OSError as error:
        structlog.get_logger().warning(f"the summary was not written to {path}: {error.strerror}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="predeploy",
        description="Makes a PostgreSQL database ready before an app is deployed, and gates the "
        "deploy. Configured by environment variables; see the README.",
    )
    parser.add_argument("--version", action="version", version=f"predeploy {__version__}")
    parser.set_defaults(command="run")
    commands = parser.add_subparsers(metavar="COMMAND")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(command=name)
        return command

    add(
        "run", "migrate, sync, fallback, seed, verify (the default)"
    ).epilog = "behind -- the command that migrates: predeploy run -- alembic upgrade head"
    for name, summary in (
        ("plan", "show what a run would do, and change nothing"),
        ("status", "show the ledger, what is pending, who holds the lock, the last runs"),
    ):
        command = add(name, summary)
        command.add_argument("--json", action="store_true", help="one JSON object")
        command.add_argument(
            "--exit-code", action="store_true", help="exit with 2 when something is pending"
        )
    command = add("adopt", "show how a database from before its ledger would be taken over")
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.add_argument(
        "--baseline",
        type=_version,
        metavar="VERSION",
        help="record the files up to this version as done, and run nothing",
    )
    command.set_defaults(exit_code=False)
    add("verify", "check the database against what the app declared").add_argument(
        "--wait",
        type=_duration,
        nargs="?",
        const=_WAIT_S,
        default=0.0,
        metavar="DURATION",
        help="keep looking until it is verified (5m unless said)",
    )
    command = add("settle", "correct what the ledger says about a file")
    command.add_argument("file", metavar="FILE", help="its name, as `predeploy status` shows it")
    correction = command.add_mutually_exclusive_group(required=True)
    for word, summary in (
        ("forget", "it is not coming back: forget a file that this folder does not hold"),
        ("done", "the step that was started, and whose end is not known, was done"),
        ("again", "it was not done: have it run again"),
    ):
        correction.add_argument(
            f"--{word}", dest="correction", action="store_const", const=word, help=summary
        )
    command = add("lint", "show what may go wrong with the migrations, without a database")
    command.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="the SQL folder")
    command.add_argument(
        "--format", default="text", choices=("text", "json", "sarif"), help="text unless said"
    )
    command.add_argument(
        "--since", default="", metavar="COMMIT", help="only files that differ from this commit"
    )
    command.add_argument(
        "--fail-on",
        default="error",
        choices=("error", "warning", "note", "never"),
        help="the least severity for which it exits with 84 (error unless said)",
    )
    command.add_argument("--notes", action="store_true", help="show notes, too")
    add("new", "make the next migration's file, as the folder's own tool would").add_argument(
        "name", metavar="NAME", help="what it does, such as add_email"
    )
    command = add("init", "show the files with which a project starts, and write them when asked")
    command.add_argument(
        "--platform",
        default="",
        choices=("railway", "kubernetes", "compose", "github", "gitlab", "fly", "render"),
        help="also those by which this platform runs predeploy",
    )
    command.add_argument("--write", action="store_true", help="write what is shown without it")
    add("explain", "explain an exit code or a rule of lint").add_argument(
        "what", nargs="?", default="", metavar="CODE or RULE"
    )
    add("demo", "start a temporary PostgreSQL, run predeploy on it twice, and stop it")
    return parser


def _version(text: str) -> Version:
    version = version_of(text)
    if not version:
        raise argparse.ArgumentTypeError("must be a version as a file has it, such as 0042")
    return version


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be {error}") from None
