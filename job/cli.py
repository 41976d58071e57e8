"""The commands: parse, call, print. Whatever happens, the last line is a report."""

import argparse
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Protocol

import structlog

from job import __version__, log
from job.errors import Interrupted, JobError, ProblemsError
from job.exit_codes import ExitCode
from job.plan import Outcome
from job.report import Report, as_json, as_markdown, as_text
from job.secret import Secret
from job.settings import (
    FILE_VARIABLES,
    LogFormat,
    Settings,
    parse_duration,
    parse_settings,
    sql_dir,
)
from job.sources import Sources, load_sources, read_declaration
from job.sources.environment import with_files

_TERMINATION_LOG = Path("/dev/termination-log")
_MOUNTED_SQL = Path("/sql")
_WAIT_S = 300.0


class Edge(Protocol):
    """What the process edge does for a command: an alarm at the deadline, and quiet at the end."""

    def set_deadline(self, seconds: float) -> None:
        """Interrupt the command `seconds` from now."""

    def quiet(self) -> None:
        """Interrupt nothing any more."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise JobError(f"{message}; see `predeploy --help`", exit_code=ExitCode.USAGE)


def main(argv: Sequence[str], environ: Mapping[str, str], edge: Edge) -> ExitCode:
    """Run one command; return how it ended. Its last line on stdout is the report."""
    log.configure()
    try:
        arguments = _parser().parse_args(argv)
    except JobError as error:
        return _end(_early(" ".join(argv[:1]), error), LogFormat.AUTO, None, edge)
    if arguments.command == "explain":
        return _explain(arguments.code)
    if arguments.command == "demo":
        from job.demo import demo  # noqa: PLC0415 - only here is a server of our own needed

        try:
            return demo(environ, lambda settings: main(["run"], settings, edge))
        except JobError as error:
            return _end(_early("demo", error), LogFormat.AUTO, None, edge)
    return _with_settings(arguments, environ, edge)


def _with_settings(
    arguments: argparse.Namespace, environ: Mapping[str, str], edge: Edge
) -> ExitCode:
    command = str(arguments.command)
    try:
        settings, sources = _load(environ)
    except JobError as error:
        wanted = environ.get("PREDEPLOY_LOG_FORMAT", "")
        known = {log_format.value: log_format for log_format in LogFormat}
        return _end(_early(command, error), known.get(wanted, LogFormat.AUTO), None, edge)
    secrets = _secrets(settings)
    log.configure(settings.log_format, settings.log_level, secrets)
    logger = structlog.get_logger()
    for note in settings.endpoint.notes:
        logger.info(note, variable=settings.endpoint.variable)
    edge.set_deadline(settings.deadline_s)
    try:
        report = _call(arguments, settings, sources)
    except JobError as error:
        report = _early(command, error)
    except Interrupted as interruption:
        report = _early(command, JobError(str(interruption), exit_code=interruption.exit_code))
    except Exception:  # noqa: BLE001 - the last resort: a bug is reported too, and exits with 1
        text = log.redact(traceback.format_exc(), secrets)
        logger.error("unexpected: this is a bug in predeploy", traceback=text)  # noqa: TRY400
        report = _early(command, JobError(ExitCode.UNEXPECTED.explanation))
    return _end(report, settings.log_format, settings, edge)


def _call(arguments: argparse.Namespace, settings: Settings, sources: Sources) -> Report:
    """Run the command. Each imports what it needs: a settled run must start fast."""
    if arguments.command == "run":
        from job.run import run  # noqa: PLC0415

        return run(settings, sources)
    from job import inspection  # noqa: PLC0415

    if arguments.command == "verify":
        return inspection.verify(settings, sources, wait_s=arguments.wait)
    look = inspection.plan if arguments.command == "plan" else inspection.status
    report, text, data = look(settings, sources)
    print(json.dumps(data, ensure_ascii=False) if arguments.json else text)  # noqa: T201
    if report.exit_code is ExitCode.OK and report.pending and arguments.exit_code:
        return replace(report, exit_code=ExitCode.PENDING)
    return report


def _load(environ: Mapping[str, str]) -> tuple[Settings, Sources]:
    """Read settings and folder; what is wrong with the settings is told first, all of it."""
    complete, problems = with_files(environ, FILE_VARIABLES)
    folder = sql_dir(complete, _MOUNTED_SQL if _MOUNTED_SQL.is_dir() else Path("sql"))
    settings = parse_settings(
        complete,
        declaration=read_declaration(folder),
        default_sql_dir=folder,
        problems=problems,
    )
    return settings, load_sources(settings.sql_dir)


def _secrets(settings: Settings) -> tuple[Secret, ...]:
    values = [value for _, value in settings.endpoint.parameters]
    if settings.admin:
        values += [v for v in (settings.admin.password, settings.admin.password_hash) if v]
    return tuple(value for value in values if isinstance(value, Secret))


def _early(command: str, error: JobError) -> Report:
    """Report what stopped a command before, or beside, its layers."""
    problems = error.problems if isinstance(error, ProblemsError) else (str(error),)
    return Report(command, __version__, Outcome.FAILED, error.exit_code, problems=problems)


def _end(report: Report, log_format: LogFormat, settings: Settings | None, edge: Edge) -> ExitCode:
    """Write the report wherever it is wanted, stdout last."""
    edge.quiet()
    secrets = _secrets(settings) if settings else ()
    line = log.redact(as_json(report), secrets)
    if _TERMINATION_LOG.exists():
        _write(_TERMINATION_LOG, line)
    if settings and settings.report_path:
        _write(settings.report_path, line + "\n")
    if settings and settings.step_summary_path:
        _append(settings.step_summary_path, log.redact(as_markdown(report), secrets))
    pretty = log.is_pretty(log_format, sys.stdout)
    print(log.redact(as_text(report), secrets) if pretty else line, flush=True)  # noqa: T201
    return report.exit_code


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        structlog.get_logger().warning(f"the report was not written to {path}: {error.strerror}")


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a") as summary:
            summary.write(text)
    except OSError as error:
        structlog.get_logger().warning(f"the summary was not written to {path}: {error.strerror}")


def _explain(code: str) -> ExitCode:
    known = {str(int(c)): c for c in ExitCode} | {c.label: c for c in ExitCode}
    for exit_code in [known[code]] if code else list(ExitCode):
        again = "; may pass when run again" if exit_code.is_retryable else ""
        print(f"{int(exit_code):>3} {exit_code.label}{again}: {exit_code.explanation}")  # noqa: T201
    return ExitCode.OK


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

    add("run", "migrate, seed and verify (the default)")
    for name, summary in (
        ("plan", "show what a run would do, and change nothing"),
        ("status", "show the ledger, what is pending, who holds the lock, the last runs"),
    ):
        command = add(name, summary)
        command.add_argument("--json", action="store_true", help="one JSON object")
        command.add_argument(
            "--exit-code", action="store_true", help="exit with 2 when something is pending"
        )
    add("verify", "check the database against what the app declared").add_argument(
        "--wait",
        type=_duration,
        nargs="?",
        const=_WAIT_S,
        default=0.0,
        metavar="DURATION",
        help="keep looking until it is verified (5m unless said)",
    )
    names = [name for code in ExitCode for name in (str(int(code)), code.label)]
    add("explain", "explain an exit code").add_argument(
        "code", nargs="?", choices=names, metavar="CODE"
    )
    add("demo", "start a PostgreSQL of our own, run the job on it twice, and stop it")
    return parser


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be {error}") from None
