"""The report at the end of a run: as data, as one line of JSON, as Markdown, as a headline.

Pure: the process edge writes it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Ask, Failure, Finding, LayerReport, Outcome
from predeploy.contract.secret import Secret, redact, redact_all

_STATEMENT_SHOWN = 200  # characters
# Kubernetes cuts /dev/termination-log at this many bytes.
LIMIT_BYTES = 4096
_TEXT_LIMITS = (300, 100, 40)  # characters
_LONGEST_NAME = 3 * 63 + 2  # bytes: schema.table.column
_DISPENSABLE = ("layers", "findings", "problems")
_GOOD = (ExitCode.OK, ExitCode.PENDING)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one command.

    `problems` says what stopped it before any layer was planned, one sentence each. `target` is
    safe to print. `server_version` is libpq's number, such as 150018; 0 without a connection.
    `pending` counts what remains to do: steps for `plan`, files for `status`. `compared` says
    what the database was compared with; empty if it was not compared.
    """

    command: str
    version: str
    outcome: Outcome
    exit_code: ExitCode
    duration_s: float = 0.0
    run_id: str = ""
    target: str = ""
    server_version: int = 0
    layers: tuple[LayerReport, ...] = ()
    pending: int = 0
    problems: tuple[str, ...] = ()
    compared: str = ""

    @property
    def failure(self) -> Failure | None:
        """The failed statement, if there is one."""
        return next((layer.failure for layer in self.layers if layer.failure), None)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all layers; those that stop the run come first."""
        found = (finding for layer in self.layers for finding in layer.findings)
        return tuple(sorted(found, key=lambda f: ("error", "warn", "info").index(f.level)))

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The declarations missing from files, here or on a database that holds rows."""
        return tuple(ask for layer in self.layers for ask in layer.asks)

    @property
    def applied(self) -> int:
        """The number of completed steps."""
        return sum(len(layer.steps) for layer in self.layers)


def headline(report: Report) -> str:
    """Return the final sentence for the person on call: what, where, and what to do next."""
    if report.exit_code in _GOOD:
        return _good_news(report)
    return f"{report.exit_code.label} ({int(report.exit_code)}): {_bad_news(report)}"


def _good_news(report: Report) -> str:
    pending = report.pending or "nothing"
    match report.command:
        case "verify":
            return _verified(report)
        case "adopt" if report.run_id:
            recorded = f"{report.applied} step(s) recorded and not run"
            return f"adopted: {recorded}; {pending} pending"
        case "settle":
            return f"settle: {report.findings[0].message}"
        case "run":
            return _good_run(report)
        case _:
            return f"{report.command}: {pending} pending"


def _good_run(report: Report) -> str:
    match report.outcome:
        case Outcome.SETTLED:
            return "settled: nothing has changed since the last good run"
        case Outcome.AHEAD:
            return f"ahead: {_amount(report)}; {_what_is_ahead(report)}"
        case Outcome.DEGRADED:
            return f"degraded: {_amount(report)}, verified nonetheless; {_what_failed(report)}"
        case _:
            end = (
                "verified" if report.compared else "and nothing is declared that could be verified"
            )
            return f"{report.outcome.value}: {_amount(report)}, {end}{_to_declare(report)}"


def _to_declare(report: Report) -> str:
    """Return how many declarations a database with rows would require."""
    lines = sum(len(ask.lines) for ask in report.asks)
    if not lines:
        return ""
    files = len({ask.path for ask in report.asks})
    return (
        f"; where tables hold rows, {lines} declaration(s) in {files} file(s) will be asked for, "
        "listed in this report"
    )


def _verified(report: Report) -> str:
    if report.outcome is Outcome.AHEAD:
        return f"ahead: {_what_is_ahead(report)}"
    return f"verified: the database holds what the app declared: {report.compared}"


def _what_is_ahead(report: Report) -> str:
    """Return what was compared, which files make the database ahead, and what to do about them."""
    notes = [finding for finding in report.findings if finding.code == "ahead"]
    why = f"{notes[0].message}; next: {notes[0].remedy}" if notes else "see the findings"
    return f"{report.compared}; {why}"


def _what_failed(report: Report) -> str:
    """Return what is missing in a degraded database, and that every deploy will try again."""
    if failure := report.failure:
        return f"{failure.said}; next: {failure.remedy}"
    warnings = [finding for finding in report.findings if finding.code == "fallback"]
    return f"{warnings[0].message}; next: {warnings[0].remedy}" if warnings else "see the findings"


def _amount(report: Report) -> str:
    if not report.applied:
        return "nothing to apply"
    return "1 step applied" if report.applied == 1 else f"{report.applied} steps applied"


def _bad_news(report: Report) -> str:
    failure = report.failure
    if failure and failure.exit_code is report.exit_code:
        not_run = sum(len(layer.not_run) for layer in report.layers)
        rest = f"; {not_run} later step(s) did not run" if not_run else ""
        return (
            f"{failure.said}; {failure.remains}"
            f"{rest}; next: {failure.remedy or report.exit_code.explanation}"
        )
    if report.problems:
        return "; ".join(report.problems)
    stopping = [f for f in report.findings if f.exit_code is not None]
    if not stopping:
        return report.exit_code.explanation
    more = f" (and {len(stopping) - 1} more)" if len(stopping) > 1 else ""
    remedy = f"; next: {stopping[0].remedy}" if stopping[0].remedy else ""
    return f"{stopping[0].message}{more}{remedy}"


def as_data(report: Report) -> dict[str, Any]:
    """Return the report as plain data, with empty parts left out."""
    level = "info" if report.exit_code in _GOOD else "error"
    if report.outcome is Outcome.DEGRADED:
        level = "warn"
    data: dict[str, Any] = {
        "message": headline(report),
        "level": level,
        "event": "report",
        "command": report.command,
        "outcome": report.outcome.value,
        "exit_code": int(report.exit_code),
        "exit_name": report.exit_code.label,
        "retryable": report.exit_code.is_retryable,
        "version": report.version,
        "run_id": report.run_id,
        "target": report.target,
        "server_version": report.server_version or None,
        "duration_s": round(report.duration_s, 3),
        "pending": report.pending or None,
        "problems": list(report.problems),
        "failure": _failure(report.failure) if report.failure else None,
        "layers": [_layer(layer) for layer in report.layers],
        "findings": [_finding(finding) for finding in report.findings],
        "asks": asks_data(report.asks),
    }
    return {key: value for key, value in data.items() if value not in ("", [], None)}


def asks_data(asks: Sequence[Ask]) -> list[dict[str, Any]]:
    """Return what files have to declare as plain data."""
    return [{"file": ask.path, **_where(ask), "lines": list(ask.lines)} for ask in asks]


def _where(ask: Ask) -> dict[str, Any]:
    return {"in": "predeploy.toml [allow]"} if ask.allow_key else {"before_line": ask.line}


def asks_text(asks: Sequence[Ask]) -> list[str]:
    """Return all the lines that files have to declare, ready to be pasted."""
    return [
        line
        for ask in asks
        for line in (
            f"to declare for {ask.path} {ask.where}, where its tables hold rows:",
            *(f"  {line}" for line in ask.lines),
        )
    ]


def as_json(
    report: Report, secrets: Sequence[Secret] = (), limit_bytes: int | None = LIMIT_BYTES
) -> str:
    """Return one line, by default of at most 4096 bytes, without the secrets.

    Secrets are removed before anything is cut, because half of one would not be found. Texts are
    cut first, between two words; then findings are dropped, and then declarations, in whole lines
    from the end.
    """
    data: dict[str, Any] = redact_all(as_data(report), secrets)
    if failure := data.get("failure"):
        failure["statement"] = failure.get("statement", "")[:_STATEMENT_SHOWN]
    line = _dump(data)
    if limit_bytes is None or len(line.encode()) <= limit_bytes:
        return line
    data = _with_fewer_asks(data, len(report.asks))
    line = _dump(data)
    for limit in _TEXT_LIMITS:
        if len(line.encode()) <= limit_bytes:
            return line
        data = _cut(data, limit) | {key: data[key] for key in ("asks",) if key in data}
        line = _dump(data)
        findings = list(data.get("findings", []))
        while len(line.encode()) > limit_bytes and findings:
            findings.pop()
            left_out = len(report.findings) - len(findings)
            line = _dump(data | {"findings": findings, "findings_left_out": left_out})
        if len(line.encode()) > limit_bytes:
            line = _dump({k: v for k, v in data.items() if k not in _DISPENSABLE})
    return line


def as_text(report: Report, secrets: Sequence[Secret] = ()) -> str:
    """Return the report for a person at a terminal, without the secrets; the headline is last."""
    lines = []
    if failure := report.failure:
        statement = redact(failure.statement, secrets)[:_STATEMENT_SHOWN]
        lines += [f"  statement  {statement}"] if statement else []
        lines += [f"  detail     {failure.detail}"] if failure.detail else []
    if report.command == "run":  # a plan's own text has them
        lines += asks_text(report.asks)
    return redact("\n".join([*lines, headline(report)]), secrets)


def as_markdown(report: Report) -> str:
    """Return a summary for a CI page: the headline, a table of the layers, the findings."""
    rows = [
        f"| {layer.name} | {len(layer.steps)} | {sum(s.rows for s in layer.steps)} "
        f"| {layer.exit_code.label} |"
        for layer in report.layers
    ]
    table = ["| layer | steps | rows | result |", "|---|---|---|---|", *rows] if rows else []
    findings = [f"- **{f.level}** `{f.code}` {f.message}" for f in report.findings]
    asks = [
        f"To declare for `{ask.path}` {ask.where}, where its tables hold rows:\n\n"
        f"```{'toml' if ask.allow_key else 'sql'}\n" + "\n".join(ask.lines) + "\n```"
        for ask in report.asks
    ]
    mark = "✅" if report.exit_code in _GOOD else "❌"
    parts = [
        f"### {mark} predeploy {report.command}",
        headline(report),
        "\n".join(table),
        "\n".join(findings),
        *asks,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _layer(layer: LayerReport) -> dict[str, Any]:
    return {
        "name": layer.name,
        "steps": len(layer.steps),
        "rows": sum(step.rows for step in layer.steps),
        "duration_s": round(sum(step.duration_s for step in layer.steps), 3),
        "result": layer.exit_code.label,
        **({"not_run": list(layer.not_run[:5])} if layer.not_run else {}),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    data = {
        "code": finding.code,
        "level": finding.level,
        "message": finding.message,
        "next": finding.remedy,
    }
    return {key: value for key, value in data.items() if value}


def _failure(failure: Failure) -> dict[str, Any]:
    data = {
        "file": failure.path,
        "line": failure.line,
        "column": failure.column,
        "sqlstate": failure.sqlstate,
        "message": failure.message,
        "detail": failure.detail,
        "statement": failure.statement,
        "next": failure.remedy,
    }
    return {key: value for key, value in data.items() if value}


def _cut(value: Any, limit: int) -> Any:  # noqa: ANN401 - JSON
    match value:
        case str():
            return value if len(value) <= limit else _cut_text(value, limit)
        case Mapping():
            return {key: _cut(item, limit) for key, item in value.items()}
        case list():
            return [_cut(item, limit) for item in value]
        case _:
            return value


def _cut_text(text: str, limit: int) -> str:
    """Cut between two words, so that no name is split; a word longer than any name is not one."""
    blank = text[: limit - 1].rfind(" ")
    if blank > 0 and limit - blank <= _LONGEST_NAME:
        return text[:blank] + " …"
    word = text.partition(" ")[0]
    if limit <= len(word) and len(word.encode()) <= _LONGEST_NAME:
        return word + " …"
    return text[: limit - 1] + "…"


def _with_fewer_asks(data: dict[str, Any], files: int) -> dict[str, Any]:
    """Drop declarations from the end until the rest takes at most half of the space."""
    asks = list(data.get("asks", []))
    while asks and len(_dump({"asks": asks}).encode()) > LIMIT_BYTES // 2:
        lines = asks[-1]["lines"]
        asks[-1:] = [{**asks[-1], "lines": lines[: len(lines) // 2]}] if len(lines) > 1 else []
    if not files or asks == data["asks"]:
        return data
    left_out = sum(len(a["lines"]) for a in data["asks"]) - sum(len(a["lines"]) for a in asks)
    return data | {"asks": asks, "asks_left_out": left_out}


def _dump(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # A file name that is not valid text has surrogates, which cannot be encoded.
    return text.encode(errors="backslashreplace").decode()
